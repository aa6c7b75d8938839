-- Retention, the erasure of a person, and the removal of what deleted apps left.

-- Of a message whose content is gone: the hash of its idempotency key, which only the content
-- named, and the masked recipient of one that was erased. Accepting writes neither.
ALTER TABLE content ADD COLUMN key_hash bytea;
ALTER TABLE content ADD COLUMN shown text NOT NULL DEFAULT '';

-- How far a walk through the messages of a lane is (store.Upkeep).
CREATE TABLE upkeep_marks (
  walk smallint NOT NULL,
  lane uuid    NOT NULL,
  id   uuid    NOT NULL,
  PRIMARY KEY (walk, lane)
);

-- Messages that a walk passed over because they were not final, or not for long enough.
CREATE TABLE upkeep_later (
  walk   smallint NOT NULL,
  due    bigint NOT NULL,
  app_id uuid    NOT NULL,
  id     uuid    NOT NULL,
  PRIMARY KEY (walk, due, app_id, id)
);

-- What was done and when, for people.
CREATE TABLE upkeep_tasks (
  task        text    NOT NULL PRIMARY KEY,
  started_at  bigint NOT NULL,
  finished_at bigint NOT NULL,
  reached     bigint NOT NULL,
  done        bigint NOT NULL,
  total       bigint NOT NULL,
  busy        bigint NOT NULL,
  failed      text    NOT NULL
);

-- Persons to be forgotten. app_id of all zeros: in every app. The address is sealed, and NULL once it is done.
CREATE TABLE erasures (
  app_id      uuid    NOT NULL,
  id          uuid    NOT NULL,
  channel     smallint NOT NULL,
  sealed      bytea,
  actor       text    NOT NULL,
  stage       smallint NOT NULL,
  lane        uuid    NOT NULL,
  place       uuid    NOT NULL,
  erased      bigint NOT NULL,
  cancelled   bigint NOT NULL,
  masked      bigint NOT NULL,
  waiting     bigint NOT NULL,
  created_at  bigint NOT NULL,
  updated_at  bigint NOT NULL,
  finished_at bigint NOT NULL,
  PRIMARY KEY (app_id, id)
);
CREATE INDEX erasures_by_id ON erasures (id);
CREATE INDEX erasures_open ON erasures (id) WHERE finished_at = 0;

-- Opt-outs of persons who were erased: a keyed hash in the place of the address.
CREATE TABLE erased_suppressions (
  app_id     uuid    NOT NULL,
  channel    smallint NOT NULL,
  hash       bytea    NOT NULL,
  reason     text    NOT NULL,
  source     text    NOT NULL,
  created_at bigint NOT NULL,
  PRIMARY KEY (app_id, channel, hash)
);

-- The key of those hashes, drawn once and sealed under the key ring.
CREATE TABLE hash_keys (
  app_id uuid NOT NULL,
  id     uuid NOT NULL,
  secret bytea NOT NULL,
  PRIMARY KEY (app_id, id)
);
-- Those that were put back, because the app wrote to the address again: few.
CREATE INDEX suppressions_returned ON suppressions (created_at) WHERE source = 'returned';
