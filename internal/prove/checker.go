package prove

import (
	"fmt"
	"strings"
)

// Evidence is everything that a run leaves behind.
type Evidence struct {
	Entries  []*Entry
	Policies []string            // by app: RETRY or FAIL
	Messages map[string]*Message // by id; nil: the server does not know it
	Ledger   map[string]int      // by recipient: copies that providers took
	Early    []string            // recipients whose copy was taken before its time
	Hooked   []bool              // by app: whether it has a webhook
	Heard    map[string]*Heard   // by event id: what webhooks told and are to tell
	Waits    []Wait              // of deliveries that are to be repeated
}

// Findings is what the checker says. Violations names each broken promise, at most a hundred.
type Findings struct {
	Accepted, Lost, Invented, Stuck int
	Copies, Extra, Allowed          int // extra copies, and how many the unknown attempts allow
	Unexplained                     int
	Unknown                         int // attempts recorded as unknown
	Marked                          int // messages marked possibleDuplicate
	Told, Posts, Waiting            int // events that webhooks tell, requests that did, events that still wait
	Scheduled, Cancelled, Repeated  int // messages for later; cancelled by an answer of 200; answered more than once
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
	for _, name := range ev.Early {
		c.fail("I12", "%s: a copy was handed over before its time", name)
	}
	c.webhooks()
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
	for _, b := range e.Open {
		c.fail("J7", "%s: %s", e.Key, b)
	}
	copies := c.ev.Ledger[e.Name]
	if e.OK == 0 {
		if copies > 0 {
			c.fail("J2", "%s: %d copies, but no answer in the end", e.Name, copies)
		}
		return
	}
	c.f.Accepted++
	c.counts(e)
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
		unknown += c.message(e, m, copies)
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

// counts adds up what makes a run worth its while.
func (c *checker) counts(e *Entry) {
	if !e.At.IsZero() {
		c.f.Scheduled++
	}
	if e.Cancelled > 0 {
		c.f.Cancelled++
	}
	if e.OK > 1 {
		c.f.Repeated++
	}
}

// message checks one message's end against the ledger and answers how many of its attempts were unknown.
func (c *checker) message(e *Entry, m *Message, copies int) (unknown int) {
	l := c.log(e, m)
	unknown = l.unknown
	c.f.Unknown += unknown
	if m.PossibleDuplicate {
		c.f.Marked++
	}
	if m.ToAddress != e.address() || m.IdempotencyKey != e.Key {
		c.fail("J7", "%s is the message to %q with key %q, asked for as %s with %s", m.ID, m.ToAddress, m.IdempotencyKey, e.address(), e.Key)
	}
	if l.starts != m.Attempts {
		c.fail("I6", "%s: %d attempts, %d attempt_started events", m.ID, m.Attempts, l.starts)
	}
	if copies > l.starts {
		c.fail("J3", "%s (%s): %d copies, %d attempts were started", m.ID, e.Name, copies, l.starts)
	}
	if l.again && !m.PossibleDuplicate {
		c.fail("I11", "%s: tried again after an unknown attempt without possibleDuplicate", m.ID)
	}
	if c.ev.Policies[e.App] == "FAIL" && l.again {
		c.fail("I11", "%s: policy FAIL, tried again after an unknown attempt", m.ID)
	}
	if e.Cancelled > 0 && (m.Status != "CANCELLED" || copies > 0) {
		c.fail("J6", "%s (%s): CANCEL was answered 200, it is %s and a provider has %d copies", m.ID, e.Name, m.Status, copies)
	}
	c.end(e, m, copies, unknown)
	return unknown
}

// end checks the status against the ledger.
func (c *checker) end(e *Entry, m *Message, copies, unknown int) {
	switch m.Status {
	case "SENT", "DELIVERED":
		if copies == 0 {
			c.f.Lost++
			c.fail("J1", "%s (%s) is %s, no provider has it", m.ID, e.Name, m.Status)
		}
	case "FAILED", "CANCELLED", "SUPPRESSED":
		if copies > 0 && (unknown == 0 || m.Status == "CANCELLED") {
			c.fail("J6", "%s (%s) is %s and certainly not sent, a provider has %d copies", m.ID, e.Name, m.Status, copies)
		}
		c.failedRightly(e, m, unknown)
	default:
		c.f.Stuck++
		c.fail("J1", "%s (%s) is still %s", m.ID, e.Name, m.Status)
	}
}

// failedRightly wants a reason for every failure: a recipient that providers
// refuse (and whom a late answer may have suppressed before the next attempt), an
// unknown outcome, or a client's wish to cancel.
func (c *checker) failedRightly(e *Entry, m *Message, unknown int) {
	bad := strings.HasSuffix(e.Name, "+bad")
	switch {
	case m.Status == "CANCELLED" && e.Wishes > 0, m.Status == "FAILED" && (unknown > 0 || bad), m.Status == "SUPPRESSED" && bad:
		return
	}
	code := ""
	if m.ErrorCode != nil {
		code = *m.ErrorCode
	}
	c.fail("J1", "%s (%s) is %s without cause: %s", m.ID, e.Name, m.Status, code)
}
