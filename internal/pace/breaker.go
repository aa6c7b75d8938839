package pace

import "time"

// State is the state of a Breaker.
type State uint8

const (
	// Closed: work goes through.
	Closed State = iota
	// Open: nothing goes through until a time.
	Open
	// HalfOpen: a few probes go through, and decide.
	HalfOpen
)

// String returns "closed", "open" or "half_open".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half_open"
	}
	return "unknown"
}

// Pin is an operator's decision that overrules the measurement.
type Pin uint8

const (
	// PinNone: the breaker decides.
	PinNone Pin = iota
	// PinOpen: nothing goes through.
	PinOpen
	// PinClosed: everything goes through.
	PinClosed
)

// Result is how a piece of allowed work ended, in the eyes of the breaker.
type Result uint8

const (
	// Success: the peer did its work, even if it refused this message.
	Success Result = iota
	// Failure: the peer is at fault.
	Failure
	// Neutral: says nothing about the peer (throttled, cancelled, never tried).
	Neutral
	// Doubtful: a Failure that may be the work's own fault, because this piece has failed before.
	Doubtful
)

// doubts is how many doubtful failures of probes tell as much as one Failure: few pieces
// of work that fail wherever they are tried must not speak for the peer.
const doubts = 4

// BreakerConfig tunes a Breaker. A zero field takes the default in brackets.
type BreakerConfig struct {
	// Window is how far back results count while closed [1 min]. Results leave it
	// in tenths.
	Window time.Duration
	// MinCount is how many results the window must hold before the share of
	// failures means anything [10].
	MinCount int
	// Share opens the breaker: failures / results, above 0 to 1 [0.5].
	Share float64
	// Row opens it as well: so many failures in a row, within the window [10]. The share alone would let a peer that
	// dies under a high rate be called for half a window, because of all that went well before.
	Row int
	// Probes is how many successes of probes close it again, how many failures that come
	// first keep it open, and how many may be under way at once [2].
	Probes int
	// ProbeWait is after how long an unanswered probe stops blocking the next one
	// [15 min]. It must exceed the longest attempt.
	ProbeWait time.Duration
	// OpenFor is the first time of staying open [10 s]; it doubles each time the
	// probes fail, up to MaxOpen [10 min].
	OpenFor, MaxOpen time.Duration
	// Silence is how long nothing may come back of a few pieces of work under way before
	// SilentAt calls the peer silent [1.5 s].
	Silence time.Duration
	// MinClosed is how long it stays closed at least after the probes closed it
	// [5 s], so that it does not flap; Trip overrules it.
	MinClosed time.Duration
}

func (c BreakerConfig) withDefaults() BreakerConfig {
	c.Window = orDefault(c.Window, time.Minute)
	c.MinCount = orDefault(c.MinCount, 10)
	c.Share = min(orDefault(c.Share, 0.5), 1)
	c.Row = orDefault(c.Row, 10)
	c.Probes = orDefault(c.Probes, 2)
	c.ProbeWait = orDefault(c.ProbeWait, 15*time.Minute)
	c.OpenFor = orDefault(c.OpenFor, 10*time.Second)
	c.MaxOpen = max(orDefault(c.MaxOpen, 10*time.Minute), c.OpenFor)
	c.Silence = orDefault(c.Silence, 1500*time.Millisecond)
	c.MinClosed = orDefault(c.MinClosed, 5*time.Second)
	return c
}

func orDefault[T int | float64 | time.Duration](value, standard T) T {
	if value <= 0 {
		return standard
	}
	return value
}

// Breaker is a circuit breaker on the share of failures. It opens when, of at
// least MinCount results in the window, Share or more are failures, or Row of
// them come in a row; stays open for OpenFor; then lets Probes through, which close it or open it for twice as
// long. Make it with NewBreaker. Not safe for concurrent use.
type Breaker struct {
	config     BreakerConfig
	state      State
	pin        Pin
	generation uint32    // +1 at every change of state; results of older ones do not count
	until      time.Time // Open: end of it; Closed: may not open before
	since      time.Time // of the present state
	openFor    time.Duration
	lastProbe  time.Time
	probes     int // HalfOpen: under way
	successes  int // HalfOpen: so far
	failures   int // HalfOpen: so far, a Failure counting as doubts
	lately     Window
	row        int       // failures since the last success
	rowSince   time.Time // when the first of them came
	silence    silence
}

// Ticket ties a result to the Allow that let its work through. It is a value
// for one Done; the zero Ticket is never issued.
type Ticket struct {
	generation uint32
	probe      bool
	began      time.Time // zero: the peer was not called yet
}

// NewBreaker returns a closed breaker.
func NewBreaker(config BreakerConfig) Breaker {
	config = config.withDefaults()
	return Breaker{config: config, generation: 1, openFor: config.OpenFor, lately: NewWindow(config.Window)}
}

// Allow asks to start one piece of work at now. If it returns true, Done must be
// called with the ticket when the work has ended, whatever its end.
func (b *Breaker) Allow(now time.Time) (Ticket, bool) {
	if b.pin != PinNone {
		return Ticket{generation: b.generation}, b.pin == PinClosed
	}
	b.halfOpenIfDue(now)
	switch b.state {
	case Closed:
		return Ticket{generation: b.generation}, true
	case Open:
		return Ticket{}, false
	}
	if b.probes >= b.config.Probes-b.successes {
		if now.Sub(b.lastProbe) < b.config.ProbeWait {
			return Ticket{}, false
		}
		// The answers are overdue: do not count on them any more.
		b.generation++
		b.probes = 0
	}
	b.probes++
	b.lastProbe = now
	return Ticket{generation: b.generation, probe: true}, true
}

// Done reports the end of work that Allow let through. A result from before the
// last change of state is ignored: it says nothing about now.
func (b *Breaker) Done(now time.Time, ticket Ticket, result Result) {
	b.silence.ended(now, ticket, result, b.patience())
	if b.Stalled() && result == Success {
		b.close(now)
		return
	}
	if ticket.generation != b.generation || b.state == Open {
		return
	}
	if b.state == HalfOpen {
		b.probeDone(now, ticket, result)
		return
	}
	if result == Neutral {
		return
	}
	b.count(now, result)
	if b.pin != PinNone || now.Before(b.until) {
		return
	}
	good, bad := b.lately.Sums(now)
	dead := b.row >= b.config.Row
	if dead || good+bad >= b.config.MinCount && float64(bad) >= b.config.Share*float64(good+bad) {
		b.open(now)
	}
}

// Counts says whether the result of a ticket would count now: its work was allowed in the state that the breaker is still in.
func (b *Breaker) Counts(t Ticket) bool {
	return t.generation == b.generation && (b.state == Closed || b.state == HalfOpen && t.probe)
}

func (b *Breaker) probeDone(now time.Time, ticket Ticket, result Result) {
	if !ticket.probe {
		return
	}
	b.probes--
	switch result {
	case Failure, Doubtful:
		if b.failures++; result == Failure {
			b.failures += doubts - 1
		}
		if b.failures < b.config.Probes*doubts {
			return // the next probe may tell otherwise
		}
		b.silence.stalled = false // what still comes of older work tells less than this
		b.openFor = min(2*b.openFor, b.config.MaxOpen)
		b.open(now)
	case Success:
		if b.successes++; b.successes >= b.config.Probes {
			b.close(now)
			b.until = now.Add(b.config.MinClosed)
		}
	case Neutral:
	}
}

// Trip opens the breaker at once, for a failure that needs no statistics, such
// as refused credentials. If it is open already it stays as it is.
func (b *Breaker) Trip(now time.Time) {
	b.halfOpenIfDue(now)
	switch b.state {
	case Open:
		return
	case HalfOpen:
		b.openFor = min(2*b.openFor, b.config.MaxOpen)
	case Closed:
	}
	b.open(now)
}

// Pin overrules the breaker, or with PinNone lets it decide again, from the
// state it had.
func (b *Breaker) Pin(pin Pin) { b.pin = pin }

// State returns the state at now; a pinned breaker is Open or Closed.
func (b *Breaker) State(now time.Time) State {
	switch b.pin {
	case PinOpen:
		return Open
	case PinClosed:
		return Closed
	case PinNone:
	}
	if b.state == Open && !now.Before(b.until) {
		return HalfOpen
	}
	return b.state
}

// Next returns the earliest time at which Allow may let work through. wait is
// false if Allow would do so at now; forever is true for a breaker pinned open,
// which only a new Pin ends. While probes are under way the time is when they
// are overdue; a Done may come sooner.
func (b *Breaker) Next(now time.Time) (at time.Time, wait, forever bool) {
	switch {
	case b.pin == PinOpen:
		return time.Time{}, true, true
	case b.pin == PinClosed || b.State(now) == Closed:
		return time.Time{}, false, false
	case b.state == Open && now.Before(b.until):
		return b.until, true, false
	case b.state == HalfOpen && b.probes >= b.config.Probes-b.successes:
		at = b.lastProbe.Add(b.config.ProbeWait)
		return at, now.Before(at), false
	}
	return time.Time{}, false, false
}

func (b *Breaker) halfOpenIfDue(now time.Time) {
	if b.state == Open && !now.Before(b.until) {
		b.enter(HalfOpen, now)
		b.probes, b.successes, b.failures = 0, 0, 0
	}
}

func (b *Breaker) open(now time.Time) {
	if b.state == Closed && now.Sub(b.since) > b.config.MaxOpen {
		// It was well for long: start again with the short time.
		b.openFor = b.config.OpenFor
	}
	b.enter(Open, now)
	b.until = now.Add(b.openFor)
}

func (b *Breaker) close(now time.Time) {
	b.enter(Closed, now)
	b.until = now
	b.lately.Clear()
	b.row = 0
	b.silence.stalled = false
}

func (b *Breaker) enter(state State, now time.Time) {
	b.state = state
	b.since = now
	b.generation++
}

// count books a result.
func (b *Breaker) count(now time.Time, result Result) {
	b.lately.Add(now, result != Success)
	if result == Success {
		b.row = 0
		return
	}
	if b.row == 0 || now.Sub(b.rowSince) > b.config.Window {
		b.row, b.rowSince = 0, now
	}
	b.row++
}
