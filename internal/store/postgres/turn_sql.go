package postgres

import (
	"strings"

	"github.com/commserver/commserver/internal/plant"
)

// fenceSQL locks the shards that a turn touches, in their order, and answers the
// clock; it fails by refuse unless all of them are owned by $1 under the epochs
// given. The lock is FOR SHARE: a take or a release waits for it, other turns do not.
const fenceSQL = `
WITH own AS MATERIALIZED (
  SELECT s.shard FROM unnest($2::smallint[], $3::bigint[]) AS l (shard, epoch) JOIN shards s ON s.shard = l.shard
  WHERE s.owner = $1 AND s.epoch = l.epoch ORDER BY s.shard FOR SHARE OF s)
SELECT CASE WHEN (SELECT count(*) FROM own) = cardinality($2) THEN ` + clock + `
  ELSE refuse('ZS001', 'shards are owned by another node now', (SELECT string_agg(l.shard::text, ',') FROM unnest($2::smallint[]) AS l (shard) WHERE (l.shard IN (SELECT own.shard FROM own)) IS NOT TRUE)) END`

// fence is fenceSQL.
func fence() string {
	if plant.Active(plant.NoFence) {
		return strings.Replace(fenceSQL, "s.owner = $1 AND s.epoch = l.epoch", "$1 <> ''", 1)
	}
	return fenceSQL
}

// contentSQL reads what calls need, before the fence: a client that stops reading
// in the middle of large answers holds no lock. Files are looked for only where there are any.
const contentSQL = `
SELECT x.ord, CASE WHEN coalesce(f.n, 0) = 0 THEN c.payload END, f.n, f.filename, f.content_type, f.content
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS x (app, id, ord)
JOIN content c ON c.app_id = x.app AND c.id = x.id
LEFT JOIN LATERAL (
  SELECT f.n, f.filename, f.content_type, f.content FROM files f
  WHERE c.files > 0 AND f.app_id = c.app_id AND f.id = c.id ORDER BY f.n) f ON true`

// The parts of startSQL. Bits of flags: 1 cancel wished, 4 unknown in this generation.
const (
	// startExpected says that the row is as the start expects. It is one CASE, so
	// that no index on the status is ever chosen, and stands on the row itself, so that
	// it is looked at again after waiting for another transaction's change.
	startExpected = `CASE WHEN j.attempt = 0 THEN s.status = 1 AND s.due = j.due AND s.due <= (SELECT now FROM t)
    ELSE s.status = 2 AND s.attempts = j.attempt AND s.epoch = j.epoch END`
	// startPasses is comm.Check: nothing ends the message.
	startPasses = `(j.passes AND s.flags & 1 = 0 AND (s.expires_at = 0 OR s.expires_at > (SELECT now FROM t)))`
	// startAllowed says that mode and activity are as the caller believes: app is NULL
	// for an unknown app, 0 for an inactive, 1 for a sandbox, 2 for a live one.
	startAllowed = `(coalesce(j.mode, 1) <> 0 AND (j.live = 0 OR (s.mode = 2 AND j.mode IS NOT DISTINCT FROM 2)))`
	// startEnd is comm.Check.End as a number: the place in startStatus and startCode.
	startEnd = `CASE
    WHEN s.flags & 5 = 5 THEN 1 WHEN s.flags & 1 = 1 AND j.attempt > 0 THEN 2 WHEN s.flags & 1 = 1 THEN 3
    WHEN j.gone THEN 4 WHEN s.expires_at <> 0 AND s.expires_at <= (SELECT now FROM t) THEN 5 ELSE 6 END`
	startStatus = `('{5,7,7,5,5,6}'::smallint[])`
	startCode   = `('{outcome_unknown,"","",content_gone,expired,""}'::text[])`
	// startCause is the event's type, told from the row as it became.
	startCause = `CASE s.status WHEN 2 THEN 2 WHEN 7 THEN CASE WHEN j.attempt > 0 THEN 16 ELSE 15 END WHEN 6 THEN 12
      ELSE CASE s.error_code WHEN 'outcome_unknown' THEN 19 WHEN 'content_gone' THEN 18 ELSE 11 END END`
)

// startSQL begins attempts. $1 is the node, $2 to $12 and $21 are the starts, one array
// for each column, $13 to $20 the failed attempts before them (empty when there are none).
//
// x the starts, j with what is looked up in other tables, st the rows changed, rest
// what was not (rarely anything): there the row's present state tells a changed
// mode from a message that is elsewhere, whose stale queue row is removed.
const startSQL = `
WITH t AS MATERIALIZED (SELECT ` + clock + ` AS now),
x AS MATERIALIZED (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::smallint[], $6::smallint[], $7::bigint[], $8::integer[], $9::bigint[],
    $10::bigint[], $11::text[], $12::uuid[], $13::smallint[], $14::integer[], $15::text[], $16::uuid[], $17::text[], $18::text[], $19::text[], $20::text[], $21::smallint[])
    WITH ORDINALITY AS x (app, id, shard, channel, lane, due, attempt, epoch,
    lease, provider, provider_id, f_cause, f_set, f_provider, f_provider_id, f_ref, f_code, f_text, f_detail, live, ord)),
j AS MATERIALIZED (
  SELECT x.*, c.payload IS NULL AS gone,
    (SELECT CASE WHEN a.active = 0 THEN 0 WHEN a.sandbox <> 0 THEN 1 ELSE 2 END FROM apps a WHERE a.id = x.app) AS mode,
    c.payload IS NOT NULL AND (SELECT true FROM suppressions p WHERE p.app_id = x.app AND p.channel = x.channel AND p.address = c.recipient) IS NULL AS passes
  FROM x LEFT JOIN content c ON c.app_id = x.app AND c.id = x.id),
st AS (
  UPDATE state s SET
    status = CASE WHEN ` + startPasses + ` THEN 2 ELSE ` + startStatus + `[` + startEnd + `] END,
    updated_at = (SELECT now FROM t),
    attempts = CASE WHEN ` + startPasses + ` THEN s.attempts + 1 ELSE s.attempts END,
    epoch = CASE WHEN ` + startPasses + ` THEN j.lease ELSE s.epoch END,
    round_since = CASE WHEN s.round_since = 0 AND ` + startPasses + ` THEN (SELECT now FROM t) ELSE s.round_since END,
    provider = CASE WHEN ` + startPasses + ` THEN j.provider ELSE s.provider END,
    provider_id = CASE WHEN ` + startPasses + ` THEN j.provider_id ELSE s.provider_id END,
    provider_ref = CASE WHEN ` + startPasses + ` THEN '' ELSE s.provider_ref END,
    flags = s.flags | coalesce(j.f_set, 0),
    sequence = s.sequence + CASE WHEN j.f_cause > 0 THEN 2 ELSE 1 END,
    error_code = CASE WHEN NOT ` + startPasses + ` AND ` + startStatus + `[` + startEnd + `] = 5 THEN ` + startCode + `[` + startEnd + `]
      WHEN j.f_cause > 0 THEN j.f_code ELSE s.error_code END,
    error_text = CASE WHEN NOT ` + startPasses + ` AND ` + startStatus + `[` + startEnd + `] = 5 THEN ''
      WHEN j.f_cause > 0 THEN j.f_text ELSE s.error_text END
  FROM j
  WHERE s.app_id = j.app AND s.id = j.id AND s.shard = j.shard AND ` + startExpected + ` AND (NOT ` + startPasses + ` OR ` + startAllowed + `)
  RETURNING ` + stateOf + `, j.ord, j.attempt AS was, j.epoch AS was_epoch, j.f_cause, j.f_provider, j.f_provider_id, j.f_ref, j.f_code, j.f_detail,
    ` + startCause + ` AS cause),
ef AS (
  INSERT INTO events (` + eventColumns + `)
  SELECT st.app_id, st.id, st.sequence - 1, st.f_cause, 2, 2, (SELECT now FROM t), st.generation, st.was, st.was_epoch, $1, '',
    st.f_provider, st.f_provider_id, st.f_ref, st.f_code, st.f_detail FROM st WHERE st.f_cause > 0),
e AS (
  INSERT INTO events (` + eventColumns + `)
  SELECT st.app_id, st.id, st.sequence, st.cause, CASE WHEN st.was > 0 THEN 2 ELSE 1 END, st.status, (SELECT now FROM t), st.generation,
    CASE WHEN st.status = 2 THEN st.attempts ELSE 0 END, st.epoch, $1, '',
    CASE WHEN st.status = 2 THEN st.provider ELSE '' END, CASE WHEN st.status = 2 THEN st.provider_id ELSE '00000000-0000-0000-0000-000000000000' END, '',
    CASE WHEN st.status = 5 THEN st.error_code ELSE '' END, '' FROM st),
ended AS (
  DELETE FROM queue q USING st WHERE st.status <> 2
    AND q.shard = st.shard AND q.app_id = st.app_id AND q.channel = st.channel AND q.lane = st.lane AND q.due = st.due AND q.id = st.id),
rest AS MATERIALIZED (SELECT * FROM j WHERE j.ord NOT IN (SELECT st.ord FROM st)),
stale AS (
  DELETE FROM queue q USING rest j LEFT JOIN state s ON s.app_id = j.app AND s.id = j.id
  WHERE j.attempt = 0 AND (s.status NOT IN (1, 2) OR s.due <> j.due OR s.shard <> j.shard OR s.channel <> j.channel OR s.lane <> j.lane) IS NOT FALSE
    AND q.shard = j.shard AND q.app_id = j.app AND q.channel = j.channel AND q.lane = j.lane AND q.due = j.due AND q.id = j.id)
SELECT st.ord, 1, ` + stateColumns + ` FROM st
UNION ALL
SELECT j.ord, 0, ` + stateOf + ` FROM rest j JOIN state s ON s.app_id = j.app AND s.id = j.id
WHERE s.shard = j.shard AND ` + startExpected + ` AND ` + startPasses + ` AND NOT ` + startAllowed

// finishSQL records outcomes. $1 is the node, $2 to $18 are the finishes, one array
// for each column; with alternatives $19 to $30 are the outcomes to be written instead
// when a cancel is wished: which of the two is decided on the locked row.
//
// st the rows changed; a final one keeps its due, the key of the queue row to be
// deleted; a queued one's old key is read from the row as it was (o).
func finishSQL(alternatives bool) string {
	columns := []string{"to_status", "cause", "next_due", "round", "flags", "provider", "provider_id", "ref", "code", "text", "detail"}
	replacements := make([]string, 0, 2*len(columns)+4)
	for _, c := range columns {
		v := "x." + c
		if alternatives {
			v = "CASE WHEN x.alt = 1 AND s.flags & 1 = 1 THEN x.b_" + c + " ELSE x." + c + " END"
		}
		replacements = append(replacements, "<"+c+">", v)
	}
	if alternatives {
		replacements = append(replacements, "<arrays>", `,
    $19::smallint[], $20::smallint[], $21::smallint[], $22::bigint[], $23::integer[], $24::integer[], $25::text[], $26::uuid[], $27::text[], $28::text[], $29::text[], $30::text[]`,
			"<names>", `, alt, b_`+strings.Join(columns, ", b_"))
	} else {
		replacements = append(replacements, "<arrays>", "", "<names>", "")
	}
	if plant.Active(plant.NoFence) {
		replacements = append(replacements, " AND s.attempts = x.attempt AND s.epoch = x.expected", "")
	}
	return strings.NewReplacer(replacements...).Replace(finishTemplate)
}

const finishTemplate = `
WITH t AS MATERIALIZED (SELECT ` + clock + ` AS now),
x AS MATERIALIZED (
  SELECT * FROM unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::smallint[], $6::integer[], $7::bigint[],
    $8::smallint[], $9::smallint[], $10::bigint[], $11::integer[], $12::integer[], $13::text[], $14::uuid[], $15::text[], $16::text[], $17::text[], $18::text[]<arrays>)
    WITH ORDINALITY AS x (app, id, shard, from_status, attempt, expected,
    to_status, cause, next_due, round, flags, provider, provider_id, ref, code, text, detail<names>, ord)),
st AS (
  UPDATE state s SET
    status = <to_status>,
    updated_at = (SELECT now FROM t),
    due = CASE WHEN <to_status> = 1 THEN <next_due> ELSE s.due END,
    round = <round>,
    flags = s.flags | <flags>,
    provider = CASE WHEN <provider> = '' THEN s.provider ELSE <provider> END,
    provider_id = CASE WHEN <provider> = '' THEN s.provider_id ELSE <provider_id> END,
    provider_ref = CASE WHEN <ref> = '' THEN s.provider_ref ELSE <ref> END,
    error_code = <code>,
    error_text = <text>,
    sequence = s.sequence + 1,
    sent_at = CASE WHEN <to_status> = 3 THEN (SELECT now FROM t) ELSE s.sent_at END,
    delivered_at = CASE WHEN <to_status> = 4 THEN (SELECT now FROM t) ELSE s.delivered_at END
  FROM x
  WHERE s.app_id = x.app AND s.id = x.id AND s.shard = x.shard
    AND CASE WHEN x.from_status = 2 THEN s.status = 2 AND s.attempts = x.attempt AND s.epoch = x.expected ELSE x.from_status = 1 AND s.status = 1 AND s.due = x.expected END
  RETURNING x.ord, s.app_id, s.id, s.shard, s.channel, s.lane, s.due, s.status, s.sequence, s.generation, s.epoch, x.from_status, x.attempt,
    <cause> AS cause, <provider> AS provider, <provider_id> AS provider_id, <ref> AS ref, <code> AS code, <detail> AS detail),
e AS (
  INSERT INTO events (` + eventColumns + `)
  SELECT st.app_id, st.id, st.sequence, st.cause, st.from_status, st.status, (SELECT now FROM t), st.generation, st.attempt, st.epoch, $1, '',
    st.provider, st.provider_id, st.ref, st.code, st.detail FROM st),
gone AS (
  DELETE FROM queue q USING st WHERE st.status <> 1
    AND q.shard = st.shard AND q.app_id = st.app_id AND q.channel = st.channel AND q.lane = st.lane AND q.due = st.due AND q.id = st.id),
moved AS (
  UPDATE queue q SET due = st.due FROM st JOIN state o ON o.app_id = st.app_id AND o.id = st.id WHERE st.status = 1
    AND q.shard = o.shard AND q.app_id = o.app_id AND q.channel = o.channel AND q.lane = o.lane AND q.due = o.due AND q.id = o.id)
SELECT st.ord FROM st`
