-- What nodes say of provider configurations that do not work for them. A few rows; none while all is well.
CREATE TABLE provider_troubles (
  app_id uuid NOT NULL,
  id     uuid NOT NULL,
  node   text NOT NULL,
  reason text NOT NULL,
  code   text NOT NULL,
  since  bigint NOT NULL,
  PRIMARY KEY (app_id, id, node)
);

-- What the operator was told, or is to be: one row for each thing that may be wrong, the present state with it. told is
-- how far each way of telling is, as JSON.
CREATE TABLE alerts (
  kind       text NOT NULL,
  subject    text NOT NULL,
  body       text NOT NULL,
  raised_at  bigint NOT NULL,
  cleared_at bigint NOT NULL,
  told       text NOT NULL,
  version    bigint NOT NULL,
  PRIMARY KEY (kind, subject)
);
