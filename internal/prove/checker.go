package prove

import (
	"fmt"
	"strings"

	"github.com/commserver/commserver/internal/comm"
)

// Evidence is everything that a run leaves behind.
type Evidence struct {
	Entries  []*Entry
	Policies []string            // by app: RETRY or FAIL
	Messages map[string]*Message // by id; nil: the server does not know it
	Ledger   map[string]int      // by recipient: copies that providers took
}

// Findings is what the checker says. Violations names each broken promise, at most a hundred.
type Findings struct {
	Accepted, Lost, Invented, Stuck int
	Copies, Extra, Allowed          int // extra copies, and how many the unknown attempts allow
	Unexplained                     int
	Unknown                         int // attempts recorded as unknown
	Marked                          int // messages marked possibleDuplicate
	Violations                      []string
	Broken                          int
}

// Check holds the evidence to the contract. The names of the rules are those
// of docs/reliability.md.
func Check(ev Evidence) Findings {
	c := &checker{ev: ev, known: map[string]bool{}}
	for _, e := range ev.Entries {
		c.entry(e)
	}
	for name, n := range ev.Ledger {
		if c.f.Copies += n; !c.known[name] {
			c.f.Invented++
			c.fail("J2", "%s: %d copies of a message that no client tried to create", name, n)
		}
	}
	return c.f
}

type checker struct {
	ev    Evidence
	f     Findings
	known map[string]bool
}

func (c *checker) fail(rule, format string, a ...any) {
	c.f.Broken++
	if len(c.f.Violations) < 100 {
		c.f.Violations = append(c.f.Violations, rule+": "+fmt.Sprintf(format, a...))
	}
}

func (c *checker) entry(e *Entry) {
	c.known[e.Name] = true
	for _, b := range e.Bad {
		c.fail("J5", "%s: %s", e.Key, b)
	}
	copies := c.ev.Ledger[e.Name]
	if e.OK == 0 {
		if copies > 0 {
			c.fail("J2", "%s: %d copies, but no answer in the end", e.Name, copies)
		}
		return
	}
	c.f.Accepted++
	if len(e.IDs) != 1 {
		c.fail("J5", "%s: one key, %d messages", e.Key, len(e.IDs))
	}
	if e.New > 1 {
		c.fail("J5", "%s: %d answers say that the message is new", e.Key, e.New)
	}
	unknown, lost := 0, false
	for id := range e.IDs {
		m := c.ev.Messages[id]
		if m == nil {
			lost = true
			c.fail("J1", "%s: %s was accepted and is not there", e.Name, id)
			continue
		}
		c.log(e, m)
		u := c.message(e, m, copies)
		unknown += u
	}
	if lost {
		c.f.Lost++
	}
	if extra := copies - 1; extra > 0 {
		c.f.Extra += extra
		if extra > unknown {
			c.f.Unexplained += extra - unknown
			c.fail("J3", "%s: %d copies, %d unknown attempts", e.Name, copies, unknown)
		}
	}
	c.f.Allowed += unknown
}

// message checks one message's end against the ledger and answers how many of its attempts were unknown.
func (c *checker) message(e *Entry, m *Message, copies int) (unknown int) {
	starts := 0
	for _, ev := range m.Events {
		switch ev.Type {
		case "attempt_started":
			starts++
		case "retry_unknown", "outcome_unknown", "attempt_unknown":
			unknown++
		}
	}
	c.f.Unknown += unknown
	if m.PossibleDuplicate {
		c.f.Marked++
	}
	if starts != m.Attempts {
		c.fail("I6", "%s: %d attempts, %d attempt_started events", m.ID, m.Attempts, starts)
	}
	if unknown > 0 && starts > unknown && !m.PossibleDuplicate && lastUnknownHasSuccessor(m) {
		c.fail("I11", "%s: tried again after an unknown attempt without possibleDuplicate", m.ID)
	}
	if c.ev.Policies[e.App] == "FAIL" && unknown > 0 && copies > 1 {
		c.fail("J3", "%s: policy FAIL, %d copies", m.ID, copies)
	}
	switch m.Status {
	case "SENT", "DELIVERED":
		if copies == 0 {
			c.f.Lost++
			c.fail("J1", "%s (%s) is %s, no provider has it", m.ID, e.Name, m.Status)
		}
	case "FAILED", "CANCELLED", "SUPPRESSED":
		if copies > 0 && unknown == 0 {
			c.fail("J6", "%s (%s) is %s and certainly not sent, a provider has %d copies", m.ID, e.Name, m.Status, copies)
		}
		c.failedRightly(e, m, unknown)
	default:
		c.f.Stuck++
		c.fail("J1", "%s (%s) is still %s", m.ID, e.Name, m.Status)
	}
	return unknown
}

// failedRightly wants a reason for every failure: a recipient that providers refuse, or an unknown outcome.
func (c *checker) failedRightly(e *Entry, m *Message, unknown int) {
	if unknown > 0 || strings.HasSuffix(e.Name, "+bad") {
		return
	}
	code := ""
	if m.ErrorCode != nil {
		code = *m.ErrorCode
	}
	c.fail("J1", "%s (%s) is %s without cause: %s", m.ID, e.Name, m.Status, code)
}

func lastUnknownHasSuccessor(m *Message) bool {
	seen := false
	for _, e := range m.Events {
		switch e.Type {
		case "retry_unknown":
			seen = true
		case "attempt_started":
			if seen {
				return true
			}
		}
	}
	return false
}

// log holds a message's events to I1, I2 and I3.
func (c *checker) log(e *Entry, m *Message) {
	at := ""
	for i, ev := range m.Events {
		from, to := text(ev.From), text(ev.To)
		if ev.Sequence != i+1 {
			c.fail("I1", "%s: event %d has sequence %d", m.ID, i+1, ev.Sequence)
		}
		if from != at {
			c.fail("I1", "%s: event %d comes from %q, the log stands at %q", m.ID, i+1, from, at)
		}
		if from != to && !edge(from, to, ev.Type) {
			c.fail("I2", "%s: no edge from %q to %q by %s", m.ID, from, to, ev.Type)
		}
		at = to
	}
	if len(m.Events) == 0 || at != m.Status {
		c.fail("I3", "%s (%s) is %s, its log of %d events ends at %q", m.ID, e.Name, m.Status, len(m.Events), at)
	}
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
