-- Webhook endpoints. events, channels and tags are lists of words as JSON.
CREATE TABLE endpoints (
  app_id         BLOB    NOT NULL,
  id             BLOB    NOT NULL,
  name           TEXT    NOT NULL,
  url            TEXT    NOT NULL,
  secret         BLOB,
  previous       BLOB,
  previous_until INTEGER NOT NULL,
  events         TEXT    NOT NULL,
  channels       TEXT    NOT NULL,
  tags           TEXT    NOT NULL,
  active         INTEGER NOT NULL,
  disabled       TEXT    NOT NULL,
  disabled_at    INTEGER NOT NULL,
  version        INTEGER NOT NULL,
  created_at     INTEGER NOT NULL,
  updated_at     INTEGER NOT NULL,
  PRIMARY KEY (app_id, id),
  UNIQUE (app_id, name)
) STRICT, WITHOUT ROWID;

-- An app's webhook becomes its endpoint named default. It has the app's id: the secret is sealed to that place.
-- Without an address it is only a secret that is remembered.
INSERT INTO endpoints SELECT id, id, 'default', webhook_url, webhook_secret, NULL, 0, '[]', '[]', '[]', 1, '', 0, 1, created_at, updated_at
  FROM apps WHERE webhook_url <> '' OR webhook_secret IS NOT NULL;
ALTER TABLE apps DROP COLUMN webhook_url;
ALTER TABLE apps DROP COLUMN webhook_secret;
