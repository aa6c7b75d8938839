package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/config"
)

// server is the whole product in this process, over SQLite, with its demo app.
type server struct {
	t    *testing.T
	url  string
	key  string
	data string
	stop func() // once; the end of the test does it otherwise
}

func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{t: t, data: t.TempDir()}
	cfg, err := config.Load(config.Source{Env: []string{"COMMS_ADDR=localhost:0", "COMMS_DATA_DIR=" + s.data}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, app.Options{Version: "test", Log: slog.New(slog.DiscardHandler), OnFirst: func(f app.First) { s.key = f.APIKey }})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	s.url = "http://" + a.Addr().String()
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// env is how the demo app calls its server.
func (s *server) env() []string {
	return []string{"COMMS_URL=" + s.url, "COMMS_APP_ID=demo", "COMMS_API_KEY=" + s.key}
}

// ran is what a command left.
type ran struct {
	code     int
	out, err string
}

// run executes a command line, without a terminal, unless change says otherwise.
func run(t *testing.T, env []string, change func(*Streams), args ...string) ran {
	t.Helper()
	var out, errs bytes.Buffer
	streams := Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: env}
	if change != nil {
		change(&streams)
	}
	code := Run(t.Context(), args, streams)
	return ran{code, out.String(), errs.String()}
}

// ok runs a command of the demo app that must succeed, times in UTC.
func (s *server) ok(args ...string) string {
	s.t.Helper()
	got := run(s.t, s.env(), nil, append(args, "--utc")...)
	if got.code != exitOK {
		s.t.Fatalf("%v: exit code %d: %s", args, got.code, got.err)
	}
	return got.out
}

func (s *server) fails(code int, says string, args ...string) {
	s.t.Helper()
	got := run(s.t, s.env(), nil, args...)
	if got.code != code || !strings.Contains(got.err, says) {
		s.t.Errorf("%v: exit code %d, want %d with %q: %s%s", args, got.code, code, says, got.out, got.err)
	}
	if strings.Contains(got.out+got.err, s.key) {
		s.t.Errorf("%v prints the key", args)
	}
}

var (
	someID   = regexp.MustCompile(`\bc[0-9a-z]{24}\b`)
	someTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ`)
	someKey  = regexp.MustCompile(`auto-[0-9a-f]{32}`)
)

// golden makes output comparable: the same widths, stable values.
func golden(text string) string {
	text = someKey.ReplaceAllString(text, "KEY")
	text = someID.ReplaceAllString(text, "cIDIDIDIDIDIDIDIDIDIDIDID")
	return someTime.ReplaceAllString(text, "2026-07-03 10:00:00Z")
}

func fieldOf(t *testing.T, text, field string) string {
	t.Helper()
	doc, err := read(json.RawMessage(text))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return doc.str(field)
}

// recorded is a request as a recorder saw it.
type recorded struct {
	method, path, query, body, contentType string
	app, key, admin                        string
}

// recorder answers by its table and remembers what was asked, for commands whose
// endpoints are not part of every server.
type recorder struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []recorded
	answers map[string]string // "METHOD /path" -> "status body"
	seen    func()            // after each request was noted, before it is answered
}

func startRecorder(t *testing.T, answers map[string]string) *recorder {
	t.Helper()
	r := &recorder{answers: answers}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.asked = append(r.asked, recorded{q.Method, q.URL.EscapedPath(), q.URL.RawQuery, string(body), q.Header.Get("Content-Type"),
			q.Header.Get("X-App-ID"), q.Header.Get("X-API-Key"), q.Header.Get("X-Admin-Key")})
		r.mu.Unlock()
		if r.seen != nil {
			r.seen()
		}
		r.mu.Lock()
		answers := r.answers
		r.mu.Unlock()
		answer, known := answers[q.Method+" "+q.URL.EscapedPath()]
		if !known {
			answer = `404 {"error":"No such resource; check the path and the identifier.","details":{"code":"not_found"}}`
		}
		var status int
		code, text, _ := strings.Cut(answer, " ")
		if _, err := fmt.Sscan(code, &status); err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Request-Id", "req-1")
		w.WriteHeader(status)
		if _, err := io.WriteString(w, text); err != nil && status != http.StatusNoContent {
			t.Error(err)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// count is how many requests there were.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

func (r *recorder) last(t *testing.T) recorded {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.asked) == 0 {
		t.Fatal("nothing was asked")
	}
	return r.asked[len(r.asked)-1]
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// fixed is a clock for goldens.
func fixed() time.Time { return time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC) }
