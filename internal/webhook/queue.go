package webhook

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

const (
	// queueOf is how many deliveries of an endpoint are held in memory, queueAll of all endpoints together, and queueBytes of their bodies.
	queueOf    = 32
	queueAll   = 4096
	queueBytes = 32 << 20
)

// recent says that an endpoint may be believed to be as it was read.
func (t *target) recent(now time.Time) bool {
	return now.Sub(t.read) <= freshFor && t.current()
}

// current says that nobody has changed the endpoint since it was read.
func (t *target) current() bool { return t.seen >= t.changed }

// resting says that no call may start for a while: the endpoint wants that, or the breaker.
func (t *target) resting(now time.Time) bool {
	_, wait, _ := t.breaker.Next(now)
	return wait || now.Before(t.until)
}

// places is how many deliveries of an endpoint may be held now. One that rests has none: what waits for it is in the store, and others need the
// places. The fewer are left, the fewer each has, and the last ones are for those that have no call under way and
// are not late: endpoints that are slow leave some to all others.
func (s *Service) places(t *target, now time.Time) int {
	percent := max(s.queued*100/queueAll, s.bytes*100/queueBytes)
	switch {
	case percent >= 100 || percent >= 75 && (t.inflight > 0 || t.late) || t.resting(now):
		return 0
	case percent >= 75 || t.breaker.State(now) == pace.HalfOpen:
		return 1
	case percent >= 50:
		return s.cfg.PerEndpoint
	}
	return queueOf
}

// gets says that a delivery was made for the endpoint, and not for one that had its id before.
func (t *target) gets(d *store.Delivery) bool {
	return d.MadeFor == 0 || d.MadeFor == t.endpoint.CreatedAt
}

// room says that an endpoint's queue takes another delivery.
func (s *Service) room(t *target) bool { return len(t.queue) < s.places(t, s.cfg.Clock()) }

// push adds a delivery to a queue, unless it is there, or was read before it was called.
func (s *Service) push(t *target, d store.Delivery) {
	if _, there := t.known[d.ID]; there || s.ended.stale(&d) {
		return
	}
	t.known[d.ID] = struct{}{}
	t.used = s.cfg.Clock()
	t.queue = append(t.queue, d)
	s.queued++
	s.bytes += len(d.Body)
}

// pop takes the first delivery out of a queue, to be called.
func (s *Service) pop(t *target) store.Delivery {
	d := t.queue[0]
	t.queue[0] = store.Delivery{} // its body is not kept by the queue's array
	t.queue = t.queue[1:]
	s.queued--
	s.bytes -= len(d.Body)
	return d
}

// empty takes everything out of a queue: it is in the store.
func (s *Service) empty(t *target) {
	for i := range t.queue {
		delete(t.known, t.queue[i].ID)
		s.bytes -= len(t.queue[i].Body)
	}
	s.queued -= len(t.queue)
	t.queue, t.more = nil, true
}

// fill reads what is due of an endpoint into its queue. What is left of one that had its id before is removed.
func (s *Service) fill(ctx context.Context, e store.DueEndpoint, now comm.Micros) error {
	s.mu.Lock()
	t := s.targets[e.Endpoint]
	if t == nil || !t.current() || !s.open(t) || len(t.queue) > s.cfg.PerEndpoint || !s.room(t) {
		s.mu.Unlock()
		return nil
	}
	if len(t.queue) == 0 {
		t.stored = s.cfg.Clock() // what is read now is stored now: a look at many endpoints may take longer than that is believed
	}
	limit := s.places(t, s.cfg.Clock()) + len(t.known)
	s.mu.Unlock()
	list, err := s.cfg.Store.DueDeliveries(ctx, e, now, limit)
	if err != nil {
		return err
	}
	foreign := s.take(t, list, limit)
	if len(foreign) == 0 {
		return nil
	}
	// These alone, which stand in the way of what is the endpoint's: what else is left is for the upkeep.
	if removed, err := s.cfg.Store.DropForeign(ctx, e.App, e.Endpoint, foreign[:min(len(foreign), removeAtOnce)]); err != nil || removed == 0 {
		return err
	}
	s.stir()
	return nil
}

// take puts what was read into a queue, and says what among it was made for another endpoint.
func (s *Service) take(t *target, list []store.Delivery, limit int) (foreign []comm.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.more = len(list) == limit
	for i := range list {
		if _, there := t.known[list[i].ID]; there {
			continue
		}
		if !t.gets(&list[i]) {
			foreign, t.more = append(foreign, list[i].ID), true
			continue
		}
		if !s.room(t) {
			t.more = true
			continue // there may be more that is foreign
		}
		s.push(t, list[i])
	}
	slices.SortStableFunc(t.queue, func(a, b store.Delivery) int { return cmp.Or(cmp.Compare(a.Due, b.Due), a.ID.Compare(b.ID)) })
	return foreign
}

// ended remembers for a while which attempts were recorded: what was read or made before that, and arrives after it, is not
// called again. The younger half is what was noted since the last turn; only the loader, which reads, turns them.
type ended struct {
	younger, older map[comm.ID]int
	turned         time.Time
}

// note remembers a recorded attempt.
func (e *ended) note(id comm.ID, attempt int) {
	if e.younger == nil {
		e.younger = map[comm.ID]int{}
	}
	e.younger[id] = attempt
}

// stale says that a delivery looks as it did before a recorded attempt.
func (e *ended) stale(d *store.Delivery) bool {
	return d.Attempts < max(e.younger[d.ID], e.older[d.ID])
}

// forget drops what was recorded so long ago that no reading of before is under way.
func (s *Service) forget(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.ended.turned) > freshFor {
		s.ended.older, s.ended.younger, s.ended.turned = s.ended.younger, nil, now
	}
}
