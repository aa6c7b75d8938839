-- The core: tenants, configuration, ownership, and the life of a message.
-- Times are microseconds since the epoch, booleans and enumerations integers, JSON is text, ids 16 bytes.
-- Rows of messages are kept in the order of their ids, so that accepting appends (docs/decisions/0002-sqlite.md).

CREATE TABLE settings (
  name  TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: counted up by every change of an app, key, provider configuration or setting.
CREATE TABLE config_version (
  id      INTEGER NOT NULL PRIMARY KEY,
  version INTEGER NOT NULL
) STRICT;
INSERT INTO config_version VALUES (1, 1);

CREATE TABLE apps (
  id              BLOB    NOT NULL PRIMARY KEY,
  slug            TEXT    NOT NULL UNIQUE,
  name            TEXT    NOT NULL,
  active          INTEGER NOT NULL,
  sandbox         INTEGER NOT NULL,
  on_unknown      INTEGER NOT NULL,
  rate_per_minute INTEGER NOT NULL,
  shard_spread    INTEGER NOT NULL,
  queue_paused    INTEGER NOT NULL,
  webhook_url     TEXT    NOT NULL,
  webhook_secret  BLOB,
  allowed_from    TEXT    NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  deleted_at      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
-- Deleted apps, until their rows are gone: few.
CREATE INDEX apps_deleted ON apps (id) WHERE deleted_at <> 0;

CREATE TABLE api_keys (
  app_id      BLOB    NOT NULL,
  id          BLOB    NOT NULL,
  name        TEXT    NOT NULL,
  hash        BLOB    NOT NULL UNIQUE,
  prefix      TEXT    NOT NULL,
  last_four   TEXT    NOT NULL,
  scopes      INTEGER NOT NULL,
  provisioned INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  expires_at  INTEGER NOT NULL,
  revoked_at  INTEGER NOT NULL,
  used_at     INTEGER NOT NULL,
  created_by  TEXT    NOT NULL,
  PRIMARY KEY (app_id, id)
) STRICT, WITHOUT ROWID;

-- app_id of all zeros: the server-level chain.
CREATE TABLE provider_configs (
  app_id          BLOB    NOT NULL,
  id              BLOB    NOT NULL,
  type            TEXT    NOT NULL,
  channel         INTEGER NOT NULL,
  name            TEXT    NOT NULL,
  priority        INTEGER NOT NULL,
  active          INTEGER NOT NULL,
  settings        TEXT    NOT NULL,
  secrets         BLOB,
  key_id          TEXT    NOT NULL,
  rate_per_second INTEGER NOT NULL,
  rate_per_day    INTEGER NOT NULL,
  max_concurrent  INTEGER NOT NULL,
  pinned          INTEGER NOT NULL,
  version         INTEGER NOT NULL,
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  PRIMARY KEY (app_id, id)
) STRICT, WITHOUT ROWID;

-- Attempts that began on a configuration's last UTC day (days since 1970), counted while it has a limit per day.
CREATE TABLE provider_days (
  app_id      BLOB    NOT NULL,
  provider_id BLOB    NOT NULL,
  day         INTEGER NOT NULL,
  used        INTEGER NOT NULL,
  PRIMARY KEY (app_id, provider_id)
) STRICT, WITHOUT ROWID;

-- What the stores add by themselves is from a provider.
CREATE TABLE suppressions (
  app_id     BLOB    NOT NULL,
  channel    INTEGER NOT NULL,
  address    TEXT    NOT NULL,
  reason     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  source     TEXT    NOT NULL DEFAULT 'provider',
  note       TEXT    NOT NULL DEFAULT '',
  PRIMARY KEY (app_id, channel, address)
) STRICT, WITHOUT ROWID;
-- Lists, newest first: one range for each channel and reason, merged. Partial, so that no other
-- statement is ever planned by it: a start looks an address up by the primary key.
CREATE INDEX suppressions_list ON suppressions (app_id, channel, reason, created_at, address) WHERE reason <> '';

CREATE TABLE nodes (
  node        TEXT    NOT NULL PRIMARY KEY,
  role        TEXT    NOT NULL,
  version     TEXT    NOT NULL,
  lease_until INTEGER NOT NULL,
  started_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE shards (
  shard INTEGER NOT NULL PRIMARY KEY,
  owner TEXT    NOT NULL,
  epoch INTEGER NOT NULL
) STRICT;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 63)
INSERT INTO shards SELECT i, '', 0 FROM n;

-- What was accepted; append-only. payload is NULL when purged or erased, files counts the rows of table files.
-- With a rowid: in a clustered key rows above 1 KB would take a page of their own.
CREATE TABLE content (
  app_id    BLOB    NOT NULL,
  id        BLOB    NOT NULL,
  recipient TEXT    NOT NULL,
  payload   BLOB,
  files     INTEGER NOT NULL,
  PRIMARY KEY (id, app_id)
) STRICT;

-- What messages are searched by: one row for each tag (kind 1) of a message, one for the key of its template (2), one for its recipient (0).
-- Written from content in sorted batches, up to a second later (docs/decisions/0004-search.md).
CREATE TABLE terms (
  app_id BLOB    NOT NULL,
  kind   INTEGER NOT NULL,
  value  TEXT    NOT NULL,
  id     BLOB    NOT NULL,
  PRIMARY KEY (app_id, kind, value, id)
) STRICT, WITHOUT ROWID;

-- A start may send what this process remembers of a message, as long as state.sequence is the same. So
-- content cannot go before its event (32 content_purged, 33 erased) has counted that up, or the row is gone.
CREATE TRIGGER content_update BEFORE UPDATE OF payload ON content WHEN NOT EXISTS (SELECT 1 FROM state s
  JOIN events e ON e.message_id = s.id AND e.sequence = s.sequence AND e.app_id = s.app_id
  WHERE s.id = OLD.id AND s.app_id = OLD.app_id AND e.type IN (32, 33))
BEGIN SELECT RAISE(ABORT, 'content is purged before its event is written'); END;
CREATE TRIGGER content_delete BEFORE DELETE ON content WHEN EXISTS (SELECT 1 FROM state s WHERE s.id = OLD.id AND s.app_id = OLD.app_id)
BEGIN SELECT RAISE(ABORT, 'content is deleted before its message'); END;

CREATE TABLE files (
  app_id       BLOB    NOT NULL,
  id           BLOB    NOT NULL,
  n            INTEGER NOT NULL,
  filename     TEXT    NOT NULL,
  content_type TEXT    NOT NULL,
  content      BLOB    NOT NULL,
  PRIMARY KEY (id, app_id, n)
) STRICT;

-- What changes in a message's life; the narrow row that lists read.
CREATE TABLE state (
  app_id       BLOB    NOT NULL,
  id           BLOB    NOT NULL,
  shard        INTEGER NOT NULL,
  channel      INTEGER NOT NULL,
  lane         INTEGER NOT NULL,
  mode         INTEGER NOT NULL,
  on_unknown   INTEGER NOT NULL,
  status       INTEGER NOT NULL,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  scheduled_at INTEGER NOT NULL,
  due          INTEGER NOT NULL,
  expires_at   INTEGER NOT NULL,
  generation   INTEGER NOT NULL,
  attempts     INTEGER NOT NULL,
  round        INTEGER NOT NULL,
  round_since  INTEGER NOT NULL,
  sequence     INTEGER NOT NULL,
  epoch        INTEGER NOT NULL,
  flags        INTEGER NOT NULL,
  provider     TEXT    NOT NULL,
  provider_id  BLOB    NOT NULL,
  provider_ref TEXT    NOT NULL,
  error_code   TEXT    NOT NULL,
  error_text   TEXT    NOT NULL,
  sent_at      INTEGER NOT NULL,
  delivered_at INTEGER NOT NULL,
  bytes        INTEGER NOT NULL,
  PRIMARY KEY (id, app_id)
) STRICT, WITHOUT ROWID;
-- Every message is in one of the three indexes that lists are merged from; a captured one that is SENDING again is in two.
CREATE INDEX state_list ON state (app_id, status, channel, id) WHERE status <> 2 AND (provider <> 'sandbox' OR sent_at = 0);
-- Open attempts: few rows, looked through after a restart.
CREATE INDEX state_sending ON state (app_id, channel, id) WHERE status = 2;
-- What may end while it waits: messages with a time to live, and those that were tried and are tried again.
CREATE INDEX state_expiring ON state (shard, expires_at) WHERE status = 1 AND expires_at > 0;
CREATE INDEX state_retried ON state (shard, round_since) WHERE status = 1 AND expires_at = 0 AND round_since > 0;
-- What the sandbox took: lists of all messages merge it, so that a capture makes one entry and not two.
CREATE INDEX state_captures ON state (app_id, status, channel, id) WHERE provider = 'sandbox' AND sent_at <> 0;

-- One row per message that is QUEUED or SENDING.
CREATE TABLE queue (
  shard   INTEGER NOT NULL,
  app_id  BLOB    NOT NULL,
  channel INTEGER NOT NULL,
  lane    INTEGER NOT NULL,
  due     INTEGER NOT NULL,
  id      BLOB    NOT NULL,
  bytes   INTEGER NOT NULL,
  PRIMARY KEY (shard, app_id, channel, lane, due, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
  app_id      BLOB    NOT NULL,
  mode        INTEGER NOT NULL,
  hash        BLOB    NOT NULL,
  id          BLOB    NOT NULL,
  fingerprint BLOB    NOT NULL,
  PRIMARY KEY (app_id, mode, hash)
) STRICT, WITHOUT ROWID;

-- A message's log, append-only, written in the transaction of the change it reports. Kept in the
-- order of writing: beside their message, later events would change a page each.
CREATE TABLE events (
  app_id      BLOB    NOT NULL,
  message_id  BLOB    NOT NULL,
  sequence    INTEGER NOT NULL,
  type        INTEGER NOT NULL,
  from_status INTEGER NOT NULL,
  to_status   INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  attempt     INTEGER NOT NULL,
  epoch       INTEGER NOT NULL,
  node        TEXT    NOT NULL,
  actor       TEXT    NOT NULL,
  provider    TEXT    NOT NULL,
  provider_id BLOB    NOT NULL,
  ref         TEXT    NOT NULL,
  error_code  TEXT    NOT NULL,
  detail      TEXT    NOT NULL,
  PRIMARY KEY (message_id, sequence, app_id)
) STRICT;

-- Submissions of an app in the current minute.
CREATE TABLE rates (
  app_id BLOB    NOT NULL PRIMARY KEY,
  minute INTEGER NOT NULL,
  used   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Why units do not send, as their owners see it.
CREATE TABLE holds (
  app_id  BLOB    NOT NULL,
  channel INTEGER NOT NULL,
  lane    INTEGER NOT NULL,
  shard   INTEGER NOT NULL,
  node    TEXT    NOT NULL,
  reason  TEXT    NOT NULL,
  until   INTEGER NOT NULL,
  PRIMARY KEY (app_id, channel, lane, shard)
) STRICT, WITHOUT ROWID;
