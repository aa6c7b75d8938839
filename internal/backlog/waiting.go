package backlog

import (
	"cmp"
	"context"
	"slices"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// mostOverdue is how many units are looked at closely for messages that wait too long.
const mostOverdue = 200

// Overdue lists, for each app that nobody stopped, the unit whose oldest message that is not under way has been due since
// before an instant for the longest, the longest first. Of very many it answers those that began to wait last, and that there
// are more: what is stuck for good must not hide what is new.
func (s *Service) Overdue(ctx context.Context, before comm.Micros) (out []Unit, more bool, err error) {
	firsts, err := s.firsts(ctx, before)
	if err != nil {
		return nil, false, err
	}
	slices.SortFunc(firsts, func(a, b store.Wake) int { return cmp.Compare(b.Due, a.Due) })
	apps := map[comm.ID]*comm.App{}
	var units []comm.Unit
	for part := range slices.Chunk(firsts, unitsAtOnce) {
		some, err := s.going(ctx, part, apps)
		if err != nil {
			return nil, false, err
		}
		for i := range some {
			units = append(units, some[i].Unit)
		}
		if more = len(units) >= mostOverdue; more {
			break
		}
	}
	if len(units) == 0 {
		return nil, false, nil
	}
	underWay, err := s.store.UnderWay(ctx)
	if err != nil {
		return nil, false, err
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return nil, false, err
	}
	all, err := s.count(ctx, units, apps, underWay, now, 1)
	if err != nil {
		return nil, false, err
	}
	slices.SortStableFunc(all, func(a, b Unit) int { return cmp.Compare(a.OldestDue, b.OldestDue) })
	seen := map[comm.ID]bool{}
	return slices.DeleteFunc(all, func(u Unit) bool {
		gone := u.OldestDue == 0 || u.OldestDue > before || seen[u.App.ID]
		seen[u.App.ID] = seen[u.App.ID] || !gone
		return gone
	}), more, nil
}

// Lane is a lane of a channel.
type Lane struct {
	Channel comm.Channel
	Lane    comm.Lane
}

// Oldest answers since when the message that has been due longest is, one under way too, of each lane in which there is one of an
// app that nobody stopped: what somebody holds back on purpose is not late. What it costs follows the units that wait: a seek
// for each, and their apps for as far as one that is stopped stands before the first that is not.
func (s *Service) Oldest(ctx context.Context, now comm.Micros) (map[Lane]comm.Micros, error) {
	firsts, err := s.firsts(ctx, now)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(firsts, func(a, b store.Wake) int { return cmp.Compare(a.Due, b.Due) })
	apps := map[comm.ID]*comm.App{}
	out := map[Lane]comm.Micros{}
	for len(firsts) > 0 {
		some, err := s.going(ctx, firsts[:min(len(firsts), unitsAtOnce)], apps)
		if err != nil {
			return nil, err
		}
		firsts = firsts[min(len(firsts), unitsAtOnce):]
		for _, w := range some {
			if l := laneOf(w.Unit); out[l] == 0 {
				out[l] = w.Due
			}
		}
		firsts = slices.DeleteFunc(firsts, func(w store.Wake) bool { return out[laneOf(w.Unit)] != 0 })
	}
	return out, nil
}

func laneOf(u comm.Unit) Lane { return Lane{u.Channel, u.Lane} }

// firsts lists all units of which something has been due since an instant, or before, each with since when.
func (s *Service) firsts(ctx context.Context, since comm.Micros) ([]store.Wake, error) {
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	all, err := s.store.Units(ctx, shards)
	return slices.DeleteFunc(all, func(w store.Wake) bool { return w.Due > since }), err
}

// going is those of some units whose apps nobody stopped. The apps are learned.
func (s *Service) going(ctx context.Context, some []store.Wake, apps map[comm.ID]*comm.App) (out []store.Wake, err error) {
	units := make([]comm.Unit, len(some))
	for i := range some {
		units[i] = some[i].Unit
	}
	if err := s.learn(ctx, units, apps); err != nil {
		return nil, err
	}
	for _, w := range some {
		if a := apps[w.Unit.App]; a != nil && chain.Stopped(a) == "" {
			out = append(out, w)
		}
	}
	return out, nil
}
