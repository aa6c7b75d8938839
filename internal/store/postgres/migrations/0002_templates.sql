-- Templates: named content with placeholders, and every version of it.

-- The newest version stands here too, so that reading one is a single row.
CREATE TABLE templates (
  app_id     uuid     NOT NULL,
  id         uuid     NOT NULL,
  key        text     NOT NULL,
  channel    smallint NOT NULL,
  name       text     NOT NULL,
  version    integer  NOT NULL,
  subject    text     NOT NULL,
  body       text     NOT NULL,
  plain      text     NOT NULL,
  versioned  bigint   NOT NULL,
  created_at bigint   NOT NULL,
  updated_at bigint   NOT NULL,
  PRIMARY KEY (app_id, id),
  UNIQUE (app_id, key)
);

-- Written once. The oldest go when there are too many; all go with their template.
CREATE TABLE template_versions (
  app_id      uuid    NOT NULL,
  template_id uuid    NOT NULL,
  version     integer NOT NULL,
  subject     text    NOT NULL,
  body        text    NOT NULL,
  plain       text    NOT NULL,
  created_at  bigint  NOT NULL,
  PRIMARY KEY (app_id, template_id, version)
);
