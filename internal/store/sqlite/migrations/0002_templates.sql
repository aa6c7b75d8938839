-- Templates: named content with placeholders, and every version of it.

-- The newest version stands here too, so that reading one is a single row.
CREATE TABLE templates (
  app_id     BLOB    NOT NULL,
  id         BLOB    NOT NULL,
  key        TEXT    NOT NULL,
  channel    INTEGER NOT NULL,
  name       TEXT    NOT NULL,
  version    INTEGER NOT NULL,
  subject    TEXT    NOT NULL,
  body       TEXT    NOT NULL,
  plain      TEXT    NOT NULL,
  versioned  INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  PRIMARY KEY (app_id, id),
  UNIQUE (app_id, key)
) STRICT;

-- Written once. The oldest go when there are too many; all go with their template.
CREATE TABLE template_versions (
  app_id      BLOB    NOT NULL,
  template_id BLOB    NOT NULL,
  version     INTEGER NOT NULL,
  subject     TEXT    NOT NULL,
  body        TEXT    NOT NULL,
  plain       TEXT    NOT NULL,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (app_id, template_id, version)
) STRICT;
CREATE TRIGGER template_versions_update BEFORE UPDATE ON template_versions
BEGIN SELECT RAISE(ABORT, 'a version of a template never changes'); END;
