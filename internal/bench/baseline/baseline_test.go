package baseline_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/bench/baseline"
	"github.com/commserver/commserver/internal/bench/load"
	"github.com/commserver/commserver/test/pgtest"
)

// request is what an app sends.
func request(b []byte, n uint64) []byte {
	app, key := baseline.App(int(n % 7))
	body := fmt.Sprintf(`{"channel":"EMAIL","to":"u%d@example.org","subject":"s","body":"b","idempotencyKey":"k%d"}`, n, n)
	return fmt.Appendf(b, "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\nContent-Length: %d\r\n\r\n%s", app, key, len(body), body)
}

// counts asks the database what it holds: content, queue rows, events, idempotency rows, states that are SENT after one attempt.
type counts [5]int

const countSQL = `SELECT (SELECT count(*) FROM content), (SELECT count(*) FROM queue), (SELECT count(*) FROM event), (SELECT count(*) FROM idempotency),
	(SELECT count(*) FROM state WHERE status = 3 AND attempts = 1 AND epoch > 0 AND ref <> '')`

func TestEveryMessageLivesOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "b.db")
	stores := []struct {
		name, database string
		pipes          int
		count          func(t *testing.T, database string) counts
	}{
		{"sqlite", path, 1, countSQLite},
		{"postgres one pipe", pgtest.Database(t), 1, countPostgres},
		{"postgres two pipes", pgtest.Database(t), 2, countPostgres},
	}
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			const loaded, sent = 2500, 700
			if err := baseline.Preload(t.Context(), s.database, loaded); err != nil {
				t.Fatal(err)
			}
			if got, want := s.count(t, s.database), (counts{loaded, loaded, loaded, loaded, 0}); got != want {
				t.Fatalf("after the preload: %v, want %v", got, want)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				ended <- baseline.Serve(ctx, baseline.Config{Database: s.database, Dispatch: true, Pipes: s.pipes, Pace: time.Millisecond}, l)
			}()
			target := load.Target{Addr: l.Addr().String(), Request: request}
			for range 2 { // the second time every key is known already
				res, err := load.Run(t.Context(), target, load.Options{Connections: 16, Count: sent})
				if err != nil || res.Answered != sent {
					t.Fatalf("%d of %d answered: %v", res.Answered, sent, err)
				}
			}
			waitFor(t, l.Addr().String(), fmt.Sprintf("finished=%d ", loaded+sent))
			stop()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			n := loaded + sent
			if got, want := s.count(t, s.database), (counts{n, 0, 3 * n, n, n}); got != want {
				t.Errorf("at the end: %v, want %v", got, want)
			}
		})
	}
}

// waitFor asks for the counters until they say what is wanted.
func waitFor(t *testing.T, addr, want string) {
	t.Helper()
	var last string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/stats", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if last = string(b); strings.Contains(last, want) {
			return
		}
	}
	t.Fatalf("the counters never say %q; they say %q", want, last)
}

func countSQLite(t *testing.T, database string) (c counts) {
	t.Helper()
	db, err := sql.Open("sqlite", database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), countSQL).Scan(&c[0], &c[1], &c[2], &c[3], &c[4]); err != nil {
		t.Fatal(err)
	}
	return c
}

func countPostgres(t *testing.T, database string) (c counts) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if err := conn.QueryRow(t.Context(), countSQL).Scan(&c[0], &c[1], &c[2], &c[3], &c[4]); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStrangersAreRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- baseline.Serve(ctx, baseline.Config{Database: filepath.Join(t.TempDir(), "b.db")}, l) }()
	name, key := baseline.App(3)
	tests := []struct{ name, app, key, body, want string }{
		{"right", name, key, `{"channel":"EMAIL","to":"a@example.org","body":"x","idempotencyKey":"1"}`, "202"},
		{"wrong key", name, key + "x", `{"channel":"EMAIL","to":"a@example.org","body":"x","idempotencyKey":"1"}`, "401"},
		{"key of another", "bench-4", key, `{"channel":"EMAIL","to":"a@example.org","body":"x","idempotencyKey":"1"}`, "401"},
		{"not JSON", name, key, `{"channel"`, "400"},
		{"no recipient", name, key, `{"channel":"EMAIL","body":"x"}`, "400"},
	}
	for _, tt := range tests {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+l.Addr().String()+"/api/v1/messages", strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-App-ID", tt.app)
		req.Header.Set("X-API-Key", tt.key)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := fmt.Sprint(resp.StatusCode); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
