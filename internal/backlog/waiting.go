package backlog

import (
	"cmp"
	"context"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// mostOverdue is how many units are looked at closely for messages that wait too long.
const mostOverdue = 200

// Overdue lists, for each app that is not paused, the unit whose oldest message that is not under way has been due since
// before an instant for the longest, the longest first. Of very many it answers those that began to wait last, and that there
// are more: what is stuck for good must not hide what is new.
func (s *Service) Overdue(ctx context.Context, before comm.Micros) (out []Unit, more bool, err error) {
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	firsts, err := s.store.Units(ctx, shards)
	if err != nil {
		return nil, false, err
	}
	firsts = slices.DeleteFunc(firsts, func(w store.Wake) bool { return w.Due > before })
	slices.SortFunc(firsts, func(a, b store.Wake) int { return cmp.Compare(b.Due, a.Due) })
	apps := map[comm.ID]*comm.App{}
	var units []comm.Unit
	for part := range slices.Chunk(firsts, unitsAtOnce) {
		some := make([]comm.Unit, len(part))
		for i := range part {
			some[i] = part[i].Unit
		}
		if err := s.learn(ctx, some, apps); err != nil {
			return nil, false, err
		}
		units = append(units, slices.DeleteFunc(some, func(u comm.Unit) bool {
			a := apps[u.App]
			return a == nil || !a.Active || a.QueueState() != comm.QueueRunning
		})...)
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
