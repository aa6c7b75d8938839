package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	// The bound is the least unit that may follow: with ">" SQLite seeks to the first row that is
	// equal and passes over all the rows of that unit, so that every listing read the whole queue.
	qUnit = &query{`SELECT app_id, channel, lane, due FROM queue WHERE shard = ? AND (app_id, channel, lane) >= (?, ?, ?)
		ORDER BY shard, app_id, channel, lane, due, id LIMIT 1`}
	qWindow = &query{`SELECT due, id, bytes FROM queue WHERE shard = ? AND app_id = ? AND channel = ? AND lane = ? AND (due, id) > (?, ?)
		ORDER BY due, id LIMIT ?`}
	qOrphans    = &query{`SELECT app_id, id, ` + stateColumns + ` FROM state s INDEXED BY state_sending WHERE s.status = 2`}
	qHoldDelete = &query{`DELETE FROM holds WHERE node = ?`}
	qHoldInsert = &query{`INSERT INTO holds (app_id, channel, lane, shard, node, reason, until) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (app_id, channel, lane, shard) DO UPDATE SET node = excluded.node, reason = excluded.reason, until = excluded.until`}
	qHold = &query{`SELECT reason, until FROM holds WHERE app_id = ? AND channel = ? AND lane = ? AND shard = ?`}
)

// Units implements store.Queue: one seek per unit and shard.
func (s *Store) Units(ctx context.Context, shards []comm.Shard) (out []store.Wake, err error) {
	shards = slices.Compact(slices.Sorted(slices.Values(shards)))
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		for _, shard := range shards {
			u := comm.Unit{Shard: shard}
			for {
				row, err := r.one(qUnit, int64(shard), u.App[:], int64(u.Channel), int64(u.Lane)+1)
				if err != nil {
					return err
				}
				if row == nil {
					break
				}
				u.App, u.Channel, u.Lane = idOf(row[0]), comm.Channel(num(row[1])), comm.Lane(num(row[2]))
				out = append(out, store.Wake{Unit: u, Due: comm.Micros(num(row[3]))})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	return out, nil
}

// Windows implements store.Queue: one seek per unit.
func (s *Store) Windows(ctx context.Context, asks []store.Ask) (out [][]store.Head, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = make([][]store.Head, len(asks))
		return r.snapshot(len(asks), func(i int) (err error) {
			out[i], err = window(r, &asks[i])
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read windows: %w", err)
	}
	return out, nil
}

func window(r *raw, a *store.Ask) (out []store.Head, err error) {
	u := &a.Unit
	args := []value{int64(u.Shard), u.App[:], int64(u.Channel), int64(u.Lane), int64(a.After.Due), a.After.ID[:], int64(a.Limit)}
	err = r.each(qWindow, args, func(v []value) error {
		out = append(out, store.Head{Due: comm.Micros(num(v[0])), ID: idOf(v[1]), Bytes: num(v[2])})
		return nil
	})
	return out, err
}

// Orphans implements store.Queue. All open attempts are looked through: there
// are as many as calls in flight.
func (s *Store) Orphans(ctx context.Context, leases []store.Lease, limit int) (out []comm.State, err error) {
	var epochs [comm.ShardCount]int64
	for i := range epochs {
		epochs[i] = -1
	}
	for _, l := range leases {
		if int(l.Shard) < len(epochs) {
			epochs[l.Shard] = l.Epoch
		}
	}
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		return r.each(qOrphans, nil, func(v []value) error {
			st := stateRow(idOf(v[0]), idOf(v[1]), v[2:])
			if int(st.Shard) < len(epochs) && st.Epoch <= epochs[st.Shard] {
				out = append(out, st)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list orphans: %w", err)
	}
	slices.SortFunc(out, func(a, b comm.State) int { return a.ID.Compare(b.ID) })
	return out[:min(len(out), max(limit, 0))], nil
}

// Late implements store.Queue.
func (s *Store) Late(ctx context.Context, node string, results []store.LateResult) error {
	if len(results) == 0 {
		return nil
	}
	err := s.w.hot(ctx, len(results), func(r *raw) error {
		now := s.now()
		for i := range results {
			st, ok, err := stateOf(r, results[i].App, results[i].ID)
			if err != nil {
				return err
			}
			if !ok {
				continue // erased meanwhile: nothing to file it with
			}
			var log []comm.Event
			if err := r.each(qEvents, []value{st.ID[:], st.App[:], int64(st.Sequence)}, func(v []value) error {
				log = append(log, eventRow(v))
				return nil
			}); err != nil {
				return err
			}
			c := sqlstore.Late(&st, log, &results[i], node, now)
			if err := write(r, &c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("file late results: %w", err)
	}
	return nil
}

// SetHolds implements store.Queue.
func (s *Store) SetHolds(ctx context.Context, node string, holds []store.Hold) error {
	err := s.w.hot(ctx, len(holds)+1, func(r *raw) error {
		if _, err := r.run(qHoldDelete, node); err != nil {
			return err
		}
		for i := range holds {
			u := &holds[i].Unit
			if _, err := r.run(qHoldInsert, u.App[:], int64(u.Channel), int64(u.Lane), int64(u.Shard), node, holds[i].Reason, int64(holds[i].Until)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("set holds: %w", err)
	}
	return nil
}

// Hold implements store.Messages.
func (s *Store) Hold(ctx context.Context, u comm.Unit) (h store.Hold, ok bool, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		row, err := r.one(qHold, u.App[:], int64(u.Channel), int64(u.Lane), int64(u.Shard))
		if err != nil || row == nil {
			return err
		}
		h, ok = store.Hold{Unit: u, Reason: text(row[0]), Until: comm.Micros(num(row[1]))}, true
		return nil
	})
	if err != nil {
		return h, false, fmt.Errorf("read hold: %w", err)
	}
	return h, ok, nil
}
