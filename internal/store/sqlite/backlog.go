package sqlite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

var (
	// The first unit that may follow, in this shard or a later one: see qUnit.
	qNextUnit = &query{`SELECT shard, app_id, channel, lane FROM queue WHERE (shard, app_id, channel, lane) >= (?, ?, ?, ?)
		ORDER BY shard, app_id, channel, lane, due, id LIMIT 1`}
	qUnitOf   = &query{`SELECT channel, lane FROM queue WHERE shard = ? AND app_id = ? AND (channel, lane) >= (?, ?) ORDER BY channel, lane, due, id LIMIT 1`}
	qDepthDue = &query{`SELECT count(*), sum(bytes), min(due) FROM (SELECT bytes, due FROM queue WHERE shard = ? AND app_id = ? AND channel = ? AND lane = ? AND due <= ?
		ORDER BY due, id LIMIT ?)`}
	qDepthLater = &query{`SELECT count(*), sum(bytes) FROM (SELECT bytes FROM queue WHERE shard = ? AND app_id = ? AND channel = ? AND lane = ? AND due > ?
		ORDER BY due, id LIMIT ?)`}
	qQueueRows = &query{`SELECT count(*) FROM (SELECT 1 FROM queue LIMIT ?)`}
	// The rows come in the key's order, so that those of a unit stand together; a few groups are kept beside.
	qLaneDepths = &query{`SELECT channel, lane, sum(due <= ?), sum(due > ?) FROM (SELECT channel, lane, due FROM queue LIMIT ?) GROUP BY channel, lane`}
	qUnitDepths = &query{`SELECT shard, app_id, channel, lane, sum(due <= ?), sum(due > ?) FROM (SELECT shard, app_id, channel, lane, due FROM queue LIMIT ?)
		GROUP BY shard, app_id, channel, lane`}
	qUnderWay = &query{`SELECT shard, app_id, channel, lane, id, provider, provider_id FROM state INDEXED BY state_sending WHERE status = 2`}
)

// UnitsAfter implements store.Backlog.
func (s *Store) UnitsAfter(ctx context.Context, after comm.Unit, limit int) (out []comm.Unit, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		for u := after; len(out) < limit; {
			row, err := r.one(qNextUnit, int64(u.Shard), u.App[:], int64(u.Channel), int64(u.Lane)+1)
			if err != nil || row == nil {
				return err
			}
			u = comm.Unit{Shard: comm.Shard(num(row[0])), App: idOf(row[1]), Channel: comm.Channel(num(row[2])), Lane: comm.Lane(num(row[3]))}
			out = append(out, u)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list units: %w", err)
	}
	return out, nil
}

// UnitsOf implements store.Backlog: one seek per unit and shard.
func (s *Store) UnitsOf(ctx context.Context, app comm.ID, shards []comm.Shard) (out []comm.Unit, err error) {
	shards = slices.Compact(slices.Sorted(slices.Values(shards)))
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		for _, shard := range shards {
			for u := (comm.Unit{Shard: shard, App: app}); ; out = append(out, u) {
				row, err := r.one(qUnitOf, int64(shard), app[:], int64(u.Channel), int64(u.Lane)+1)
				if err != nil {
					return err
				}
				if row == nil {
					break
				}
				u.Channel, u.Lane = comm.Channel(num(row[0])), comm.Lane(num(row[1]))
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list units of an app: %w", err)
	}
	return out, nil
}

// Depths implements store.Backlog.
func (s *Store) Depths(ctx context.Context, units []comm.Unit, now comm.Micros, most []int) (out []store.Depth, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = make([]store.Depth, len(units))
		return r.snapshot(len(units), func(i int) (err error) {
			out[i], err = depth(r, units[i], now, most[i])
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("count what waits: %w", err)
	}
	return out, nil
}

func depth(r *raw, u comm.Unit, now comm.Micros, most int) (store.Depth, error) {
	d := store.Depth{Unit: u}
	key := []value{int64(u.Shard), u.App[:], int64(u.Channel), int64(u.Lane), int64(now)}
	for _, part := range []struct {
		q *query
		n *int
	}{{qDepthDue, &d.Due}, {qDepthLater, &d.Later}} {
		row, err := r.one(part.q, append(key, int64(most)+1)...)
		if err != nil {
			return d, err
		}
		*part.n = min(int(num(row[0])), most)
		d.Bytes += num(row[1])
		d.More = d.More || num(row[0]) > int64(most)
		if part.q == qDepthDue && d.Due > 0 {
			d.OldestDue = comm.Micros(num(row[2]))
		}
	}
	row, err := r.one(qHold, u.App[:], int64(u.Channel), int64(u.Lane), int64(u.Shard))
	if err != nil {
		return d, err
	}
	if row != nil {
		d.Hold = store.Hold{Unit: u, Reason: text(row[0]), Until: comm.Micros(num(row[1]))}
	}
	heads, err := window(r, &store.Ask{Unit: u, After: store.Head{Due: now + 1}, Limit: 1})
	if err != nil || len(heads) == 0 {
		return d, err
	}
	st, ok, err := stateOf(r, u.App, heads[0].ID)
	if ok {
		d.Next = comm.State{Due: st.Due, ScheduledAt: st.ScheduledAt, ExpiresAt: st.ExpiresAt, Attempts: st.Attempts}
	}
	return d, err
}

// QueueRows implements store.Backlog.
func (s *Store) QueueRows(ctx context.Context, most int) (n int, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		row, err := r.one(qQueueRows, int64(most))
		if err == nil {
			n = int(num(row[0]))
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count the queue: %w", err)
	}
	return n, nil
}

// LaneDepths implements store.Backlog.
func (s *Store) LaneDepths(ctx context.Context, now comm.Micros, most int) (out []store.LaneDepth, more bool, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		return r.each(qLaneDepths, []value{int64(now), int64(now), int64(most) + 1}, func(row []value) error {
			out = append(out, store.LaneDepth{Channel: comm.Channel(num(row[0])), Lane: comm.Lane(num(row[1])), Due: int(num(row[2])), Later: int(num(row[3]))})
			return nil
		})
	})
	if err != nil {
		return nil, false, fmt.Errorf("count the queue by lanes: %w", err)
	}
	return out, store.Counted(out) > most, nil
}

// UnitDepths implements store.Backlog.
func (s *Store) UnitDepths(ctx context.Context, now comm.Micros, most int) (out []store.UnitDepth, more bool, err error) {
	counted := 0
	err = s.readers.with(ctx, func(r *raw) error {
		out, counted = nil, 0
		return r.each(qUnitDepths, []value{int64(now), int64(now), int64(most) + 1}, func(v []value) error {
			u := comm.Unit{Shard: comm.Shard(num(v[0])), App: idOf(v[1]), Channel: comm.Channel(num(v[2])), Lane: comm.Lane(num(v[3]))}
			d := store.UnitDepth{Unit: u, Due: int(num(v[4])), Later: int(num(v[5]))}
			out, counted = append(out, d), counted+d.Due+d.Later
			return nil
		})
	})
	if err != nil {
		return nil, false, fmt.Errorf("count the queue by units: %w", err)
	}
	return out, counted > most, nil
}

// UnderWay implements store.Backlog.
func (s *Store) UnderWay(ctx context.Context) (out []store.UnderWay, err error) {
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		return r.each(qUnderWay, nil, func(v []value) error {
			u := comm.Unit{Shard: comm.Shard(num(v[0])), App: idOf(v[1]), Channel: comm.Channel(num(v[2])), Lane: comm.Lane(num(v[3]))}
			out = append(out, store.UnderWay{Unit: u, ID: idOf(v[4]), Provider: text(v[5]), ProviderID: idOf(v[6])})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list attempts under way: %w", err)
	}
	return out, nil
}

// sliceTime is how long a slice of cancelling keeps the writer, before its commit.
const sliceTime = 3 * time.Millisecond

// CancelQueued implements store.Backlog.
func (s *Store) CancelQueued(ctx context.Context, u comm.Unit, heads []store.Head, until comm.Micros, actor string) (store.CancelledSlice, error) {
	return s.endQueued(ctx, u, heads, actor, func(st *comm.State) bool { return sqlstore.Waited(st, until) })
}

// EndDoubtful implements store.Backlog.
func (s *Store) EndDoubtful(ctx context.Context, u comm.Unit, heads []store.Head, policy bool, actor string) (store.CancelledSlice, error) {
	return s.endQueued(ctx, u, heads, actor, func(st *comm.State) bool { return sqlstore.Doubtful(st, policy) })
}

// endQueued cancels those that are queued and meant: as many as fit into the time.
func (s *Store) endQueued(ctx context.Context, u comm.Unit, heads []store.Head, actor string, meant func(*comm.State) bool) (done store.CancelledSlice, err error) {
	err = s.w.hot(ctx, len(heads), func(r *raw) error {
		done = store.CancelledSlice{}
		now, begun := s.now(), time.Now()
		for i := range heads {
			if i > 0 && time.Since(begun) > sliceTime {
				return nil
			}
			done.Looked++
			st, ok, err := stateOf(r, u.App, heads[i].ID)
			if err != nil {
				return err
			}
			if !ok || st.Status != comm.Queued || !meant(&st) {
				continue
			}
			c, result := sqlstore.Cancel(&st, actor, now)
			if err := write(r, &c); err != nil {
				return err
			}
			done.Add(result)
		}
		return nil
	})
	if err != nil {
		return store.CancelledSlice{}, fmt.Errorf("cancel what is queued: %w", err)
	}
	return done, nil
}
