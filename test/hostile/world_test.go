package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/openapi"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

const (
	provisioningKey = "a-long-provisioning-key-for-tests-0001"
	adminKey        = "a-long-admin-key-for-tests-0001"
	// site is where browsers would find the servers: security keys need a name.
	site = "http://localhost:3008"
	// patience is how long an answer may take before the row counts as a time-out.
	patience = 20 * time.Second
	// inFlight is how many requests are under way at a time.
	inFlight = 8
)

// world is the whole server on one database, with its listener and its dispatcher.
type world struct {
	base, addr string
	contract   *openapi.Contract // what every answer is held against
	client     *http.Client
	log        providertest.Log
	requests   atomic.Int64
	slots      chan struct{}
	users      users
}

// tenant is an app with a key of every scope, made for one row of the table.
type tenant struct {
	w         *world
	slug, key string
	things    map[string]string // ids of what the app has, by the words of the contract's paths
}

// open starts the server on a new database of the kind.
func open(t *testing.T, postgres bool, more ...string) *world {
	t.Helper()
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"COMMS_DATA_DIR=" + t.TempDir(), "COMMS_ADMIN_KEY=" + adminKey, "COMMS_PROVISIONING_KEY=" + provisioningKey,
		"COMMS_PUBLIC_URL=" + site, "COMMS_ENCRYPTION_KEYS=" + ring.Reveal(), "COMMS_AUTH_FAILURES_PER_MINUTE=100000"}
	if postgres {
		env = append(env, "COMMS_DATABASE_URL="+pgtest.Database(t))
	}
	return start(t, append(env, more...))
}

func readContract(t *testing.T) *openapi.Contract {
	t.Helper()
	c, err := openapi.Read()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts the server with a configuration, on a port of its own.
func start(t *testing.T, env []string) *world {
	t.Helper()
	cfg, err := config.Load(config.Source{Env: append(env, "COMMS_ADDR=localhost:0")})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{contract: readContract(t), slots: make(chan struct{}, inFlight)}
	ctx, stop := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, app.Options{Version: "test", Log: slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	w.addr = a.Addr().String()
	w.base = "http://" + w.addr
	transport := &http.Transport{MaxIdleConnsPerHost: 2 * inFlight, DisableCompression: true}
	w.client = &http.Client{Transport: transport, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if t.Failed() && os.Getenv("COMMS_TEST_LOG") != "" {
			t.Log(w.log.String())
		}
	})
	for w.send(t, &request{method: "GET", path: "/readyz"}).status != 200 {
		time.Sleep(5 * time.Millisecond)
	}
	return w
}

// request is one HTTP request as it goes out.
type request struct {
	method, path string
	header       map[string]string
	twice        map[string][2]string // headers that are sent twice
	body         []byte
	chunked      bool
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (a answer) str(name string) string { s, _ := a.body[name].(string); return s }

// code is details.code, of an item of a batch where the body is one.
func (a answer) code() string {
	details, _ := a.body["details"].(map[string]any)
	code, _ := details["code"].(string)
	return code
}

// list is the data of a list, nil for other answers.
func (a answer) list() []map[string]any {
	var out []map[string]any
	data, _ := a.body["data"].([]any)
	for _, one := range data {
		m, _ := one.(map[string]any)
		out = append(out, m)
	}
	return out
}

// send makes a request and reads its answer; one that never comes fails the test.
func (w *world) send(t *testing.T, q *request) answer {
	t.Helper()
	w.slots <- struct{}{}
	defer func() { <-w.slots }()
	w.requests.Add(1)
	u, err := url.Parse(w.base)
	if err != nil {
		t.Fatal(err)
	}
	path, query, found := strings.Cut(q.path, "?")
	// As it stands: what the client would refuse or tidy up is for the server to see.
	u.Opaque = "//" + u.Host + path
	u.RawQuery, u.ForceQuery = query, found && query == ""
	r := (&http.Request{Method: q.method, URL: u, Host: u.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).WithContext(context.Background())
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	for name, values := range q.twice {
		r.Header[http.CanonicalHeaderKey(name)] = values[:]
	}
	if q.body != nil {
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(q.body)), int64(len(q.body))
		if q.chunked {
			r.ContentLength = -1
		}
	}
	res, err := w.client.Do(r)
	if err != nil {
		t.Errorf("%s %.80s: no answer: %v", q.method, q.path, err)
		return answer{}
	}
	defer func() { _ = res.Body.Close() }()
	out := answer{status: res.StatusCode, header: res.Header}
	if out.raw, err = io.ReadAll(res.Body); err != nil {
		t.Errorf("%s %.80s: the answer broke off: %v", q.method, q.path, err)
	}
	for _, wrong := range w.contract.Answer(q.method, path, out.status, res.Header.Get("Content-Type"), out.raw) {
		t.Errorf("%s %.80s %d is not as the contract has it: %s", q.method, q.path, out.status, wrong)
	}
	if len(out.raw) > 0 && strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(out.raw, &out.body); err != nil {
			t.Errorf("%s %.80s: %v in %.200s", q.method, q.path, err, out.raw)
		}
	}
	return out
}

func (w *world) admin(t *testing.T, method, path, body string) answer {
	t.Helper()
	q := &request{method: method, path: path, header: map[string]string{"X-Admin-Key": adminKey}}
	if body != "" {
		q.body, q.header["Content-Type"] = []byte(body), "application/json"
	}
	return w.send(t, q)
}

// tenant makes an app for a row; change holds further members of its creation.
func (w *world) tenant(t *testing.T, slug, members string) *tenant {
	t.Helper()
	got := w.admin(t, "POST", "/api/admin/apps", `{"name":"`+slug+`","slug":"`+slug+`","scopes":["SEND","READ","TEMPLATES","PROVIDERS","SUPPRESSIONS"],"ratePerMinute":1000000`+members+`}`)
	if got.status != 201 {
		t.Fatalf("make the app %s: %d %s", slug, got.status, got.raw)
	}
	a := &tenant{w: w, slug: slug, key: got.str("apiKey"), things: map[string]string{}}
	return a
}

// fixtures are the templates that rows name.
func (a *tenant) fixtures(t *testing.T) {
	t.Helper()
	for _, body := range []string{
		`{"key":"proto","channel":"SMS","body":"{{__proto__}}"}`,
		`{"key":"mail","channel":"EMAIL","subject":"{{a}}","body":"<p>{{b}}</p>","text":"{{a}}"}`,
	} {
		got := a.do(t, "POST", "/api/v1/templates", body)
		if got.status != 201 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		a.things["templates"] = got.str("id")
	}
}

// headers are the usual ones of a call of the app.
func (a *tenant) headers(more map[string]string) map[string]string {
	out := map[string]string{"X-App-ID": a.slug, "X-API-Key": a.key}
	for name, value := range more {
		out[name] = value
		if value == "" {
			delete(out, name)
		}
	}
	return out
}

// do makes an ordinary call of the app.
func (a *tenant) do(t *testing.T, method, path, body string) answer {
	t.Helper()
	q := &request{method: method, path: path, header: a.headers(nil)}
	if body != "" {
		q.body, q.header["Content-Type"] = []byte(body), "application/json"
	}
	return a.w.send(t, q)
}

// all reads every page of a list.
func (a *tenant) all(t *testing.T, path string) (out []map[string]any) {
	t.Helper()
	for cursor := ""; ; {
		got := a.do(t, "GET", path+cursor, "")
		if got.status != 200 {
			t.Fatalf("GET %s: %d %s", path, got.status, got.raw)
		}
		out = append(out, got.list()...)
		next := got.str("nextCursor")
		if next == "" {
			return out
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
}

// state is everything that requests can change, but for messages: a refused one leaves it as it was.
func (a *tenant) state(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, path := range []string{"/api/v1/app", "/api/v1/provider-configs"} {
		fmt.Fprintf(&b, "%s: %s", path, a.do(t, "GET", path, "").raw)
	}
	for _, path := range []string{"/api/v1/templates?limit=100", "/api/v1/suppressions?limit=100"} {
		fmt.Fprintf(&b, "%s: %v\n", path, a.all(t, path))
	}
	keys := a.w.admin(t, "GET", "/api/admin/apps/"+a.slug+"/keys?limit=100", "").list()
	for _, key := range keys {
		delete(key, "lastUsedAt")
	}
	fmt.Fprintf(&b, "keys: %v\naudit:", keys)
	for _, entry := range a.w.admin(t, "GET", "/api/admin/audit?limit=100&app="+a.slug, "").list() {
		if entry["action"] != "key_first_used" { // written a while after the use
			fmt.Fprint(&b, " ", entry["sequence"], entry["action"])
		}
	}
	return b.String()
}

// messages are the ids of the app's messages, sorted.
func (a *tenant) messages(t *testing.T) []string {
	t.Helper()
	var ids []string
	for _, m := range a.all(t, "/api/v1/messages?limit=100") {
		ids = append(ids, m["id"].(string))
	}
	slices.Sort(ids)
	return ids
}

// documented are the codes that clients may rely on.
func documented() map[string]bool {
	out := map[string]bool{}
	for _, c := range comm.Codes() {
		out[c.Code] = true
	}
	return out
}

// with is a copy of a map with more in it.
func with(m map[string]string, more map[string]string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, more)
	return out
}
