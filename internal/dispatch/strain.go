package dispatch

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// lately is how far back calls count of which is told how they went.
const lately = time.Minute

// strain is a configuration of which calls failed lately, or whose provider asked for a pause.
type strain struct {
	app   comm.ID
	until time.Time   // the pause's end, as it was told
	at    comm.Micros // the same by the database's clock, which moves a little against this node's
}

// strain remembers an account of which there is something to tell, after a call of it.
func (s *scheduler) strain(a *account, now time.Time) {
	if _, known := s.strained[a.config.ID]; known || a == s.logger {
		return
	}
	if _, failed := a.ended.Sums(now); failed > 0 || a.throttled.After(now) {
		s.strained[a.config.ID] = strain{app: a.config.App}
	}
}

// strains is what there is to tell now of what this node sends with.
func (s *scheduler) strains(now time.Time) map[comm.ID]store.ProviderStrain {
	out := map[comm.ID]store.ProviderStrain{}
	for id, x := range s.strained {
		e := s.dir.entries[x.app]
		if e == nil || e.accounts[id] == nil || !s.sendsFor(e) {
			delete(s.strained, id)
			continue
		}
		a := e.accounts[id]
		good, failed := a.ended.Sums(now)
		t := store.ProviderStrain{App: x.app, ID: id, Calls: int64(good + failed), Failed: int64(failed)}
		if a.throttled.After(now) {
			if x.until != a.throttled {
				x.until, x.at = a.throttled, s.clock.dbAt(a.throttled)
				s.strained[id] = x
			}
			t.ThrottledUntil = x.at
		}
		switch {
		case t.Failed == 0 && t.ThrottledUntil == 0:
			delete(s.strained, id)
		case len(out) < maxIlls:
			out[id] = t
		}
	}
	return out
}

// tellStrains tells the store how calls go, when that changed, and not more often than figures are told.
func (p *poller) tellStrains(ctx context.Context) {
	s := p.d.sched
	now := s.clock.now()
	if p.d.cfg.Troubles == nil || now.Sub(p.strainsAt) < figuresEvery {
		return
	}
	s.mu.Lock()
	fresh := s.strains(now)
	node := s.node
	s.mu.Unlock()
	if node != p.strainsBy {
		p.strainsBy, p.strains = node, nil
	}
	if maps.Equal(fresh, p.strains) {
		return
	}
	p.strainsAt = now
	if err := p.d.cfg.Troubles.SetProviderStrains(ctx, node, slices.Collect(maps.Values(fresh))); err != nil {
		failedToTell(ctx, &p.d.outages.strains, err)
		return
	}
	p.d.outages.strains.Worked()
	p.strains = fresh
}
