package providertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Subject is an adapter as the suite needs it.
type Subject struct {
	Adapter  provider.Adapter
	Settings provider.Settings // valid; the suite marks the secrets itself
	Message  func(t testing.TB) *provider.Message
	// Peer starts a peer that accepts everything.
	Peer func(t testing.TB) Dialer
	// Bad are further peers, by name, that refuse, break or repeat what they were sent.
	Bad map[string]func(t testing.TB) Dialer
	// Trust prepares a sender for the peers, such as by trusting their certificate. May be nil.
	Trust func(provider.Sender)
}

// mark stands in every secret. It must come out nowhere.
const mark = "S3CRET-MARK-4711"

// Run runs the whole suite.
func Run(t *testing.T, s Subject) {
	t.Run("fields", func(t *testing.T) { Fields(t, s.Adapter) })
	t.Run("opens without dialing", s.opens)
	t.Run("delivers concurrently", s.delivers)
	t.Run("obeys its context", s.obeys)
	for name, peer := range s.badPeers() {
		t.Run("tells nothing to outsiders when the peer "+name, func(t *testing.T) { s.silent(t, peer) })
	}
}

func (s Subject) open(t *testing.T, dial Dialer, log io.Writer) provider.Sender {
	t.Helper()
	settings := provider.Settings{}
	maps.Copy(settings, s.Settings)
	for _, f := range s.Adapter.Fields {
		if f.Secret && settings[f.Name] != "" {
			settings[f.Name] = mark
		}
	}
	if faults := s.Adapter.Check; faults != nil {
		if wrong := faults(settings); len(wrong) > 0 {
			t.Fatalf("the subject's settings are wrong: %v", wrong)
		}
	}
	sender, err := s.Adapter.Open(settings, provider.Env{
		Dial: dial, Hostname: "client.test", Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if s.Trust != nil {
		s.Trust(sender)
	}
	return sender
}

func (s Subject) opens(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) {
		t.Error("Open dialed")
		return nil, errors.New("no")
	}
	if err := s.open(t, dial, io.Discard).Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func (s Subject) delivers(t *testing.T) {
	sender := s.open(t, s.Peer(t), io.Discard)
	defer sender.Close()
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range 10 {
				if _, err := sender.Send(context.Background(), s.Message(t)); err != nil {
					t.Errorf("Send: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
}

func (s Subject) obeys(t *testing.T) {
	t.Run("ended before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		dial := func(context.Context, string, string) (net.Conn, error) {
			t.Error("dialed although the context had ended")
			return nil, errors.New("no")
		}
		sender := s.open(t, dial, io.Discard)
		defer sender.Close()
		s.wantClass(t, sender, ctx, provider.Transient)
	})
	t.Run("ends while the peer is silent", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		sender := s.open(t, silentPeer(t), io.Discard)
		defer sender.Close()
		begin := time.Now()
		_, err := sender.Send(ctx, s.Message(t))
		if err == nil || time.Since(begin) > 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func (s Subject) wantClass(t *testing.T, sender provider.Sender, ctx context.Context, want provider.Class) {
	t.Helper()
	_, err := sender.Send(ctx, s.Message(t))
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != want {
		t.Errorf("got %v, want class %s", err, want)
	}
}

func (s Subject) badPeers() map[string]func(testing.TB) Dialer {
	peers := map[string]func(testing.TB) Dialer{
		"cannot be dialed": func(testing.TB) Dialer {
			return func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
			}
		},
		"closes at once":    func(t testing.TB) Dialer { return talkingPeer(t, "") },
		"talks rubbish":     func(t testing.TB) Dialer { return talkingPeer(t, strings.Repeat("\x00rubbish\xff\r\n", 100)) },
		"talks without end": func(t testing.TB) Dialer { return talkingPeer(t, strings.Repeat("x", 1<<20)) },
	}
	maps.Copy(peers, s.Bad)
	return peers
}

// silent sends to a bad peer: the error has a class and neither it nor the log holds a secret or an address.
func (s Subject) silent(t *testing.T, peer func(testing.TB) Dialer) {
	var log Log
	sender := s.open(t, peer(t), &log)
	defer sender.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m := s.Message(t)
	for range 3 {
		sent := *m // its content may be dropped on the way
		receipt, err := sender.Send(ctx, &sent)
		var e *provider.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("an error without a class: %v", err)
		}
		shown := fmt.Sprintf("%v | %+v | %s", err, receipt, log.String())
		if e != nil {
			shown += fmt.Sprintf(" | %s | %v", e.Text, e.Cause) // the cause goes to the log
			if e.Class < provider.Accepted || e.Class > provider.Ambiguous || e.Class == provider.Accepted || e.Text == "" || len(e.Text) > 256 {
				t.Errorf("class %d, text of %d bytes", e.Class, len(e.Text))
			}
		}
		for _, secret := range s.secrets(m.Content) {
			if strings.Contains(strings.ToLower(shown), strings.ToLower(secret)) {
				t.Errorf("%q comes out in %s", secret, shown)
			}
		}
	}
}

// secrets are what must not come out: the mark, plain and as base64 shows it, and the message's addresses and body.
func (s Subject) secrets(c *comm.Content) []string {
	out := []string{mark, c.To, c.Body}
	out = append(append(out, c.CC...), c.BCC...)
	for shift := range 3 { // base64 of a text within a text depends on its place
		out = append(out, base64Core(mark, shift))
	}
	return out
}

func talkingPeer(t testing.TB, text string) Dialer {
	return Peer(t, func(c net.Conn) {
		_, _ = io.WriteString(c, text)
		_ = c.Close()
	})
}

func silentPeer(t testing.TB) Dialer {
	return Peer(t, func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	})
}

// Peer listens until the test ends and serves each connection. The serve
// functions end by themselves once the client has gone, at the latest with their deadline.
func Peer(t testing.TB, serve func(net.Conn)) Dialer {
	t.Helper()
	l := listen(t)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			all.Go(func() { serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return DialTo(l.Addr().String())
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}
