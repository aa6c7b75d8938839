-- What a person said last to an app's sender, STOP or START, and when: whatever the order in which the words are applied, the
-- last one counts. Rows go after three days, as parked reports do.
CREATE TABLE wishes (
  app_id  BLOB    NOT NULL,
  channel INTEGER NOT NULL,
  address TEXT    NOT NULL,
  stop    INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (app_id, channel, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX wishes_at ON wishes (at);
