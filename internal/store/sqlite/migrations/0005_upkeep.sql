-- Retention, the erasure of a person, and the removal of what deleted apps left.

-- Of a message whose content is gone: the hash of its idempotency key, which only the content
-- named, and the masked recipient of one that was erased. Accepting writes neither.
ALTER TABLE content ADD COLUMN key_hash BLOB;
ALTER TABLE content ADD COLUMN shown TEXT NOT NULL DEFAULT '';

-- How far a walk through the messages of a lane is (store.Upkeep).
CREATE TABLE upkeep_marks (
  walk INTEGER NOT NULL,
  lane BLOB    NOT NULL,
  id   BLOB    NOT NULL,
  PRIMARY KEY (walk, lane)
) STRICT, WITHOUT ROWID;

-- Messages that a walk passed over because they were not final, or not for long enough.
CREATE TABLE upkeep_later (
  walk   INTEGER NOT NULL,
  due    INTEGER NOT NULL,
  app_id BLOB    NOT NULL,
  id     BLOB    NOT NULL,
  PRIMARY KEY (walk, due, app_id, id)
) STRICT, WITHOUT ROWID;

-- What was done and when, for people.
CREATE TABLE upkeep_tasks (
  task        TEXT    NOT NULL PRIMARY KEY,
  started_at  INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  reached     INTEGER NOT NULL,
  done        INTEGER NOT NULL,
  total       INTEGER NOT NULL,
  busy        INTEGER NOT NULL,
  failed      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Persons to be forgotten. app_id of all zeros: in every app. The address is sealed, and NULL once it is done.
CREATE TABLE erasures (
  app_id      BLOB    NOT NULL,
  id          BLOB    NOT NULL,
  channel     INTEGER NOT NULL,
  sealed      BLOB,
  actor       TEXT    NOT NULL,
  stage       INTEGER NOT NULL,
  lane        BLOB    NOT NULL,
  place       BLOB    NOT NULL,
  erased      INTEGER NOT NULL,
  cancelled   INTEGER NOT NULL,
  masked      INTEGER NOT NULL,
  waiting     INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  finished_at INTEGER NOT NULL,
  PRIMARY KEY (app_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX erasures_by_id ON erasures (id);
CREATE INDEX erasures_open ON erasures (id) WHERE finished_at = 0;

-- Opt-outs of persons who were erased: a keyed hash in the place of the address.
CREATE TABLE erased_suppressions (
  app_id     BLOB    NOT NULL,
  channel    INTEGER NOT NULL,
  hash       BLOB    NOT NULL,
  reason     TEXT    NOT NULL,
  source     TEXT    NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (app_id, channel, hash)
) STRICT, WITHOUT ROWID;

-- The key of those hashes, drawn once and sealed under the key ring.
CREATE TABLE hash_keys (
  app_id BLOB NOT NULL,
  id     BLOB NOT NULL,
  secret BLOB NOT NULL,
  PRIMARY KEY (app_id, id)
) STRICT, WITHOUT ROWID;
-- Those that were put back, because the app wrote to the address again: few.
CREATE INDEX suppressions_returned ON suppressions (created_at) WHERE source = 'returned';
