-- The administrator's view of the queue, and of messages and suppressions of all apps.

-- New messages are refused while what waits goes out.
ALTER TABLE apps ADD COLUMN queue_draining smallint NOT NULL DEFAULT 0;

-- Which apps have an address on their list. Partial for the same reason as suppressions_list.
CREATE INDEX suppressions_address ON suppressions (address, channel, app_id) WHERE reason <> '';

-- Messages of all apps, newest first, and the app of a message (docs/decisions/0006-all-apps.md). Ids begin with the
-- time, so that accepting appends to it. Partial (every row passes), or the planner could take it for look-ups
-- by app_id and id. NULLS FIRST: see state_list.
CREATE INDEX content_newest ON content (id NULLS FIRST) WHERE files >= 0;
