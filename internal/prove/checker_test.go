package prove

import (
	"strings"
	"testing"
	"time"
)

func ev(seq int, cause, from, to string) Event {
	e := Event{Sequence: seq, Type: cause, To: &to, At: noon.Add(time.Duration(seq) * time.Second)}
	if from == "SENDING" || to == "SENDING" {
		e.Attempt = 1
	}
	if from != "" {
		e.From = &from
	}
	return e
}

// noon is when the messages of these tests are sent.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// of makes it an event about a later attempt.
func (e Event) of(attempt int) Event { e.Attempt = attempt; return e }

// good is evidence of one message, sent once.
func good() Evidence {
	return Evidence{
		Entries:  []*Entry{{App: 0, Key: "k", Name: "n1", IDs: map[string]bool{"c1": true}, OK: 2, New: 1}},
		Policies: []string{"RETRY"},
		Messages: map[string]*Message{"c1": {ID: "c1", Status: "SENT", Attempts: 1, ToAddress: "n1@prove.example.com", IdempotencyKey: "k", Events: []Event{
			ev(1, "accepted", "", "QUEUED"), ev(2, "attempt_started", "QUEUED", "SENDING"), ev(3, "provider_accepted", "SENDING", "SENT")}}},
		Ledger: map[string]int{"n1": 1},
		Hooked: []bool{true},
		Heard:  told("c1"),
	}
}

// named is the id of an event of a message.
func named(message string, n int) string {
	return (&Message{ID: message}).eventID(new(ev(n, "", "", "")))
}

// told is that every event of a message was told, as often as it can be.
func told(message string) map[string]*Heard {
	out := map[string]*Heard{}
	for n := range 10 {
		out[named(message, n)] = &Heard{Copies: 2, Bodies: 1}
	}
	return out
}

func TestCheckTakesAGoodRun(t *testing.T) {
	if f := Check(good()); f.Broken != 0 || f.Accepted != 1 || f.Copies != 1 || f.Extra != 0 {
		t.Fatalf("%+v", f)
	}
}

// twice makes it a message that was sent again after an unknown attempt, and taken twice.
func twice(e *Evidence) *Message {
	m := e.Messages["c1"]
	m.PossibleDuplicate, m.Attempts = true, 2
	m.Events = []Event{ev(1, "accepted", "", "QUEUED"), ev(2, "attempt_started", "QUEUED", "SENDING"), ev(3, "retry_unknown", "SENDING", "QUEUED"),
		ev(4, "attempt_started", "QUEUED", "SENDING").of(2), ev(5, "provider_accepted", "SENDING", "SENT").of(2)}
	e.Ledger["n1"] = 2
	return m
}

func TestCheckAllowsDeclaredCopies(t *testing.T) {
	e := good()
	twice(&e)
	if f := Check(e); f.Broken != 0 || f.Extra != 1 || f.Unknown != 1 || f.Unexplained != 0 || f.Marked != 1 {
		t.Fatalf("%+v", f)
	}
}

func TestCheckAllowsProofFromAnEarlierAttempt(t *testing.T) {
	e := good()
	m := twice(&e)
	m.Events[4] = ev(5, "settled_by_proof", "SENDING", "SENT")
	m.Events = append(m.Events, ev(6, "late_result", "SENT", "SENT").of(2))
	if f := Check(e); f.Broken != 0 {
		t.Fatalf("%+v", f)
	}
}

func TestCheckAllowsCancel(t *testing.T) {
	e := good()
	e.Entries[0].Wishes, e.Entries[0].Cancelled = 1, 1
	m := e.Messages["c1"]
	m.Status, m.Attempts, m.Events = "CANCELLED", 0, []Event{ev(1, "accepted", "", "QUEUED"), ev(2, "cancelled", "QUEUED", "CANCELLED")}
	delete(e.Ledger, "n1")
	if f := Check(e); f.Broken != 0 || f.Cancelled != 1 {
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

		"attempts out of order": {"I6", func(e *Evidence) { e.Messages["c1"].Events[1].Attempt = 2 }},
		"attempt after a wish to cancel": {"I7", func(e *Evidence) {
			m := twice(e)
			m.Events = append(m.Events[:3:3], ev(4, "cancel_requested", "QUEUED", "QUEUED"), m.Events[3], m.Events[4])
		}},
		"attempt after the end":      {"I7", func(e *Evidence) { s := "SENT"; e.Messages["c1"].Events[1].From = &s }},
		"outcome of another attempt": {"I9", func(e *Evidence) { twice(e).Events[4].Attempt = 1 }},
		"two outcomes": {"I9", func(e *Evidence) {
			m := e.Messages["c1"]
			m.Events = append(m.Events, ev(4, "provider_accepted", "SENDING", "SENT"))
		}},
		"attempt while one runs":       {"I9", func(e *Evidence) { twice(e).Events[2].Type = "late_result" }},
		"end without an outcome":       {"I9", func(e *Evidence) { e.Messages["c1"].Events[2].Attempt = 0 }},
		"clean failure after unknown":  {"I10", func(e *Evidence) { m := twice(e); m.Events[4] = ev(5, "retry_transient", "SENDING", "QUEUED") }},
		"again without the mark":       {"I11", func(e *Evidence) { twice(e).PossibleDuplicate = false }},
		"again under policy FAIL":      {"I11", func(e *Evidence) { twice(e); e.Policies[0] = "FAIL" }},
		"attempt before its time":      {"I12", func(e *Evidence) { e.Entries[0].At = noon.Add(time.Hour) }},
		"copy before its time":         {"I12", func(e *Evidence) { e.Early = []string{"n1"} }},
		"more copies than attempts":    {"J3", func(e *Evidence) { e.Ledger["n1"] = 2 }},
		"cancelled without a wish":     {"J1", func(e *Evidence) { cancel(e); e.Entries[0].Wishes = 0; delete(e.Ledger, "n1") }},
		"cancelled, and a copy":        {"J6", func(e *Evidence) { cancel(e) }},
		"200 for CANCEL, and sent":     {"J6", func(e *Evidence) { e.Entries[0].Cancelled = 1 }},
		"another message under the id": {"J7", func(e *Evidence) { e.Messages["c1"].ToAddress = "n2@prove.example.com" }},
		"another key under the id":     {"J7", func(e *Evidence) { e.Messages["c1"].IdempotencyKey = "other" }},
		"another app may read it":      {"J7", func(e *Evidence) { e.Entries[0].Open = []string{"x"} }},

		"told to nobody":            {"J8", func(e *Evidence) { delete(e.Heard, named("c1", 3)) }},
		"told with another body":    {"J8", func(e *Evidence) { e.Heard[named("c1", 3)].Bodies = 2 }},
		"told, not signed":          {"J8", func(e *Evidence) { e.Heard[named("c1", 3)].Strange = "the signature does not fit" }},
		"told to another app":       {"J7", func(e *Evidence) { e.Heard[named("c1", 3)].App = 1 }},
		"told without a webhook":    {"J7", func(e *Evidence) { e.Hooked[0] = false }},
		"told again without jitter": {"I14", func(e *Evidence) { e.Waits = waits(func(int) time.Duration { return 5 * time.Second }) }},
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

// waits are as many as say something, after the first try.
func waits(after func(n int) time.Duration) (out []Wait) {
	for n := range enough {
		out = append(out, Wait{1, after(n)})
	}
	return out
}

func TestCheckAllowsEventsThatWait(t *testing.T) {
	e := good()
	e.Heard[named("c1", 3)] = &Heard{Waits: true}
	e.Waits = append(waits(func(n int) time.Duration { return 4*time.Second + time.Duration(n)*100*time.Millisecond }), Wait{2, time.Minute})
	if f := Check(e); f.Broken != 0 || f.Told != 1 || f.Waiting != 1 || f.Posts != 18 {
		t.Fatalf("%+v", f)
	}
	e.Waits = e.Waits[:enough-1] // too few to say anything
	for i := range e.Waits {
		e.Waits[i].After = time.Second
	}
	if f := Check(e); f.Broken != 0 {
		t.Fatalf("%+v", f)
	}
}

func fail(e *Evidence, cause string) {
	m := e.Messages["c1"]
	m.Status = "FAILED"
	m.Events[2] = ev(3, cause, "SENDING", "FAILED")
}

func cancel(e *Evidence) {
	e.Entries[0].Wishes = 1
	m := e.Messages["c1"]
	m.Status, m.Attempts, m.Events = "CANCELLED", 0, []Event{ev(1, "accepted", "", "QUEUED"), ev(2, "cancelled", "QUEUED", "CANCELLED")}
}

// A late answer that the address does not exist ends the message before its next attempt.
func TestCheckAllowsSuppressionOfARefusedRecipientOnly(t *testing.T) {
	for name, broken := range map[string]bool{"n1+bad": false, "n1": true} {
		e := good()
		e.Entries[0].Name = name
		m := e.Messages["c1"]
		m.Status, m.PossibleDuplicate, m.ToAddress = "SUPPRESSED", true, name+"@prove.example.com"
		m.Events = []Event{ev(1, "accepted", "", "QUEUED"), ev(2, "attempt_started", "QUEUED", "SENDING"), ev(3, "retry_unknown", "SENDING", "QUEUED"),
			ev(4, "suppressed", "QUEUED", "SUPPRESSED")}
		delete(e.Ledger, "n1")
		if f := Check(e); (f.Broken != 0) != broken {
			t.Errorf("%s: %+v", name, f)
		}
	}
}
