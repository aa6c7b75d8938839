package postgres

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Bounds of one transaction of Fold, in rows of tallies or of what has become old. It is
// sized by measured time, which bounds the memory too: a tally may be of a thousand apps.
const (
	foldAim   = 50 * time.Millisecond
	foldLeast = 16
	foldMost  = 2000
)

// tallySQL stores what a change counts for certain; $1 is its time.
const tallySQL = `INSERT INTO tallies (at, items) VALUES ($1, $2)`

// outboxSQL lists events of an app; $1 is their time, $2 sqlstore.AppendRef of each, $3 the app's first shard.
const outboxSQL = `INSERT INTO outbox (xid, shard, at, items) VALUES (` + sqlstore.CurrentXID + `, $3, $1, $2)`

const (
	// foldLockSQL lets one node fold at a time; the others have nothing to do meanwhile.
	foldLockSQL = `SELECT pg_try_advisory_xact_lock(` + sqlstore.FoldLock + `), ` + wallClock
	anyTallySQL = `SELECT at FROM tallies WHERE at >= $1 ORDER BY at LIMIT 1`
	// takeTalliesSQL takes the oldest rows. Only who holds the lock deletes any.
	takeTalliesSQL = `DELETE FROM tallies WHERE ctid = ANY (ARRAY(SELECT ctid FROM tallies WHERE at >= $1 ORDER BY at LIMIT $2)) RETURNING at, items, took`
	setAsideSQL    = `INSERT INTO tallies (at, items, took) VALUES ($1, $2, $3)`
	keepAsideSQL   = `INSERT INTO stats (app_id, span, start, counts, top) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`
	talliesSQL     = `SELECT at, items, took FROM tallies WHERE at >= $1`
	// statsAtSQL and fromStats compare whole rows, which only the primary key can be searched by: a plan
	// made while the table was empty may take stats_age, and then reads every app's row of a period for each app.
	statsAtSQL = `
SELECT s.app_id, s.span, s.start, s.counts, s.top FROM unnest($1::uuid[], $2::bigint[], $3::bigint[]) AS x (app_id, span, start)
CROSS JOIN LATERAL (SELECT * FROM stats s WHERE (s.app_id, s.span, s.start) >= (x.app_id, x.span, x.start)
	AND (s.app_id, s.span, s.start) <= (x.app_id, x.span, x.start) OFFSET 0) s`
	// setStatsSQL writes rows. What is folded late must not bring rows of an app back that is removed already.
	setStatsSQL = `
INSERT INTO stats (app_id, span, start, counts, top)
SELECT x.* FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[]) AS x (app_id, span, start, counts, top)
WHERE x.app_id = '00000000-0000-0000-0000-000000000000' OR (SELECT true FROM apps a WHERE a.id = x.app_id)
ON CONFLICT (app_id, span, start) DO UPDATE SET counts = excluded.counts, top = excluded.top`
	takeOldSQL = `DELETE FROM stats WHERE ctid = ANY (ARRAY(SELECT ctid FROM stats WHERE span = $1 AND start < $2 ORDER BY start LIMIT $3))
RETURNING app_id, span, start, counts, top`
	statsOfSQL  = `SELECT s.app_id, s.span, s.start, s.counts, s.top` + fromStats
	sharesOfSQL = `SELECT s.app_id, s.span, s.start, substring(s.counts FROM 1 FOR $4), NULL::bytea` + fromStats
	fromStats   = ` FROM unnest($1::uuid[]) AS x (app_id) CROSS JOIN unnest($2::bigint[]) AS y (span)
CROSS JOIN LATERAL (SELECT * FROM stats s WHERE (s.app_id, s.span, s.start) >= (x.app_id, y.span, $3) AND (s.app_id, s.span) <= (x.app_id, y.span) OFFSET 0) s`
)

// tallyAccepts is what these submissions count if they are stored.
func tallyAccepts(subs []store.Submission, group []int) []byte {
	var t sqlstore.Tally
	for _, i := range group {
		t.Expect(sqlstore.Accepts, sqlstore.TallyItem{App: subs[i].App, Channel: subs[i].Channel, Cause: comm.CauseAccepted, To: comm.Queued}, nil)
	}
	return t.Encode()
}

// tallyFinishes is what these finishes count if they are applied.
func tallyFinishes(finishes []store.Finish) []byte {
	var t sqlstore.Tally
	for i := range finishes {
		f := &finishes[i]
		item := func(o *store.Outcome) *sqlstore.TallyItem {
			if o == nil {
				return nil
			}
			return &sqlstore.TallyItem{App: f.App, Channel: f.Unit.Channel, Cause: o.Cause, From: f.From, To: o.To, Provider: o.Provider}
		}
		t.Expect(sqlstore.Finishes, *item(&f.Want), item(f.IfCancelled))
	}
	return t.Encode()
}

// tallyStarts is what these starts count if they are applied.
func tallyStarts(starts []store.Start) []byte {
	var t sqlstore.Tally
	for i := range starts {
		x := &starts[i]
		it := sqlstore.TallyItem{App: x.Unit.App, Channel: x.Unit.Channel, Cause: comm.CauseAttemptStarted, From: comm.Queued, To: comm.Sending, Provider: x.Provider}
		var failed *sqlstore.TallyItem
		if x.Attempt > 0 {
			it.From = comm.Sending
		}
		if isRetry(*x) {
			failed = &sqlstore.TallyItem{App: x.Unit.App, Channel: x.Unit.Channel, Cause: x.Failed.Cause, From: comm.Sending, To: comm.Sending, Provider: x.Failed.Provider}
		}
		t.Expect(sqlstore.Starts, it, failed)
	}
	return t.Encode()
}

const (
	// stragglers is how long a transaction may take at most that is not looked for at each fold, and
	// sweep how often rows are looked for that were committed later still. Rows that were deleted
	// stay where they were while somebody holds an old snapshot, and would be stepped over.
	stragglers = 2 * store.Minute
	sweep      = 5 * store.Minute
)

// folding is where rows of tallies begin, by this node's clock of the database, when rows
// become old, and how many are folded at once. It is safe for concurrent use. Its zero value looks everywhere.
type folding struct {
	mu                 sync.Mutex
	since, swept, aged comm.Micros
	folds, merges      pace.Slice
}

// size is how many rows the next step of a kind may take.
func (f *folding) size(kind *pace.Slice) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind.Aim, kind.Least, kind.Most = foldAim, foldLeast, foldMost
	return kind.Size()
}

// took learns from a step.
func (f *folding) took(kind *pace.Slice, rows int, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kind.Took(rows, d)
}

// from is the time from which rows are looked for.
func (f *folding) from(now comm.Micros) comm.Micros {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now-f.swept >= sweep {
		return 0
	}
	return f.since
}

// found notes that everything from an instant on was looked at: first is the oldest row that is there, 0 for none.
func (f *folding) found(from, first, now comm.Micros) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if from == 0 {
		f.swept = now
	}
	f.since = now - stragglers
	if first != 0 {
		f.since = min(f.since, first)
	}
}

// age answers whether rows may have become old since the last time, and done notes that none are left.
func (f *folding) age(now comm.Micros) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now >= f.aged
}

func (f *folding) done(now comm.Micros) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.aged = now + store.Minute
}

// Fold implements store.Stats. A node that finds nothing to do has only read.
func (s *Store) Fold(ctx context.Context) (out store.Folded, err error) {
	var now, first comm.Micros
	var from comm.Micros
	err = s.read(ctx, "look for statistics to fold", func(c *pgx.Conn) error {
		if err := c.QueryRow(ctx, `SELECT `+wallClock).Scan((*int64)(&now)); err != nil {
			return err
		}
		from = s.folding.from(now)
		first = 0
		if err := c.QueryRow(ctx, anyTallySQL, int64(from)).Scan((*int64)(&first)); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	s.folding.found(from, first, now)
	if first == 0 && !s.folding.age(now) {
		return out, nil
	}
	kind, began, taken := &s.folding.folds, time.Now(), 0
	if first == 0 {
		kind = &s.folding.merges
	}
	most := s.folding.size(kind)
	err = s.transaction(ctx, "fold statistics", func(tx pgx.Tx) (err error) {
		out = store.Folded{}
		var mine bool
		if err := tx.QueryRow(ctx, foldLockSQL).Scan(&mine, (*int64)(&now)); err != nil || !mine {
			return err
		}
		if first != 0 {
			taken, err = foldTallied(ctx, tx, first, most, &out)
			return err
		}
		if taken, err = mergeOld(ctx, tx, now, most, &out); err == nil && !out.More {
			s.folding.done(now)
		}
		return err
	})
	if err != nil {
		return store.Folded{}, err
	}
	out.Took = time.Since(began)
	s.folding.took(kind, taken, out.Took)
	return out, nil
}

// foldTallied moves what the oldest tallies count into rows, and answers how many it took.
func foldTallied(ctx context.Context, tx pgx.Tx, from comm.Micros, most int, out *store.Folded) (n int, err error) {
	ledger, aside := sqlstore.Ledger{}, &pgx.Batch{}
	rows, err := tx.Query(ctx, takeTalliesSQL, int64(from), most)
	err = eachTally(rows, err, func(at comm.Micros, items []byte, took []int32) {
		n++
		if ledger.Tally(at, items, took, nil) != nil {
			aside.Queue(setAsideSQL, int64(sqlstore.AsideAt(at)), bytes.Clone(items), took)
		}
	})
	if err == nil {
		err = sendAll(ctx, tx, aside)
	}
	if err != nil {
		return n, err
	}
	out.Rows, out.Aside, out.More = len(ledger), aside.Len(), n == most
	if len(ledger) == 0 {
		return n, nil
	}
	return n, addStats(ctx, tx, ledger, out)
}

// keepAside keeps a row of statistics that cannot be read where nobody looks for it. The memory of its columns is used again.
func keepAside(b *pgx.Batch, k sqlstore.PeriodKey, counts, top []byte) {
	b.Queue(keepAsideSQL, sqlstore.UUID(k.App), int64(sqlstore.AsideAt(k.Span)), int64(k.Start), bytes.Clone(counts), bytes.Clone(top))
}

// eachTally calls fn for every row of tallies. The memory of items is used again.
func eachTally(rows pgx.Rows, err error, fn func(at comm.Micros, items []byte, took []int32)) error {
	return each(rows, err, func(r *reader) {
		at, items := r.micros(), r.next()
		var took []int32
		if raw := r.next(); raw != nil {
			took = int4sOf(raw)
		}
		fn(at, items, took)
	})
}

// addStats adds a ledger to the rows that are stored.
func addStats(ctx context.Context, tx pgx.Tx, ledger sqlstore.Ledger, out *store.Folded) error {
	keys, aside := ledger.Keys(), &pgx.Batch{}
	n := len(keys)
	app, span, start := uuids(n), int8s(n), int8s(n)
	for _, k := range keys {
		app.id(k.App)
		span.i64(int64(k.Span))
		start.i64(int64(k.Start))
	}
	rows, err := tx.Query(ctx, statsAtSQL, app, span, start)
	err = readStats(rows, err, func(k sqlstore.PeriodKey, counts, top []byte) {
		if ledger.Stored(k, counts, top) != nil {
			keepAside(aside, k, counts, top)
		}
	})
	if err == nil {
		err = sendAll(ctx, tx, aside)
	}
	if err != nil {
		return err
	}
	out.Aside += aside.Len()
	counts, top := byteas(n), byteas(n)
	for _, k := range keys {
		c, packed := ledger[k].Encode()
		counts.bytes(c)
		if packed != nil {
			top.bytes(packed)
		} else {
			top.null()
		}
	}
	_, err = tx.Exec(ctx, setStatsSQL, app, span, start, counts, top)
	return err
}

// readStats calls add for rows of statistics, whose memory is used again.
func readStats(rows pgx.Rows, err error, add func(k sqlstore.PeriodKey, counts, top []byte)) error {
	return each(rows, err, func(r *reader) {
		add(sqlstore.PeriodKey{App: r.id(), Span: r.micros(), Start: r.micros()}, r.next(), r.next())
	})
}

// mergeOld merges rows that have become old into those of the next span, or removes the oldest, and answers how many it took.
func mergeOld(ctx context.Context, tx pgx.Tx, now comm.Micros, most int, out *store.Folded) (n int, err error) {
	for _, step := range sqlstore.Aging(now) {
		fine, coarse, aside := sqlstore.Ledger{}, sqlstore.Ledger{}, &pgx.Batch{}
		rows, err := tx.Query(ctx, takeOldSQL, int64(step.Span), int64(step.Before), most)
		err = readStats(rows, err, func(k sqlstore.PeriodKey, counts, top []byte) {
			n++
			if step.Into != 0 && fine.Stored(k, counts, top) != nil { // else nobody reads it any more
				keepAside(aside, k, counts, top)
			}
		})
		if err == nil {
			err = sendAll(ctx, tx, aside)
		}
		if err != nil {
			return n, err
		}
		if n == 0 {
			continue
		}
		*out = store.Folded{Rows: n, Aside: aside.Len(), More: true}
		coarse.Coarse(fine, step.Into)
		return n, addStats(ctx, tx, coarse, out)
	}
	return n, nil
}

// Periods implements store.Stats.
func (s *Store) Periods(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]store.Period, error) {
	return s.periods(ctx, statsOfSQL, apps, from)
}

// Shares implements store.Stats.
func (s *Store) Shares(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]store.Period, error) {
	return s.periods(ctx, sharesOfSQL, apps, from, store.MessageBytes())
}

func (s *Store) periods(ctx context.Context, of string, apps []comm.ID, from comm.Micros, more ...any) (out [][]store.Period, err error) {
	want := make(map[comm.ID]bool, len(apps))
	for _, app := range apps {
		want[app] = true
	}
	id, span := uuids(len(want)), int8s(3)
	for app := range want {
		id.id(app)
	}
	for _, x := range []comm.Micros{store.Minute, store.Hour, store.Day} {
		span.i64(int64(x))
	}
	err = s.read(ctx, "read statistics", func(c *pgx.Conn) error {
		tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // it has only read
		ledger, stored := sqlstore.Ledger{}, sqlstore.Periods{}
		rows, err := tx.Query(ctx, of, append([]any{id, span, int64(from)}, more...)...)
		if err := readStats(rows, err, func(k sqlstore.PeriodKey, counts, top []byte) {
			stored.Append(k, bytes.Clone(counts), bytes.Clone(top))
		}); err != nil {
			return err
		}
		var now comm.Micros
		if err := tx.QueryRow(ctx, `SELECT `+wallClock).Scan((*int64)(&now)); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, talliesSQL, int64(s.folding.from(now)))
		err = eachTally(rows, err, func(at comm.Micros, items []byte, took []int32) {
			if at >= from {
				_ = ledger.Tally(at, items, took, want) // what cannot be read is set aside when it is folded
			}
		})
		out = stored.Lists(apps, ledger)
		return err
	})
	return out, err
}
