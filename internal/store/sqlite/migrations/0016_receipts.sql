-- What providers report later (docs/decisions/0010-receipts.md).

-- Requests to callback URLs as they came, until what they say is applied.
CREATE TABLE receipts (
  id          BLOB    NOT NULL PRIMARY KEY,
  app_id      BLOB    NOT NULL,
  provider_id BLOB    NOT NULL,
  type        TEXT    NOT NULL,
  at          INTEGER NOT NULL,
  method      TEXT    NOT NULL,
  query       BLOB    NOT NULL,
  header      BLOB    NOT NULL,
  body        BLOB    NOT NULL
) STRICT;

-- Which message a provider's id stands for: written with the provider's acceptance, for types that report.
-- ask_at: when the provider is asked about it; 0 = it is not.
CREATE TABLE refs (
  provider_id BLOB    NOT NULL,
  ref         TEXT    NOT NULL,
  app_id      BLOB    NOT NULL,
  message_id  BLOB    NOT NULL,
  attempt     INTEGER NOT NULL,
  at          INTEGER NOT NULL,
  ask_at      INTEGER NOT NULL,
  asked       INTEGER NOT NULL,
  PRIMARY KEY (provider_id, ref)
) STRICT, WITHOUT ROWID;
CREATE INDEX refs_ask ON refs (ask_at) WHERE ask_at <> 0;

-- Reports whose message was not found yet, or whose attempt was under way. The id is a hash of what it says, so that
-- the same report is there once. It holds no address and no content.
CREATE TABLE parked (
  id          BLOB    NOT NULL PRIMARY KEY,
  app_id      BLOB    NOT NULL,
  provider_id BLOB    NOT NULL,
  name        TEXT    NOT NULL,
  ref         TEXT    NOT NULL,
  message_id  BLOB    NOT NULL,
  attempt     INTEGER NOT NULL,
  fate        INTEGER NOT NULL,
  correctable INTEGER NOT NULL,
  suppress    TEXT    NOT NULL,
  code        TEXT    NOT NULL,
  detail      TEXT    NOT NULL,
  since       INTEGER NOT NULL,
  due         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX parked_due ON parked (due);

-- A callback URL names the configuration and not whose it is.
CREATE INDEX provider_configs_by_id ON provider_configs (id) WHERE version >= 0;
