-- Events as one order, and webhooks (docs/decisions/0009-webhooks.md).

-- What the message showed as its error once the event had happened.
ALTER TABLE events ADD COLUMN error_text TEXT NOT NULL DEFAULT '';

-- Events that have no place in the feed yet: a row for each transaction, append-only (sqlstore.AppendRef).
CREATE TABLE outbox (
  id    INTEGER NOT NULL PRIMARY KEY,
  at    INTEGER NOT NULL,
  items BLOB    NOT NULL
) STRICT;

-- The order of an app's events: a row for those that were stamped together, named by the position of the last of them.
-- An app's last row stays: the next position is counted from it.
CREATE TABLE feed (
  app_id BLOB    NOT NULL,
  last   INTEGER NOT NULL,
  at     INTEGER NOT NULL,
  items  BLOB    NOT NULL,
  PRIMARY KEY (app_id, last)
) STRICT;

-- Events on their way to endpoints. status 0 is a test. body never changes, but for the erasure of a person.
CREATE TABLE deliveries (
  app_id      BLOB    NOT NULL,
  endpoint_id BLOB    NOT NULL,
  id          BLOB    NOT NULL,
  shard       INTEGER NOT NULL,
  message_id  BLOB    NOT NULL,
  sequence    INTEGER NOT NULL,
  status      INTEGER NOT NULL,
  position    INTEGER NOT NULL,
  state       INTEGER NOT NULL,
  due         INTEGER NOT NULL,
  attempts    INTEGER NOT NULL,
  tries       INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  ended_at    INTEGER NOT NULL,
  log         TEXT    NOT NULL,
  body        BLOB    NOT NULL,
  PRIMARY KEY (app_id, endpoint_id, id)
) STRICT;
-- Lists by state. Each row is in one of the two.
CREATE INDEX deliveries_open ON deliveries (app_id, endpoint_id, state, id) WHERE state <> 2;
CREATE INDEX deliveries_done ON deliveries (app_id, endpoint_id, id) WHERE state = 2;
CREATE INDEX deliveries_due ON deliveries (shard, endpoint_id, due, id) WHERE state = 1;
CREATE INDEX deliveries_message ON deliveries (message_id, app_id) WHERE sequence > 0;
CREATE INDEX deliveries_age ON deliveries (created_at);

-- Since when every call of an endpoint has failed; no row while they work.
CREATE TABLE endpoint_troubles (
  app_id      BLOB    NOT NULL,
  endpoint_id BLOB    NOT NULL,
  since       INTEGER NOT NULL,
  PRIMARY KEY (app_id, endpoint_id)
) STRICT, WITHOUT ROWID;
