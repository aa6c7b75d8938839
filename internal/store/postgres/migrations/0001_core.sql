-- The core: tenants, configuration, ownership, and the life of a message.
-- Times are microseconds since the epoch, booleans and enumerations integers, JSON is text.
-- Every tenant table's key begins with app_id, so that the schema can be spread by tenant.

CREATE TABLE settings (
  name  text   PRIMARY KEY,
  value text   NOT NULL
);

-- One row: counted up by every change of an app, key, provider configuration or setting.
CREATE TABLE config_version (
  id      smallint PRIMARY KEY,
  version bigint   NOT NULL
);
INSERT INTO config_version VALUES (1, 1);

CREATE TABLE apps (
  id              uuid     PRIMARY KEY,
  slug            text     NOT NULL UNIQUE,
  name            text     NOT NULL,
  active          smallint NOT NULL,
  sandbox         smallint NOT NULL,
  on_unknown      smallint NOT NULL,
  rate_per_minute integer  NOT NULL,
  shard_spread    smallint NOT NULL,
  queue_paused    smallint NOT NULL,
  webhook_url     text     NOT NULL,
  webhook_secret  bytea,
  allowed_from    text     NOT NULL,
  created_at      bigint   NOT NULL,
  updated_at      bigint   NOT NULL,
  deleted_at      bigint   NOT NULL DEFAULT 0
);
-- Deleted apps, until their rows are gone: few.
CREATE INDEX apps_deleted ON apps (id) WHERE deleted_at <> 0;

CREATE TABLE api_keys (
  app_id      uuid     NOT NULL,
  id          uuid     NOT NULL,
  name        text     NOT NULL,
  hash        bytea    NOT NULL UNIQUE,
  prefix      text     NOT NULL,
  last_four   text     NOT NULL,
  scopes      smallint NOT NULL,
  provisioned smallint NOT NULL,
  created_at  bigint   NOT NULL,
  expires_at  bigint   NOT NULL,
  revoked_at  bigint   NOT NULL,
  used_at     bigint   NOT NULL,
  created_by  text     NOT NULL,
  PRIMARY KEY (app_id, id)
);

-- app_id of all zeros: the server-level chain.
CREATE TABLE provider_configs (
  app_id          uuid     NOT NULL,
  id              uuid     NOT NULL,
  type            text     NOT NULL,
  channel         smallint NOT NULL,
  name            text     NOT NULL,
  priority        integer  NOT NULL,
  active          smallint NOT NULL,
  settings        text     NOT NULL,
  secrets         bytea,
  key_id          text     NOT NULL,
  rate_per_second integer  NOT NULL,
  rate_per_day    integer  NOT NULL,
  max_concurrent  integer  NOT NULL,
  pinned          smallint NOT NULL,
  version         integer  NOT NULL,
  created_at      bigint   NOT NULL,
  updated_at      bigint   NOT NULL,
  PRIMARY KEY (app_id, id)
);

-- Attempts that began on a configuration's last UTC day (days since 1970), counted while it has a limit per day.
CREATE TABLE provider_days (
  app_id      uuid    NOT NULL,
  provider_id uuid    NOT NULL,
  day         bigint  NOT NULL,
  used        integer NOT NULL,
  PRIMARY KEY (app_id, provider_id)
);

-- What the stores add by themselves is from a provider.
CREATE TABLE suppressions (
  app_id     uuid     NOT NULL,
  channel    smallint NOT NULL,
  address    text     NOT NULL,
  reason     text     NOT NULL,
  created_at bigint   NOT NULL,
  source     text     NOT NULL DEFAULT 'provider',
  note       text     NOT NULL DEFAULT '',
  PRIMARY KEY (app_id, channel, address)
);
-- Lists, newest first: one range for each channel and reason, merged. Partial, so that no other
-- statement is ever planned by it: a start looks an address up by the primary key.
CREATE INDEX suppressions_list ON suppressions (app_id, channel, reason, created_at, address) WHERE reason <> '';

CREATE TABLE nodes (
  node        text   PRIMARY KEY,
  role        text   NOT NULL,
  version     text   NOT NULL,
  lease_until bigint NOT NULL,
  started_at  bigint NOT NULL
);

CREATE TABLE shards (
  shard smallint PRIMARY KEY,
  owner text     NOT NULL,
  epoch bigint   NOT NULL
);
INSERT INTO shards SELECT i, '', 0 FROM generate_series(0, 63) i;

-- What was accepted; append-only. payload is NULL when purged or erased; files counts the rows of table files.
CREATE TABLE content (
  app_id    uuid  NOT NULL,
  id        uuid  NOT NULL,
  recipient text  NOT NULL,
  payload   bytea,
  files     smallint NOT NULL,
  PRIMARY KEY (app_id, id)
);

-- Search by recipient (docs/decisions/0004-search.md). The recipient first and only where there is one, or the
-- planner could take it for look-ups by app_id and id. NULLS FIRST: see state_list.
CREATE INDEX content_recipient ON content (recipient, app_id, id NULLS FIRST) WHERE recipient <> '';

-- What messages are searched by besides: one row for each tag (kind 1) of a message, one for the key of its template (2).
CREATE TABLE terms (
  app_id uuid     NOT NULL,
  kind   smallint NOT NULL,
  value  text     NOT NULL,
  id     uuid     NOT NULL,
  PRIMARY KEY (app_id, kind, value, id)
);

CREATE TABLE files (
  app_id       uuid     NOT NULL,
  id           uuid     NOT NULL,
  n            smallint NOT NULL,
  filename     text     NOT NULL,
  content_type text     NOT NULL,
  content      bytea    NOT NULL,
  PRIMARY KEY (app_id, id, n)
);
ALTER TABLE files ALTER COLUMN content SET STORAGE EXTERNAL;

-- What changes in a message's life; the narrow row that lists read.
-- due of a final state keeps the key of the last queue row and means nothing.
CREATE TABLE state (
  app_id       uuid     NOT NULL,
  id           uuid     NOT NULL,
  shard        smallint NOT NULL,
  channel      smallint NOT NULL,
  lane         smallint NOT NULL,
  mode         smallint NOT NULL,
  on_unknown   smallint NOT NULL,
  status       smallint NOT NULL,
  created_at   bigint   NOT NULL,
  updated_at   bigint   NOT NULL,
  scheduled_at bigint   NOT NULL,
  due          bigint   NOT NULL,
  expires_at   bigint   NOT NULL,
  generation   integer  NOT NULL,
  attempts     integer  NOT NULL,
  round        integer  NOT NULL,
  round_since  bigint   NOT NULL,
  sequence     integer  NOT NULL,
  epoch        bigint   NOT NULL,
  flags        integer  NOT NULL,
  provider     text     NOT NULL,
  provider_id  uuid     NOT NULL,
  provider_ref text     NOT NULL,
  error_code   text     NOT NULL,
  error_text   text     NOT NULL,
  sent_at      bigint   NOT NULL,
  delivered_at bigint   NOT NULL,
  bytes        bigint   NOT NULL,
  PRIMARY KEY (app_id, id)
);
-- Every change of status makes a new entry in one of the first two, so together they cost what one would.
-- NULLS FIRST is a mark (no id is NULL): lists ask for that order, so that the planner can never take the
-- primary key for them, which would read an app's whole history where the list holds little of it.
CREATE INDEX state_list ON state (status, channel, app_id, id NULLS FIRST) WHERE status <> 2;
-- Attempts under way, by shard: what a new owner has to look after.
CREATE INDEX state_sending ON state (shard, app_id, channel, id NULLS FIRST) WHERE status = 2;
-- What may end while it waits: messages with a time to live, and those that were tried and are tried again.
CREATE INDEX state_expiring ON state (shard, expires_at) WHERE status = 1 AND expires_at > 0;
CREATE INDEX state_retried ON state (shard, round_since) WHERE status = 1 AND expires_at = 0 AND round_since > 0;
-- What the sandbox took.
CREATE INDEX state_captures ON state (channel, app_id, id NULLS FIRST) WHERE provider = 'sandbox' AND sent_at <> 0;

-- One row per message that is QUEUED or SENDING.
CREATE TABLE queue (
  shard   smallint NOT NULL,
  app_id  uuid     NOT NULL,
  channel smallint NOT NULL,
  lane    smallint NOT NULL,
  due     bigint   NOT NULL,
  id      uuid     NOT NULL,
  bytes   bigint   NOT NULL,
  PRIMARY KEY (shard, app_id, channel, lane, due, id)
);

CREATE TABLE idempotency (
  app_id      uuid     NOT NULL,
  mode        smallint NOT NULL,
  hash        bytea    NOT NULL,
  id          uuid     NOT NULL,
  fingerprint bytea    NOT NULL,
  PRIMARY KEY (app_id, mode, hash)
);

-- A message's log, append-only, written in the transaction of the change it reports.
CREATE TABLE events (
  app_id      uuid     NOT NULL,
  message_id  uuid     NOT NULL,
  sequence    integer  NOT NULL,
  type        smallint NOT NULL,
  from_status smallint NOT NULL,
  to_status   smallint NOT NULL,
  at          bigint   NOT NULL,
  generation  integer  NOT NULL,
  attempt     integer  NOT NULL,
  epoch       bigint   NOT NULL,
  node        text     NOT NULL,
  actor       text     NOT NULL,
  provider    text     NOT NULL,
  provider_id uuid     NOT NULL,
  ref         text     NOT NULL,
  error_code  text     NOT NULL,
  detail      text     NOT NULL,
  PRIMARY KEY (app_id, message_id, sequence)
);

-- Submissions of an app in the current minute.
CREATE TABLE rates (
  app_id uuid    PRIMARY KEY,
  minute bigint  NOT NULL,
  used   integer NOT NULL
);

-- Why units do not send, as their owners see it.
CREATE TABLE holds (
  app_id  uuid     NOT NULL,
  channel smallint NOT NULL,
  lane    smallint NOT NULL,
  shard   smallint NOT NULL,
  node    text     NOT NULL,
  reason  text     NOT NULL,
  until   bigint   NOT NULL,
  PRIMARY KEY (app_id, channel, lane, shard)
);

-- Undoes the transaction under way: an error is what makes the rest of a pipeline
-- do nothing. The caller knows the code; the detail is for it too.
CREATE FUNCTION refuse(code text, why text, detail text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = code, MESSAGE = why, DETAIL = detail;
END $$;

-- The queue turns over all the time: dead rows at its head are what scans step over.
ALTER TABLE queue SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
-- Two dead rows for each message sent; as a share, because the table keeps 400 days.
ALTER TABLE state SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0.05);
-- Few rows, updated in place all the time: room for new versions on the same page.
ALTER TABLE rates SET (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE provider_days SET (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE nodes SET (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE shards SET (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
