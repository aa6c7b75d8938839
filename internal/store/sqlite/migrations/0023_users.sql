-- Those who sign in by name, and who is signed in. user_id is all zeros for a session that was opened with the admin key; factor is sealed.
CREATE TABLE users (
  id           BLOB    NOT NULL PRIMARY KEY,
  name         TEXT    NOT NULL UNIQUE,
  role         INTEGER NOT NULL,
  active       INTEGER NOT NULL,
  password     TEXT    NOT NULL,
  start_until  INTEGER NOT NULL,
  factor       BLOB,
  factor_at    INTEGER NOT NULL,
  factor_step  INTEGER NOT NULL,
  recovery     TEXT    NOT NULL,
  created_at   INTEGER NOT NULL,
  updated_at   INTEGER NOT NULL,
  signed_in_at INTEGER NOT NULL,
  version      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
  hash       BLOB    NOT NULL PRIMARY KEY,
  user_id    BLOB    NOT NULL,
  created_at INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_users ON sessions (user_id);
CREATE INDEX sessions_seen ON sessions (seen_at);
CREATE INDEX sessions_ending ON sessions (expires_at);
