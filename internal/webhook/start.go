package webhook

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

const (
	// longAfter is how long a call holds its place: those that go on for longer only wait for their answers, and others have their turns meanwhile. There may
	// be longTimes as many of them as there are places; the next ones hold theirs.
	longAfter = 100 * time.Millisecond
	longTimes = 2
	// lateAfter is how long the last call of an endpoint took that is late: those have half of the places together, and no
	// more, however many they are.
	lateAfter = 5 * time.Second
)

// address is where a call goes to, and of which version of the endpoint that is.
type address struct {
	url     string
	keys    secrets
	version int
}

// underWay is a call that has begun. What is below is guarded by Service.mu.
type underWay struct {
	t      *target
	d      store.Delivery
	ticket pace.Ticket
	to     address

	late  bool // its endpoint was, when it began
	long  bool
	ended bool
}

// start begins as many calls as there are places for, endpoint by endpoint.
func (s *Service) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock()
	s.freshen(now)
	for idle := 0; idle < len(s.order) && s.taken() < s.cfg.Slots && !s.stopping; {
		s.turn = (s.turn + 1) % len(s.order)
		t := s.order[s.turn]
		if !s.ready(t, now) {
			idle++
			continue
		}
		ticket, ok := t.breaker.Allow(now)
		if !ok {
			idle++
			continue
		}
		idle = 0
		c := &underWay{t: t, d: s.pop(t), ticket: ticket, to: address{t.endpoint.URL, t.keys, t.endpoint.Version}, late: t.late}
		if len(t.queue) == 0 {
			t.stored = now
		}
		t.used = now
		s.inflight++
		t.inflight++
		if c.late {
			s.late++
		}
		s.calls.Go(func() { s.one(ctx, c) })
	}
}

// freshen takes out of queues what was read long ago: it is read again before it is posted, if it is there still.
func (s *Service) freshen(now time.Time) {
	old := false
	for _, t := range s.order {
		switch {
		case len(t.queue) == 0:
			t.stored = now
		case now.Sub(t.stored) > believed || now.Before(t.stored):
			s.empty(t)
			t.stored, old = now, true
		}
	}
	if old {
		s.stir()
	}
}

// taken is how many places are: a call that takes long holds none, as far as there may be more of those.
func (s *Service) taken() int { return s.inflight - min(s.long, longTimes*s.cfg.Slots) }

// ready says that an endpoint may have another call. While places are scarce each has one, and while many calls take long none beside such a
// one: however many endpoints are slow or answer nothing, the others have their turns.
func (s *Service) ready(t *target, now time.Time) bool {
	if len(t.queue) == 0 || !t.current() || !s.open(t) || now.Before(t.until) {
		return false
	}
	taken, places := s.taken(), s.cfg.Slots
	if t.late {
		taken, places = s.late, (s.cfg.Slots+1)/2
	}
	switch {
	case taken >= places || t.long > 0 && s.long >= s.cfg.Slots/2:
		return false
	case taken >= places/2:
		return t.inflight < 1
	}
	return t.inflight < s.cfg.PerEndpoint
}

// one makes a call and hands over what it came to.
func (s *Service) one(ctx context.Context, c *underWay) {
	t := c.t
	long := time.AfterFunc(longAfter, func() { s.takesLong(c) })
	a := s.call(ctx, c.to.url, c.to.keys, &c.d)
	long.Stop()
	s.cfg.Meter.Called(a.word(), a.took)
	s.answered(c)
	c.d.Body = nil // it is not needed any more
	s.learn(c, &a) // before it is judged, which notes until when the endpoint rests
	// Before its place is free: while results cannot be stored, no more calls begin than there are places.
	s.results <- done{t, c.d, a, c.to.version}
	s.mu.Lock()
	s.inflight--
	t.inflight--
	if c.late {
		s.late--
	}
	s.mu.Unlock()
	s.stir()
}

// learn takes in what a call says of its endpoint.
func (s *Service) learn(c *underWay, a *answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, now := c.t, s.cfg.Clock()
	if t.endpoint.Version != c.to.version {
		return // it says nothing of the address that the next ones go to
	}
	result := a.result()
	if a.fault == faultStopping {
		result = pace.Neutral
	} else {
		t.late = a.took > lateAfter
	}
	t.breaker.Done(now, c.ticket, result)
	if off := a.putOff(); off > 0 {
		t.until = now.Add(off)
	}
	s.rested(t, now)
	if t.resting(now) {
		s.empty(t)
	}
}

// takesLong gives the place of a call that is under way still to others.
func (s *Service) takesLong(c *underWay) {
	s.mu.Lock()
	if !c.ended {
		c.long = true
		s.long++
		c.t.long++
	}
	s.mu.Unlock()
	s.stir()
}

// answered ends that a call takes long.
func (s *Service) answered(c *underWay) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended = true; c.long {
		s.long--
		c.t.long--
	}
}
