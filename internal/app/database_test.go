package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/commserver/commserver/internal/config"
)

// refusing is a PostgreSQL that refuses every connection, with the codes in turn and then with the last one.
func refusing(t *testing.T, codes ...string) (cfg config.Config, calls *atomic.Int64) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	calls = &atomic.Int64{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := min(int(calls.Add(1)), len(codes))
			server := pgproto3.NewBackend(c, c)
			if _, err := server.ReceiveStartupMessage(); err == nil && codes[n-1] != "" {
				server.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: codes[n-1], Message: "no"})
				_ = server.Flush()
			}
			_ = c.Close()
		}
	}()
	return postgresAt(t, l.Addr().String()), calls
}

func postgresAt(t *testing.T, addr string) config.Config {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	cfg, err := config.Load(config.Source{Env: []string{"COMMS_DATABASE_URL=postgres://comms:no-secret@" + addr + "/comms?sslmode=disable",
		"COMMS_ADMIN_KEY=" + strings.Repeat("a", 32), "COMMS_ENCRYPTION_KEYS=k1:" + base64.StdEncoding.EncodeToString(key)}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A machine that boots starts the server before its database: the server waits, says so once in a while, and does not wait for what waiting does not mend.
func TestAServerThatStartsWaitsForItsDatabase(t *testing.T) {
	t.Parallel()
	const starting, password, missing = "57P03", "28P01", "3D000"
	for name, c := range map[string]struct {
		codes []string
		calls int64
	}{
		"it starts":                        {[]string{starting, starting, starting, password}, 4},
		"it ends what it has taken":        {[]string{"", password}, 2},
		"the password is wrong":            {[]string{password}, 1},
		"there is no database":             {[]string{missing}, 1},
		"it starts, and has no such thing": {[]string{starting, missing}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, calls := refusing(t, c.codes...)
			var lines bytes.Buffer
			_, err := openStarting(t.Context(), cfg, slog.New(slog.NewTextHandler(&lines, nil)), time.Hour)
			if err == nil || !strings.Contains(err.Error(), c.codes[len(c.codes)-1]) {
				t.Errorf("%v", err)
			}
			// How often the driver itself calls again after a cut is its own matter.
			if n := calls.Load(); n < c.calls || n > c.calls && c.codes[0] != "" {
				t.Errorf("%d connections, want %d", n, c.calls)
			}
			if said := strings.Contains(lines.String(), "PostgreSQL takes no connections yet"); said != (c.calls > 1) || strings.Contains(lines.String(), "no-secret") {
				t.Errorf("the log: %s", &lines)
			}
		})
	}
}

// It does not wait for ever, and not for longer than it may run.
func TestTheWaitForADatabaseEnds(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := postgresAt(t, l.Addr().String())
	if err := l.Close(); err != nil { // nobody listens there
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	began := time.Now()
	if _, err := openStarting(t.Context(), cfg, log, time.Second); err == nil || time.Since(began) < time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, stop)
	if _, err := openStarting(ctx, cfg, log, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped while it waited: %v", err)
	}
}
