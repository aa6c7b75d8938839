package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/provider/sandbox"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func message(t testing.TB, channel comm.Channel, to string) *provider.Message {
	m := providertest.Email(t, comm.Content{To: to, Subject: "secret subject", Body: "secret body"})
	m.Channel = channel
	return m
}

// send answers the class that an attempt meets; time is the bubble's.
func send(t *testing.T, channel comm.Channel, to string, attempt int) (provider.Class, time.Duration) {
	m := message(t, channel, to)
	m.Attempt = attempt
	begin := time.Now()
	_, err := sandbox.New(nil, nil).Send(t.Context(), m)
	took := time.Since(begin)
	if err == nil {
		return provider.Accepted, took
	}
	return provider.Classify(err).Class, took
}

func TestFixedOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		nn      string
		attempt int
		class   provider.Class
		took    time.Duration
	}{
		{"delivered", "01", 1, provider.Accepted, 0},
		{"failed", "02", 1, provider.PermanentMessage, 0},
		{"bounced", "03", 1, provider.Accepted, 0},
		{"complained", "04", 1, provider.Accepted, 0},
		{"suppressed", "05", 1, provider.PermanentMessage, 0},
		{"retry", "06", 1, provider.Transient, 0},
		{"retry", "06", 2, provider.Transient, 0},
		{"retry", "06", 3, provider.Accepted, 0},
		{"slow", "07", 1, provider.Accepted, 10 * time.Second},
		{"unknown", "08", 1, provider.Ambiguous, 0},
		{"unknown", "08", 9, provider.Ambiguous, 0},
		{"nobody", "99", 1, provider.Accepted, 0},
	} {
		t.Run(fmt.Sprint(c.name, c.attempt), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for channel, recipients := range map[comm.Channel][]string{
					comm.Email: {c.name + "@sandbox.commserver.test", strings.ToUpper(c.name) + "+tag@Sandbox.CommServer.Test"},
					comm.SMS:   {"2330000000" + c.nn},
				} {
					for _, to := range recipients {
						if class, took := send(t, channel, to, c.attempt); class != c.class || took != c.took {
							t.Errorf("%s: %s after %v, want %s after %v", to, class, took, c.class, c.took)
						}
					}
				}
			})
		})
	}
}

func TestOrdinaryRecipients(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		channel comm.Channel
		to      string
	}{
		{comm.Email, "failed@example.com"}, {comm.Email, "failed@sandbox.commserver.test.example.com"}, {comm.Email, "@sandbox.commserver.test"},
		{comm.Email, "233000000002"}, {comm.SMS, "233241234502"}, {comm.SMS, "failed@sandbox.commserver.test"}, {comm.SMS, ""},
	} {
		if class, _ := send(t, c.channel, c.to, 1); class != provider.Accepted {
			t.Errorf("%q: %s", c.to, class)
		}
	}
}

func TestObeysContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := sandbox.New(nil, nil).Send(ctx, message(t, comm.Email, "slow@sandbox.commserver.test"))
		if e := provider.Classify(err); e.Class != provider.Transient || e.Code != "timeout" || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		gone, stop := context.WithCancel(t.Context())
		stop()
		_, err = sandbox.New(nil, nil).Send(gone, message(t, comm.Email, "a@example.com"))
		if e := provider.Classify(err); e.Class != provider.Transient || e.Code != "cancelled" {
			t.Errorf("got %v", err)
		}
	})
}

func TestLogHoldsNoContent(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	s := sandbox.New(slog.New(slog.NewTextHandler(&log, nil)), nil)
	r, err := s.Send(t.Context(), message(t, comm.Email, "ama.mensah@example.com"))
	if err != nil || r.Ref != providertest.MessageID {
		t.Errorf("%+v %v", r, err)
	}
	line := log.String()
	for _, want := range []string{"message=" + providertest.MessageID, "channel=EMAIL", "to=a***@example.com"} {
		if !strings.Contains(line, want) {
			t.Errorf("%q is missing in %s", want, line)
		}
	}
	if strings.Contains(line, "secret") || strings.Contains(line, "mensah") {
		t.Errorf("the log tells too much: %s", line)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestDocs keeps the page true: its table is the table of outcomes.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/sandbox.md")
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| email | SMS | at once | reported about a second later |\n|---|---|---|---|\n")
	for _, o := range sandbox.Outcomes() {
		fmt.Fprintf(&table, "| `%s@%s` | `%s` | %s | %s |\n", o.Name, sandbox.Domain, o.Number, o.Now, o.Later)
	}
	if !strings.Contains(string(page), table.String()) {
		t.Errorf("docs/sandbox.md must hold this table:\n%s", table.String())
	}
}

// TestCheap bounds what a message costs: the sandbox must never be the limit.
func TestCheap(t *testing.T) {
	s := sandbox.New(nil, nil)
	m := message(t, comm.Email, "ama@example.com")
	if n := testing.AllocsPerRun(1000, func() { _, _ = s.Send(context.Background(), m) }); n > 1 {
		t.Errorf("%v allocations a message, want at most 1 (the id's text)", n)
	}
}

func BenchmarkSend(b *testing.B) {
	s := sandbox.New(slog.New(slog.NewTextHandler(&countingWriter{}, nil)), nil)
	m := message(b, comm.Email, "ama@example.com")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Send(context.Background(), m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type countingWriter struct{}

func (*countingWriter) Write(p []byte) (int, error) { return len(p), nil }
