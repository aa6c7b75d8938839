-- What an app's SMS may cost: a cap of segments a day, and the numbers they may go to.

ALTER TABLE apps ADD COLUMN sms_per_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE apps ADD COLUMN sms_prefixes TEXT NOT NULL DEFAULT '[]';

-- Of apps with a cap: segments of the UTC day, what is usual, and when a day was last out of proportion.
CREATE TABLE sms_use (
  app_id   BLOB    NOT NULL PRIMARY KEY,
  day      INTEGER NOT NULL,
  used     INTEGER NOT NULL,
  usual    INTEGER NOT NULL,
  alarm_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
