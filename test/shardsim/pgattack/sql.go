package main

// The fence is a statement of its own and the first of the turn: it locks the
// shards in order and fails the whole pipeline with a division by zero when one
// is lost, so that what follows reads with a snapshot taken under the locks.
const (
	fenceSQL = `WITH own AS (SELECT s.shard FROM shards s JOIN unnest($1::smallint[], $2::bigint[]) x(shard, epoch)
  ON s.shard = x.shard AND s.epoch = x.epoch WHERE s.owner = $3 ORDER BY s.shard FOR SHARE OF s)
 SELECT 1 / (count(*) = cardinality($1::smallint[]))::int FROM own`

	nowSQL = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

	finishSQL = `WITH x AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::smallint[], $5::bigint[]) x(id, no, epoch, outcome, due)),
 st AS (UPDATE state s SET status = CASE WHEN x.outcome = 1 THEN 2 ELSE 0 END, open = 0,
   due = CASE WHEN x.outcome = 1 THEN s.due ELSE greatest(` + nowSQL + ` + CASE WHEN x.outcome = 2 THEN 200000 ELSE 0 END, s.due + 1) END
  FROM x WHERE s.id = x.id AND s.status = 1 AND s.open = x.no AND s.epoch = x.epoch
  RETURNING s.id, s.shard, s.app, s.status, s.due, x.due AS old, x.no, x.epoch, x.outcome),
 q AS (DELETE FROM queue q USING st WHERE (q.shard, q.app, q.due, q.id) = (st.shard, st.app, st.old, st.id)),
 n AS (INSERT INTO queue SELECT shard, app, due, id FROM st WHERE status = 0),
 e AS (INSERT INTO event(id, kind, attempt, epoch, node) SELECT id, 'finish' || outcome, no, epoch, $6 FROM st)
 SELECT id, due FROM st`

	startSQL = `WITH x AS MATERIALIZED (SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) x(id, due, epoch)),
 st AS (UPDATE state s SET status = 1, attempts = s.attempts + 1, open = s.attempts + 1, epoch = x.epoch
  FROM x WHERE s.id = x.id AND s.status = 0 AND s.due = x.due AND s.due <= ` + nowSQL + ` RETURNING s.id, s.attempts, s.epoch),
 e AS (INSERT INTO event(id, kind, attempt, epoch, node) SELECT id, 'start', attempts, epoch, $4 FROM st)
 SELECT id, attempts FROM st`

	recoverSQL = `WITH o AS MATERIALIZED (SELECT id, shard, app, due, open, epoch FROM state WHERE shard = $1 AND status = 1 AND epoch < $2 ORDER BY id FOR UPDATE),
 st AS (UPDATE state s SET status = 0, open = 0, unknown = s.unknown + 1, due = greatest(` + nowSQL + ` + 200000, s.due + 1) FROM o WHERE s.id = o.id
  RETURNING s.id, s.shard, s.app, s.due, o.due AS old, o.open AS no, o.epoch),
 q AS (DELETE FROM queue q USING st WHERE (q.shard, q.app, q.due, q.id) = (st.shard, st.app, st.old, st.id)),
 n AS (INSERT INTO queue SELECT shard, app, due, id FROM st)
 INSERT INTO event(id, kind, attempt, epoch, node) SELECT id, 'unknown', no, epoch, $3 FROM st`

	evidenceSQL = `WITH o AS MATERIALIZED (SELECT id, shard, app, due FROM state WHERE id = $1 AND (status = 1 OR status = 0 AND unknown > 0) FOR UPDATE),
 st AS (UPDATE state s SET status = 2, open = 0, proofs = s.proofs + 1 FROM o WHERE s.id = o.id RETURNING s.id, o.shard, o.app, o.due),
 e AS (INSERT INTO event(id, kind, attempt, node) VALUES ($1, 'late_result', $2, $3))
 DELETE FROM queue q USING st WHERE (q.shard, q.app, q.due, q.id) = (st.shard, st.app, st.due, st.id)`

	orphanSQL = `SELECT id, due, open, epoch, shard, app FROM state WHERE shard = ANY($1::smallint[]) AND status = 1`

	// takeSQL: $1 me, $2 wanted shards; what another transaction has locked is left for the next tick.
	takeSQL = `WITH f AS MATERIALIZED (SELECT s.shard FROM shards s WHERE s.shard = ANY($2::smallint[])
   AND (s.owner = $1 OR NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = s.owner AND n.lease_until > now()))
   AND EXISTS (SELECT 1 FROM nodes n WHERE n.id = $1 AND n.lease_until > now()) ORDER BY s.shard FOR UPDATE SKIP LOCKED),
 t AS (UPDATE shards s SET owner = $1, epoch = s.epoch + 1 FROM f WHERE s.shard = f.shard RETURNING s.shard, s.epoch),
 m AS (INSERT INTO moves(kind, shard, epoch, node) SELECT 'take', shard, epoch, $1 FROM t) SELECT shard, epoch FROM t`

	giveSQL = `WITH t AS (UPDATE shards SET owner = '' WHERE shard = $1 AND owner = $2 AND epoch = $3 RETURNING shard, epoch),
 m AS (INSERT INTO moves(kind, shard, epoch, node) SELECT 'give', shard, epoch, $2 FROM t) SELECT pg_notify('shards', shard::text) FROM t`

	unitsSQL = `WITH RECURSIVE t AS ((SELECT shard, app FROM queue ORDER BY 1, 2 LIMIT 1) UNION ALL
 SELECT n.* FROM t CROSS JOIN LATERAL (SELECT q.shard, q.app FROM queue q WHERE (q.shard, q.app) > (t.shard, t.app) ORDER BY 1, 2 LIMIT 1) n)
 SELECT shard, app FROM t WHERE shard = ANY($1::smallint[])`

	windowSQL = `SELECT due, id FROM queue WHERE shard = $1 AND app = $2 AND (due, id) > ($3, $4) AND due <= ` + nowSQL + ` ORDER BY due, id LIMIT $5`
)
