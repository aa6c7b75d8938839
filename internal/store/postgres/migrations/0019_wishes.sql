-- What a person said last to an app's sender, STOP or START, and when: whatever the order in which the words are applied, the
-- last one counts. Rows go after three days, as parked reports do.
CREATE TABLE wishes (
  app_id  uuid     NOT NULL,
  channel smallint NOT NULL,
  address text     NOT NULL,
  stop    smallint NOT NULL,
  at      bigint   NOT NULL,
  PRIMARY KEY (app_id, channel, address)
);
CREATE INDEX wishes_at ON wishes (at);
