package dispatch

import (
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func (s *scheduler) nodeName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// lose forgets a shard: its units leave the scheduler, its calls go on without a home.
func (s *scheduler) lose(sh *shard) {
	if sh.lost {
		return
	}
	sh.lost = true
	if s.shards[sh.id] == sh {
		s.shards[sh.id] = nil
	}
	for _, u := range sh.units {
		s.remove(u)
	}
	for id, j := range sh.inflight {
		if j.unit != nil && j.holds {
			s.detached[id] = j
		}
	}
	sh.units, sh.early = map[unitKey]*unit{}, nil
	s.aside.next = time.Time{} // what is aside of it ends
	s.poke()
}

// adopt gives a message that was found SENDING at a take-over back to the call
// of this very process that still runs for it, if there is one: the outcome is
// not unknown, merely not there yet.
func (s *scheduler) adopt(sh *shard, st *comm.State) bool {
	j := s.detached[st.ID]
	if j == nil || j.state.Attempts != st.Attempts || j.state.Epoch != st.Epoch || j.answered {
		return false
	}
	u := s.unitOf(sh, comm.Unit{Shard: sh.id, App: st.App, Channel: st.Channel, Lane: st.Lane})
	if u == nil {
		return false
	}
	delete(s.detached, st.ID)
	if u.tenant != j.unit.tenant {
		j.unit.tenant.inflight[j.class]--
		u.tenant.inflight[j.class]++
		j.unit.tenant.cargo[j.class] -= j.cargo
		u.tenant.cargo[j.class] += j.cargo
	}
	u.inflight++
	j.stuck(false)
	j.shard, j.unit = sh, u
	sh.inflight[st.ID] = j
	s.count.adopted++
	return true
}

// seen takes what a heartbeat says of the cluster.
func (s *scheduler) seen(c store.Cluster) {
	s.count.workers = len(c.Workers)
	if n, rank := max(1, len(c.Workers)), max(0, slices.Index(c.Workers, s.node)); n != s.dir.share || rank != s.dir.rank {
		s.dir.share, s.dir.rank = n, rank
		for _, e := range s.dir.entries {
			for _, a := range e.accounts {
				s.spread(e, a)
			}
		}
	}
	if c.ConfigVersion != s.dir.remote {
		s.dir.remote = c.ConfigVersion
		s.outdated()
	}
	s.recount()
}
