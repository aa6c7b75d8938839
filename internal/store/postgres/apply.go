package postgres

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// The statements of Apply. For how they are written see turn_sql.go: each looks rows up by whole keys, whatever the
// tables held when it was planned.
const (
	applyBeginSQL   = `SELECT ` + wallClock + `, set_config('lock_timeout', $1, true)`
	takeReceiptsSQL = `DELETE FROM receipts r USING (SELECT unnest($1::uuid[]) AS id OFFSET 0) x WHERE r.id = ANY (ARRAY[x.id]) RETURNING r.id`
	takeParkedSQL   = `DELETE FROM parked r USING (SELECT unnest($1::uuid[]) AS id OFFSET 0) x WHERE r.id = ANY (ARRAY[x.id]) RETURNING r.id`
	tracedSQL       = `
SELECT x.ord, r.app_id, r.message_id, r.attempt FROM unnest($1::uuid[], $2::text[], $3::integer[]) AS x (provider, ref, ord)
CROSS JOIN LATERAL (SELECT r.app_id, r.message_id, r.attempt FROM refs r WHERE r.provider_id = x.provider AND r.ref = x.ref OFFSET 0) r`
	startedBySQL = `
SELECT x.ord, k.known, k.same FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::uuid[], $5::integer[], $6::text[]) AS x (app, message, attempt, provider, ord, ref)
CROSS JOIN LATERAL (SELECT 1 FROM events e WHERE e.app_id = x.app AND e.message_id = x.message AND e.type = 2 AND (x.attempt = 0 OR e.attempt = x.attempt)
  AND e.provider_id = x.provider LIMIT 1) e
CROSS JOIN LATERAL (SELECT count(*) > 0 AS known, count(*) FILTER (WHERE e.ref = x.ref) > 0 AS same FROM events e WHERE e.app_id = x.app AND e.message_id = x.message
  AND e.attempt = x.attempt AND e.provider_id = x.provider AND e.ref <> '') k`
	lockStatesSQL = `
SELECT ` + wallClock + `, x.ord, ` + stateOf + ` FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS x (app, id, ord)
CROSS JOIN LATERAL (SELECT s.* FROM state s WHERE s.app_id = x.app AND s.id = x.id OFFSET 0 FOR UPDATE) s`
	toldLogsSQL = `
SELECT x.ord, e.* FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS x (app, id, ord)
CROSS JOIN LATERAL (SELECT ` + eventColumns + ` FROM events e WHERE e.app_id = x.app AND e.message_id = x.id ORDER BY e.app_id, e.message_id, e.sequence) e`
	// suppressSQL suppresses recipients, in one order for the same reason as bounceSQL.
	suppressSQL = `
INSERT INTO suppressions (app_id, channel, address, reason, created_at)
SELECT x.app, x.channel, c.recipient, min(x.reason), min(x.at)
FROM unnest($1::uuid[], $2::uuid[], $3::smallint[], $4::text[], $5::bigint[], $6::text[]) AS x (app, id, channel, reason, at, within)
CROSS JOIN LATERAL (SELECT c.recipient FROM content c WHERE c.app_id = x.app AND c.id = x.id OFFSET 0) c
WHERE c.recipient <> '' AND starts_with(c.recipient, x.within) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
ON CONFLICT (app_id, channel, address) DO NOTHING`
	parkSQL = `
INSERT INTO parked (` + sqlstore.ParkedColumns + `)
SELECT DISTINCT ON (x.id) x.* FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::integer[], $8::integer[], $9::integer[],
  $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[]) AS x (` + sqlstore.ParkedColumns + `) ORDER BY x.id ON CONFLICT DO NOTHING`
)

// changeStatesSQL and logEventsSQL write what reports make of messages, all at once.
const (
	changeStatesSQL = `
UPDATE state s SET status = x.status, updated_at = x.updated_at, due = x.due, sequence = x.sequence, flags = x.flags, provider = x.provider, provider_id = x.provider_id,
  provider_ref = x.provider_ref, error_code = x.error_code, error_text = x.error_text, sent_at = x.sent_at, delivered_at = x.delivered_at
FROM (SELECT unnest($1::uuid[]) AS app, unnest($2::uuid[]) AS id, unnest($3::smallint[]) AS status, unnest($4::bigint[]) AS updated_at, unnest($5::bigint[]) AS due,
  unnest($6::integer[]) AS sequence, unnest($7::integer[]) AS flags, unnest($8::text[]) AS provider, unnest($9::uuid[]) AS provider_id, unnest($10::text[]) AS provider_ref,
  unnest($11::text[]) AS error_code, unnest($12::text[]) AS error_text, unnest($13::bigint[]) AS sent_at, unnest($14::bigint[]) AS delivered_at OFFSET 0) x
WHERE s.app_id = ANY (ARRAY[x.app]) AND s.id = x.id`
	logEventsSQL = `
INSERT INTO events (` + eventColumns + `) SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::smallint[], $5::smallint[], $6::smallint[], $7::bigint[], $8::integer[],
  $9::integer[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::uuid[], $15::text[], $16::text[], $17::text[], $18::text[])`
)

// applyWait is how long Apply waits for rows that somebody holds: the caller finds out which message it is, and goes on with the others.
const applyWait = 500 * time.Millisecond

// subject is a message that reports are about.
type subject struct {
	app, id comm.ID
	filing
	there   bool
	changes []sqlstore.Change
}

// matched is the message and attempt that a report is about; subject is nil when nobody knows.
type matched struct {
	*subject
	attempt int  // 0: none was named
	foreign bool // of sqlstore.Meant
	gone    bool // applied by somebody else
}

// Apply implements store.Receipts: what is taken and looked up, the rows locked in one order, then all changes written
// together. Each is one round trip.
func (s *Store) Apply(ctx context.Context, b store.ReportBatch) (out []store.ReportResult, err error) {
	if len(b.Receipts)+len(b.Reports) == 0 {
		return nil, nil
	}
	err = s.transaction(ctx, "apply reports", func(tx pgx.Tx) error {
		a := applying{tx: tx, b: &b, found: make([]matched, len(b.Reports)), out: make([]store.ReportResult, len(b.Reports))}
		if err := a.take(ctx); err != nil {
			return err
		}
		if err := a.lock(ctx); err != nil {
			return err
		}
		a.tell()
		out = a.out
		return sendAll(ctx, tx, a.writes())
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// applying is one run of Apply.
type applying struct {
	tx       pgx.Tx
	b        *store.ReportBatch
	now      comm.Micros
	found    []matched
	subjects []*subject // in the order of their locks
	parked   []parking
	out      []store.ReportResult
}

// parking is a report that is to be told again.
type parking struct {
	report *store.Report
	id     comm.ID
	due    comm.Micros
}

// take removes requests and parked rows, and looks up which messages are meant.
func (a *applying) take(ctx context.Context) error {
	receipts, rows := slices.Clone(a.b.Receipts), []comm.ID(nil)
	for i := range a.b.Reports {
		if id := a.b.Reports[i].Parked; !id.IsZero() {
			rows = append(rows, id)
		}
	}
	b := &pgx.Batch{}
	b.Queue(applyBeginSQL, milliseconds(applyWait))
	b.Queue(takeReceiptsSQL, sortedIDs(receipts))
	b.Queue(takeParkedSQL, sortedIDs(rows))
	b.Queue(tracedSQL, a.refs()...)
	b.Queue(startedBySQL, a.named()...)
	r := a.tx.SendBatch(ctx, b)
	err := a.taken(r)
	if closed := r.Close(); err == nil {
		err = closed
	}
	return err
}

func sortedIDs(ids []comm.ID) *list {
	slices.SortFunc(ids, comm.ID.Compare)
	l := uuids(len(ids))
	for _, id := range ids {
		l.id(id)
	}
	return l
}

func (a *applying) refs() []any {
	n := len(a.b.Reports)
	provider, ref, ord := uuids(n), texts(n), int4s(n)
	for i := range a.b.Reports {
		if x := &a.b.Reports[i]; x.Ref != "" && !x.Later {
			provider.id(x.Provider)
			ref.text(x.Ref)
			ord.i32(int32(i))
		}
	}
	return []any{provider, ref, ord}
}

func (a *applying) named() []any {
	n := len(a.b.Reports)
	app, message, attempt, provider, ord, ref := uuids(n), uuids(n), int4s(n), uuids(n), int4s(n), texts(n)
	for i := range a.b.Reports {
		if x := &a.b.Reports[i]; !x.Message.IsZero() && !x.App.IsZero() && !x.Later {
			app.id(x.App)
			message.id(x.Message)
			attempt.i32(int32(x.Attempt))
			provider.id(x.Provider)
			ord.i32(int32(i))
			ref.text(x.Ref)
		}
	}
	return []any{app, message, attempt, provider, ord, ref}
}

// taken reads the answers to take.
func (a *applying) taken(r pgx.BatchResults) error {
	rows, err := r.Query()
	if err := each(rows, err, func(r *reader) { a.now = r.micros() }); err != nil {
		return err
	}
	there := map[comm.ID]bool{}
	for range 2 {
		rows, err := r.Query()
		if err := each(rows, err, func(r *reader) { there[r.id()] = true }); err != nil {
			return err
		}
	}
	subjects := map[[2]comm.ID]*subject{}
	of := func(app, id comm.ID) *subject {
		k := [2]comm.ID{app, id}
		if subjects[k] == nil {
			subjects[k] = &subject{app: app, id: id}
			a.subjects = append(a.subjects, subjects[k])
		}
		return subjects[k]
	}
	meant := make([]sqlstore.Meant, len(a.b.Reports))
	rows, err = r.Query()
	if err := each(rows, err, func(r *reader) {
		m := &meant[r.i32()]
		m.Traced = sqlstore.Attempt{App: r.id(), Message: r.id(), Attempt: r.i32()}
	}); err != nil {
		return err
	}
	rows, err = r.Query()
	if err := each(rows, err, func(r *reader) {
		i := r.i32()
		x, m := &a.b.Reports[i], &meant[i]
		m.Named = sqlstore.Attempt{App: x.App, Message: x.Message, Attempt: x.Attempt}
		m.Known, m.Same = r.flag(), r.flag()
	}); err != nil {
		return err
	}
	for i := range a.found {
		x := &a.b.Reports[i]
		if at, foreign := meant[i].Of(); !at.Message.IsZero() {
			a.found[i] = matched{subject: of(at.App, at.Message), attempt: at.Attempt, foreign: foreign}
		}
		a.found[i].gone = !x.Receipt.IsZero() && !there[x.Receipt] || !x.Parked.IsZero() && !there[x.Parked]
	}
	return nil
}

// lock locks the messages in one order, and then reads their logs.
func (a *applying) lock(ctx context.Context) error {
	if len(a.subjects) == 0 {
		return nil
	}
	slices.SortFunc(a.subjects, func(x, y *subject) int { return cmp.Or(x.app.Compare(y.app), x.id.Compare(y.id)) })
	n := len(a.subjects)
	app, id, ord := uuids(n), uuids(n), int4s(n)
	for i, s := range a.subjects {
		app.id(s.app)
		id.id(s.id)
		ord.i32(int32(i))
	}
	b := &pgx.Batch{}
	b.Queue(lockStatesSQL, app, id, ord)
	b.Queue(toldLogsSQL, app, id, ord)
	r := a.tx.SendBatch(ctx, b)
	rows, err := r.Query()
	err = each(rows, err, func(r *reader) {
		a.now = max(a.now, r.micros())
		s := a.subjects[r.i32()]
		r.state(&s.st)
		s.there = true
	})
	if err == nil {
		rows, err = r.Query()
		err = each(rows, err, func(r *reader) {
			s := a.subjects[r.i32()]
			var e comm.Event
			r.event(&e)
			s.log = append(s.log, e)
		})
	}
	if closed := r.Close(); err == nil {
		err = closed
	}
	return err
}

// tell applies the reports in their order.
func (a *applying) tell() {
	for i := range a.b.Reports {
		x, m := &a.b.Reports[i], a.found[i]
		if m.subject != nil && m.there && m.attempt == 0 {
			m.attempt = comm.AttemptOf(m.log, x.Provider, x.Ref)
		}
		switch {
		case m.gone:
			a.out[i] = store.ReportGone
		case m.subject == nil || !m.there || m.attempt == 0:
			a.out[i] = a.park(x, false)
		default:
			c, result := sqlstore.Report(&m.st, m.log, x, m.attempt, m.foreign, a.b.Node, a.now)
			if result == store.ReportParked {
				result = a.park(x, true)
			} else if len(c.Events) > 0 {
				m.st, m.log = c.After, append(m.log, c.Events...)
				m.changes = append(m.changes, c)
			}
			a.out[i] = result
		}
	}
}

func (a *applying) park(x *store.Report, underWay bool) store.ReportResult {
	id, due, ok := sqlstore.Park(x, underWay, a.now)
	if !ok {
		return store.ReportDropped
	}
	a.parked = append(a.parked, parking{x, id, due})
	return store.ReportParked
}

// listEvents puts what was told into the outbox, one row for each shard.
func listEvents(b *pgx.Batch, told []*subject) {
	items, at := map[comm.Shard][]byte{}, map[comm.Shard]comm.Micros{}
	for _, s := range told {
		home := sqlstore.HomeOf(s.st.App)
		for i := range s.changes {
			for k := range s.changes[i].Events {
				e := &s.changes[i].Events[k]
				items[home], at[home] = sqlstore.AppendRef(items[home], e.App, e.Message, e.Sequence), e.At
			}
		}
	}
	for _, home := range slices.Sorted(maps.Keys(items)) {
		b.Queue(outboxSQL, int64(at[home]), items[home], int16(home))
	}
}

// writes are the statements that store what was told: a few for all messages, and what few of them need besides.
func (a *applying) writes() *pgx.Batch {
	b := &pgx.Batch{}
	var tally sqlstore.Tally
	var told []*subject
	for _, s := range a.subjects {
		if len(s.changes) > 0 {
			told = append(told, s)
		}
	}
	if len(told) > 0 {
		b.Queue(changeStatesSQL, stateArgs(told)...)
		b.Queue(logEventsSQL, eventArgs(told, &tally)...)
		b.Queue(tallySQL, int64(tally.At), tally.Encode())
		listEvents(b, told)
	}
	app, id, channel, reason, at, within := uuids(0), uuids(0), int2s(0), texts(0), int8s(0), texts(0)
	for _, s := range told {
		for i := range s.changes {
			c := &s.changes[i]
			queueMoves(b, c)
			if c.Suppress != "" {
				app.id(c.After.App)
				id.id(c.After.ID)
				channel.i16(int16(c.After.Channel))
				reason.text(c.Suppress)
				at.i64(int64(c.At()))
				within.text(c.Within)
			}
		}
	}
	if app.n > 0 {
		b.Queue(suppressSQL, app, id, channel, reason, at, within)
	}
	if len(a.parked) > 0 {
		b.Queue(parkSQL, parkArgs(a.parked)...)
	}
	return b
}
