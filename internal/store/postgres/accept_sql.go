package postgres

import (
	"strings"

	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// A group of submissions is stored in one statement. $1 to $18 are the submissions,
// one array for each column; a is the place of the app among the group's distinct
// apps in the order of their ids, hash is NULL without a key. $19 to $24 are the
// attachments of all of them, $25 to $28 their terms, $29 what they count, $30 the first shard of each one's app.
//
// Membership is asked as IN of a CTE inside IS TRUE or OR: that is a hashed
// look-up, while a join of two CTEs would be a nested loop.
const (
	// acceptRows are the time and the submissions x.
	acceptRows = `
WITH t AS MATERIALIZED (SELECT ` + clock + ` AS now),
x AS MATERIALIZED (
  SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], $5::smallint[], $6::smallint[], $7::smallint[], $8::smallint[],
    $9::text[], $10::bigint[], $11::bigint[], $12::bytea[], $13::bytea[], $14::text[], $15::bytea[], $16::smallint[], $17::integer[], $18::bigint[], $30::smallint[])
    WITH ORDINALITY AS x (id, app, a, shard, channel, lane, mode, on_unknown,
    node, scheduled, ttl, hash, fingerprint, recipient, payload, files, rate, bytes, home, ord))`
	// acceptRates counts in the rate of each app, in the order of their ids. A transaction
	// that began in a minute and had to wait here for one of the next counts in its
	// own (before): it must not set the count of the minute that has begun back.
	acceptRates = `
  ON CONFLICT (app_id) DO UPDATE SET minute = greatest(old.minute, excluded.minute),
    used = CASE WHEN old.minute > excluded.minute THEN old.used WHEN old.minute = excluded.minute THEN old.used + excluded.used ELSE excluded.used END,
    before = CASE WHEN old.minute > excluded.minute THEN old.before + excluded.used WHEN old.minute = excluded.minute THEN old.before
      WHEN old.minute = excluded.minute - 1 THEN old.used ELSE 0 END
  RETURNING app_id, CASE WHEN old.minute > (SELECT now FROM t) / 60000000 THEN old.before ELSE old.used END AS used`
	// acceptStores writes what n holds.
	acceptStores = `
ic AS (
  INSERT INTO content (app_id, id, recipient, payload, files) SELECT n.app, n.id, n.recipient, n.payload, n.files FROM n),
ist AS (
  INSERT INTO state (` + stateColumns + `)
  SELECT n.app, n.id, n.shard, n.channel, n.lane, n.mode, n.on_unknown, 1, (SELECT now FROM t), (SELECT now FROM t), n.scheduled, n.due,
    CASE WHEN n.ttl > 0 THEN n.due + n.ttl ELSE 0 END, 1, 0, 0, 0, 1, 0, 0, '', '00000000-0000-0000-0000-000000000000', '', '', '', 0, 0, n.bytes FROM n),
iq AS (
  INSERT INTO queue (shard, app_id, channel, lane, due, id, bytes) SELECT n.shard, n.app, n.channel, n.lane, n.due, n.id, n.bytes FROM n),
ie AS (
  INSERT INTO events (` + eventColumns + `)
  SELECT n.app, n.id, 1, 1, 0, 1, (SELECT now FROM t), 1, 0, 0, n.node, '', '', '00000000-0000-0000-0000-000000000000', '', '', '', '' FROM n),
f AS (
  INSERT INTO files (app_id, id, n, filename, content_type, content)
  SELECT f.app, f.id, f.n, f.filename, f.content_type, f.content
  FROM unnest($19::uuid[], $20::uuid[], $21::smallint[], $22::text[], $23::text[], $24::bytea[]) AS f (app, id, n, filename, content_type, content)
  WHERE (f.id IN (SELECT n.id FROM n)) IS TRUE),
it AS (
  INSERT INTO terms (app_id, kind, value, id)
  SELECT w.app, w.kind, w.value, w.id FROM unnest($25::uuid[], $26::smallint[], $27::text[], $28::uuid[]) AS w (app, kind, value, id)
  WHERE (w.id IN (SELECT n.id FROM n)) IS TRUE ON CONFLICT DO NOTHING),
iy AS (
  INSERT INTO tallies (at, items, took)
  SELECT (SELECT now FROM t), $29::bytea, CASE WHEN count(*) < cardinality($1) THEN array_agg((n.ord - 1)::integer * 2048) END FROM n HAVING count(*) > 0),
io AS (
  INSERT INTO outbox (xid, shard, at, items)
  SELECT ` + sqlstore.CurrentXID + `, n.home, (SELECT now FROM t), string_agg(uuid_send(n.app) || uuid_send(n.id) || '\x00000001'::bytea, '') FROM n GROUP BY n.home)`
)

// acceptSQL is for the usual group, in which every key is new and no app is over its
// rate: i are the idempotency rows won, n what is stored, r the rates counted for
// that. Where an app comes out over its rate, all of it is undone by refuse. What was
// not stored had its key taken by a message before: acceptEachSQL answers it.
//
// The rows answered are the apps with what they used (0, NULL, app, used) and the
// submissions (1, ord, NULL, 0 not stored, 1 stored, 2 stored and suppressed).
const acceptSQL = acceptRows + `,
i AS (
  INSERT INTO idempotency (app_id, mode, hash, id, fingerprint)
  SELECT x.app, x.mode, x.hash, x.id, x.fingerprint FROM x WHERE x.hash IS NOT NULL ORDER BY x.app, x.mode, x.hash
  ON CONFLICT DO NOTHING RETURNING id),
n AS MATERIALIZED (
  SELECT x.*, greatest(x.scheduled, (SELECT now FROM t)) AS due FROM x WHERE x.hash IS NULL OR x.id IN (SELECT i.id FROM i)),
r AS (
  INSERT INTO rates AS old (app_id, minute, used)
  SELECT n.app, (SELECT now FROM t) / 60000000, count(*) FROM n GROUP BY n.app ORDER BY n.app` + acceptRates + `),` + acceptStores + `
SELECT 0, NULL, r.app_id, r.used::bigint, (SELECT now FROM t),
  (SELECT CASE WHEN EXISTS (
    SELECT FROM unnest((SELECT array_agg(r.used ORDER BY r.app_id) FROM r),
      (SELECT array_agg(l.rate ORDER BY l.app) FROM (SELECT n.app, min(n.rate) AS rate FROM n GROUP BY n.app) l)) AS u (used, rate) WHERE u.used > u.rate)
    THEN refuse('ZS002', 'an app is over its rate', '') END)
FROM r
UNION ALL
SELECT 1, x.ord, NULL, CASE WHEN x.ord NOT IN (SELECT n.ord FROM n) THEN 0
  WHEN (SELECT true FROM suppressions p WHERE p.app_id = x.app AND p.channel = x.channel AND p.address = x.recipient) THEN 2 ELSE 1 END, (SELECT now FROM t), NULL
FROM x`

// acceptOneSQL is acceptSQL for a group of one without files and terms, which is what a caller
// meets who is alone: without arrays and what joins them it costs the database
// little more than half. It answers one row (the time, the app's rate used, whether the
// recipient is suppressed), or none when the key was taken.
const acceptOneSQL = `
WITH t AS MATERIALIZED (SELECT ` + clock + ` AS now),
i AS (
  INSERT INTO idempotency (app_id, mode, hash, id, fingerprint)
  SELECT $2::uuid, $6::smallint, $11::bytea, $1::uuid, $12::bytea WHERE $11 IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING id),
n AS MATERIALIZED (
  SELECT t.now, greatest($9::bigint, t.now) AS due FROM t WHERE $11 IS NULL OR EXISTS (SELECT FROM i)),
r AS (
  INSERT INTO rates AS old (app_id, minute, used)
  SELECT $2, n.now / 60000000, 1 FROM n` + acceptRates + `),
ic AS (
  INSERT INTO content (app_id, id, recipient, payload, files) SELECT $2, $1, $13::text, $14::bytea, 0 FROM n),
ist AS (
  INSERT INTO state (` + stateColumns + `)
  SELECT $2, $1, $3::smallint, $4::smallint, $5::smallint, $6, $7::smallint, 1, n.now, n.now, $9, n.due,
    CASE WHEN $10::bigint > 0 THEN n.due + $10 ELSE 0 END, 1, 0, 0, 0, 1, 0, 0, '', '00000000-0000-0000-0000-000000000000', '', '', '', 0, 0, $16::bigint FROM n),
iq AS (
  INSERT INTO queue (shard, app_id, channel, lane, due, id, bytes) SELECT $3, $2, $4, $5, n.due, $1, $16 FROM n),
ie AS (
  INSERT INTO events (` + eventColumns + `)
  SELECT $2, $1, 1, 1, 0, 1, n.now, 1, 0, 0, $8::text, '', '', '00000000-0000-0000-0000-000000000000', '', '', '', '' FROM n),
iy AS (
  INSERT INTO tallies (at, items) SELECT n.now, $17::bytea FROM n),
io AS (
  INSERT INTO outbox (xid, shard, at, items)
  SELECT ` + sqlstore.CurrentXID + `, $18::smallint, n.now, uuid_send($2) || uuid_send($1) || '\x00000001'::bytea FROM n)
SELECT n.now, r.used, (SELECT true FROM suppressions p WHERE p.app_id = $2 AND p.channel = $4 AND p.address = $13),
  CASE WHEN r.used > $15::integer THEN refuse('ZS002', 'an app is over its rate', '') END
FROM n CROSS JOIN r`

// acceptEachSQL is for groups with keys that may stand for messages stored before
// and with apps that are over their rates: it decides for each submission.
//
// y is the submissions with what their key stands for, r the apps' rates (replays
// count nothing), z with the count that each one got, i the idempotency rows won,
// n what is stored.
const acceptEachSQL = acceptRows + `,
y AS MATERIALIZED (
  SELECT x.ord, x.app, x.a, x.rate,
    CASE WHEN x.hash IS NOT NULL THEN
      (SELECT uuid_send(k.id) || k.fingerprint FROM idempotency k WHERE k.app_id = x.app AND k.mode = x.mode AND k.hash = x.hash) END AS prior,
    (SELECT true FROM suppressions p WHERE p.app_id = x.app AND p.channel = x.channel AND p.address = x.recipient) AS suppressed
  FROM x),
r AS (
  INSERT INTO rates AS old (app_id, minute, used)
  SELECT y.app, (SELECT now FROM t) / 60000000, count(*) FILTER (WHERE y.prior IS NULL) FROM y GROUP BY y.app ORDER BY y.app` + acceptRates + `),
z AS MATERIALIZED (
  SELECT y.ord, y.app, y.prior, y.rate, y.suppressed,
    (SELECT array_agg(r.used ORDER BY r.app_id) FROM r)[y.a]
      - CASE WHEN y.prior IS NULL THEN row_number() OVER (PARTITION BY y.a, y.prior IS NULL ORDER BY y.ord DESC) - 1 ELSE 0 END AS used
  FROM y),
i AS (
  INSERT INTO idempotency (app_id, mode, hash, id, fingerprint)
  SELECT x.app, x.mode, x.hash, x.id, x.fingerprint FROM x
  WHERE x.hash IS NOT NULL AND (x.ord IN (SELECT z.ord FROM z WHERE z.prior IS NULL AND z.used <= z.rate)) IS TRUE
  ORDER BY x.app, x.mode, x.hash
  ON CONFLICT DO NOTHING RETURNING id),
n AS MATERIALIZED (
  SELECT x.*, greatest(x.scheduled, (SELECT now FROM t)) AS due FROM x
  WHERE (x.ord IN (SELECT z.ord FROM z WHERE z.prior IS NULL AND z.used <= z.rate)) IS TRUE
    AND (x.hash IS NULL OR x.id IN (SELECT i.id FROM i))),` + acceptStores + `
SELECT z.ord, z.prior, z.used, z.ord IN (SELECT n.ord FROM n) AS stored, z.suppressed, (SELECT now FROM t),
  CASE WHEN z.prior IS NOT NULL THEN
    (SELECT s.status FROM state s WHERE s.app_id = z.app AND s.id = encode(substring(z.prior FOR 16), 'hex')::uuid) END
FROM z`

// acceptEach is acceptEachSQL.
func acceptEach() string {
	if plant.Active(plant.SelectThenInsert) {
		return strings.Replace(acceptEachSQL, "ON CONFLICT DO NOTHING", "ON CONFLICT (app_id, mode, hash) DO UPDATE SET id = excluded.id", 1)
	}
	return acceptEachSQL
}

// knownKeySQL looks a key up.
const knownKeySQL = `
SELECT k.id, k.fingerprint, (SELECT s.status FROM state s WHERE s.app_id = k.app_id AND s.id = k.id)
FROM idempotency k WHERE k.app_id = $1 AND k.mode = $2 AND k.hash = $3`
