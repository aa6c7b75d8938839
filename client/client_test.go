package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// scripted answers one request after another; past its end it repeats the last step.
func scripted(t *testing.T, o Options, steps ...http.HandlerFunc) (c *Client, seen func() []string, waited *[]time.Duration) {
	t.Helper()
	var mu sync.Mutex
	var bodies []string
	var waits []time.Duration
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		step := steps[min(len(bodies), len(steps)-1)]
		bodies = append(bodies, string(b))
		mu.Unlock()
		step(w, r)
	}))
	t.Cleanup(server.Close)
	o.BaseURL, o.App, o.Key = server.URL, "app", "key"
	o.Wait = func(_ context.Context, d time.Duration) error { waits = append(waits, d); return nil }
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	seen = func() []string {
		mu.Lock()
		defer mu.Unlock()
		return bodies
	}
	return c, seen, &waits
}

func status(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

var queued = status(202, `{"id":"c1","status":"QUEUED"}`)

func TestSendRepeatsUnderOneKey(t *testing.T) {
	t.Parallel()
	c, bodies, waits := scripted(t, Options{}, hangUp, status(503, `{"error":"x","details":{"code":"unavailable"}}`, "Retry-After", "1"), status(502, "<html>"), queued)
	got, err := c.Send(context.Background(), Message{Channel: SMS, To: "233241234567", Body: "x"})
	if err != nil || got.ID != "c1" {
		t.Fatalf("%+v %v", got, err)
	}
	if len(bodies()) != 4 || len(*waits) != 3 || (*waits)[1] != time.Second {
		t.Errorf("%d tries, waits %v", len(bodies()), *waits)
	}
	for _, b := range bodies() {
		var m Message
		if err := json.Unmarshal([]byte(b), &m); err != nil || m.IdempotencyKey != got.IdempotencyKey || m.IdempotencyKey == "" {
			t.Errorf("a repeat under another key: %s", b)
		}
	}
}

func TestWhatIsNotRepeated(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	send := func(c *Client) error {
		_, err := c.Send(ctx, Message{Channel: SMS, To: "1", Body: "x"})
		return err
	}
	for name, s := range map[string]struct {
		step http.HandlerFunc
		call func(*Client) error
		o    Options
		want int
	}{
		"a refusal":             {status(400, `{"error":"no","details":{"code":"invalid_to"}}`), send, Options{}, 1},
		"a conflict":            {status(409, `{"error":"no","details":{"code":"idempotency_key_reused"}}`), send, Options{}, 1},
		"our mistake":           {status(500, `{"error":"no","details":{"code":"internal"}}`), send, Options{}, 1},
		"a redirect":            {status(302, ``, "Location", "http://127.0.0.1:1/"), send, Options{}, 1},
		"a long wait":           {status(429, `{"error":"no","details":{"code":"rate_limited"}}`, "Retry-After", "59"), send, Options{}, 1},
		"retries are off":       {hangUp, send, Options{Retries: -1}, 1},
		"too often":             {hangUp, send, Options{Retries: 2}, 3},
		"a RETRY":               {hangUp, func(c *Client) error { _, err := c.Retry(ctx, "c1"); return err }, Options{}, 1},
		"a new provider":        {hangUp, func(c *Client) error { _, err := c.CreateProvider(ctx, ProviderChange{}); return err }, Options{}, 1},
		"provisioning":          {hangUp, func(c *Client) error { _, err := c.Provision(ctx, NewApp{}); return err }, Options{}, 1},
		"an answer not in JSON": {status(202, `<html>`), send, Options{Retries: 0}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, bodies, _ := scripted(t, s.o, s.step)
			if err := s.call(c); err == nil {
				t.Error("no error")
			}
			if len(bodies()) != s.want {
				t.Errorf("%d tries, want %d", len(bodies()), s.want)
			}
		})
	}
}

func TestErrorsAreTyped(t *testing.T) {
	t.Parallel()
	c, _, _ := scripted(t, Options{Retries: -1}, status(400, `{"error":"Wrong.","details":{"code":"invalid_field","fields":{"to":"is empty"}}}`, "X-Request-Id", "req_1", "Retry-After", "3"))
	_, err := c.Get(context.Background(), "c1")
	var e *Error
	if !errors.As(err, &e) || e.Code != "invalid_field" || e.Fields["to"] != "is empty" || e.RequestID != "req_1" || e.RetryAfter != 3*time.Second || Code(err) != "invalid_field" {
		t.Errorf("%+v", err)
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-stop:
		}
	}
	c, _, _ := scripted(t, Options{Timeout: 10 * time.Millisecond, Retries: -1}, hang)
	if _, err := c.App(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.App(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "localhost:3008", "ftp://x", "://", "http://ama:secret@localhost:3008", "http://ama:secret@[::1"} {
		if _, err := New(Options{BaseURL: base}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", base, err)
		}
	}
}

// TestListsAsTheAdministrator: whoever has the administrator's key and no other acts for the app, with lists as with everything else.
func TestListsAsTheAdministrator(t *testing.T) {
	t.Parallel()
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, fmt.Sprint(r.Header["X-Admin-Key"], r.Header["X-App-Id"], r.Header["X-Api-Key"]))
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(server.Close)
	c, err := New(Options{BaseURL: server.URL, App: "demo", AdminKey: "root"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	_, err = c.ImportSuppressions(t.Context(), CSV, strings.NewReader("channel,address\n"))
	export, exportErr := c.ExportSuppressions(t.Context(), CSV)
	person, personErr := c.ExportPerson(t.Context(), "", "a@b.co")
	if err := errors.Join(err, exportErr, personErr); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(export.Close(), person.Close()); err != nil {
		t.Error(err)
	}
	for _, headers := range got {
		if headers != "[root] [demo] []" {
			t.Errorf("signed with %s", headers)
		}
	}
}

// TestKeysGoToNoOtherHost: the default client of the standard library would take them along to wherever a redirect leads.
func TestKeysGoToNoOtherHost(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = io.WriteString(w, `{"id":"c1","status":"QUEUED"}`)
	}))
	t.Cleanup(other.Close)
	for name, given := range map[string]*http.Client{"the client's own": nil, "one of the caller's": {Timeout: time.Minute}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, bodies, _ := scripted(t, Options{HTTP: given, Retries: -1}, status(http.StatusTemporaryRedirect, ``, "Location", other.URL+"/api/v1/messages"))
			_, err := c.Send(t.Context(), Message{Channel: SMS, To: "1", Body: "x"})
			_, exportErr := c.ExportSuppressions(t.Context(), CSV)
			raw := &Raw{c: c}
			_, rawErr := raw.Do(t.Context(), Request{Method: http.MethodGet, Path: "/api/v1/app"})
			for _, err := range []error{err, exportErr, rawErr} {
				if refused, ok := errors.AsType[*Error](err); !ok || refused.Status != http.StatusTemporaryRedirect {
					t.Errorf("%v", err)
				}
			}
			if len(bodies()) != 3 || elsewhere.Load() != 0 {
				t.Errorf("%d calls here, %d elsewhere", len(bodies()), elsewhere.Load())
			}
			if given != nil && given.CheckRedirect != nil {
				t.Error("the caller's client was changed")
			}
		})
	}
}

// TestACallersOwnRuleForRedirects holds: who follows them on purpose goes on doing so.
func TestACallersOwnRuleForRedirects(t *testing.T) {
	t.Parallel()
	asked := 0
	own := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { asked++; return nil }}
	c, _, _ := scripted(t, Options{HTTP: own, Retries: -1}, status(http.StatusTemporaryRedirect, ``, "Location", "/elsewhere"), status(http.StatusOK, `{"slug":"demo"}`))
	if _, err := c.App(t.Context()); err != nil || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
