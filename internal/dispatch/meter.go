package dispatch

import (
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
)

// Meter is told what happens, for metrics. Its methods are called by many goroutines, most of them while the scheduler is locked: they must
// be quick, and never block or call back.
type Meter interface {
	// Called says what a call of a provider's type (lower case; "sandbox" for the logger) came to, and how long it took.
	Called(providerType string, class provider.Class, took time.Duration)
	// FailedOver says that a round goes on with another configuration after an answer of this type.
	FailedOver(providerType string)
	// Changed says that a message was brought to a state for a reason, and that this is stored.
	Changed(ch comm.Channel, to comm.Status, cause comm.Cause)
	// Sent says how long after a message could have been sent first (it was accepted, or its scheduled time came) a provider had it.
	Sent(ch comm.Channel, lane comm.Lane, took time.Duration)
}

// unmetered is the Meter of whoever gives none.
type unmetered struct{}

func (unmetered) Called(string, provider.Class, time.Duration)  {}
func (unmetered) FailedOver(string)                             {}
func (unmetered) Changed(comm.Channel, comm.Status, comm.Cause) {}
func (unmetered) Sent(comm.Channel, comm.Lane, time.Duration)   {}

// meter tells of a stored outcome.
func (s *scheduler) meter(x *finish) {
	want := &x.item.Want
	s.meters.Changed(x.item.Unit.Channel, want.To, want.Cause)
	if m := &x.job.state; want.To == comm.Sent && !x.orphan && m.Generation <= 1 { // a RETRY begins long after the message was accepted
		s.meters.Sent(x.item.Unit.Channel, x.item.Unit.Lane, s.clock.db().Sub(max(m.CreatedAt, m.ScheduledAt)))
	}
}

// meterEnded tells of a message that a check of attempt start ended.
func (s *scheduler) meterEnded(m *comm.State) {
	cause, ok := comm.ParseCause(m.ErrorCode)
	switch {
	case m.Status == comm.Suppressed:
		cause = comm.CauseSuppressed
	case m.Status == comm.Cancelled:
		cause = comm.CauseCancelledBeforeStart
	case !ok:
		cause = comm.CauseInternalError
	}
	s.meters.Changed(m.Channel, m.Status, cause)
}

// Health is how a provider configuration stands on a node.
type Health uint8

// The healths, best first. A configuration has the worst that applies.
const (
	Works     Health = iota // calls go through
	Throttled               // it asked to be sent to more slowly
	Trying                  // its breaker lets a few calls through and decides by them
	Down                    // its breaker is open
	Unusable                // it cannot be opened: credentials, or a type that is not known
)

// Healths lists the names of the healths, in their order.
func Healths() []string { return []string{"works", "throttled", "trying", "down", "unusable"} }

// Configurations counts those that this node sends with by type (lower case) and Health. It is for scrapes: it takes the
// scheduler's lock for some ten nanoseconds each.
func (d *Dispatcher) Configurations() map[string][Unusable + 1]int {
	out := map[string][Unusable + 1]int{}
	s := d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.now()
	for _, e := range s.dir.entries {
		for _, a := range e.accounts {
			if !a.config.Active {
				continue
			}
			n := out[a.name]
			n[a.health(now)]++
			out[a.name] = n
		}
	}
	return out
}

func (a *account) health(now time.Time) Health {
	switch state := a.breaker.State(now); {
	case a.broken != "":
		return Unusable
	case state == pace.Open:
		return Down
	case state == pace.HalfOpen:
		return Trying
	case a.throttled.After(now):
		return Throttled
	}
	return Works
}

// Holds counts the units that cannot send now by reason, a word of chain.WaitReasons.
func (d *Dispatcher) Holds() map[string]int {
	out := map[string]int{}
	s := d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	for u := range s.held {
		reason := u.hold.Reason
		if reason == "" {
			reason = chain.WaitTurn
		}
		out[reason]++
	}
	return out
}
