package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
)

func farOff() time.Time { return time.Now().Add(time.Hour) }

const (
	// opened is the dialogue up to the first MAIL, with and without PIPELINING.
	opened    = "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250 PIPELINING\n"
	openedOld = "S: 220 hi\nC: EHLO client.test\nS: 250 hi\n"
	// group is one pipelined envelope; all three must come before the first answer.
	group = "C: MAIL FROM:<no-reply@shop.test>\nC: RCPT TO:<ama@example.com>\nC: DATA\n"
	taken = group + "S: 250 ok\nS: 250 ok\nS: 354 go\n<mail>\nS: 250 2.0.0 queued\n"
	bye   = "C: QUIT\n"
)

func TestSessionsAreReused(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, opened+taken+taken+taken+bye)
	s := newSender(t, server.Dial)
	for range 3 {
		r, err := s.Send(t.Context(), greet(t))
		if err != nil {
			t.Fatal(err)
		}
		if r.Ref != providertest.MessageID+"@shop.test" || r.Detail != "250 2.0.0 queued" {
			t.Errorf("receipt %+v", r)
		}
	}
	_ = s.Close()
	mails := server.Mails()
	if server.Conns() != 1 || len(mails) != 3 || string(mails[0]) != string(mails[2]) {
		t.Errorf("%d connections, %d mails", server.Conns(), len(mails))
	}
}

// TestAReplyBeforeTheDotIsNoAnswer: a server that is out of step has not taken the mail.
func TestAReplyBeforeTheDotIsNoAnswer(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"with the answer to DATA": opened + group + "S: 250 ok\nS: 250 ok\nS! 354 go\\r\\n250 queued\\r\\n\n<close>",
		"with the greeting":       "S! 220 hi\\r\\n250 hi\\r\\n250 ok\\r\\n250 ok\\r\\n354 go\\r\\n250 queued\\r\\n\n<close>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, providertest.ServeSMTP(t, nil, script).Dial)
			defer func() { _ = s.Close() }()
			r, err := s.Send(t.Context(), greet(t))
			e, _ := errors.AsType[*provider.Error](err)
			if e == nil || e.Class != provider.Transient {
				t.Errorf("receipt %+v, %v", r, err)
			}
		})
	}
}

func TestSessionEndsAfterHundred(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, opened+strings.Repeat(taken, maxMails)+bye, opened+taken+bye)
	s := newSender(t, server.Dial)
	for range maxMails + 1 {
		if _, err := s.Send(t.Context(), greet(t)); err != nil {
			t.Fatal(err)
		}
	}
	if server.Conns() != 2 {
		t.Errorf("%d connections", server.Conns())
	}
}

// TestDeadSession: a reused session that has died is replaced, and the message's content goes out once.
func TestDeadSession(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]string{
		"closed while idle":       "<close>",
		"reset while idle":        "<reset>",
		"said 421 while idle":     "S: 421 4.4.2 idle too long\n<close>",
		"refused MAIL with 421":   group + "S: 421 4.7.0 enough\n<close>",
		"closed on MAIL":          group + "<close>",
		"reset on MAIL":           group + "<reset>",
		"went silent":             "<hang>",
		"answered MAIL with junk": group + "S: junk\n<hang>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := providertest.ServeSMTP(t, nil, opened+taken+end, opened+taken+bye)
			s := newSender(t, server.Dial)
			s.times.reused = 300 * time.Millisecond
			for range 2 {
				if _, err := s.Send(t.Context(), greet(t)); err != nil {
					t.Fatal(err)
				}
			}
			if server.Conns() != 2 || len(server.Mails()) != 2 {
				t.Errorf("%d connections, %d mails", server.Conns(), len(server.Mails()))
			}
		})
	}
}

// TestReplacedOnce: a new session that fails like a dead one is not replaced again.
func TestReplacedOnce(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, opened+taken+"<close>", opened+group+"<close>")
	s := newSender(t, server.Dial)
	if _, err := s.Send(t.Context(), greet(t)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Send(t.Context(), greet(t))
	wantError(t, err, provider.Transient, "connection_lost")
}

// TestNotReplacedLater: once the server has taken the sender, a lost connection is told, not repaired.
func TestNotReplacedLater(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, opened+taken+group+"S: 250 ok\n<close>")
	s := newSender(t, server.Dial)
	if _, err := s.Send(t.Context(), greet(t)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Send(t.Context(), greet(t))
	wantError(t, err, provider.Transient, "connection_lost")
}

// TestDrops loses the connection in every phase: before the final dot nothing was sent, after it nobody knows.
func TestDrops(t *testing.T) {
	t.Parallel()
	open, inData := openedOld+"C~ MAIL\n", openedOld+"C~ MAIL\nS: 250 ok\nC~ RCPT\nS: 250 ok\nC: DATA\n"
	for name, c := range map[string]struct {
		script string
		class  provider.Class
		code   string
	}{
		"before the greeting":        {"", provider.Transient, "connection_lost"},
		"within the greeting":        {"S! 22", provider.Transient, "connection_lost"},
		"after the greeting":         {"S: 220 hi", provider.Transient, "connection_lost"},
		"within the answer to EHLO":  {"S: 220 hi\nC~ EHLO\nS: 250-hi", provider.Transient, "connection_lost"},
		"after MAIL":                 {open, provider.Transient, "connection_lost"},
		"after RCPT":                 {open + "S: 250 ok\nC~ RCPT", provider.Transient, "connection_lost"},
		"after DATA":                 {inData, provider.Transient, "connection_lost"},
		"within the final answer":    {inData + "S: 354 go\n<mail>\nS! 25", provider.Ambiguous, "outcome_unknown"},
		"before the final answer":    {inData + "S: 354 go\n<mail>", provider.Ambiguous, "outcome_unknown"},
		"junk as the final answer":   {inData + "S: 354 go\n<mail>\nS: junk", provider.Ambiguous, "outcome_unknown"},
		"within a final 250 of many": {inData + "S: 354 go\n<mail>\nS: 250-queued", provider.Accepted, ""},
	} {
		for _, end := range []string{"<close>", "<reset>"} {
			if end == "<reset>" && c.class == provider.Accepted {
				continue // a reset may overtake the answer
			}
			t.Run(name+" "+end, func(t *testing.T) {
				t.Parallel()
				s := newSender(t, providertest.ServeSMTP(t, nil, c.script+"\n"+end).Dial)
				_, err := s.Send(t.Context(), greet(t))
				if c.class == provider.Accepted {
					if err != nil {
						t.Error(err)
					}
					return
				}
				var e *provider.Error
				if !errors.As(err, &e) || e.Class != c.class || e.Code != c.code && end == "<close>" {
					t.Errorf("got %v, want %s (%s)", err, c.class, c.code)
				}
			})
		}
	}
}

// TestDropInsideContent cuts the connection while a large mail is being written.
func TestDropInsideContent(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, opened+group+"S: 250 ok\nS: 250 ok\nS: 354 go\n<read 100000>\n<reset>")
	s := newSender(t, server.Dial)
	m := greet(t)
	m.Content.Body = strings.Repeat("<p>"+strings.Repeat("x", 70)+"</p>\n", 200000)
	_, err := s.Send(t.Context(), m)
	wantError(t, err, provider.Transient, "connection_lost")
}

// TestContextInEveryPhase ends the context while the server is silent.
func TestContextInEveryPhase(t *testing.T) {
	t.Parallel()
	inData := openedOld + "C~ MAIL\nS: 250 ok\nC~ RCPT\nS: 250 ok\nC: DATA\n"
	for name, c := range map[string]struct {
		script string
		class  provider.Class
	}{
		"greeting": {"<hang>", provider.Transient},
		"EHLO":     {"S: 220 hi\n<hang>", provider.Transient},
		"MAIL":     {openedOld + "<hang>", provider.Transient},
		"group":    {opened + "<hang>", provider.Transient},
		"DATA":     {inData + "<hang>", provider.Transient},
		"dot":      {inData + "S: 354 go\n<mail>\n<hang>", provider.Ambiguous},
	} {
		for _, how := range []string{"deadline", "cancel"} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				server := providertest.ServeSMTP(t, nil, c.script)
				s := newSender(t, server.Dial)
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
				code := "timeout"
				if how == "cancel" {
					cancel()
					ctx, cancel = context.WithCancel(t.Context())
					code = "cancelled"
					go func() {
						<-server.Hung
						cancel()
					}()
				}
				defer cancel()
				if c.class == provider.Ambiguous {
					code = "outcome_unknown"
				}
				begin := time.Now()
				_, err := s.Send(ctx, greet(t))
				wantError(t, err, c.class, code)
				if d := time.Since(begin); d > 30*time.Second {
					t.Errorf("took %v", d)
				}
			})
		}
	}
}

// TestHurryInEveryPhase: when the provider is known to be silent, what has not been sent yet goes elsewhere, and what may have been stays.
func TestHurryInEveryPhase(t *testing.T) {
	t.Parallel()
	inData := openedOld + "C~ MAIL\nS: 250 ok\nC~ RCPT\nS: 250 ok\nC: DATA\n"
	for name, script := range map[string]string{
		"greeting": "<hang>",
		"EHLO":     "S: 220 hi\n<hang>",
		"MAIL":     openedOld + "<hang>",
		"group":    opened + "<hang>",
		"DATA":     inData + "<hang>",
		"dot":      inData + "S: 354 go\n<mail>\n<hang>",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := providertest.ServeSMTP(t, nil, script)
			s := newSender(t, server.Dial)
			most := 30 * time.Second
			if name == "dot" { // it waits as long as it may
				most = 4 * time.Second
			}
			begin := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), most)
			defer cancel()
			hurry, give := context.WithCancel(t.Context())
			defer give()
			go func() {
				<-server.Hung
				give()
			}()
			m := greet(t)
			m.Hurry = hurry
			_, err := s.Send(ctx, m)
			if name == "dot" {
				wantError(t, err, provider.Ambiguous, "outcome_unknown")
				if took := time.Since(begin); took < most-100*time.Millisecond { // the connection's deadline may come a moment before the context's
					t.Errorf("it waited %v for the answer to the dot", took)
				}
				return
			}
			wantError(t, err, provider.Transient, "no_answer")
			if ctx.Err() != nil {
				t.Error("it waited")
			}
		})
	}
	t.Run("dial", func(t *testing.T) {
		t.Parallel()
		hurry, give := context.WithCancel(t.Context())
		s := newSender(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
			give()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		m := greet(t)
		m.Hurry = hurry
		_, err := s.Send(t.Context(), m)
		wantError(t, err, provider.Transient, "no_answer")
	})
	t.Run("a session that was used without haste is used again", func(t *testing.T) {
		t.Parallel()
		server := providertest.ServeSMTP(t, nil, opened+taken+taken+bye)
		s := newSender(t, server.Dial)
		hurry, give := context.WithCancel(t.Context())
		for range 2 {
			m := greet(t)
			m.Hurry = hurry
			if _, err := s.Send(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			give()
			hurry, give = context.WithCancel(t.Context())
		}
		give()
		_ = s.Close()
		if server.Conns() != 1 {
			t.Errorf("%d connections", server.Conns())
		}
	})
}

// TestOpeningInAHurry: where another provider could carry the mail, a server that takes connections and says nothing is not
// waited for as long as RFC 5321 asks of those who have nobody else.
func TestOpeningInAHurry(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{"greeting": "<hang>", "EHLO": "S: 220 hi\n<hang>"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, providertest.ServeSMTP(t, nil, script).Dial)
			s.times.brisk = 200 * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := s.Send(provider.ConnectWithin(ctx, time.Second), greet(t))
			wantError(t, err, provider.Transient, "timeout")
			if ctx.Err() != nil {
				t.Error("it waited")
			}
		})
	}
}

// TestAnswerDuringCancel: the answer to the final dot counts if it is there, although the context ends meanwhile.
func TestAnswerDuringCancel(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, opened+taken+"<hang>")
	ctx, cancel := context.WithCancel(t.Context())
	s := newSender(t, server.Dial)
	_, err := s.Send(ctx, greet(t))
	cancel()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDrip: a peer that sends octet by octet does not prolong the time that a phase has.
func TestDrip(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"greeting": "<drip 20ms>\nS: 220 " + strings.Repeat("x", 2000),
		"EHLO":     "S: 220 hi\nC~ EHLO\n<drip 20ms>\n" + strings.Repeat("S: 250-XTEND\n", 100),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, providertest.ServeSMTP(t, nil, script).Dial)
			s.times.command = 300 * time.Millisecond
			begin := time.Now()
			_, err := s.Send(t.Context(), greet(t))
			wantError(t, err, provider.Transient, "timeout")
			if d := time.Since(begin); d > 10*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestPhaseTimeouts(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, opened+group+"S: 250 ok\nS: 250 ok\nS: 354 go\n<mail>\n<hang>")
	s := newSender(t, server.Dial)
	s.times.final = 200 * time.Millisecond
	_, err := s.Send(t.Context(), greet(t))
	wantError(t, err, provider.Ambiguous, "outcome_unknown")

	hanging := newSender(t, func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	hanging.times.connect = 50 * time.Millisecond
	_, err = hanging.Send(t.Context(), greet(t))
	wantError(t, err, provider.Transient, "connect_timeout")
}

func TestDialFailures(t *testing.T) {
	t.Parallel()
	for code, dialErr := range map[string]error{
		"dns_error":      &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "mail.test", IsNotFound: true}},
		"connect_failed": &net.OpError{Op: "dial", Err: errors.New("connection refused")},
	} {
		s := newSender(t, func(context.Context, string, string) (net.Conn, error) { return nil, dialErr })
		_, err := s.Send(t.Context(), greet(t))
		if e := wantError(t, err, provider.Transient, code); !errors.Is(e, dialErr) {
			t.Errorf("%s: the cause is lost", code)
		}
	}
}

// TestBlockedTarget uses the product's door: a private address is the configuration's fault.
func TestBlockedTarget(t *testing.T) {
	t.Parallel()
	s := newSender(t, new(guard.Dialer).DialContext, "host=10.0.0.1", "port=25")
	_, err := s.Send(t.Context(), greet(t))
	wantError(t, err, provider.Account, "blocked_address")
}

// TestTLS: nothing is said to a server that cannot prove who it is.
func TestTLS(t *testing.T) {
	t.Parallel()
	certs, strangers := providertest.NewCerts(t), providertest.NewCerts(t)
	old := certs.Server(t, "mail.test", farOff())
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 //nolint:gosec // the test is that we refuse it
	good := certs.Server(t, "mail.test", farOff())
	const upgrade = "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n<tls>\n"
	for _, c := range []struct {
		name   string
		conf   *tls.Config
		script string
		edit   []string
		class  provider.Class
		code   string
		says   string
	}{
		{"expired", certs.Server(t, "mail.test", time.Now().Add(-time.Hour)), upgrade + "<end>", nil, provider.Account, "tls_certificate", "expired"},
		{"wrong name", certs.Server(t, "other.test", farOff()), upgrade + "<end>", nil, provider.Account, "tls_certificate", "another name"},
		{"unknown authority", strangers.Server(t, "mail.test", farOff()), upgrade + "<end>", nil, provider.Account, "tls_certificate", "does not know"},
		{"too old", old, upgrade, nil, provider.Transient, "tls_error", ""},
		{"implicit, unknown authority", strangers.Server(t, "mail.test", farOff()), "<tls>\n<end>", []string{"secure=true"}, provider.Account, "tls_certificate", "does not know"},
		{"implicit, but the server speaks plain", nil, "S: 220 hi\n<hang>", []string{"secure=true"}, provider.Account, "tls_error", "check port and secure"},
		{"data injected after STARTTLS", good, "S: 220 hi\nC~ EHLO\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS! 220 go\\r\\n250 injected\\r\\n\n<end>", nil, provider.Transient, "tls_error", "in clear"},
		{"STARTTLS refused later", nil, "S: 220 hi\nC~ EHLO\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 not now\n<end>", nil, provider.Transient, "454 4.7.0", ""},
		{"no mechanism", good, upgrade + "C~ EHLO\nS: 250-hi\nS: 250 AUTH GSSAPI\n<end>", []string{"username=u-name", "password=secret"}, provider.Account, "auth_unsupported", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSender(t, providertest.ServeSMTP(t, c.conf, c.script).Dial, c.edit...)
			s.tls.RootCAs = certs.Pool
			_, err := s.Send(t.Context(), greet(t))
			if e := wantError(t, err, c.class, c.code); !strings.Contains(e.Text, c.says) {
				t.Errorf("it says %q", e.Text)
			}
		})
	}
}

// TestStrippedTLS: a password is not sent in clear to another host, and not because somebody removed STARTTLS.
func TestStrippedTLS(t *testing.T) {
	t.Parallel()
	server := providertest.ServeSMTP(t, nil, "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250 AUTH PLAIN\n<end>")
	s := newSender(t, farAway(server.Dial), "username=u-name", "password=secret")
	_, err := s.Send(t.Context(), greet(t))
	wantError(t, err, provider.Account, "tls_required")
}

// farAway makes connections look as if the peer were on another host.
func farAway(dial providertest.Dialer) providertest.Dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return remote{c}, nil
	}
}

type remote struct{ net.Conn }

func (remote) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 7), Port: 587} }

// TestRecipients: the message's own recipient decides, copies are reported.
func TestRecipients(t *testing.T) {
	t.Parallel()
	const envelope = "C: MAIL FROM:<no-reply@shop.test>\nC: RCPT TO:<ama@example.com>\nC: RCPT TO:<b@example.com>\nC: RCPT TO:<c@example.com>\n"
	server := providertest.ServeSMTP(t, nil, opened+
		envelope+"S: 250 ok\nS: 250 ok\nS: 550 5.1.1 no b@example.com\nS: 452 4.5.3 too many\nC: DATA\nS: 354 go\n<mail>\nS: 250 queued\n"+
		envelope+"S: 250 ok\nS: 550 5.1.1 no\nS: 250 ok\nS: 250 ok\nC: RSET\nS: 250 ok\n"+
		envelope+"S: 250 ok\nS: 250 ok\nS: 250 ok\nS: 250 ok\nC: DATA\nS: 354 go\n<mail>\nS: 550 5.1.1 somebody is unknown\n"+"C: QUIT")
	s := newSender(t, server.Dial)
	m := greet(t, "ama@example.com", "b@example.com", "AMA@example.com")
	m.Content.BCC = []string{"Cee <c@example.com>"}
	sent := func() *provider.Message { c := *m; return &c } // its content is dropped on the way
	r, err := s.Send(t.Context(), sent())
	if err != nil || r.Detail != "250 queued; 2 of 2 copies refused (550 5.1.1, 452 4.5.3)" {
		t.Errorf("%+v %v", r, err)
	}
	_, err = s.Send(t.Context(), sent())
	if e := wantError(t, err, provider.PermanentMessage, "550 5.1.1"); !e.HardBounce {
		t.Error("no hard bounce")
	}
	_, err = s.Send(t.Context(), sent())
	if e := wantError(t, err, provider.PermanentMessage, "550 5.1.1"); e.HardBounce {
		t.Error("a hard bounce although it may be a copy that was refused")
	}
	if got := strings.ToLower(string(server.Mails()[0])); strings.Contains(got, "bcc") || strings.Contains(got, "c@example.com>") {
		t.Errorf("the blind copy shows:\n%s", got)
	}
}

// TestIdleSessionsEnd closes idle sessions after their time, without any Send to
// trigger it: those that only a burst needed soon, the others later.
func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var quits atomic.Int32
		var peers sync.WaitGroup
		p := &pool{max: 2}
		add := func(n int) {
			for range n {
				client, server := net.Pipe()
				peers.Go(func() {
					buf := make([]byte, 16)
					if n, _ := server.Read(buf); strings.HasPrefix(string(buf[:n]), "QUIT") {
						quits.Add(1)
					}
					_ = server.Close()
				})
				p.put(&session{wire: newWire(client)})
			}
		}
		idle := func() int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return len(p.idle)
		}
		add(2)
		time.Sleep(idleTime / 2)
		add(3) // two of five have been idle for long enough
		for _, x := range []struct {
			after time.Duration
			left  int
		}{{burstTime - time.Millisecond, 3}, {2 * time.Millisecond, 2}, {idleTime - burstTime - 2*time.Millisecond, 2}, {2 * time.Millisecond, 0}} {
			if time.Sleep(x.after); idle() != x.left {
				t.Errorf("%d are idle, want %d", idle(), x.left)
			}
		}
		add(3)
		p.close()
		if p.take() != nil || p.keep(&session{}) {
			t.Error("a closed pool keeps sessions")
		}
		peers.Wait()
		if quits.Load() != 8 {
			t.Errorf("%d sessions ended politely, want 8", quits.Load())
		}
	})
}

// TestABurstReusesItsSessions: waves of more mails at once than sessions are kept
// need no more sessions than one wave.
func TestABurstReusesItsSessions(t *testing.T) {
	t.Parallel()
	const wave, waves = 4 * defaultIdle, 10
	sink := providertest.NewSink(t, nil, "PIPELINING")
	s := newSender(t, sink.Dial())
	for range waves {
		var senders sync.WaitGroup
		for range wave {
			senders.Go(func() {
				if _, err := s.Send(t.Context(), greet(t)); err != nil {
					t.Error(err)
				}
			})
		}
		senders.Wait()
	}
	if n := sink.Conns.Load(); n > wave {
		t.Errorf("%d connections for waves of %d", n, wave)
	}
}
