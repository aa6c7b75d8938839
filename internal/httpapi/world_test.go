package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/backup"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/hold"
	"github.com/commserver/commserver/internal/identity"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/receipt"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/stats"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/erased"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
	"github.com/commserver/commserver/internal/suppress"
	"github.com/commserver/commserver/internal/trial"
	"github.com/commserver/commserver/internal/upkeep"
	"github.com/commserver/commserver/internal/webhook"
)

const (
	provisioningKey = "a-long-provisioning-key-for-tests-0001"
	adminKey        = "a-long-admin-key-for-tests-0001"
)

// world is the whole door over a real SQLite store, without a dispatcher: messages stay QUEUED.
type world struct {
	book   *erased.Book
	upkeep *upkeep.Service
	hold   *hold.Service
	t      testing.TB
	// receipts reads the reports of test providers, whatever the adapters can: see reporting.
	receipts *receipt.Service
	store    *sqlite.Store
	handler  http.Handler
	api      *API
	reg      *registry.Service
	auth     *auth.Authenticator
	identity *identity.Service
	ahead    atomic.Int64 // how far the clock of sessions is before ours, in nanoseconds
	ring     *seal.Ring
	log      *providertest.Log
	changed  func(comm.ID)
	dial     providertest.Dialer // of trials; set it before the first request
	mails    *atomic.Int64       // test messages that arrived
	clock    atomic.Int64        // of trials, in nanoseconds: it stands still

	feed  *feed.Service
	tail  *feed.Tail
	owned []store.Lease // by the feed

	mu     sync.Mutex
	pushed []store.Head
}

// tenant is an app of a world with a key of every scope.
type tenant struct {
	app *comm.App
	key string
}

// adapters are those of the binary, of which this version is held not to send with two yet: what becomes of such a type
// has to be right for the next one that comes, whether or not there is one today.
func adapters() []provider.Adapter {
	out := all.Adapters()
	for i := range out {
		if out[i].Type == "RESEND" || out[i].Type == "MNOTIFY" {
			out[i].Open = nil
		}
	}
	return out
}

// time is the clock of sessions.
func (w *world) time() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{t: t, log: &providertest.Log{}}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	w.store, err = sqlite.Open(ctx, sqlite.Options{Path: sqlitetest.Path(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	text, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	w.ring = ring
	a := auth.New(auth.Config{Keys: w.store, Apps: w.store, ProvisioningKey: provisioningKey, AdminKey: adminKey, Uses: w.store, FailuresPerMinute: 1_000_000})
	push := func(_ comm.Unit, h store.Head) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.pushed = append(w.pushed, h)
	}
	if w.book, err = erased.Open(ctx, w.store, ring); err != nil {
		t.Fatal(err)
	}
	w.upkeep = upkeep.New(upkeep.Config{Store: w.store, Book: w.book, Ring: ring, Content: 30 * 24 * time.Hour, Messages: 400 * 24 * time.Hour, Settle: time.Millisecond, Log: log})
	in := intake.New(intake.Config{Store: w.store, Listed: w.book, Look: w.store, Configs: w.store, Templates: w.store, Health: w.store, Reserve: 50, Node: "test", Pushed: push, CannotSend: provider.CannotSend(adapters())})
	w.auth = a
	w.identity = identity.New(identity.Config{Users: w.store, Sessions: w.store, Ring: ring, AdminKey: adminKey, Note: a.Note, Now: w.time})
	w.changed = func(comm.ID) { a.Invalidate(); in.Invalidate(); w.receipts.Forget() }
	w.reg = registry.New(registry.Config{
		Apps: w.store, Keys: w.store, Providers: w.store, Endpoints: w.store, Templates: w.store, Messages: w.store, Audit: w.store, Troubles: w.store, Adapters: adapters(), Ring: ring, PublicURL: "http://localhost:3008",
		Mail: &guard.Dialer{Ports: guard.SMTPPorts()}, Web: &guard.Dialer{Ports: guard.WebPorts()},
		Changed: w.changed, Log: log,
	})
	// Trials reach a mail server that takes everything, whatever host they ask for.
	sink := providertest.NewSink(t, nil, "AUTH PLAIN")
	w.mails, w.dial = &sink.Mails, sink.Dial()
	w.clock.Store(time.Now().UnixNano())
	tries := trial.New(trial.Config{Providers: w.store, Suppressions: w.book, To: in.To, OpenSecrets: w.reg.OpenSecrets, Adapters: adapters(), Log: log,
		Now: func() time.Time { return time.Unix(0, w.clock.Load()) },
		Env: provider.Env{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return w.dial(ctx, network, address)
		}, Hostname: "client.test", Log: log}})
	w.tail = feed.NewTail(feed.TailConfig{Heads: w.store.Heads, Every: 20 * time.Millisecond})
	w.feed = feed.New(feed.Config{Store: w.store, Endpoints: noEndpoints{}, Owned: func() (string, []store.Lease) { return "feed", w.owned }, Now: w.store.Now, Stamped: w.tail.Stamped})
	w.receipts = receipt.New(receipt.Config{Store: w.store, Lists: w.book, Adapters: reporting(), OpenSecrets: w.reg.OpenSecrets, Recipient: in.Recipient,
		Env: provider.Env{PublicURL: "http://localhost:3008"}, Node: "test", Patience: 72 * time.Hour, Log: log})
	if w.hold, err = hold.Open(ctx, hold.Config{Store: w.store, Works: true, Log: log}); err != nil {
		t.Fatal(err)
	}
	w.api = New(Config{
		Hold: w.hold, Backup: func(ctx context.Context, to io.Writer) error { return backup.Write(ctx, w.store, to, "test") },
		Receipts: w.receipts,
		Auth:     a, Identity: w.identity, Intake: in, Registry: w.reg, Trial: tries, Messages: w.book.Messages(w.store), Files: w.store, Stats: stats.New(stats.Config{Store: w.store, Apps: w.store, Now: w.store.Now}), Feed: w.feed, Watch: feed.NewWatch(w.store), Tail: w.tail, Deliveries: webhook.NewLog(webhook.LogConfig{Store: w.store, Endpoint: w.reg.Endpoint, TestBody: feed.TestBody, Now: w.store.Now, Stir: func() {}}), Everywhere: w.store, Backlog: backlog.New(w.store, backlog.Rules{}), Alerts: alert.New(alert.Config{Store: w.store}), Suppressions: suppress.New(suppress.Config{Store: w.book, Across: w.store}), Upkeep: w.upkeep, PublicURL: "http://localhost:3008", Log: log, Pushed: push,
		Checks: []Check{{"storage", w.store.Ping}},
	})
	w.handler = w.api.Handler()
	ran := make(chan error, 3)
	go func() { ran <- w.tail.Run(ctx) }()
	go func() { ran <- in.Run(ctx) }()
	go func() { ran <- w.receipts.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range cap(ran) {
			if err := <-ran; err != nil {
				t.Error(err)
			}
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// tenant makes an app with a key that has the scopes.
func (w *world) tenant(slug string, scopes comm.Scopes, change ...func(*comm.App)) tenant {
	w.t.Helper()
	now := comm.At(time.Now())
	app := &comm.App{ID: comm.NewID(now), Slug: slug, Name: slug, Active: true, Sandbox: true, RatePerMinute: 1_000_000, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	for _, c := range change {
		c(app)
	}
	minted := apikey.Mint(!app.Sandbox)
	created, err := w.store.CreateApp(context.Background(), app, &comm.Key{ID: comm.NewID(now), App: app.ID, Hash: minted.Hash, Prefix: minted.Prefix, LastFour: minted.Last4, Scopes: scopes, CreatedAt: now})
	if err != nil || !created {
		w.t.Fatalf("create app: %v %v", created, err)
	}
	return tenant{app, minted.Text}
}

// key adds another key to the app.
func (w *world) key(app *comm.App, scopes comm.Scopes) string {
	w.t.Helper()
	now := comm.At(time.Now())
	minted := apikey.Mint(false)
	k := &comm.Key{ID: comm.NewID(now), App: app.ID, Hash: minted.Hash, Prefix: minted.Prefix, LastFour: minted.Last4, Scopes: scopes, CreatedAt: now}
	if err := w.store.RotateKeys(context.Background(), k, now.Add(time.Hour)); err != nil {
		w.t.Fatal(err)
	}
	return minted.Text
}

// template registers one for SMS with two placeholders and answers its id.
func (w *world) template(who tenant, key string) string {
	w.t.Helper()
	got := w.do(who, "POST", "/api/v1/templates", `{"key":"`+key+`","channel":"SMS","name":"Request approved","body":"Hi {{firstName}}, request {{reference}} was approved."}`, nil)
	if got.status != http.StatusCreated {
		w.t.Fatalf("template: %d %s", got.status, got.raw)
	}
	return got.str("id")
}

// webhook makes a webhook endpoint and answers its id.
func (w *world) webhook(who tenant) string {
	w.t.Helper()
	got := w.do(who, "POST", "/api/v1/webhooks", `{"name":"orders","url":"https://hooks.example.com/orders"}`, nil)
	if got.status != http.StatusCreated {
		w.t.Fatalf("webhook: %d %s", got.status, got.raw)
	}
	return got.str("id")
}

// answer is a decoded HTTP answer.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (a answer) code() string {
	details, _ := a.body["details"].(map[string]any)
	code, _ := details["code"].(string)
	return code
}

func (a answer) str(name string) string { s, _ := a.body[name].(string); return s }

// do sends a request; headers replace or, when empty, remove the usual ones.
func (w *world) do(who tenant, method, path, body string, headers map[string]string) answer {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	all := map[string]string{}
	if who.app != nil {
		all["X-App-ID"], all["X-API-Key"] = who.app.Slug, who.key
	}
	if body != "" {
		all["Content-Type"] = "application/json"
	}
	maps.Copy(all, headers)
	for name, value := range all {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	return w.send(r)
}

func (w *world) send(r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	res := rec.Result()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	out := answer{status: res.StatusCode, header: res.Header, raw: raw}
	for _, wrong := range readContract(w.t).Answer(r.Method, r.URL.Path, out.status, res.Header.Get("Content-Type"), raw) {
		w.t.Errorf("%s %s %d is not as the contract has it: %s", r.Method, r.URL.Path, out.status, wrong)
	}
	if kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";"); kind != "application/json" {
		return out
	}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &out.body); err != nil {
			w.t.Fatalf("%s %s: %v in %s", r.Method, r.URL.Path, err, raw)
		}
	}
	if out.status != http.StatusNoContent && res.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		w.t.Errorf("%s %s: content type %q", r.Method, r.URL.Path, res.Header.Get("Content-Type"))
	}
	if res.Header.Get("X-Request-Id") == "" || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Content-Type-Options") != "nosniff" {
		w.t.Errorf("%s %s: headers %v", r.Method, r.URL.Path, res.Header)
	}
	return out
}

// count is how many messages the app has.
func (w *world) count(app *comm.App) int {
	w.t.Helper()
	list, err := w.store.List(context.Background(), app.ID, store.Filter{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list)
}
