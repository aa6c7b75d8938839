package simulate

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// mailTo sends a mail to a relay as an ordinary client does; what comes back is the error.
func mailTo(t *testing.T, addr, to string, login ...string) error {
	t.Helper()
	raw, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	_ = raw.SetDeadline(time.Now().Add(patience))
	c := smtp.NewClient(raw)
	defer func() { _ = c.Close() }()
	if len(login) == 2 {
		if err := c.Auth(sasl.NewPlainClient("", login[0], login[1])); err != nil {
			return err
		}
	}
	if err := c.Mail("shop@shop.example", nil); err != nil {
		return err
	}
	if err := c.Rcpt(to, nil); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "From: shop@shop.example\r\nTo: %s\r\nMessage-ID: <m1@shop.example>\r\nSubject: Hi\r\n\r\nHello\r\n", to); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return fmt.Sprintf("%d %d.%d.%d", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
	}
	return ""
}

func TestARelayTakesAMail(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Content: true})
	if err := mailTo(t, s.Relays()[0], "ama@example.com", "user", "password"); err != nil {
		t.Fatal(err)
	}
	e := only(t, s)
	if e.Outcome != Accepted || e.Recipient != "ama@example.com" || e.Sender != "shop@shop.example" || e.Token != "m1@shop.example" || e.Copy != 1 || e.AnswerLost || e.Status != 250 ||
		len(e.BodySHA256) != 64 || len(e.ProviderID) != 12 || !strings.Contains(e.Content, "Hello") {
		t.Errorf("%+v", e)
	}
	if err := mailTo(t, s.Relays()[0], "ama@example.com"); err != nil {
		t.Fatal(err)
	}
	if c := s.Copies(Filter{Least: 2}); len(c) != 1 || c[0].Copies != 2 || c[0].Token != "m1@shop.example" {
		t.Errorf("%+v", c)
	}
}

// TestFaultsOfARelay orders each fault at a mail relay: what the client sees, and what the ledger says.
func TestFaultsOfARelay(t *testing.T) {
	t.Parallel()
	broken := func(err error) bool { return err != nil && codeOf(err) == "" }
	code := func(want string) func(error) bool { return func(err error) bool { return codeOf(err) == want } }
	fine := func(err error) bool { return err == nil }
	tests := []struct {
		name    string
		rule    Rule
		outcome string
		lost    bool
		is      func(error) bool
	}{
		{"refuse", Rule{Fault: Refuse}, Refused, false, code("550 5.1.1")},
		{"throttle", Rule{Fault: Throttle}, Throttled, false, code("451 4.7.1")},
		{"unavailable", Rule{Fault: Unavailable}, Failed, false, code("421 4.3.2")},
		{"unavailable and taken", Rule{Fault: Unavailable, Taken: true}, Accepted, false, code("421 4.3.2")},
		{"reset", Rule{Fault: Down, Recipient: "*"}, Reset, false, broken},
		{"hang", Rule{Fault: Hang, Delay: Span(50 * time.Millisecond)}, Hung, false, broken},
		{"hang and taken", Rule{Fault: Hang, Taken: true, Delay: Span(50 * time.Millisecond)}, Accepted, true, broken},
		{"lose", Rule{Fault: Lose}, Accepted, true, broken},
		{"slow", Rule{Fault: Slow, Delay: Span(50 * time.Millisecond)}, Accepted, false, fine},
		{"drip", Rule{Fault: Drip, Delay: Span(time.Millisecond)}, Accepted, false, fine},
		{"broken", Rule{Fault: Malformed}, Accepted, false, broken},
		{"empty", Rule{Fault: Malformed, Form: "empty"}, Accepted, true, broken},
		{"html", Rule{Fault: Malformed, Form: "html"}, Accepted, false, broken},
		{"unexpected", Rule{Fault: Malformed, Form: "unexpected"}, Accepted, false, func(err error) bool { return err != nil }},
		{"huge", Rule{Fault: Malformed, Form: "huge"}, Accepted, false, func(error) bool { return true }}, // a matter of the client's patience
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, Config{Rules: []Rule{tt.rule}})
			if err := mailTo(t, s.Relays()[0], "ama@example.com"); !tt.is(err) {
				t.Errorf("the client saw %v", err)
			}
			if e := only(t, s); e.Outcome != tt.outcome || e.AnswerLost != tt.lost || e.Fault != tt.rule.Fault || (e.Copy == 1) != (tt.outcome == Accepted) {
				t.Errorf("the ledger says %+v", e)
			}
		})
	}
}

// TestEveryReplyOfARelay orders each documented reply, at its stage.
func TestEveryReplyOfARelay(t *testing.T) {
	t.Parallel()
	for _, r := range Refusals() {
		if r.Type != SMTP {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, Config{Rules: []Rule{{Type: SMTP, Fault: Refuse, Error: r.Name, Times: 1}}})
			if err := mailTo(t, s.Relays()[0], "ama@example.com", "user", "password"); codeOf(err) != fmt.Sprintf("%d %s", r.Status, r.Code) {
				t.Errorf("the client saw %v", err)
			}
			if e := only(t, s); e.Outcome != Refused || e.Error != r.Name || e.Status != r.Status {
				t.Errorf("the ledger says %+v", e)
			}
			if err := mailTo(t, s.Relays()[0], "ama@example.com", "user", "password"); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
}

// TestLoginsOfARelay logs in in both ways, and without a password.
func TestLoginsOfARelay(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	if err := mailTo(t, s.Relays()[0], "ama@example.com", "user", ""); codeOf(err) != "535 5.7.8" {
		t.Errorf("PLAIN without a password: %v", err)
	}
	for password, code := range map[string]string{"secret": "", "": "535 5.7.8"} {
		raw, err := net.Dial("tcp", s.Relays()[0])
		if err != nil {
			t.Fatal(err)
		}
		c := smtp.NewClient(raw)
		if err := c.Auth(sasl.NewLoginClient("user", password)); codeOf(err) != code || code == "" && err != nil {
			t.Errorf("LOGIN with the password %q: %v", password, err)
		}
		_ = c.Close()
	}
}

// TestAMailTooLarge is refused, and the ledger says so.
func TestAMailTooLarge(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{})
	raw, err := net.Dial("tcp", s.Relays()[0])
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(raw)
	defer func() { _ = c.Close() }()
	if err := errors.Join(c.Mail("a@shop.example", nil), c.Rcpt("ama@example.com", nil)); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 998) + "\r\n"
	for range maxMail/len(line) + 1 {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); codeOf(err) != "552 5.3.4" {
		t.Errorf("the client saw %v", err)
	}
	if e := only(t, s); e.Outcome != Refused || e.Status != 552 || e.Recipient != "ama@example.com" {
		t.Errorf("the ledger says %+v", e)
	}
}

// TestOneOfTwoRelaysIsDown closes the port of one relay; the other one stays.
func TestOneOfTwoRelaysIsDown(t *testing.T) {
	t.Parallel()
	var later atomic.Int64
	s := begin(t, Config{SMTPAddrs: []string{"127.0.0.1:0", "127.0.0.1:0"}, Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) }})
	first, second := s.Relays()[0], s.Relays()[1]
	id, err := s.Add(Rule{Type: SMTP, Port: s.relays[0].port(), Fault: Down})
	if err != nil {
		t.Fatal(err)
	}
	if err := mailTo(t, first, "ama@example.com"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("the first: %v", err)
	}
	if err := mailTo(t, second, "ama@example.com"); err != nil {
		t.Errorf("the second: %v", err)
	}
	s.Remove(id)
	if err := mailTo(t, first, "ama@example.com"); err != nil {
		t.Errorf("the first, back again: %v", err)
	}
	// A spell that ends by itself opens the port without anybody's doing.
	if _, err := s.Add(Rule{Type: SMTP, Port: s.relays[0].port(), Fault: Down, For: Span(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := mailTo(t, first, "ama@example.com"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("in the spell: %v", err)
	}
	later.Store(int64(time.Hour))
	until(t, "the spell is over", func() bool { return mailTo(t, first, "ama@example.com") == nil })
}

// TestADoorsPortStaysItsOwn: what can be closed for a while has no port that the system gives to connections meanwhile (ip(7): from
// 32768, where nothing else is set); the system refused it then, and an outage in a test did not end.
func TestADoorsPortStaysItsOwn(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{SMTPAddrs: []string{"127.0.0.1:0", "127.0.0.1:0"}, Own: map[string]string{"HUBTEL": "127.0.0.1:0"}})
	for _, d := range s.doors {
		if p := d.port(); p == 0 || d.kind != "" && p >= 32768 {
			t.Errorf("%q listens on %d", d.kind, p)
		}
	}
}

// TestAHangEndsWithTheServer stops the server while clients hang at it.
func TestAHangEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := begin(t, Config{Rules: []Rule{{Fault: Hang, Taken: true}}})
	ends := make(chan error, 2)
	go func() { ends <- mailTo(t, s.Relays()[0], "ama@example.com") }()
	go func() {
		_, _, _, err := do(caller(t), request(t, s, "TWILIO", "233244000000"))
		ends <- err
	}()
	until(t, "both hang", func() bool { return len(s.Entries(Filter{Outcome: Accepted})) == 2 })
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if <-ends == nil {
			t.Error("a client was answered")
		}
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("it took %v", took)
	}
}
