-- What nodes say of provider configurations that do not work for them. A few rows; none while all is well.
CREATE TABLE provider_troubles (
  app_id BLOB NOT NULL,
  id     BLOB NOT NULL,
  node   TEXT NOT NULL,
  reason TEXT NOT NULL,
  code   TEXT NOT NULL,
  since  INTEGER NOT NULL,
  PRIMARY KEY (app_id, id, node)
) STRICT, WITHOUT ROWID;

-- What the operator was told, or is to be: one row for each thing that may be wrong, the present state with it. told is
-- how far each way of telling is, as JSON.
CREATE TABLE alerts (
  kind       TEXT NOT NULL,
  subject    TEXT NOT NULL,
  body       TEXT NOT NULL,
  raised_at  INTEGER NOT NULL,
  cleared_at INTEGER NOT NULL,
  told       TEXT NOT NULL,
  version    INTEGER NOT NULL,
  PRIMARY KEY (kind, subject)
) STRICT, WITHOUT ROWID;
