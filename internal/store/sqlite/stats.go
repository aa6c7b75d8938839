package sqlite

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Bounds of one transaction of Fold: rows of statistics to write, and rows to read for that.
const (
	foldRows    = 200
	foldTallies = 400
	mergeRows   = 200
)

var (
	qTally       = &query{`INSERT INTO tallies (at, items) VALUES (?, ?)`}
	qTallies     = &query{`SELECT id, at, items FROM tallies ORDER BY id LIMIT ?`}
	qTalliesGone = &query{`DELETE FROM tallies WHERE id <= ?`}
	qStat        = &query{`SELECT counts, top FROM stats WHERE app_id = ? AND span = ? AND start = ?`}
	qStatSet     = &query{`INSERT INTO stats (app_id, span, start, counts, top) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (app_id, span, start) DO UPDATE SET counts = excluded.counts, top = excluded.top`}
	qStatDelete = &query{`DELETE FROM stats WHERE app_id = ? AND span = ? AND start = ?`}
	qStatsOld   = &query{`SELECT s.app_id, s.start, s.counts, s.top FROM (SELECT app_id, span, start FROM stats INDEXED BY stats_age WHERE span = ? AND start < ? ORDER BY start, app_id LIMIT ?) o
		JOIN stats s ON s.app_id = o.app_id AND s.span = o.span AND s.start = o.start`}
	qStatsOf = &query{`SELECT start, counts, top FROM stats WHERE app_id = ? AND span = ? AND start >= ?`}
)

// writeTally stores what the transaction under way has counted.
func writeTally(r *raw) error {
	if r.tally.Empty() {
		return nil
	}
	if _, err := r.run(qTally, int64(r.tally.At), r.tally.Encode()); err != nil {
		return fmt.Errorf("store what is counted: %w", err)
	}
	return nil
}

// counted counts the event of a message's acceptance.
func counted(r *raw, sub *store.Submission, now comm.Micros) {
	r.tally.Add(sqlstore.TallyItem{App: sub.App, Channel: sub.Channel, Cause: comm.CauseAccepted, To: comm.Queued}, now)
}

// folding is when Fold has something to do. It is safe for concurrent use.
type folding struct {
	tallied atomic.Bool  // something was counted since tallies were folded
	merged  atomic.Int64 // no row becomes old before this instant
}

// Fold implements store.Stats. When there is nothing to do it does not take the writer's turn.
func (s *Store) Fold(ctx context.Context) (out store.Folded, err error) {
	now := s.now()
	switch {
	case s.w.folding.tallied.Swap(false):
		err = s.w.hot(ctx, foldRows, func(r *raw) (err error) {
			out, err = foldTallied(r)
			return err
		})
		if err != nil || out.More {
			s.w.folding.tallied.Store(true)
		}
	case now >= comm.Micros(s.w.folding.merged.Load()):
		err = s.w.hot(ctx, mergeRows, func(r *raw) (err error) {
			out, err = mergeOld(r, now)
			return err
		})
		if err == nil && !out.More {
			s.w.folding.merged.Store(int64(now + store.Minute))
		}
	default:
		return out, s.w.refused()
	}
	if err != nil {
		return store.Folded{}, fmt.Errorf("fold statistics: %w", err)
	}
	return out, nil
}

// foldTallied moves what the oldest tallies count into rows.
func foldTallied(r *raw) (out store.Folded, err error) {
	ledger, last, n := sqlstore.Ledger{}, int64(0), 0
	err = r.each(qTallies, []value{int64(foldTallies)}, func(v []value) error {
		if len(ledger) >= foldRows {
			out.More = true
			return errStop
		}
		n++
		last = num(v[0])
		return ledger.Tally(comm.Micros(num(v[1])), blob(v[2]), nil, nil)
	})
	if err != nil && !errors.Is(err, errStop) || n == 0 {
		return out, err
	}
	if _, err := r.run(qTalliesGone, last); err != nil {
		return out, err
	}
	out.Rows, out.More = len(ledger), out.More || n == foldTallies
	return out, addStats(r, ledger)
}

// addStats adds a ledger to the rows that are stored.
func addStats(r *raw, ledger sqlstore.Ledger) error {
	for _, k := range ledger.Keys() {
		row, err := r.one(qStat, k.App[:], int64(k.Span), int64(k.Start))
		if err == nil && row != nil {
			err = ledger.Stored(k, blob(row[0]), blob(row[1]))
		}
		if err != nil {
			return err
		}
		p := ledger[k]
		var top value
		if p.Top != nil {
			top = p.Top.Encode()
		}
		if _, err := r.run(qStatSet, k.App[:], int64(k.Span), int64(k.Start), p.Counts.Encode(), top); err != nil {
			return err
		}
	}
	return nil
}

// mergeOld merges rows that have become old into those of the next span, or removes the oldest.
func mergeOld(r *raw, now comm.Micros) (out store.Folded, err error) {
	for _, step := range sqlstore.Aging(now) {
		fine, n := sqlstore.Ledger{}, 0
		var keys []sqlstore.PeriodKey
		err := r.each(qStatsOld, []value{int64(step.Span), int64(step.Before), int64(mergeRows)}, func(v []value) error {
			n++
			k := sqlstore.PeriodKey{App: idOf(v[0]), Span: step.Span, Start: comm.Micros(num(v[1]))}
			keys = append(keys, k)
			return fine.Stored(k, blob(v[2]), blob(v[3]))
		})
		if err != nil {
			return out, err
		}
		if n == 0 {
			continue
		}
		for _, k := range keys {
			if _, err := r.run(qStatDelete, k.App[:], int64(k.Span), int64(k.Start)); err != nil {
				return out, err
			}
		}
		out = store.Folded{Rows: n, More: true}
		if step.Into == 0 {
			return out, nil
		}
		coarse := sqlstore.Ledger{}
		coarse.Coarse(fine, step.Into)
		return out, addStats(r, coarse)
	}
	return out, nil
}

// Periods implements store.Stats.
func (s *Store) Periods(ctx context.Context, apps []comm.ID, from comm.Micros) (out [][]store.Period, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		return r.in(func() error {
			ledger, want := sqlstore.Ledger{}, make(map[comm.ID]bool, len(apps))
			for _, app := range apps {
				want[app] = true
			}
			for app := range want {
				for _, span := range []comm.Micros{store.Minute, store.Hour, store.Day} {
					err := r.each(qStatsOf, []value{app[:], int64(span), int64(from)}, func(v []value) error {
						return ledger.Stored(sqlstore.PeriodKey{App: app, Span: span, Start: comm.Micros(num(v[0]))}, blob(v[1]), blob(v[2]))
					})
					if err != nil {
						return err
					}
				}
			}
			err := r.each(qTallies, []value{int64(-1)}, func(v []value) error {
				at := comm.Micros(num(v[1]))
				if at < from {
					return nil
				}
				return ledger.Tally(at, blob(v[2]), nil, want)
			})
			out = ledger.Lists(apps)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read statistics: %w", err)
	}
	return out, nil
}
