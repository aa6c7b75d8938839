package dispatch

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	holdAge  = time.Second // a shorter hold is not worth a write
	maxHolds = 10_000      // published at once
	holdSlip = 2 * time.Second
)

// publish tells the store why units do not send, when that changed: once per
// poll at most, and nothing at all while a hold only lasts.
func (p *poller) publish(ctx context.Context) {
	s := p.d.sched
	now := s.clock.now()
	if now.Sub(p.refused) < readRetry {
		return
	}
	s.mu.Lock()
	node := s.node
	fresh := s.holds(now)
	s.mu.Unlock()
	if node != p.node {
		p.node, p.published = node, map[comm.Unit]store.Hold{}
	}
	if !p.differs(fresh) {
		return
	}
	list := make([]store.Hold, 0, len(fresh))
	for _, h := range fresh {
		list = append(list, h)
	}
	if err := p.d.cfg.Queue.SetHolds(ctx, node, list); err != nil {
		p.refused = now
		if ctx.Err() == nil {
			p.d.outages.holds.Failed(err, "holds", len(list))
		}
		return
	}
	p.d.outages.holds.Worked()
	p.published = fresh
}

// holds is what holds units now, long enough to be worth telling.
func (s *scheduler) holds(now time.Time) map[comm.Unit]store.Hold {
	out := make(map[comm.Unit]store.Hold, min(len(s.held), maxHolds))
	for u := range s.held {
		if len(out) == maxHolds {
			break
		}
		if now.Sub(u.heldSince) < holdAge {
			continue
		}
		why := u.hold
		if u.holder != nil {
			if c := u.holder.condition(now, s.clock.dbAt(now), classOf(u.key.Lane), s.percent()); c.Reason != "" {
				why = c
			}
			if why.Brief {
				why.Until = 0 // a moment's wait, again and again: not worth a write each time
			}
		}
		out[u.key] = store.Hold{Unit: u.key, Reason: why.Reason, Until: why.Until}
	}
	return out
}

// differs ignores ends that merely slip.
func (p *poller) differs(fresh map[comm.Unit]store.Hold) bool {
	if len(fresh) != len(p.published) {
		return true
	}
	for u, h := range fresh {
		old, ok := p.published[u]
		if slip := h.Until.Sub(old.Until); !ok || old.Reason != h.Reason || slip > holdSlip || slip < -holdSlip {
			return true
		}
	}
	return false
}
