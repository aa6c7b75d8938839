package postgres

import (
	"strings"

	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// A plan is kept while tables grow, and may have been made when they were known to
// be empty: whoever reads a whole index then pays no more than who looks one key up,
// and joins the other way round. So that a look-up is all that there is to choose,
// rows to be changed are found by = ANY (ARRAY[...]) on the first column of
// the key, which an index can answer and a merge join cannot: it is for merge joins
// that whole indexes are considered. Rows to be read are found by a LATERAL sub-select
// with OFFSET 0, which is not joined at all.

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
CROSS JOIN LATERAL (SELECT c.app_id, c.id, c.payload, c.files FROM content c WHERE c.app_id = x.app AND c.id = x.id OFFSET 0) c
LEFT JOIN LATERAL (
  SELECT f.n, f.filename, f.content_type, f.content FROM files f
  WHERE c.files > 0 AND f.app_id = c.app_id AND f.id = c.id ORDER BY f.n) f ON true`

// The parts of startSQL. Bits of flags: 1 cancel wished, 4 unknown in this generation, 32 a repeat is owed.
const (
	// startExpected says that the row is as the start expects. It is one CASE, so
	// that no index on the status is ever chosen, and stands on the row itself, so that
	// it is looked at again after waiting for another transaction's change.
	startExpected = `CASE WHEN j.attempt = 0 THEN s.status = 1 AND s.due = j.due AND s.due <= j.now
    ELSE s.status = 2 AND s.attempts = j.attempt AND s.epoch = j.epoch END`
	// startPasses is comm.Check: nothing ends the message.
	startPasses = `(j.passes AND s.flags & 1 = 0 AND (s.expires_at = 0 OR s.expires_at > j.now))`
	// startAllowed says that mode and activity are as the caller believes: app is NULL
	// for an unknown app, 0 for an inactive, 1 for a sandbox, 2 for a live one. Nor is it a message in doubt where the caller is careful, or one that owes another a repeat. asks has 1 for Start.Live
	// and 2 for Start.Careful.
	startAllowed = `(coalesce(j.mode, 1) <> 0 AND (j.asks & 1 = 0 OR (s.mode = 2 AND j.mode IS NOT DISTINCT FROM 2)) AND (j.asks & 2 = 0 OR s.flags & 4 = 0) AND ` + startOwesNothing + `)`
	// startOwesNothing is the opposite of sqlstore.OwesRepeat.
	startOwesNothing = `(s.flags & 32 = 0 OR j.attempt > 0 OR j.elsewhere = 1 OR s.provider_id = j.provider_id)`
	// startEnd is comm.Check.End as a number: the place in startStatus and startCode.
	startEnd = `CASE
    WHEN s.flags & 5 = 5 THEN 1 WHEN s.flags & 1 = 1 AND j.attempt > 0 THEN 2 WHEN s.flags & 1 = 1 THEN 3
    WHEN j.gone THEN 4 WHEN s.expires_at <> 0 AND s.expires_at <= j.now THEN 5 ELSE 6 END`
	startStatus = `('{5,7,7,5,5,6}'::smallint[])`
	startCode   = `('{outcome_unknown,"","",content_gone,expired,""}'::text[])`
	// startCause is the event's type, told from the row as it became.
	startCause = `CASE s.status WHEN 2 THEN 2 WHEN 7 THEN CASE WHEN j.attempt > 0 THEN 16 ELSE 15 END WHEN 6 THEN 12
      ELSE CASE s.error_code WHEN 'outcome_unknown' THEN 19 WHEN 'content_gone' THEN 18 ELSE 11 END END`
)

// startSQL begins attempts. $1 is the node, $2 to $15 are the starts, one array
// for each column, and with failed $16 to $23 the failed attempts before them; the
// next one is what they count, then the first shard of each one's app, the last one whether they may go elsewhere.
//
// j the starts with what is looked up in other tables, st the rows changed, rest
// what was not: there the row's present state tells a changed mode from a message
// that is elsewhere, whose stale queue row is removed. There is rarely any, so that
// it is looked for only when fewer rows were changed than there are starts: a start
// changes one row at most and a row is changed once at most, so that equal counts
// mean that every start changed its own.
//
// Sets are unnested in a target list and pass through OFFSET 0, which streams
// them: as functions in FROM or as MATERIALIZED each would be stored first. It also
// keeps the looked up values as they were when the row has to be looked at again.
// The clock is a column because each sub-select of it would be a plan of its own.
func startSQL(failed bool) string {
	parts := []string{"<items>", "$16", "<home>", "$17", "<elsewhere>", "$18", "<arrays>", "", "<flags>", "CASE WHEN j.elsewhere = 1 THEN s.flags & ~32 ELSE s.flags END", "<step>", "1", "<code>", "", "<text>", "", "<returning>", "", "<event>", "", "<earlier>", ""}
	if failed {
		parts = []string{
			"<items>", "$24", "<home>", "$25", "<elsewhere>", "$26", "<arrays>", `,
      unnest($16::smallint[]) AS f_cause, unnest($17::integer[]) AS f_set, unnest($18::text[]) AS f_provider, unnest($19::uuid[]) AS f_provider_id,
      unnest($20::text[]) AS f_ref, unnest($21::text[]) AS f_code, unnest($22::text[]) AS f_text, unnest($23::text[]) AS f_detail`,
			"<flags>", "CASE WHEN j.f_cause > 0 OR j.elsewhere = 1 THEN (s.flags & ~32) | j.f_set ELSE s.flags END", "<step>", "CASE WHEN j.f_cause > 0 THEN 2 ELSE 1 END",
			"<code>", "WHEN j.f_cause > 0 THEN j.f_code", "<text>", "WHEN j.f_cause > 0 THEN j.f_text",
			"<returning>", ", j.epoch AS was_epoch, j.f_cause, j.f_provider, j.f_provider_id, j.f_ref, j.f_code, j.f_text, j.f_detail",
			"<earlier>", "CASE WHEN st.f_cause > 0 THEN " + ref("st.app_id", "st.id", "st.sequence - 1") + " ELSE ''::bytea END || ",
			"<event>", `
  UNION ALL
  SELECT st.app_id, st.id, st.sequence - 1, st.f_cause, 2, 2, st.updated_at, st.generation, st.was, st.was_epoch, $1, '',
    st.f_provider, st.f_provider_id, st.f_ref, st.f_code, st.f_detail, st.f_text FROM st WHERE st.f_cause > 0`,
		}
	}
	return strings.NewReplacer(parts...).Replace(startTemplate)
}

// startJoined is j, and what rest is taken from.
const startJoined = `
    SELECT x.*, c.payload IS NULL AS gone,
      (SELECT CASE WHEN a.active = 0 THEN 0 WHEN a.sandbox <> 0 THEN 1 ELSE 2 END FROM apps a WHERE a.id = x.app) AS mode,
      c.payload IS NOT NULL AND (SELECT true FROM suppressions p WHERE p.app_id = x.app AND p.channel = x.channel AND p.address = c.recipient) IS NULL AS passes
    FROM (SELECT t.now, unnest($2::uuid[]) AS app, unnest($3::uuid[]) AS id, unnest($4::smallint[]) AS shard, unnest($5::smallint[]) AS channel,
      unnest($6::smallint[]) AS lane, unnest($7::bigint[]) AS due, unnest($8::integer[]) AS attempt, unnest($9::bigint[]) AS epoch, unnest($10::bigint[]) AS lease,
      unnest($11::text[]) AS provider, unnest($12::uuid[]) AS provider_id, unnest($13::smallint[]) AS asks, unnest($14::integer[]) AS ord, unnest($15::text[]) AS said, unnest(<home>::smallint[]) AS home, unnest(<elsewhere>::smallint[]) AS elsewhere<arrays>
      FROM (SELECT ` + clock + ` AS now OFFSET 0) t) x
    LEFT JOIN LATERAL (SELECT c.payload, c.recipient FROM content c WHERE c.app_id = x.app AND c.id = x.id OFFSET 0) c ON true OFFSET 0`

var startTemplate = `
WITH st AS (
  UPDATE state s SET
    status = CASE WHEN ` + startPasses + ` THEN 2 ELSE ` + startStatus + `[` + startEnd + `] END,
    updated_at = j.now,
    attempts = CASE WHEN ` + startPasses + ` THEN s.attempts + 1 ELSE s.attempts END,
    epoch = CASE WHEN ` + startPasses + ` THEN j.lease ELSE s.epoch END,
    round_since = CASE WHEN s.round_since = 0 AND ` + startPasses + ` THEN j.now ELSE s.round_since END,
    provider = CASE WHEN ` + startPasses + ` THEN j.provider ELSE s.provider END,
    provider_id = CASE WHEN ` + startPasses + ` THEN j.provider_id ELSE s.provider_id END,
    provider_ref = CASE WHEN ` + startPasses + ` THEN '' ELSE s.provider_ref END,
    flags = <flags>,
    sequence = s.sequence + <step>,
    error_code = CASE WHEN NOT ` + startPasses + ` AND ` + startStatus + `[` + startEnd + `] = 5 THEN ` + startCode + `[` + startEnd + `]
      <code> ELSE s.error_code END,
    error_text = CASE WHEN NOT ` + startPasses + ` AND ` + startStatus + `[` + startEnd + `] = 5 THEN ''
      <text> ELSE s.error_text END
  FROM (` + startJoined + `) j
  WHERE s.app_id = ANY (ARRAY[j.app]) AND s.id = j.id AND s.shard = j.shard AND ` + startExpected + ` AND (NOT ` + startPasses + ` OR ` + startAllowed + `)
  RETURNING ` + stateOf + `, j.ord, j.attempt AS was, j.home, j.said, ` + startCause + ` AS cause<returning>),
e AS (
  INSERT INTO events (` + eventColumns + `)
  SELECT st.app_id, st.id, st.sequence, st.cause, CASE WHEN st.was > 0 THEN 2 ELSE 1 END, st.status, st.updated_at, st.generation,
    CASE WHEN st.status = 2 THEN st.attempts ELSE 0 END, st.epoch, $1, '',
    CASE WHEN st.status = 2 THEN st.provider ELSE '' END, CASE WHEN st.status = 2 THEN st.provider_id ELSE '00000000-0000-0000-0000-000000000000' END, '',
    CASE WHEN st.status = 5 THEN st.error_code ELSE '' END, CASE WHEN st.status = 2 THEN st.said ELSE '' END, st.error_text FROM st<event>),
y AS (
  INSERT INTO tallies (at, items, took)
  SELECT min(st.updated_at), <items>::bytea, CASE WHEN count(*) < cardinality($2) OR max(st.status) > 2
    THEN array_agg(st.ord * 2048 + CASE WHEN st.status = 2 THEN 0 ELSE st.cause END) END FROM st HAVING count(*) > 0),
o AS (
  INSERT INTO outbox (xid, shard, at, items)
  SELECT ` + sqlstore.CurrentXID + `, st.home, min(st.updated_at), string_agg(<earlier>` + refSt + `, '') FROM st GROUP BY st.home),
rest AS MATERIALIZED (
  SELECT j.* FROM (` + startJoined + `) j WHERE (SELECT count(*) FROM st) < cardinality($2) AND j.ord NOT IN (SELECT st.ord FROM st)),
gone AS (
  DELETE FROM queue q USING (
    SELECT st.shard, st.app_id, st.channel, st.lane, st.due, st.id FROM st WHERE st.status <> 2
    UNION ALL
    SELECT j.shard, j.app, j.channel, j.lane, j.due, j.id FROM rest j LEFT JOIN LATERAL (SELECT s.* FROM state s WHERE s.app_id = j.app AND s.id = j.id OFFSET 0) s ON true
    WHERE j.attempt = 0 AND (s.status NOT IN (1, 2) OR s.due <> j.due OR s.shard <> j.shard OR s.channel <> j.channel OR s.lane <> j.lane) IS NOT FALSE) g
  WHERE q.shard = ANY (ARRAY[g.shard]) AND q.app_id = g.app_id AND q.channel = g.channel AND q.lane = g.lane AND q.due = g.due AND q.id = g.id)
SELECT st.ord, 1, ` + stateColumns + ` FROM st
UNION ALL
SELECT j.ord, 0, ` + stateOf + ` FROM rest j CROSS JOIN LATERAL (SELECT * FROM state s WHERE s.app_id = j.app AND s.id = j.id OFFSET 0) s
WHERE s.shard = j.shard AND ` + startExpected + ` AND ` + startPasses + ` AND NOT ` + startAllowed

// finishSQL records outcomes. $1 is the node, $2 to $19 are the finishes, one array
// for each column; with alternatives $20 to $31 are the outcomes to be written instead
// when a cancel is wished: which of the two is decided on the locked row. Only with
// moves may a message become QUEUED again.
//
// st the rows changed; a final one keeps its due, the key of the queue row to be
// deleted; a queued one's old key is read from the row as it was (o).
func finishSQL(alternatives, moves bool) string {
	columns := []string{"to_status", "cause", "next_due", "round", "flags", "provider", "provider_id", "ref", "code", "text", "detail"}
	var arrays, moved string
	items, home, otherwise := "$20", "$21", "0"
	parts := make([]string, 0, 2*len(columns)+6)
	for _, c := range columns {
		v := "x." + c
		if alternatives {
			v = "CASE WHEN x.alt = 1 AND s.flags & 1 = 1 THEN x.b_" + c + " ELSE x." + c + " END"
		}
		parts = append(parts, "<"+c+">", v)
	}
	if alternatives {
		items, home, otherwise = "$32", "$33", "CASE WHEN x.alt = 1 AND s.flags & 1 = 1 THEN 1024 ELSE 0 END"
		arrays = `,
    unnest($20::smallint[]) AS alt, unnest($21::smallint[]) AS b_to_status, unnest($22::smallint[]) AS b_cause, unnest($23::bigint[]) AS b_next_due,
    unnest($24::integer[]) AS b_round, unnest($25::integer[]) AS b_flags, unnest($26::text[]) AS b_provider, unnest($27::uuid[]) AS b_provider_id,
    unnest($28::text[]) AS b_ref, unnest($29::text[]) AS b_code, unnest($30::text[]) AS b_text, unnest($31::text[]) AS b_detail`
	}
	if moves {
		moved = finishMoved
	}
	parts = append(parts, "<arrays>", arrays, "<moved>", moved, "<items>", items, "<home>", home, "<else>", otherwise)
	if plant.Active(plant.NoFence) {
		parts = append(parts, " AND s.attempts = x.attempt AND s.epoch = x.expected", "")
	}
	return strings.NewReplacer(parts...).Replace(finishTemplate)
}

// refSt is sqlstore.AppendRef of a row of st, as an expression; ref is that of any.
var refSt = ref("st.app_id", "st.id", "st.sequence")

func ref(app, id, sequence string) string {
	return `uuid_send(` + app + `) || uuid_send(` + id + `) || int4send(` + sequence + `)`
}

// waitCode is sqlstore.WaitCode of a message that is sent now.
const waitCode = `(1 + CASE WHEN st.now - greatest(st.created_at, st.scheduled_at) < 1000 THEN 0
    ELSE least(160, 1 + floor(4 * ln((st.now - greatest(st.created_at, st.scheduled_at))::float8 / 1000) / ln(2::float8))::integer) END
    + CASE WHEN st.scheduled_at > st.created_at THEN 256 ELSE 0 END)`

var finishTemplate = `
WITH st AS (
  UPDATE state s SET
    status = <to_status>,
    updated_at = x.now,
    due = CASE WHEN <to_status> = 1 THEN <next_due> ELSE s.due END,
    round = <round>,
    flags = (s.flags & ~32) | <flags>,
    provider = CASE WHEN <provider> = '' THEN s.provider ELSE <provider> END,
    provider_id = CASE WHEN <provider> = '' THEN s.provider_id ELSE <provider_id> END,
    provider_ref = CASE WHEN <ref> = '' THEN s.provider_ref ELSE <ref> END,
    error_code = <code>,
    error_text = <text>,
    sequence = s.sequence + 1,
    sent_at = CASE WHEN <to_status> = 3 THEN x.now ELSE s.sent_at END,
    delivered_at = CASE WHEN <to_status> = 4 THEN x.now ELSE s.delivered_at END
  FROM (SELECT t.now, unnest($2::uuid[]) AS app, unnest($3::uuid[]) AS id, unnest($4::smallint[]) AS shard, unnest($5::smallint[]) AS from_status,
    unnest($6::integer[]) AS attempt, unnest($7::bigint[]) AS expected, unnest($8::smallint[]) AS to_status, unnest($9::smallint[]) AS cause,
    unnest($10::bigint[]) AS next_due, unnest($11::integer[]) AS round, unnest($12::integer[]) AS flags, unnest($13::text[]) AS provider,
    unnest($14::uuid[]) AS provider_id, unnest($15::text[]) AS ref, unnest($16::text[]) AS code, unnest($17::text[]) AS text, unnest($18::text[]) AS detail,
    unnest($19::integer[]) AS ord, unnest(<home>::smallint[]) AS home<arrays>
    FROM (SELECT ` + clock + ` AS now OFFSET 0) t) x
  WHERE s.app_id = ANY (ARRAY[x.app]) AND s.id = x.id AND s.shard = x.shard
    AND CASE WHEN x.from_status = 2 THEN s.status = 2 AND s.attempts = x.attempt AND s.epoch = x.expected ELSE x.from_status = 1 AND s.status = 1 AND s.due = x.expected END
  RETURNING x.ord, x.now, s.app_id, s.id, s.shard, s.channel, s.lane, s.due, s.status, s.sequence, s.generation, s.epoch, x.from_status, x.attempt,
    <cause> AS cause, <provider> AS provider, <provider_id> AS provider_id, <ref> AS ref, <code> AS code, <detail> AS detail,
    <else> AS otherwise, s.created_at, s.scheduled_at, s.error_text, x.home),
e AS (
  INSERT INTO events (` + eventColumns + `)
  SELECT st.app_id, st.id, st.sequence, st.cause, st.from_status, st.status, st.now, st.generation, st.attempt, st.epoch, $1, '',
    st.provider, st.provider_id, st.ref, st.code, st.detail, st.error_text FROM st),
y AS (
  INSERT INTO tallies (at, items, took)
  SELECT min(st.now), <items>::bytea, array_agg(st.ord * 2048 + st.otherwise + CASE WHEN st.status = 3 AND st.generation = 1 THEN ` + waitCode + ` ELSE 0 END)
  FROM st HAVING count(*) > 0),
o AS (
  INSERT INTO outbox (xid, shard, at, items)
  SELECT ` + sqlstore.CurrentXID + `, st.home, min(st.now), string_agg(` + refSt + `, '') FROM st GROUP BY st.home),
gone AS (
  DELETE FROM queue q USING st WHERE st.status <> 1
    AND q.shard = ANY (ARRAY[st.shard]) AND q.app_id = st.app_id AND q.channel = st.channel AND q.lane = st.lane AND q.due = st.due AND q.id = st.id)<moved>
SELECT st.ord FROM st`

// finishMoved moves the queue rows of messages that are queued again.
const finishMoved = `,
moved AS (
  UPDATE queue q SET due = st.due FROM st CROSS JOIN LATERAL (SELECT o.* FROM state o WHERE o.app_id = st.app_id AND o.id = st.id OFFSET 0) o WHERE st.status = 1
    AND q.shard = ANY (ARRAY[o.shard]) AND q.app_id = o.app_id AND q.channel = o.channel AND q.lane = o.lane AND q.due = o.due AND q.id = o.id)`
