package prove

import (
	"maps"
	"slices"
	"time"
)

// Restored is everything that is left behind when a run goes on in a database that was restored from a backup of its middle.
type Restored struct {
	Choice   string   // of the release: FAIL, POLICY or SEND
	Entries  []*Entry // of requests to the old server
	Policies []string // by app: RETRY or FAIL
	Hooked   []bool   // by app: whether it has a webhook

	Known     map[string]bool // ids that were answered before the backup was begun
	Cancelled map[string]bool // of messages whose CANCEL was answered 200 before it

	Before, After map[string]*Message // by id: in the end of the old server, and in the end; nil: it is not known
	Sunk, Ledger  map[string]int      // by recipient: copies when the old server had ended, and in the end
	Heard         map[string]*Heard   // by event id, of both servers
	Feeds         []Feed              // by app
}

// Feed is what a reader of an app's events has read.
type Feed struct {
	Old   []Told // of the old server, to its end
	On    []Told // of the restored one, from that place on
	Whole []Told // of the restored one, from the beginning
}

// Told is an event as the feed tells it.
type Told struct {
	EventID, Type, Message, Status string
	Sequence                       int
}

// RestoredFindings is what the checker says of it.
type RestoredFindings struct {
	Kept     int // messages that the backup had
	Lost     int // that came after it
	Changed  int // that had another history on the old server
	Again    int // copies that were sent again, where the choice allows it
	Read     int // events that readers read on
	Repeated int // of them those that they had read, since the backup had them without a place
}

// CheckRestored holds it to what docs/operate/backup.md promises; the violations are added to f.
func CheckRestored(ev *Restored, f *Findings) RestoredFindings {
	c := restoredChecker{checker: &checker{ev: Evidence{Entries: ev.Entries, Policies: ev.Policies, Hooked: ev.Hooked, Messages: ev.After, Heard: ev.Heard}, known: map[string]bool{}}, Restored: ev}
	for _, e := range ev.Entries {
		for id := range e.IDs {
			c.message(e, id)
		}
	}
	c.webhooks()
	for app := range ev.Feeds {
		c.feed(&ev.Feeds[app])
	}
	for _, v := range c.checker.f.Violations {
		if f.Broken++; len(f.Violations) < 100 {
			f.Violations = append(f.Violations, "restored: "+v)
		}
	}
	return c.found
}

type restoredChecker struct {
	*checker
	*Restored
	found RestoredFindings
}

// message checks one that was accepted by the old server.
func (c *restoredChecker) message(e *Entry, id string) {
	m, old := c.After[id], c.Before[id]
	if m == nil || old == nil {
		if c.found.Lost++; c.Known[id] {
			c.fail("R2", "%s (%s) was accepted before the backup began, and is not there", id, e.Name)
		}
		if again := c.Ledger[e.Name] - c.Sunk[e.Name]; again > 0 {
			c.fail("R1", "%s (%s) is not known, and %d copies were sent", id, e.Name, again)
		}
		return
	}
	c.found.Kept++
	l := c.log(e, m)
	if !m.final() {
		c.fail("R2", "%s (%s) is still %s", id, e.Name, m.Status)
	}
	if m.Status == "SENT" && c.Ledger[e.Name] == 0 {
		c.fail("R2", "%s (%s) is SENT, no provider has it", id, e.Name)
	}
	if c.Cancelled[id] && m.Status != "CANCELLED" {
		c.fail("R2", "%s (%s) was cancelled before the backup began, and is %s", id, e.Name, m.Status)
	}
	n := sharedLog(old, m)
	if n < len(old.Events) || n < len(m.Events) {
		c.found.Changed++
	}
	if n == 0 {
		c.fail("R2", "%s (%s) has another log than the old server's from its first event on", id, e.Name)
		return
	}
	c.copies(e, m, n, l)
}

// sharedLog is how many events two logs begin with alike: what the backup knew of the message. What came after it happened at another time.
func sharedLog(a, b *Message) (n int) {
	for n < len(a.Events) && n < len(b.Events) && a.eventID(&a.Events[n]) == b.eventID(&b.Events[n]) && a.Events[n].Type == b.Events[n].Type {
		n++
	}
	return n
}

// copies holds what was sent again to the choice. n is how many events of its log the backup had.
func (c *restoredChecker) copies(e *Entry, m *Message, n int, l reading) {
	again := c.Ledger[e.Name] - c.Sunk[e.Name]
	c.found.Again += again
	status := text(m.Events[n-1].To)
	asked := c.Choice
	if asked == "POLICY" || asked == "SEND" && status == "SENDING" {
		asked = map[string]string{"RETRY": "SEND", "FAIL": "FAIL"}[c.Policies[e.App]]
	}
	starts := 0
	for _, ev := range m.Events[n:] {
		if ev.Type == "attempt_started" {
			starts++
		}
	}
	switch {
	case status != "QUEUED" && status != "SENDING":
		if again > 0 || starts > 0 {
			c.fail("R1", "%s (%s) is %s in the backup; %d copies and %d attempts followed", m.ID, e.Name, status, again, starts)
		}
	case asked == "FAIL":
		if again > 0 || starts > 0 {
			c.fail("R1", "%s (%s) was %s in the backup and may have been sent since; %d copies and %d attempts followed", m.ID, e.Name, status, again, starts)
		}
		if m.Status == "SENT" {
			c.fail("R1", "%s (%s) was %s in the backup, and is SENT without an attempt", m.ID, e.Name, status)
		}
	case again > starts || again > 1+l.unknown:
		c.fail("R1", "%s (%s): %d copies followed, of %d attempts with %d unknown", m.ID, e.Name, again, starts, l.unknown)
	case again > 0 && !m.PossibleDuplicate:
		c.fail("R1", "%s (%s): %d copies followed, and possibleDuplicate is not set", m.ID, e.Name, again)
	}
}

// feed holds what readers read on to the logs.
func (c *restoredChecker) feed(f *Feed) {
	seen, on := map[string]Told{}, map[string]bool{}
	for _, e := range f.Old {
		seen[e.EventID] = e
	}
	for _, e := range f.On {
		if on[e.EventID] {
			c.fail("R3", "%s is told twice to who reads on", e.EventID)
		}
		on[e.EventID] = true
		c.found.Read++
		if was, known := seen[e.EventID]; known {
			if c.found.Repeated++; was != e {
				c.fail("R3", "%+v is told under the id of %+v", e, was)
			}
		}
	}
	next := map[string]int{}
	for _, e := range f.Whole {
		if next[e.Message]++; e.Sequence != next[e.Message] {
			c.fail("R3", "%+v follows event %d", e, next[e.Message]-1)
		}
		if _, known := seen[e.EventID]; !known && !on[e.EventID] {
			c.fail("R3", "%s is not told to who reads on", e.EventID)
		}
		delete(on, e.EventID)
	}
	for id := range on {
		c.fail("R3", "%s is told to who reads on alone", id)
	}
	for _, id := range slices.Sorted(maps.Keys(next)) {
		if m := c.After[id]; m == nil || next[id] != len(m.Events) {
			c.fail("R3", "the feed has %d events of %s, its log another number", next[id], id)
		}
	}
}

// pauseHeld is how long a restored server is watched while it is held: what should not happen would take milliseconds.
const pauseHeld = time.Second
