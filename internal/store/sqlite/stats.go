package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Bounds of one transaction of Fold. How many rows of statistics it writes is sized by
// measured time, so that nobody waits for it longer than for any other slice: an app's
// row may have ten figures or four hundred.
const (
	foldAim     = 2 * time.Millisecond // without the commit
	foldLeast   = 4
	foldMost    = 200
	foldTallies = 400
	foldBytes   = 64 << 10 // of tallies
)

var (
	qTally       = &query{`INSERT INTO tallies (at, items) VALUES (?, ?)`}
	qOutbox      = &query{`INSERT INTO outbox (at, items) VALUES (?, ?)`}
	qTallies     = &query{`SELECT id, at, items FROM tallies WHERE at >= 0 ORDER BY id LIMIT ?`} // the others were set aside
	qTalliesGone = &query{`DELETE FROM tallies WHERE id <= ? AND at >= 0`}
	qTallyAside  = &query{`UPDATE tallies SET at = ? WHERE id = ?`}
	qTallyRest   = &query{`UPDATE tallies SET items = ? WHERE id = ?`}
	qStat        = &query{`SELECT counts, top FROM stats WHERE app_id = ? AND span = ? AND start = ?`}
	// What is folded late must not bring rows of an app back that is removed already.
	qStatSet = &query{`INSERT INTO stats (app_id, span, start, counts, top) SELECT ?1, ?2, ?3, ?4, ?5
		WHERE ?1 = zeroblob(16) OR EXISTS (SELECT 1 FROM apps WHERE id = ?1)
		ON CONFLICT (app_id, span, start) DO UPDATE SET counts = excluded.counts, top = excluded.top`}
	qStatAside  = &query{`INSERT INTO stats (app_id, span, start, counts, top) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`}
	qStatDelete = &query{`DELETE FROM stats WHERE app_id = ? AND span = ? AND start = ?`}
	qStatsOld   = &query{`SELECT s.app_id, s.start, s.counts, s.top FROM (SELECT app_id, span, start FROM stats INDEXED BY stats_age WHERE span = ? AND start < ? ORDER BY start, app_id LIMIT ?) o
		JOIN stats s ON s.app_id = o.app_id AND s.span = o.span AND s.start = o.start`}
	qStatsOf  = &query{`SELECT start, counts, top FROM stats WHERE app_id = ? AND span = ? AND start >= ?`}
	qSharesOf = &query{`SELECT start, counts, NULL FROM stats_shares WHERE app_id = ? AND span = ? AND start >= ?`} // kept by triggers
)

// writeTally stores what the transaction under way has counted, and which events it wrote.
func writeTally(r *raw) error {
	if r.tally.Empty() {
		return nil
	}
	if _, err := r.run(qTally, int64(r.tally.At), r.tally.Encode()); err != nil {
		return fmt.Errorf("store what is counted: %w", err)
	}
	if _, err := r.run(qOutbox, int64(r.tally.At), r.outbox); err != nil {
		return fmt.Errorf("list events in the outbox: %w", err)
	}
	return nil
}

// logged notes an event that was written: it is counted, and its place in the feed is to be found.
func logged(r *raw, after *comm.State, e *comm.Event) {
	r.tally.Event(after, e)
	r.outbox = sqlstore.AppendRef(r.outbox, e.App, e.Message, e.Sequence)
}

// counted is logged for the event of a message's acceptance.
func counted(r *raw, sub *store.Submission, now comm.Micros) {
	r.outbox = sqlstore.AppendRef(r.outbox, sub.App, sub.ID, 1)
	r.tally.Add(sqlstore.TallyItem{App: sub.App, Channel: sub.Channel, Cause: comm.CauseAccepted, To: comm.Queued}, now)
}

// folding is when Fold has something to do, and how much it may do at once. It is safe for concurrent use.
type folding struct {
	tallied atomic.Bool  // something was counted since tallies were folded
	merged  atomic.Int64 // no row becomes old before this instant
	// The writer's goroutine's:
	folds, merges pace.Slice
}

func newFolding() *folding {
	slice := pace.Slice{Aim: foldAim, Least: foldLeast, Most: foldMost}
	f := &folding{folds: slice, merges: slice}
	f.tallied.Store(true) // the last process may have left some
	return f
}

// Fold implements store.Stats. When there is nothing to do it does not take the writer's turn.
func (s *Store) Fold(ctx context.Context) (out store.Folded, err error) {
	now, f := s.now(), s.w.folding
	step := func(slice *pace.Slice, fold func(r *raw, rows int) (store.Folded, error)) error {
		return s.w.hot(ctx, foldMost, func(r *raw) (err error) {
			began := time.Now()
			if out, err = fold(r, slice.Size()); err == nil {
				out.Took = time.Since(began)
				slice.Took(out.Rows, out.Took)
			}
			return err
		})
	}
	switch {
	case f.tallied.Swap(false):
		if err = step(&f.folds, foldTallied); err != nil || out.More {
			f.tallied.Store(true)
		}
	case now >= comm.Micros(f.merged.Load()):
		err = step(&f.merges, func(r *raw, rows int) (store.Folded, error) { return mergeOld(r, now, rows) })
		if err == nil && !out.More {
			f.merged.Store(int64(now + store.Minute))
		}
	default:
		return out, s.w.refused()
	}
	if err != nil {
		return store.Folded{}, fmt.Errorf("fold statistics: %w", err)
	}
	return out, nil
}

// foldTallied moves what the oldest tallies count into so many rows, and those of all apps.
// Of a tally that is of more apps it leaves the rest.
func foldTallied(r *raw, rows int) (out store.Folded, err error) {
	ledger, size, n := sqlstore.Ledger{}, 0, 0
	var gone, last int64
	var rest []byte
	var aside [][2]int64 // id and time
	err = r.each(qTallies, []value{int64(foldTallies)}, func(v []value) error {
		if rest != nil || len(ledger) > rows || size >= foldBytes {
			out.More = true
			return errStop
		}
		items, at := blob(v[2]), comm.Micros(num(v[1]))
		n, gone, last, size = n+1, last, num(v[0]), size+len(items)
		var unreadable error
		if rest, unreadable = ledger.TallyUpTo(rows, at, items); unreadable != nil {
			aside = append(aside, [2]int64{last, int64(sqlstore.AsideAt(at))})
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) || n == 0 {
		return out, err
	}
	for _, x := range aside {
		if _, err := r.run(qTallyAside, x[1], x[0]); err != nil {
			return out, err
		}
	}
	if rest == nil {
		gone = last
	} else if _, err := r.run(qTallyRest, rest, last); err != nil {
		return out, err
	}
	if _, err := r.run(qTalliesGone, gone); err != nil {
		return out, err
	}
	out.Rows, out.Aside, out.More = len(ledger), len(aside), out.More || rest != nil || n == foldTallies
	err = addStats(r, ledger, &out)
	return out, err
}

// keepAside keeps a row of statistics that cannot be read where nobody looks for it.
func keepAside(r *raw, k sqlstore.PeriodKey, counts, top value, out *store.Folded) error {
	out.Aside++
	_, err := r.run(qStatAside, k.App[:], int64(sqlstore.AsideAt(k.Span)), int64(k.Start), counts, top)
	return err
}

// addStats adds a ledger to the rows that are stored.
func addStats(r *raw, ledger sqlstore.Ledger, out *store.Folded) error {
	for _, k := range ledger.Keys() {
		row, err := r.one(qStat, k.App[:], int64(k.Span), int64(k.Start))
		if err == nil && row != nil && ledger.Stored(k, blob(row[0]), blob(row[1])) != nil {
			err = keepAside(r, k, row[0], row[1], out)
		}
		if err != nil {
			return err
		}
		counts, packed := ledger[k].Encode()
		var top value
		if packed != nil {
			top = packed
		}
		if _, err := r.run(qStatSet, k.App[:], int64(k.Span), int64(k.Start), counts, top); err != nil {
			return err
		}
	}
	return nil
}

// mergeOld merges so many rows that have become old into those of the next span, or removes the oldest.
func mergeOld(r *raw, now comm.Micros, rows int) (out store.Folded, err error) {
	for _, step := range sqlstore.Aging(now) {
		fine, coarse := sqlstore.Ledger{}, sqlstore.Ledger{}
		var keys []sqlstore.PeriodKey
		err := r.each(qStatsOld, []value{int64(step.Span), int64(step.Before), int64(rows)}, func(v []value) error {
			k := sqlstore.PeriodKey{App: idOf(v[0]), Span: step.Span, Start: comm.Micros(num(v[1]))}
			keys = append(keys, k)
			if step.Into == 0 {
				return nil // nobody reads it any more
			}
			if fine.Stored(k, blob(v[2]), blob(v[3])) != nil {
				return keepAside(r, k, v[2], v[3], &out)
			}
			return nil
		})
		if err != nil {
			return out, err
		}
		if len(keys) == 0 {
			continue
		}
		for _, k := range keys {
			if _, err := r.run(qStatDelete, k.App[:], int64(k.Span), int64(k.Start)); err != nil {
				return out, err
			}
		}
		coarse.Coarse(fine, step.Into)
		out.Rows, out.More = len(keys), true
		err = addStats(r, coarse, &out)
		return out, err
	}
	return out, nil
}

// Periods implements store.Stats.
func (s *Store) Periods(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]store.Period, error) {
	return s.periods(ctx, qStatsOf, apps, from)
}

// Shares implements store.Stats.
func (s *Store) Shares(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]store.Period, error) {
	return s.periods(ctx, qSharesOf, apps, from)
}

func (s *Store) periods(ctx context.Context, of *query, apps []comm.ID, from comm.Micros) (out [][]store.Period, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		return r.in(func() error {
			ledger, stored, want := sqlstore.Ledger{}, sqlstore.Periods{}, make(map[comm.ID]bool, len(apps))
			for _, app := range apps {
				want[app] = true
			}
			for app := range want {
				for _, span := range []comm.Micros{store.Minute, store.Hour, store.Day} {
					err := r.each(of, []value{app[:], int64(span), int64(from)}, func(v []value) error {
						stored.Append(sqlstore.PeriodKey{App: app, Span: span, Start: comm.Micros(num(v[0]))}, blob(v[1]), blob(v[2]))
						return nil
					})
					if err != nil {
						return err
					}
				}
			}
			err := r.each(qTallies, []value{int64(-1)}, func(v []value) error {
				if at := comm.Micros(num(v[1])); at >= from {
					_ = ledger.Tally(at, blob(v[2]), nil, want) // what cannot be read is set aside when it is folded
				}
				return nil
			})
			out = stored.Lists(apps, ledger)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	return out, nil
}
