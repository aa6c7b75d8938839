-- Statistics (docs/decisions/0007-stats.md).

-- What transactions counted and nobody has folded yet: one row for each, append-only (sqlstore.Tally).
CREATE TABLE tallies (
  id    INTEGER NOT NULL PRIMARY KEY,
  at    INTEGER NOT NULL,
  items BLOB    NOT NULL
) STRICT;

-- What is counted of an app (all zeros: of all together) in a minute, an hour or a day. top: which apps accepted most, of all together only.
CREATE TABLE stats (
  app_id BLOB    NOT NULL,
  span   INTEGER NOT NULL,
  start  INTEGER NOT NULL,
  counts BLOB    NOT NULL,
  top    BLOB,
  PRIMARY KEY (app_id, span, start)
) STRICT, WITHOUT ROWID;
-- What has become old.
CREATE INDEX stats_age ON stats (span, start);
