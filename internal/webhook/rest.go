package webhook

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
)

// restLeast is how long an endpoint is left alone at least for it to be stored: what is shorter is over before anybody has read of it, and an
// endpoint that asks for a second with every answer costs no write for each. A breaker opens for so long at first.
const restLeast = 5 * time.Second

// rested notes what the end of a call has made of until when the next one may start; mu is held.
func (s *Service) rested(t *target, now time.Time) {
	at := t.until
	// While it is half open it waits for the call that is under way, and may be closed by it at once: that is no rest.
	if next, wait, _ := t.breaker.Next(now); wait && t.breaker.State(now) == pace.Open && next.After(at) {
		at = next
	}
	if at.Equal(t.rest) {
		return
	}
	if t.rest, t.rests = at, 0; at.Sub(now) >= restLeast {
		t.rests = comm.At(at.Add(s.ahead))
	}
}

// resume is until when an endpoint is left alone that another node, or this one, left alone before. What lies further ahead than one may ask for is
// of another clock, and not believed. mu is held.
func (s *Service) resume(told comm.Micros, now time.Time) time.Time {
	if told == 0 {
		return time.Time{}
	}
	at := told.Time().Add(-s.ahead)
	if at.Sub(now) > maxRetryAfter {
		return time.Time{}
	}
	return at
}
