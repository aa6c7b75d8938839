-- Events as one order, and webhooks (docs/decisions/0009-webhooks.md).

-- What the message showed as its error once the event had happened.
ALTER TABLE events ADD COLUMN error_text text NOT NULL DEFAULT '';

-- Events that have no place in the feed yet: a row for each transaction and shard, append-only (sqlstore.AppendRef). The shard is
-- the app's first one, whatever the message's. xid is the transaction: what a look could not see is told by it.
CREATE TABLE outbox (
  xid   bigint   NOT NULL,
  shard smallint NOT NULL,
  at    bigint   NOT NULL,
  items bytea    NOT NULL
);
CREATE INDEX outbox_xid ON outbox (xid);
-- Rows live for less than a second: they are not worth compressing, and up to a page they stay in one piece.
ALTER TABLE outbox ALTER COLUMN items SET STORAGE EXTERNAL;
ALTER TABLE outbox SET (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);

-- The order of an app's events: a row for those that were stamped together, named by the position of the last of them.
-- An app's last row stays: the next position is counted from it.
CREATE TABLE feed (
  app_id uuid   NOT NULL,
  last   bigint NOT NULL,
  at     bigint NOT NULL,
  items  bytea  NOT NULL,
  PRIMARY KEY (app_id, last)
);
ALTER TABLE feed ALTER COLUMN items SET STORAGE EXTERNAL;

-- Events on their way to endpoints. status 0 is a test. body never changes, but for the erasure of a person.
CREATE TABLE deliveries (
  app_id      uuid     NOT NULL,
  endpoint_id uuid     NOT NULL,
  id          uuid     NOT NULL,
  shard       smallint NOT NULL,
  message_id  uuid     NOT NULL,
  sequence    integer  NOT NULL,
  status      smallint NOT NULL,
  position    bigint   NOT NULL,
  state       smallint NOT NULL,
  due         bigint   NOT NULL,
  attempts    integer  NOT NULL,
  tries       integer  NOT NULL,
  created_at  bigint   NOT NULL,
  ended_at    bigint   NOT NULL,
  log         text     NOT NULL,
  body        bytea    NOT NULL,
  PRIMARY KEY (app_id, endpoint_id, id)
);
-- Lists by state. Each row is in one of the two.
CREATE INDEX deliveries_open ON deliveries (app_id, endpoint_id, state, id NULLS FIRST) WHERE state <> 2;
CREATE INDEX deliveries_done ON deliveries (app_id, endpoint_id, id NULLS FIRST) WHERE state = 2;
CREATE INDEX deliveries_due ON deliveries (shard, endpoint_id, due, id NULLS FIRST) WHERE state = 1;
CREATE INDEX deliveries_message ON deliveries (message_id, app_id) WHERE sequence > 0;
CREATE INDEX deliveries_age ON deliveries (created_at);
ALTER TABLE deliveries SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000);

-- Since when every call of an endpoint has failed; no row while they work.
CREATE TABLE endpoint_troubles (
  app_id      uuid   NOT NULL,
  endpoint_id uuid   NOT NULL,
  since       bigint NOT NULL,
  PRIMARY KEY (app_id, endpoint_id)
);
