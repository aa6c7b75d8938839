-- The administrator's view of the queue, and of messages and suppressions of all apps.

-- New messages are refused while what waits goes out.
ALTER TABLE apps ADD COLUMN queue_draining INTEGER NOT NULL DEFAULT 0;

-- Which apps have an address on their list. Partial for the same reason as suppressions_list.
CREATE INDEX suppressions_address ON suppressions (address, channel, app_id) WHERE reason <> '';

-- The word first, then the app: one order serves an app's search as well as one over all apps that steps
-- from app to app (docs/decisions/0006-all-apps.md). It is what it was otherwise, written from content.
CREATE TABLE terms_by_word (
  app_id BLOB    NOT NULL,
  kind   INTEGER NOT NULL,
  value  TEXT    NOT NULL,
  id     BLOB    NOT NULL,
  PRIMARY KEY (kind, value, app_id, id)
) STRICT, WITHOUT ROWID;
INSERT INTO terms_by_word SELECT app_id, kind, value, id FROM terms ORDER BY kind, value, app_id, id;
DROP TABLE terms;
ALTER TABLE terms_by_word RENAME TO terms;
