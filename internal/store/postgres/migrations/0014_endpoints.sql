-- Webhook endpoints. events, channels and tags are lists of words as JSON.
CREATE TABLE endpoints (
  app_id         uuid     NOT NULL,
  id             uuid     NOT NULL,
  name           text     NOT NULL,
  url            text     NOT NULL,
  secret         bytea,
  previous       bytea,
  previous_until bigint   NOT NULL,
  events         text     NOT NULL,
  channels       text     NOT NULL,
  tags           text     NOT NULL,
  active         smallint NOT NULL,
  disabled       text     NOT NULL,
  disabled_at    bigint   NOT NULL,
  version        integer  NOT NULL,
  created_at     bigint   NOT NULL,
  updated_at     bigint   NOT NULL,
  PRIMARY KEY (app_id, id),
  UNIQUE (app_id, name)
);

-- An app's webhook becomes its endpoint named default. It has the app's id: the secret is sealed to that place.
-- Without an address it is only a secret that is remembered.
INSERT INTO endpoints SELECT id, id, 'default', webhook_url, webhook_secret, NULL, 0, '[]', '[]', '[]', 1, '', 0, 1, created_at, updated_at
  FROM apps WHERE webhook_url <> '' OR webhook_secret IS NOT NULL;
ALTER TABLE apps DROP COLUMN webhook_url;
ALTER TABLE apps DROP COLUMN webhook_secret;
