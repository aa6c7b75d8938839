-- What providers report later (docs/decisions/0010-receipts.md).

-- Requests to callback URLs as they came, until what they say is applied.
CREATE TABLE receipts (
  id          uuid    PRIMARY KEY,
  app_id      uuid    NOT NULL,
  provider_id uuid    NOT NULL,
  type        text    NOT NULL,
  at          bigint  NOT NULL,
  method      text    NOT NULL,
  query       bytea   NOT NULL,
  header      bytea   NOT NULL,
  body        bytea   NOT NULL
);

-- Which message a provider's id stands for: written with the provider's acceptance, for types that report.
-- ask_at: when the provider is asked about it; 0 = it is not.
CREATE TABLE refs (
  provider_id uuid    NOT NULL,
  ref         text    NOT NULL,
  app_id      uuid    NOT NULL,
  message_id  uuid    NOT NULL,
  attempt     integer NOT NULL,
  at          bigint  NOT NULL,
  ask_at      bigint  NOT NULL,
  asked       integer NOT NULL,
  PRIMARY KEY (provider_id, ref)
);
CREATE INDEX refs_ask ON refs (ask_at) WHERE ask_at <> 0;

-- Reports whose message was not found yet, or whose attempt was under way. The id is a hash of what it says, so that
-- the same report is there once. It holds no address and no content.
CREATE TABLE parked (
  id          uuid    PRIMARY KEY,
  app_id      uuid    NOT NULL,
  provider_id uuid    NOT NULL,
  name        text    NOT NULL,
  ref         text    NOT NULL,
  message_id  uuid    NOT NULL,
  attempt     integer NOT NULL,
  fate        integer NOT NULL,
  correctable integer NOT NULL,
  suppress    text    NOT NULL,
  code        text    NOT NULL,
  detail      text    NOT NULL,
  since       bigint  NOT NULL,
  due         bigint  NOT NULL
);
CREATE INDEX parked_due ON parked (due);

-- A callback URL names the configuration and not whose it is.
CREATE INDEX provider_configs_by_id ON provider_configs (id) WHERE version >= 0;

-- Rows that live for moments.
ALTER TABLE receipts SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE parked SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0);
