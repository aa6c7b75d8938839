-- Statistics (docs/decisions/0007-stats.md).

-- What transactions counted and nobody has folded yet: one row for each, append-only (sqlstore.Tally).
-- took says what came true of it; NULL is everything.
CREATE TABLE tallies (
  at    bigint NOT NULL,
  items bytea  NOT NULL,
  took  integer[]
);
CREATE INDEX tallies_at ON tallies (at);
-- Rows live for seconds: they are not worth compressing, and up to a page they stay in one piece.
ALTER TABLE tallies ALTER COLUMN items SET STORAGE EXTERNAL, ALTER COLUMN took SET STORAGE EXTERNAL;
ALTER TABLE tallies SET (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);

-- What is counted of an app (all zeros: of all together) in a minute, an hour or a day. top: which apps accepted most, of all together only.
CREATE TABLE stats (
  app_id uuid   NOT NULL,
  span   bigint NOT NULL,
  start  bigint NOT NULL,
  counts bytea  NOT NULL,
  top    bytea,
  PRIMARY KEY (app_id, span, start)
);
-- What has become old.
CREATE INDEX stats_age ON stats (span, start);
ALTER TABLE stats SET (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);

-- What an app used of the minute before: for transactions that began in it and count late.
ALTER TABLE rates ADD COLUMN before integer NOT NULL DEFAULT 0;
