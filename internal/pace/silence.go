package pace

import (
	"slices"
	"time"
)

// A peer that takes work and never answers gives no results that a share could be
// counted of until the work runs out of its time. What tells sooner is that several
// pieces are under way for longer than answers take, and that nothing came back
// meanwhile. Any success counts, also one of work that began long before: a peer that
// is slow and answers is not silent.

// silence is what a Breaker knows of the work under way.
type silence struct {
	begun   []time.Time   // of the work under way, oldest first
	heard   time.Time     // when work succeeded last
	usual   time.Duration // how long work that succeeds takes, on average
	stalled bool          // it opened because the peer did not answer
	missed  int           // pieces in a row that failed after the patience with them was over
}

// Began notes that the peer is called now for the work of the ticket, which may
// have waited since Allow. Done needs the ticket that it answers. Without it the work does not
// count towards silence.
func (b *Breaker) Began(now time.Time, ticket Ticket) Ticket {
	ticket.began = now
	b.silence.begun = append(b.silence.begun, now)
	return ticket
}

// ended takes work off the list. patience is how long its answer might be missing.
func (s *silence) ended(now time.Time, ticket Ticket, result Result, patience time.Duration) {
	if ticket.began.IsZero() {
		return
	}
	// Times of one moment are alike: whichever of them goes.
	if i, found := slices.BinarySearchFunc(s.begun, ticket.began, time.Time.Compare); found {
		s.begun = slices.Delete(s.begun, i, i+1)
	}
	took := now.Sub(ticket.began)
	if result == Failure && took >= patience {
		s.missed++
	}
	if result != Success {
		return
	}
	const weight = 8
	s.missed = 0
	if s.heard = now; s.usual == 0 {
		s.usual = took
	}
	s.usual += (took - s.usual) / weight
}

// patience is how long answers may be missing: twice as long as they usually take.
func (b *Breaker) patience() time.Duration { return max(b.config.Silence, 2*b.silence.usual) }

// SilentAt returns when the peer counts as silent unless work succeeds before: when
// few pieces of work at least (of a half-open one: the probes) have been under way for
// Silence, or twice as long as answers usually take if that is longer, and nothing has succeeded for as long. Where work
// is rare, pieces that failed after as long count among the few until something succeeds.
// ok is false while too little is under way, and for a breaker that is open or pinned.
func (b *Breaker) SilentAt(few int) (at time.Time, ok bool) {
	s := &b.silence
	if b.pin != PinNone {
		return time.Time{}, false
	}
	switch few = max(few-s.missed, 1); {
	case b.state == Closed && len(s.begun) >= few:
		at = s.begun[few-1]
	case b.state == HalfOpen && b.probes > 0 && len(s.begun) > 0:
		at = b.lastProbe
	default:
		return time.Time{}, false
	}
	if at.Before(s.heard) {
		at = s.heard
	}
	return at.Add(b.patience()), true
}

// Stall opens the breaker because the peer is silent and somebody else can do the work.
// The first success of work that is still under way closes it again at once.
func (b *Breaker) Stall(now time.Time) {
	if b.State(now) == Open {
		return
	}
	b.Trip(now)
	b.silence.stalled = true
}

// Stalled says whether it is open, or half-open, because the peer did not answer.
func (b *Breaker) Stalled() bool { return b.silence.stalled && b.state != Closed }

// Detach forgets the work under way: it will be reported to another breaker. A copy for
// a peer that goes on under other terms needs it.
func (b *Breaker) Detach() { b.silence.begun = nil }
