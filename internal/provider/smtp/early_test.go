//go:build unix

package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/provider/reach"
	"github.com/commserver/commserver/internal/provider/veil"
)

// pair is a session with the server's end of it in the test's hand, so that what
// has been sent before what is certain.
type pair struct {
	*session
	s      *Sender
	socket *net.TCPConn // below the session
	peer   net.Conn     // the server's end
	held   *bytes.Buffer
}

// kinds are the ways to be connected. A wrapped connection lets nobody at its socket.
func kinds() []string { return []string{"plain", "wrapped", "TLS 1.3", "TLS 1.2", "TLS wrapped"} }

func newPair(t testing.TB, kind string) *pair {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{s: newSender(t, providertest.DialTo(l.Addr().String()))}
	conn, err := p.s.dial(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	p.socket = conn.(*net.TCPConn)
	if strings.Contains(kind, "wrapped") {
		conn = struct{ net.Conn }{conn}
	}
	const wait = 10 * time.Second // for answers that never come, should an early one not be noticed
	p.session = &session{wire: newWire(conn), times: timeouts{wait, wait, wait, wait, wait, wait, wait}}
	if p.peer, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	t.Cleanup(func() { p.drop(); _ = p.peer.Close() })
	_ = p.peer.SetDeadline(time.Now().Add(20 * time.Second))
	if err := p.within(t.Context(), 20*time.Second); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(kind, "TLS") {
		p.encrypt(t, kind == "TLS 1.2")
	}
	return p
}

func (p *pair) encrypt(t testing.TB, old bool) {
	t.Helper()
	certs := providertest.NewCerts(t)
	conf := certs.Server(t, "mail.test", farOff())
	conf.ClientAuth = tls.RequestClientCert // the session tickets come after the handshake then, not with it
	if old {
		conf.MaxVersion = tls.VersionTLS12
	}
	p.s.tls.RootCAs = certs.Pool
	server := tls.Server(&holding{p.peer, p}, conf)
	done := make(chan error)
	go func() { done <- server.HandshakeContext(t.Context()) }()
	if err := errors.Join(p.s.encrypt(t.Context(), p.session), <-done); err != nil {
		t.Fatal(err)
	}
	p.peer = server
}

// holding holds back what is written while the pair says so.
type holding struct {
	net.Conn
	p *pair
}

func (h *holding) Write(b []byte) (int, error) {
	if h.p.held != nil {
		return h.p.held.Write(b)
	}
	return h.Conn.Write(b)
}

// say writes as the server and waits until it has arrived in the socket.
func (p *pair) say(t testing.TB, text string) {
	t.Helper()
	if _, err := io.WriteString(p.peer, text); err != nil {
		t.Fatal(err)
	}
	p.settled(t)
}

// settled waits until something, or the end, lies in the socket.
func (p *pair) settled(t testing.TB) {
	t.Helper()
	raw, err := p.socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var there error
	if err := raw.Read(func(fd uintptr) bool {
		_, _, there = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return !errors.Is(there, syscall.EAGAIN)
	}); err != nil || there != nil {
		t.Fatal(err, there)
	}
}

// greeted reads the greeting: what TLS sends by itself is behind us then.
func (p *pair) greeted(t testing.TB) {
	t.Helper()
	p.say(t, "220 hi\r\n")
	if r, err := p.reply(); err != nil || r.code != 220 {
		t.Fatal(r, err)
	}
}

func (p *pair) mail(t testing.TB) *job {
	t.Helper()
	j, _, refusal := p.s.prepare(greet(t), nil)
	if refusal != nil {
		t.Fatal(refusal)
	}
	return &j
}

// TestEarlyReplyInAPacketOfItsOwn: nothing is sent to a server that has answered it
// already, in whatever packet the answer came.
func TestEarlyReplyInAPacketOfItsOwn(t *testing.T) {
	t.Parallel()
	steps := map[string]func(*testing.T, *pair) *fault{
		"EHLO": func(t *testing.T, p *pair) *fault { return p.s.hello(t.Context(), p.session) },
		"AUTH": func(t *testing.T, p *pair) *fault {
			p.ext.auth = []string{"PLAIN"}
			return p.s.login(t.Context(), p.session)
		},
		"RSET": func(t *testing.T, p *pair) *fault {
			p.dirty = true
			_, f := p.deliver(t.Context(), p.mail(t), true)
			return f
		},
		"MAIL": func(t *testing.T, p *pair) *fault {
			_, f := p.deliver(t.Context(), p.mail(t), true)
			return f
		},
		"group": func(t *testing.T, p *pair) *fault {
			p.ext.pipelining = true
			_, f := p.deliver(t.Context(), p.mail(t), true)
			return f
		},
		"DATA": func(t *testing.T, p *pair) *fault { return p.askData(t.Context()) },
		"dot": func(t *testing.T, p *pair) *fault {
			_, f := p.transmit(t.Context(), p.mail(t))
			return f
		},
	}
	for said, code := range map[string]string{
		"250 2.0.0 queued\r\n":               "protocol_error",
		"354 go\r\n":                         "protocol_error",
		"5":                                  "protocol_error",
		"421-4.3.2 bye\r\n421 4.3.2 bye\r\n": "421 4.3.2", // may be said unasked
		"":                                   "connection_lost",
	} {
		for step, do := range steps {
			for _, kind := range kinds() {
				t.Run(code+" "+said+" "+step+" "+kind, func(t *testing.T) {
					t.Parallel()
					p := newPair(t, kind)
					p.greeted(t)
					if said == "" {
						_ = p.socket.CloseRead() // as the server's end is seen, without closing what it reads
					} else {
						p.say(t, said)
					}
					f := do(t, p)
					if f == nil {
						t.Fatal("taken for the answer")
					}
					wantError(t, f.asError(veil.Veil{}), provider.Transient, code)
					p.drop()
					if sent, _ := io.ReadAll(p.peer); len(sent) > 0 {
						t.Errorf("sent nevertheless: %q", sent)
					}
				})
			}
		}
	}
}

// TestEarlyReplyWhileTheMailIsSent: the whole dialogue, with a server that has an
// answer ready before it has read the mail, which is larger than what buffers hold.
func TestEarlyReplyWhileTheMailIsSent(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	const early = group + "S: 250 ok\nS: 250 ok\nS: 354 go\nS: 250 queued\n<read 1000>\n<hang>"
	const upgrade = "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n<tls>\n" +
		"C: EHLO client.test\nS: 250-hi\nS: 250 PIPELINING\n"
	for name, c := range map[string]struct {
		script string
		edit   []string
	}{
		"plain":    {opened + early, nil},
		"STARTTLS": {upgrade + early, nil},
		"implicit": {"<tls>\n" + opened + early, []string{"secure=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const times = 5
			server := providertest.ServeSMTP(t, certs.Server(t, "mail.test", farOff()), slices.Repeat([]string{c.script}, times)...)
			s := newSender(t, server.Dial, c.edit...)
			s.tls.RootCAs = certs.Pool
			for range times {
				m := greet(t)
				m.Content.Body = strings.Repeat("<p>"+strings.Repeat("x", 70)+"</p>\n", 100000)
				m.Content.Text = "Made of the body it takes a second under the race detector."
				_, err := s.Send(t.Context(), m)
				wantError(t, err, provider.Transient, "protocol_error")
			}
		})
	}
}

// TestWhatTLSSendsIsNoReply: session tickets lie in the socket after the handshake.
func TestWhatTLSSendsIsNoReply(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"TLS 1.3", "TLS wrapped"} {
		p := newPair(t, kind)
		p.settled(t) // the tickets
		for range 3 {
			if r, err := p.inStep(); r.code != 0 || err != nil {
				t.Fatal(kind, r, err)
			}
		}
		p.greeted(t)
	}
}

// TestNoFalseAlarm sends over many new connections, resumed ones among them.
func TestNoFalseAlarm(t *testing.T) {
	t.Parallel()
	certs := providertest.NewCerts(t)
	const times = 200
	const upgrade = "S: 220 hi\nC: EHLO client.test\nS: 250-hi\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n<tls>\n" +
		"C: EHLO client.test\nS: 250-hi\nS: 250 PIPELINING\n"
	for name, c := range map[string]struct {
		script string
		edit   []string
	}{
		"plain":    {opened + taken + bye, nil},
		"STARTTLS": {upgrade + taken + bye, nil},
		"implicit": {"<tls>\n" + opened + taken + bye, []string{"secure=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := providertest.ServeSMTP(t, certs.Server(t, "mail.test", farOff()), slices.Repeat([]string{c.script}, times)...)
			s := newSender(t, server.Dial, c.edit...)
			s.tls.RootCAs = certs.Pool
			_ = s.Close() // no session is kept
			for n := range times {
				if _, err := s.Send(t.Context(), greet(t)); err != nil {
					t.Fatalf("mail %d: %v", n+1, err)
				}
			}
			if server.Conns() != times {
				t.Errorf("%d connections", server.Conns())
			}
		})
	}
}

// TestLookWithinARecord: a look that finds a part of a TLS record, wherever it is
// cut, leaves the connection able to go on.
func TestLookWithinARecord(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"TLS 1.3", "TLS 1.2", "TLS wrapped"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, kind)
			p.greeted(t)
			below := p.peer.(*tls.Conn).NetConn()
			for cut, size := 1, 2; cut < size; cut++ {
				p.held = new(bytes.Buffer)
				if _, err := io.WriteString(p.peer, "250 2.0.0 queued\r\n"); err != nil {
					t.Fatal(err)
				}
				record := p.held.Bytes()
				p.held, size = nil, len(record)
				for _, part := range [][]byte{record[:cut], record[cut:]} {
					if there, err := p.arrived(atOnce); len(there) > 0 || err != nil {
						t.Fatalf("cut at %d: %q %v", cut, there, err)
					}
					if _, err := below.Write(part); err != nil {
						t.Fatal(err)
					}
					p.settled(t)
				}
				if r, err := p.reply(); err != nil || r.code != 250 {
					t.Fatalf("cut at %d: %v %v", cut, r, err)
				}
			}
		})
	}
}

// TestTwoAnswers: where the answer to the mail is two that contradict each other, one
// was early, and nobody can tell which.
func TestTwoAnswers(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]struct {
		class provider.Class
		code  string
	}{
		`250 queued\r\n554 refused\r\n`:  {provider.Ambiguous, "outcome_unknown"},
		`554 refused\r\n250 queued\r\n`:  {provider.Ambiguous, "outcome_unknown"},
		`554 refused\r\n550 refused\r\n`: {provider.PermanentHere, "554"},
		`250 queued\r\n250 queued\r\n`:   {provider.Accepted, ""},
		`250 queued\r\n421 bye\r\n`:      {provider.Accepted, ""},
	} {
		t.Run(said, func(t *testing.T) {
			t.Parallel()
			server := providertest.ServeSMTP(t, nil, opened+group+"S: 250 ok\nS: 250 ok\nS: 354 go\n<mail>\nS! "+said+"\n<end>", opened+taken+bye)
			s := newSender(t, server.Dial)
			_, err := s.Send(t.Context(), greet(t))
			if want.class != provider.Accepted {
				e := wantError(t, err, want.class, want.code)
				if want.class == provider.Ambiguous && !strings.Contains(e.Text, "two answers") {
					t.Errorf("text %q", e.Text)
				}
			} else if err != nil {
				t.Error(err)
			}
			if _, err := s.Send(t.Context(), greet(t)); err != nil || server.Conns() != 2 {
				t.Errorf("%d connections, %v: a session out of step is not used again", server.Conns(), err)
			}
		})
	}
}

// TestTwoAnswersInTwoRecords: the second is found where crypto/tls has it.
func TestTwoAnswersInTwoRecords(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"TLS 1.3", "TLS 1.2", "TLS wrapped"} {
		p := newPair(t, kind)
		p.greeted(t)
		p.held = new(bytes.Buffer)
		for _, said := range []string{"250 queued\r\n", "554 refused\r\n"} {
			if _, err := io.WriteString(p.peer, said); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.peer.(*tls.Conn).NetConn().(*holding).Conn.Write(p.held.Bytes()); err != nil {
			t.Fatal(err)
		}
		p.settled(t)
		if r, err := p.verdict(); !errors.Is(err, errTwice) || !p.broken {
			t.Errorf("%s: %v %v", kind, r, err)
		}
	}
}

// ending ends a context while it is being read.
type ending struct {
	net.Conn
	end func()
}

func (e ending) Read(b []byte) (int, error) {
	e.end()
	return e.Conn.Read(b)
}

// TestLookKeepsTheDeadline: a context that ends during a look still interrupts what follows.
func TestLookKeepsTheDeadline(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer func() { _, _ = client.Close(), server.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	w := newWire(nil)
	interrupted := make(chan struct{})
	w.below.Conn = ending{client, func() { cancel(); <-interrupted }}
	stop := context.AfterFunc(ctx, func() { _ = w.below.SetDeadline(time.Unix(1, 0)); close(interrupted) })
	defer stop()
	if _, err := w.arrived(atOnce); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := w.reply(); !reach.TimedOut(err) || time.Since(begin) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(begin))
	}
}

// BenchmarkLook is what it costs to see that nothing has arrived.
func BenchmarkLook(b *testing.B) {
	for _, kind := range []string{"plain", "TLS 1.3"} {
		b.Run(kind, func(b *testing.B) {
			p := newPair(b, kind)
			p.greeted(b)
			b.ReportAllocs()
			for b.Loop() {
				if there, err := p.arrived(atOnce); len(there) > 0 || err != nil {
					b.Fatal(there, err)
				}
			}
		})
	}
}
