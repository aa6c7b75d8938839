package prove

import "github.com/commserver/commserver/internal/comm"

// reading is what a message's log says.
type reading struct {
	starts  int  // attempts begun
	unknown int  // attempts of unknown outcome
	again   bool // an attempt began after one of unknown outcome

	open    int    // the attempt that runs; 0: none
	last    int    // the highest attempt so far
	wished  bool   // a cancel is wished for
	doubted int    // the last attempt of unknown outcome
	at      string // status
}

// log holds a message's events to I1, I2, I3, I6, I7, I9, I10 and I12.
func (c *checker) log(e *Entry, m *Message) reading {
	var l reading
	for i := range m.Events {
		ev := &m.Events[i]
		from, to := text(ev.From), text(ev.To)
		if ev.Sequence != i+1 {
			c.fail("I1", "%s: event %d has sequence %d", m.ID, i+1, ev.Sequence)
		}
		if from != l.at {
			c.fail("I1", "%s: event %d comes from %q, the log stands at %q", m.ID, i+1, from, l.at)
		}
		if from != to && !edge(from, to, ev.Type) {
			c.fail("I2", "%s: no edge from %q to %q by %s", m.ID, from, to, ev.Type)
		}
		l.at = to
		switch {
		case ev.Type == "attempt_started":
			c.started(e, m, ev, &l)
		case ev.Type == "cancel_requested":
			l.wished = true
		case ev.Type == "settled_by_proof", ev.Type == "late_proof":
			l.open = 0 // whatever ran is superseded: the message was sent by an earlier attempt
		case ev.Type != "late_result" && from == "SENDING" && ev.Attempt > 0:
			c.ended(m, ev, &l)
		}
	}
	if len(m.Events) == 0 || l.at != m.Status {
		c.fail("I3", "%s (%s) is %s, its log of %d events ends at %q", m.ID, e.Name, m.Status, len(m.Events), l.at)
	}
	if l.open != 0 && m.final() {
		c.fail("I9", "%s is %s, attempt %d has no outcome", m.ID, m.Status, l.open)
	}
	return l
}

// started reads an attempt_started.
func (c *checker) started(e *Entry, m *Message, ev *Event, l *reading) {
	from := text(ev.From)
	l.starts++
	l.again = l.again || l.unknown > 0
	switch {
	case text(ev.To) != "SENDING" || ev.Attempt != l.last+1:
		c.fail("I6", "%s: attempt %d starts after %d, in %s", m.ID, ev.Attempt, l.last, text(ev.To))
	case l.wished || from != "QUEUED" && from != "SENDING":
		c.fail("I7", "%s: attempt %d starts from %s, cancel requested: %t", m.ID, ev.Attempt, from, l.wished)
	case l.open != 0:
		c.fail("I9", "%s: attempt %d starts, %d has no outcome", m.ID, ev.Attempt, l.open)
	}
	if ev.At.Before(e.At) {
		c.fail("I12", "%s: attempt %d starts %s before its time", m.ID, ev.Attempt, e.At.Sub(ev.At))
	}
	l.open, l.last = ev.Attempt, ev.Attempt
}

// ended reads the outcome of an attempt.
func (c *checker) ended(m *Message, ev *Event, l *reading) {
	switch ev.Type {
	case "retry_transient", "throttled", "released":
		if ev.Attempt == l.doubted {
			c.fail("I10", "%s: %s after attempt %d, which was unknown", m.ID, ev.Type, ev.Attempt)
		}
	case "retry_unknown", "outcome_unknown", "attempt_unknown":
		l.unknown++
		l.doubted = ev.Attempt
	}
	if ev.Attempt != l.open {
		c.fail("I9", "%s: %s of attempt %d while %d runs", m.ID, ev.Type, ev.Attempt, l.open)
	}
	l.open = 0
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func edge(from, to, cause string) bool {
	for _, e := range comm.Edges() {
		if e.From.String() == from && e.To.String() == to && e.Cause.String() == cause {
			return true
		}
	}
	return false
}
