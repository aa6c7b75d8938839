package prove

import (
	"strings"
	"testing"
)

func ev(seq int, cause, from, to string) Event {
	e := Event{Sequence: seq, Type: cause, To: &to}
	if from != "" {
		e.From = &from
	}
	return e
}

// good is evidence of one message, sent once.
func good() Evidence {
	return Evidence{
		Entries:  []*Entry{{App: 0, Key: "k", Name: "n1", IDs: map[string]bool{"c1": true}, OK: 2, New: 1}},
		Policies: []string{"RETRY"},
		Messages: map[string]*Message{"c1": {ID: "c1", Status: "SENT", Attempts: 1, Events: []Event{
			ev(1, "accepted", "", "QUEUED"), ev(2, "attempt_started", "QUEUED", "SENDING"), ev(3, "provider_accepted", "SENDING", "SENT")}}},
		Ledger: map[string]int{"n1": 1},
	}
}

func TestCheckTakesAGoodRun(t *testing.T) {
	if f := Check(good()); f.Broken != 0 || f.Accepted != 1 || f.Copies != 1 || f.Extra != 0 {
		t.Fatalf("%+v", f)
	}
}

func TestCheckAllowsDeclaredCopies(t *testing.T) {
	e := good()
	m := e.Messages["c1"]
	m.PossibleDuplicate, m.Attempts = true, 2
	m.Events = []Event{ev(1, "accepted", "", "QUEUED"), ev(2, "attempt_started", "QUEUED", "SENDING"), ev(3, "retry_unknown", "SENDING", "QUEUED"),
		ev(4, "attempt_started", "QUEUED", "SENDING"), ev(5, "provider_accepted", "SENDING", "SENT")}
	e.Ledger["n1"] = 2
	if f := Check(e); f.Broken != 0 || f.Extra != 1 || f.Unknown != 1 || f.Unexplained != 0 {
		t.Fatalf("%+v", f)
	}
}

func TestCheckFindsEachViolation(t *testing.T) {
	for name, c := range map[string]struct {
		rule   string
		change func(*Evidence)
	}{
		"accepted and gone":     {"J1", func(e *Evidence) { e.Messages["c1"] = nil }},
		"sent and in no ledger": {"J1", func(e *Evidence) { delete(e.Ledger, "n1") }},
		"stuck": {"J1", func(e *Evidence) {
			e.Messages["c1"].Status, e.Messages["c1"].Events = "QUEUED", e.Messages["c1"].Events[:1]
		}},
		"failed without a cause":          {"J1", func(e *Evidence) { fail(e, "provider_rejected"); delete(e.Ledger, "n1") }},
		"invented":                        {"J2", func(e *Evidence) { e.Ledger["ghost"] = 1 }},
		"unexplained copy":                {"J3", func(e *Evidence) { e.Ledger["n1"] = 2 }},
		"two messages for a key":          {"J5", func(e *Evidence) { e.Entries[0].IDs["c2"] = true; e.Messages["c2"] = e.Messages["c1"] }},
		"new twice":                       {"J5", func(e *Evidence) { e.Entries[0].New = 2 }},
		"wrong request taken":             {"J5", func(e *Evidence) { e.Entries[0].Bad = []string{"x"} }},
		"failed for sure, but a copy":     {"J6", func(e *Evidence) { fail(e, "provider_rejected") }},
		"gap in the log":                  {"I1", func(e *Evidence) { e.Messages["c1"].Events[2].Sequence = 4 }},
		"log does not join":               {"I1", func(e *Evidence) { s := "SENT"; e.Messages["c1"].Events[1].From = &s }},
		"no such edge":                    {"I2", func(e *Evidence) { e.Messages["c1"].Events[2].Type = "retry_transient" }},
		"status without its event":        {"I3", func(e *Evidence) { e.Messages["c1"].Events = e.Messages["c1"].Events[:2] }},
		"attempt without its event":       {"I6", func(e *Evidence) { e.Messages["c1"].Attempts = 2 }},
		"second copy under policy FAIL":   {"J3", func(e *Evidence) { e.Policies[0] = "FAIL"; fail(e, "outcome_unknown"); e.Ledger["n1"] = 2 }},
		"copy after no answer in the end": {"J2", func(e *Evidence) { e.Entries[0].OK = 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			e := good()
			c.change(&e)
			f := Check(e)
			for _, v := range f.Violations {
				if strings.HasPrefix(v, c.rule+":") {
					return
				}
			}
			t.Fatalf("rule %s is not named: %v", c.rule, f.Violations)
		})
	}
}

func fail(e *Evidence, cause string) {
	m := e.Messages["c1"]
	m.Status = "FAILED"
	m.Events[2] = ev(3, cause, "SENDING", "FAILED")
}
