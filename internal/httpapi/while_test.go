package httpapi

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/store"
)

// onTheWire sends a request whose body is not whole, or whose answer nobody reads yet.
func onTheWire(t *testing.T, server *httptest.Server, who tenant, method, path, kind, body string, length int) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\n", method, path, who.app.Slug, who.key)
	if method != "GET" {
		head += fmt.Sprintf("Content-Type: %s\r\nContent-Length: %d\r\n", kind, length)
	}
	if _, err := io.WriteString(c, head+"\r\n"+body); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCallsUnderWayEndWithTheirCaller: whatever a call waits for, it ends within five seconds of
// its key or app on another node, its answer says so, and what was stored stays.
func TestCallsUnderWayEndWithTheirCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	hang := providertest.ServeSMTP(t, nil, dialogue+"S: 250 ok\nC: DATA\nS: 354 go\n<mail>\n<hang>")
	w.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "silent.") {
			c, other := net.Pipe()
			t.Cleanup(func() { _ = other.Close() })
			return c, nil
		}
		return hang.Dial(ctx, network, address)
	}
	lines := "channel,address\n"
	for i := range 100 + 50 {
		lines += fmt.Sprintf("SMS,23324%07d\n", i)
	}
	revoke := func(who tenant) error {
		k, err := w.store.KeyByHash(t.Context(), hashOf(t, who.key))
		if err != nil {
			return err
		}
		return w.store.RevokeKey(t.Context(), who.app.ID, k.ID, comm.At(time.Now()))
	}
	for name, c := range map[string]struct {
		method, path, kind, body string
		length                   int
		end                      func(tenant) error
		want                     string // in the answer; "" where none can be given
	}{
		"import, revoked": {"POST", importURL, "text/csv", lines, 1 << 20, revoke, `"added":100`},
		"import, app deleted": {"POST", importURL, "text/csv", lines, 1 << 20, func(who tenant) error {
			return w.store.DeleteApp(t.Context(), who.app.ID, comm.At(time.Now()))
		}, `"added":100`},
		"export, revoked": {"GET", suppressionsURL + "/export", "", "", 0, revoke, ""},
		"body of a setting, inactive": {"POST", suppressionsURL, "application/json", `{"channel":`, 100, func(who tenant) error {
			app := *who.app
			app.Active = false
			return w.store.UpdateApp(t.Context(), &app, comm.At(time.Now()))
		}, ""},
		"large body of a setting": {"POST", "/api/v1/templates", "application/json", `{"key":`, 500_000, revoke, ""},
		"verify":                  {"POST", "verify", "application/json", "", 0, revoke, ""},
		"test message":            {"POST", "test", "application/json", `{"to":"ama@example.org"}`, 24, revoke, `"mayHaveBeenSent":true`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			who := w.tenant("t-"+strings.NewReplacer(" ", "-", ",", "").Replace(name), comm.AllScopes)
			path := c.path
			if !strings.HasPrefix(path, "/") {
				id := tried(w, who)
				if c.path == "verify" {
					id = w.do(who, "POST", "/api/v1/provider-configs", `{"providerType":"SMTP","name":"Silent","config":{"host":"silent.example.com","from":"shop@example.com"}}`, nil).str("id")
				}
				path = trialsOf + id + "/" + path
			}
			if c.method == "GET" {
				fillList(t, w, who.app, 20_000)
			}
			conn := onTheWire(t, server, who, c.method, path, c.kind, c.body, c.length)
			time.Sleep(300 * time.Millisecond)
			if err := c.end(who); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if c.method == "GET" { // the client takes nothing: the server's end is seen by what comes after
				time.Sleep(5500 * time.Millisecond)
			}
			if err := conn.SetReadDeadline(began.Add(12 * time.Second)); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			text, err := io.ReadAll(res.Body)
			if c.method == "GET" {
				if err == nil || len(text) > 1_500_000 {
					t.Errorf("the export went on: %d bytes, %v", len(text), err)
				}
				return
			}
			if took := time.Since(began); err != nil || res.StatusCode != 401 || !strings.Contains(string(text), `"unauthenticated"`) || !strings.Contains(string(text), c.want) || took > 5500*time.Millisecond {
				t.Errorf("%d after %v: %s %v", res.StatusCode, took, text, err)
			}
		})
	}
}

// fillList puts many addresses on the app's list.
func fillList(t *testing.T, w *world, app *comm.App, n int) {
	t.Helper()
	slice := make([]store.Suppression, 0, store.SuppressMost)
	for i := range n {
		slice = append(slice, store.Suppression{App: app.ID, Channel: comm.Email, Address: fmt.Sprintf("somebody-with-a-long-name-%d@example.com", i), Reason: comm.SuppressManual, Note: strings.Repeat("n", 200), CreatedAt: comm.At(time.Now())})
		if len(slice) == cap(slice) {
			if _, err := w.store.SuppressAll(t.Context(), slice); err != nil {
				t.Fatal(err)
			}
			slice = slice[:0]
		}
	}
}

// TestABatchStopsWhereItsCallerEnds: each part is asked about, and each message answered by itself.
func TestABatchStopsWhereItsCallerEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", "/api/v1/templates", `{"key":"large","channel":"EMAIL","name":"Large","subject":"s","body":"<p>{{x}}`+strings.Repeat("a", 100<<10)+`</p>"}`, nil)
	if made.status != 201 {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	message := `{"channel":"EMAIL","to":"ama@example.com","templateKey":"large","variables":{"x":"y"}}`
	messages := make([]string, 40)
	for i := range messages {
		messages[i] = message
	}
	after := &ending{Auth: w.auth, left: 2}
	w.api.cfg.Auth = after
	got := w.do(one, "POST", batchURL, batchOf(messages...), nil)
	stored := 0
	for _, item := range got.items() {
		switch codeIn(item) {
		case "":
			stored++
		case "unauthenticated":
		default:
			t.Fatalf("%v", item)
		}
	}
	if n := w.count(one.app); got.status != 202 || stored == 0 || stored == len(messages) || n != stored {
		t.Errorf("%d: %d accepted, %d stored", got.status, stored, n)
	}
	for path, body := range map[string]string{batchURL: batchOf(message), "/api/v1/messages": message} { // nothing was stored: the whole answer says so
		if got := w.do(one, "POST", path, body, nil); got.status != 401 || got.code() != "unauthenticated" {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	if n := w.count(one.app); n != stored {
		t.Errorf("%d stored after the end", n)
	}
}

// ending says that callers hold a few times.
type ending struct {
	Auth
	left int
}

func (e *ending) Holds(ctx context.Context, c *auth.Caller) error {
	if e.left--; e.left < 0 {
		return cmp.Or(e.Auth.Holds(ctx, c), error(comm.E("unauthenticated")))
	}
	return e.Auth.Holds(ctx, c)
}

func hashOf(t *testing.T, key string) [32]byte {
	t.Helper()
	parsed, ok := apikey.Parse(key)
	if !ok {
		t.Fatal("no key")
	}
	return parsed.Hash
}
