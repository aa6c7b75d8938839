-- What happened last in all apps (docs/decisions/0009-webhooks.md): which transaction wrote a row of the feed. 0: a version before this column did,
-- or the row was restored. The default is set apart, so that the rows there are stay as they are.
ALTER TABLE feed ADD COLUMN xid bigint NOT NULL DEFAULT 0;
ALTER TABLE feed ALTER COLUMN xid SET DEFAULT (pg_current_xact_id()::text::bigint);
CREATE INDEX feed_lately ON feed (xid);
