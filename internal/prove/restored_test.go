package prove

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// later makes it an event of the restored server: another one than the old server's of its sequence.
func (e Event) later() Event { e.At = e.At.Add(time.Hour); return e }

func feedOf(all ...*Message) (out []Told) {
	for _, m := range all {
		for i := range m.Events {
			e := &m.Events[i]
			out = append(out, Told{EventID: m.eventID(e), Type: e.Type, Message: m.ID, Status: *e.To, Sequence: e.Sequence})
		}
	}
	return out
}

// wellRestored is what a good run leaves: c1 was sent before the backup, c2 after it, c3 was accepted after it.
func wellRestored() *Restored {
	message := func(id, status string, events ...Event) *Message {
		m := &Message{ID: id, Status: status, ToAddress: "n" + id[1:] + "@prove.example.com", IdempotencyKey: "k" + id[1:], Events: events}
		for _, e := range events {
			m.Attempts = max(m.Attempts, e.Attempt)
		}
		return m
	}
	sent := []Event{ev(1, "accepted", "", "QUEUED"), ev(2, "attempt_started", "QUEUED", "SENDING"), ev(3, "provider_accepted", "SENDING", "SENT")}
	c1, c2, c3 := message("c1", "SENT", sent...), message("c2", "SENT", sent...), message("c3", "SENT", sent...)
	ended := message("c2", "FAILED", sent[0], ev(2, "outcome_unknown", "QUEUED", "FAILED").later())
	x := &Restored{Choice: "FAIL", Policies: []string{"RETRY"}, Hooked: []bool{true}, Known: map[string]bool{"c1": true, "c2": true}, Cancelled: map[string]bool{},
		Before: map[string]*Message{"c1": c1, "c2": c2, "c3": c3}, After: map[string]*Message{"c1": c1, "c2": ended, "c3": nil},
		Sunk: map[string]int{"n1": 1, "n2": 1, "n3": 1}, Ledger: map[string]int{"n1": 1, "n2": 1, "n3": 1}, Heard: map[string]*Heard{},
		Feeds: []Feed{{Old: feedOf(c1, c2, c3), On: feedOf(ended)[1:], Whole: feedOf(c1, ended)}}}
	for _, id := range []string{"1", "2", "3"} {
		x.Entries = append(x.Entries, &Entry{Key: "k" + id, Name: "n" + id, IDs: map[string]bool{"c" + id: true}, OK: 1, New: 1})
	}
	for _, e := range append(feedOf(c1, c2, c3), x.Feeds[0].On...) {
		x.Heard[e.EventID] = &Heard{Copies: 1, Bodies: 1}
	}
	return x
}

// resent makes it one whose c2 was sent again.
func resent(x *Restored, choice string) *Message {
	m := new(*x.After["c2"])
	m.Status, m.Attempts, m.PossibleDuplicate = "SENT", 1, true
	m.Events = []Event{m.Events[0], ev(2, "attempt_started", "QUEUED", "SENDING").later(), ev(3, "provider_accepted", "SENDING", "SENT").later()}
	x.Choice, x.After["c2"], x.Ledger["n2"] = choice, m, 2
	x.Feeds[0].On, x.Feeds[0].Whole = feedOf(m)[1:], feedOf(x.After["c1"], m)
	for _, e := range x.Feeds[0].On {
		x.Heard[e.EventID] = &Heard{Copies: 1, Bodies: 1}
	}
	return m
}

func TestCheckTakesWhatWasRestoredWell(t *testing.T) {
	for name, change := range map[string]func(*Restored){
		"fail":             func(*Restored) {},
		"send":             func(x *Restored) { resent(x, "SEND") },
		"by the policy":    func(x *Restored) { resent(x, "POLICY") },
		"without a place":  func(x *Restored) { x.Feeds[0].On = append(feedOf(x.After["c1"])[2:], x.Feeds[0].On...) },
		"nobody read this": func(x *Restored) { x.Feeds[0].Old, x.Feeds[0].On = nil, x.Feeds[0].Whole },
	} {
		x, f := wellRestored(), Findings{}
		change(x)
		if got := CheckRestored(x, &f); f.Broken != 0 || got.Kept != 2 || got.Lost != 1 || got.Changed != 1 || got.Again != x.Ledger["n2"]-1 {
			t.Errorf("%s: %+v %q", name, got, f.Violations)
		}
	}
}

func TestCheckFindsWhatWasRestoredBadly(t *testing.T) {
	for name, c := range map[string]struct {
		rule  string
		spoil func(*Restored)
	}{
		"what the backup says is sent is sent again": {"R1", func(x *Restored) { x.Ledger["n1"] = 2 }},
		"what may have been sent is sent again":      {"R1", func(x *Restored) { x.Ledger["n2"] = 2 }},
		"it is tried again":                          {"R1", func(x *Restored) { resent(x, "FAIL") }},
		"by the policy FAIL":                         {"R1", func(x *Restored) { resent(x, "POLICY"); x.Policies[0] = "FAIL" }},
		"without a mark":                             {"R1", func(x *Restored) { resent(x, "SEND").PossibleDuplicate = false }},
		"more often than it was tried":               {"R1", func(x *Restored) { resent(x, "SEND"); x.Ledger["n2"] = 3 }},
		"what is not known is sent":                  {"R1", func(x *Restored) { x.Ledger["n3"] = 2 }},
		"SENT without an attempt": {"R1", func(x *Restored) {
			x.After["c2"].Status, x.After["c2"].Events[1].To = "SENT", new("SENT")
		}},
		"what the backup knows is lost":      {"R2", func(x *Restored) { x.After["c1"] = nil }},
		"it does not end":                    {"R2", func(x *Restored) { x.After["c2"].Status = "QUEUED" }},
		"a cancelled one comes back":         {"R2", func(x *Restored) { x.Cancelled["c2"] = true }},
		"SENT, and nobody has it":            {"R2", func(x *Restored) { x.Ledger["n1"], x.Sunk["n1"] = 0, 0 }},
		"another log":                        {"R2", func(x *Restored) { x.After["c2"].Events[0] = x.After["c2"].Events[0].later() }},
		"a broken log":                       {"I1", func(x *Restored) { x.After["c2"].Events[1].Sequence = 3 }},
		"an event is not told":               {"R3", func(x *Restored) { x.Feeds[0].On = nil }},
		"an event is told twice":             {"R3", func(x *Restored) { x.Feeds[0].On = slices.Repeat(x.Feeds[0].On, 2) }},
		"an id is given to another event":    {"R3", func(x *Restored) { x.Feeds[0].On[0].EventID = x.Feeds[0].Old[4].EventID }},
		"the feed lacks one":                 {"R3", func(x *Restored) { x.Feeds[0].Whole = x.Feeds[0].Whole[:3] }},
		"the feed has no order":              {"R3", func(x *Restored) { slices.Reverse(x.Feeds[0].Whole) }},
		"a webhook is not told":              {"J8", func(x *Restored) { delete(x.Heard, x.Feeds[0].On[0].EventID) }},
		"a webhook is told with other words": {"J8", func(x *Restored) { x.Heard[x.Feeds[0].On[0].EventID].Bodies = 2 }},
	} {
		x, f := wellRestored(), Findings{}
		x.After = maps.Clone(x.After)
		c.spoil(x)
		CheckRestored(x, &f)
		if !slices.ContainsFunc(f.Violations, func(v string) bool { return strings.HasPrefix(v, "restored: "+c.rule+":") }) {
			t.Errorf("%s: %q", name, f.Violations)
		}
	}
}
