-- Those who sign in by name, and who is signed in. user_id is all zeros for a session that was opened with the admin key; factor is sealed.
CREATE TABLE users (
  id           uuid NOT NULL PRIMARY KEY,
  name         text NOT NULL UNIQUE,
  role         bigint NOT NULL,
  active       bigint NOT NULL,
  password     text NOT NULL,
  start_until  bigint NOT NULL,
  factor       bytea,
  factor_at    bigint NOT NULL,
  factor_step  bigint NOT NULL,
  recovery     text NOT NULL,
  created_at   bigint NOT NULL,
  updated_at   bigint NOT NULL,
  signed_in_at bigint NOT NULL,
  version      bigint NOT NULL
);

CREATE TABLE sessions (
  hash       bytea NOT NULL PRIMARY KEY,
  user_id    uuid NOT NULL,
  created_at bigint NOT NULL,
  seen_at    bigint NOT NULL,
  expires_at bigint NOT NULL
);
CREATE INDEX sessions_of_users ON sessions (user_id);
CREATE INDEX sessions_seen ON sessions (seen_at);
CREATE INDEX sessions_ending ON sessions (expires_at);
