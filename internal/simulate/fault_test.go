package simulate

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fault orders a fault for all and sends one message through a type.
func fault(t *testing.T, kind string, r Rule) (s *Server, status int, header http.Header, body string, err error) {
	t.Helper()
	s = begin(t, Config{})
	if _, err := s.Add(r); err != nil {
		t.Fatal(Explain(err))
	}
	status, header, body, err = do(caller(t), request(t, s, kind, recipientOf(kind)))
	return s, status, header, body, err
}

// wasReset says whether a connection broke instead of ending.
func wasReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// TestFaultsOfAnswers orders each fault of an answer for each type, over real connections: what the
// client sees, and what the ledger says of it.
func TestFaultsOfAnswers(t *testing.T) {
	t.Parallel()
	// Every 2xx answer begins so; Nalo's too.
	whole := func(body string) bool { return json.Valid([]byte(body)) }
	tests := []struct {
		name    string
		rule    Rule
		outcome string
		lost    bool
		status  int // 0: no answer; 2: whatever success is
		body    func(string) bool
	}{
		{"throttle", Rule{Fault: Throttle, RetryAfter: "7"}, Throttled, false, 429, func(b string) bool { return b != "" }},
		{"unavailable", Rule{Fault: Unavailable}, Failed, false, 503, func(b string) bool { return b != "" }},
		{"unavailable 502 html", Rule{Fault: Unavailable, Status: 502, Form: "html"}, Failed, false, 502, func(b string) bool { return strings.Contains(b, "<html>") }},
		{"unavailable 500 empty", Rule{Fault: Unavailable, Status: 500, Form: "empty"}, Failed, false, 500, func(b string) bool { return b == "" }},
		{"unavailable and taken", Rule{Fault: Unavailable, Taken: true}, Accepted, false, 503, func(b string) bool { return b != "" }},
		{"down", Rule{Fault: Down}, Reset, false, 0, nil},
		{"hang", Rule{Fault: Hang, Delay: Span(50 * time.Millisecond)}, Hung, false, 0, nil},
		{"hang and taken", Rule{Fault: Hang, Taken: true, Delay: Span(50 * time.Millisecond)}, Accepted, true, 0, nil},
		{"lose", Rule{Fault: Lose}, Accepted, true, 0, nil},
		{"slow", Rule{Fault: Slow, Delay: Span(50 * time.Millisecond)}, Accepted, false, 2, whole},
		{"drip", Rule{Fault: Drip, Delay: Span(100 * time.Microsecond)}, Accepted, false, 2, whole},
		{"broken", Rule{Fault: Malformed}, Accepted, false, 2, func(b string) bool { return b != "" && !whole(b) }},
		{"empty", Rule{Fault: Malformed, Form: "empty"}, Accepted, false, 2, func(b string) bool { return b == "" }},
		{"html", Rule{Fault: Malformed, Form: "html"}, Accepted, false, 2, func(b string) bool { return strings.Contains(b, "<html>") }},
		{"unexpected", Rule{Fault: Malformed, Form: "unexpected"}, Accepted, false, 2, func(b string) bool { return whole(b) && !strings.Contains(b, "233244") }},
		{"huge", Rule{Fault: Malformed, Form: "huge"}, Accepted, false, 2, func(b string) bool { return len(b) > hugeSize && whole(b) }},
	}
	for _, tt := range tests {
		for _, kind := range WebTypes() {
			if tt.name == "huge" && kind != "RESEND" {
				continue // 16 MiB once are enough
			}
			t.Run(tt.name+" "+kind, func(t *testing.T) {
				t.Parallel()
				s, status, header, body, err := fault(t, kind, tt.rule)
				switch {
				case tt.status == 0:
					if !wasReset(err) {
						t.Errorf("the client saw %d %q %v, not a reset", status, body, err)
					}
				case err != nil:
					t.Fatal(err)
				case tt.status == 2 && status/100 != 2 || tt.status > 2 && status != tt.status:
					t.Errorf("status %d", status)
				case !tt.body(body):
					t.Errorf("body %.200q", body)
				}
				if tt.name == "throttle" && header.Get("Retry-After") != "7" {
					t.Errorf("Retry-After %q", header.Get("Retry-After"))
				}
				e := only(t, s)
				if e.Outcome != tt.outcome || e.AnswerLost != tt.lost || e.Fault != tt.rule.Fault || e.Rule != "r1" || (e.Copy == 1) != (tt.outcome == Accepted) {
					t.Errorf("the ledger says %+v", e)
				}
			})
		}
	}
}

// TestRetryAfterForms holds each form of it against what a client has to cope with.
func TestRetryAfterForms(t *testing.T) {
	t.Parallel()
	for form, good := range map[string]func(string) bool{
		"":        func(v string) bool { return v == "1" },
		"30":      func(v string) bool { return v == "30" },
		"date":    func(v string) bool { at, err := http.ParseTime(v); return err == nil && at.After(time.Now()) },
		"past":    func(v string) bool { at, err := http.ParseTime(v); return err == nil && at.Before(time.Now()) },
		"none":    func(v string) bool { return v == "" },
		"absurd":  func(v string) bool { return len(v) == 20 },
		"garbage": func(v string) bool { return v == "soon" },
	} {
		if _, status, header, _, err := fault(t, "TWILIO", Rule{Fault: Throttle, RetryAfter: form}); err != nil || status != 429 || !good(header.Get("Retry-After")) {
			t.Errorf("%q: %d %v %v", form, status, header, err)
		}
	}
}

// TestAThrottleSaysHowLong is left of the time that its rule counts in.
func TestAThrottleSaysHowLong(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Rules: []Rule{{Fault: Throttle, Above: 1, Per: Span(time.Hour)}}, Now: func() time.Time { return time.Date(2026, 7, 3, 10, 59, 30, 1, time.UTC) }})
	if status, _, body, err := do(caller(t), request(t, s, "MNOTIFY", "233244000000")); err != nil || status != 200 {
		t.Fatalf("the first: %d %s %v", status, body, err)
	}
	if status, header, _, err := do(caller(t), request(t, s, "MNOTIFY", "233244000000")); err != nil || status != 429 || header.Get("Retry-After") != "30" {
		t.Errorf("the second: %d %v %v", status, header, err)
	}
}

// TestHangingUnderAKey meets a key that is in use: 409, and once the hang is over the key is free.
func TestHangingUnderAKey(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Rules: []Rule{{Fault: Hang, First: 1}}})
	key := func(_ map[string]any, r *http.Request) { r.Header.Set("Idempotency-Key", "k") }
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() {
		_, _, _, err := do(caller(t), request(t, s, "RESEND", "ama@example.com", key).WithContext(ctx))
		gone <- err
	}()
	until(t, "the first one hangs", func() bool { return len(s.Entries(Filter{Outcome: Hung})) == 1 })
	until(t, "the key is in use", func() bool {
		status, body := answered(t, caller(t), request(t, s, "RESEND", "ama@example.com", key))
		return status == 409 && strings.Contains(body, "concurrent_idempotent_requests")
	})
	leave()
	if err := <-gone; err == nil {
		t.Error("the hanging request was answered")
	}
	until(t, "the key is free again", func() bool {
		status, _ := answered(t, caller(t), request(t, s, "RESEND", "ama@example.com", key))
		return status == 200
	})
	if n := len(s.Entries(Filter{Outcome: Accepted})); n != 1 {
		t.Errorf("%d copies were taken", n)
	}
}

// TestALostAnswerIsRepeated loses the answer under a key: the repeat finds the id of what was taken.
func TestALostAnswerIsRepeated(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Rules: []Rule{{Fault: Lose, First: 1}}})
	key := func(_ map[string]any, r *http.Request) { r.Header.Set("Idempotency-Key", "k") }
	if _, _, _, err := do(caller(t), request(t, s, "RESEND", "ama@example.com", key)); !wasReset(err) {
		t.Fatalf("the first answer: %v", err)
	}
	_, body := answered(t, caller(t), request(t, s, "RESEND", "ama@example.com", key))
	all := s.Entries(Filter{Kind: KindSend})
	if len(all) != 2 || all[0].Outcome != Accepted || !all[0].AnswerLost || all[1].Outcome != Repeated || all[1].AnswerLost || all[0].ProviderID != idIn(t, "RESEND", body) {
		t.Errorf("%+v", all)
	}
	// Arkesel has no key: the repeat is a second copy, and the ledger says so.
	to := "233244000000"
	if _, _, _, err := do(caller(t), request(t, s, "ARKESEL", to)); !wasReset(err) {
		t.Fatalf("the first answer: %v", err)
	}
	answered(t, caller(t), request(t, s, "ARKESEL", to))
	if copies := s.Copies(Filter{Type: "ARKESEL"}); len(copies) != 1 || copies[0].Copies != 2 || copies[0].AnswersLost != 1 || len(copies[0].ProviderIDs) != 2 {
		t.Errorf("%+v", copies)
	}
}

// TestAClientThatLeavesIsSeen notes that nobody can have read an answer.
func TestAClientThatLeavesIsSeen(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Rules: []Rule{{Fault: Drip, Delay: Span(50 * time.Millisecond)}}})
	ctx, leave := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer leave()
	if _, _, _, err := do(caller(t), request(t, s, "HUBTEL", "233244000000").WithContext(ctx)); err == nil {
		t.Fatal("the whole answer came")
	}
	until(t, "the ledger knows", func() bool { return only(t, s).AnswerLost })
	if c := s.Copies(Filter{}); len(c) != 1 || c[0].AnswersLost != 1 {
		t.Errorf("%+v", c)
	}
}

// TestAPortIsClosed takes a type down that has a port of its own: connections are refused, those that
// are open are reset, and the same port opens again.
func TestAPortIsClosed(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Own: map[string]string{"HUBTEL": "127.0.0.1:0"}})
	addr := strings.TrimSuffix(strings.TrimPrefix(s.BaseURL("HUBTEL"), "http://"), "/hubtel")
	if addr == strings.TrimPrefix(s.URL(), "http://") {
		t.Fatal("it has no port of its own")
	}
	open, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }()
	answered(t, caller(t), request(t, s, "HUBTEL", "233244000000"))
	id, err := s.Add(Rule{Type: "HUBTEL", Fault: Down})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := do(caller(t), request(t, s, "HUBTEL", "233244000000")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("down: %v", err)
	}
	_ = open.SetReadDeadline(time.Now().Add(patience))
	if _, err := open.Read(make([]byte, 1)); !wasReset(err) {
		t.Errorf("who was inside: %v", err)
	}
	if status, _ := orderOf(t, s, "GET", "/_simulate/", ""); status != 200 {
		t.Errorf("the front door is closed, too: %d", status)
	}
	if !s.Remove(id) {
		t.Error("the rule is gone")
	}
	if status, _ := answered(t, caller(t), request(t, s, "HUBTEL", "233244000000")); status != 201 {
		t.Errorf("open again: %d", status)
	}
	if n := len(s.Entries(Filter{Outcome: Accepted})); n != 2 {
		t.Errorf("%d copies", n)
	}
}
