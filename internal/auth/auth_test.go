package auth

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
)

// book is a store of one app and its keys, counting how often it is asked.
type book struct {
	mu    sync.Mutex
	app   comm.App
	keys  map[[32]byte]comm.Key
	asked atomic.Int64
	err   error
	gate  chan struct{} // when set, look-ups wait for it
	takes time.Duration // a look-up, in a bubble's time
}

func (b *book) KeyByHash(_ context.Context, hash [32]byte) (*comm.Key, error) {
	b.asked.Add(1)
	time.Sleep(b.takes)
	if b.gate != nil {
		<-b.gate
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.keys[hash]
	if b.err != nil {
		return nil, b.err
	}
	if !ok {
		return nil, comm.E("not_found")
	}
	return &k, nil
}

func (b *book) AppByID(_ context.Context, id comm.ID) (*comm.App, error) {
	time.Sleep(b.takes)
	b.mu.Lock()
	defer b.mu.Unlock()
	if id != b.app.ID {
		return nil, comm.E("not_found")
	}
	a := b.app
	return &a, nil
}

func (b *book) AppBySlug(_ context.Context, slug string) (*comm.App, error) {
	time.Sleep(b.takes)
	b.mu.Lock()
	defer b.mu.Unlock()
	if slug != b.app.Slug {
		return nil, comm.E("not_found")
	}
	a := b.app
	return &a, nil
}

type world struct {
	*book
	auth *Authenticator
	key  string
	now  time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Unix(1_795_000_000, 0)}
	m := apikey.Mint(false)
	w.key = m.Text
	id := comm.NewID(comm.At(w.now))
	w.book = &book{app: comm.App{ID: id, Slug: "one", Active: true}, keys: map[[32]byte]comm.Key{m.Hash: {ID: id, App: id, Hash: m.Hash, Scopes: comm.ScopeSend}}}
	w.auth = New(Config{Keys: w.book, Apps: w.book, FailuresPerMinute: 3, ProvisioningKey: "provision-me-please-0001", AdminKey: "administrate-me-0001", Now: func() time.Time { return w.now }})
	return w
}

var here = netip.MustParseAddr("203.0.113.9")

func (w *world) try(app, key string) (*Caller, error) {
	h := http.Header{}
	if app != "" {
		h.Set("X-App-ID", app)
	}
	if key != "" {
		h.Set("X-API-Key", key)
	}
	return w.auth.App(context.Background(), h, here)
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*comm.Error](err); ok {
		return e.Code
	}
	return ""
}

func TestOneAnswerForEverythingWrong(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w *world) (app, key string){
		"no key":      func(*world) (string, string) { return "one", "" },
		"no app":      func(w *world) (string, string) { return "", w.key },
		"unknown app": func(w *world) (string, string) { return "two", w.key },
		"unknown key": func(*world) (string, string) { return "one", apikey.Mint(false).Text },
		"revoked": func(w *world) (string, string) {
			for h, k := range w.keys {
				k.RevokedAt = comm.At(w.now)
				w.keys[h] = k
			}
			return "one", w.key
		},
		"expired": func(w *world) (string, string) {
			for h, k := range w.keys {
				k.ExpiresAt = comm.At(w.now.Add(-time.Second))
				w.keys[h] = k
			}
			return "one", w.key
		},
		"inactive app": func(w *world) (string, string) { w.app.Active = false; return "one", w.key },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			caller, err := w.try(spoil(w))
			if caller != nil || codeOf(err) != "unauthenticated" || err.Error() != comm.E("unauthenticated").Error() {
				t.Errorf("%v %v", caller, err)
			}
		})
	}
}

func TestWrongChecksumAsksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, key := range []string{"x", "cs_test_" + strings.Repeat("a", 40), w.key + " ", strings.ToUpper(w.key), w.key[:len(w.key)-1]} {
		if _, err := w.try("one", key); err == nil {
			t.Errorf("%q passed", key)
		}
	}
	if n := w.asked.Load(); n != 0 {
		t.Errorf("%d look-ups", n)
	}
}

func TestFailuresAreLimitedPerAddressAndAppAndCorrectKeysPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var last error
	for range 4 {
		_, last = w.try("one", "wrong")
	}
	var e *comm.Error
	if !errors.As(last, &e) || e.Code != "too_many_failures" || e.RetryAfter < 1 || e.RetryAfter > 60 {
		t.Errorf("%v", last)
	}
	if _, err := w.try("one", w.key); err != nil {
		t.Errorf("a correct key: %v", err)
	}
	if _, err := w.try("two", "wrong"); codeOf(err) != "unauthenticated" {
		t.Errorf("another app: %v", err)
	}
	if _, err := w.auth.App(context.Background(), http.Header{"X-App-Id": {"one"}}, netip.MustParseAddr("203.0.113.10")); codeOf(err) != "unauthenticated" {
		t.Errorf("another address: %v", err)
	}
	w.now = w.now.Add(time.Minute)
	if _, err := w.try("one", "wrong"); codeOf(err) != "unauthenticated" {
		t.Errorf("the next minute: %v", err)
	}
}

func TestLimiterIsBoundedAndSeesIPv6ByNetwork(t *testing.T) {
	t.Parallel()
	l := newLimiter(1)
	now := time.Unix(1_795_000_000, 0)
	for i := range maxPairs + 1000 {
		l.take(netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), "a", now)
	}
	if len(l.counts) > 2*maxPairs {
		t.Errorf("%d pairs", len(l.counts))
	}
	l = newLimiter(1)
	l.take(netip.MustParseAddr("2001:db8::1"), "a", now)
	if l.take(netip.MustParseAddr("2001:db8::ffff"), "a", now) == 0 {
		t.Error("a neighbour in the same /64 has a count of its own")
	}
}

func TestRememberedForFiveSecondsAndForgottenAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		if _, err := w.try("one", w.key); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.asked.Load(); n != 1 {
		t.Errorf("%d look-ups", n)
	}
	w.mu.Lock()
	w.app.Active = false
	w.mu.Unlock()
	if _, err := w.try("one", w.key); err != nil {
		t.Errorf("remembered: %v", err)
	}
	w.now = w.now.Add(remember)
	if _, err := w.try("one", w.key); err == nil {
		t.Error("still believed after five seconds")
	}
	w.mu.Lock()
	w.app.Active = true
	w.mu.Unlock()
	w.auth.Invalidate()
	if _, err := w.try("one", w.key); err != nil {
		t.Errorf("after Invalidate: %v", err)
	}
}

func TestManyRequestsOneLookUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.gate = make(chan struct{})
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := w.try("one", w.key); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(w.gate)
		wg.Wait()
		if n := w.asked.Load(); n != 1 {
			t.Errorf("%d look-ups", n)
		}
	})
}

func TestALookUpThatBeganBeforeAChangeIsNotKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.gate = make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = w.try("one", w.key) })
		synctest.Wait()
		w.auth.Invalidate()
		close(w.gate)
		wg.Wait()
		if n := len(w.auth.cache.byHash); n != 0 {
			t.Errorf("%d kept", n)
		}
	})
}

func TestSickStoreIs503NotA401(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.err = errors.New("connection lost")
	if _, err := w.try("one", w.key); codeOf(err) != "unavailable" {
		t.Errorf("%v", err)
	}
}

func TestProvisioning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := func(values ...string) error {
		return w.auth.Provisioning(t.Context(), http.Header{"X-Provisioning-Key": values}, here)
	}
	if err := ask("provision-me-please-0001"); err != nil {
		t.Error(err)
	}
	if err := ask(); codeOf(err) != "unauthenticated" {
		t.Errorf("%v", err)
	}
	if err := ask("provision-me-please-0001", "provision-me-please-0001"); codeOf(err) != "unauthenticated" {
		t.Errorf("%v", err)
	}
	_ = ask("wrong")
	if err := ask("wrong"); codeOf(err) != "too_many_failures" {
		t.Errorf("%v", err)
	}
	if err := New(Config{}).Provisioning(t.Context(), http.Header{}, here); codeOf(err) != "provisioning_disabled" {
		t.Errorf("%v", err)
	}
}

func TestAdmin(t *testing.T) {
	t.Parallel()
	const key = "administrate-me-0001"
	w := newWorld(t)
	good := http.Header{"X-Admin-Key": {key}}
	for name, h := range map[string]http.Header{
		"none": {}, "empty": {"X-Admin-Key": {""}}, "wrong": {"X-Admin-Key": {"x"}}, "twice": {"X-Admin-Key": {key, key}}, "provisioning": {"X-Admin-Key": {"provision-me-please-0001"}},
		"an app's key": {"X-Admin-Key": {w.key}}, "both": {"X-Admin-Key": {key}, "X-Api-Key": {w.key}}, "bearer too": {"X-Admin-Key": {key}, "Authorization": {"Bearer " + w.key}},
	} {
		w.now = w.now.Add(time.Minute) // each with a count of its own
		if err := w.auth.Admin(t.Context(), h, here); codeOf(err) != "unauthenticated" || err.Error() != "unauthenticated: Missing or invalid credentials: check X-Admin-Key, or sign in again." {
			t.Errorf("%s: %v", name, err)
		}
	}
	for range 4 {
		_ = w.auth.Admin(t.Context(), http.Header{}, here)
	}
	if err := w.auth.Admin(t.Context(), http.Header{}, here); codeOf(err) != "too_many_failures" {
		t.Errorf("%v", err)
	}
	if err := w.auth.Admin(t.Context(), good, here); err != nil {
		t.Errorf("a correct key after failures: %v", err)
	}
	if err := w.auth.Admin(t.Context(), http.Header{}, netip.MustParseAddr("203.0.113.10")); codeOf(err) != "unauthenticated" {
		t.Errorf("another address: %v", err)
	}
	if err := New(Config{}).Admin(t.Context(), http.Header{"X-Admin-Key": {""}}, here); codeOf(err) != "unauthenticated" {
		t.Errorf("without any admin key: %v", err)
	}
}

func TestActingForAnApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.app.Active = false
	act := func(app, key string) (*Caller, error) {
		return w.auth.App(context.Background(), http.Header{"X-App-Id": {app}, "X-Admin-Key": {key}}, here)
	}
	for _, name := range []string{"one", w.app.ID.String()} {
		c, err := act(name, "administrate-me-0001")
		if err != nil || !c.Admin || c.App.Slug != "one" || c.Require(comm.AllScopes) != nil || c.Actor().Kind != comm.ActorAdmin {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
	if _, err := act("two", "administrate-me-0001"); codeOf(err) != "not_found" {
		t.Errorf("%v", err)
	}
	if _, err := act("two", "wrong"); err == nil || err.Error() != comm.E("unauthenticated").Error() {
		t.Errorf("whether an app exists is told to strangers: %v", err)
	}
}

func TestRequireNamesTheScope(t *testing.T) {
	t.Parallel()
	c := Caller{Key: &comm.Key{Scopes: comm.ScopeRead}}
	if err := c.Require(comm.ScopeRead); err != nil {
		t.Error(err)
	}
	if err := c.Require(comm.ScopeSend); codeOf(err) != "insufficient_scope" || !strings.Contains(err.Error(), "SEND") {
		t.Errorf("%v", err)
	}
}

func BenchmarkApp(b *testing.B) {
	m := apikey.Mint(false)
	id := comm.NewID(1)
	store := &book{app: comm.App{ID: id, Slug: "one", Active: true}, keys: map[[32]byte]comm.Key{m.Hash: {App: id, Hash: m.Hash}}}
	a := New(Config{Keys: store, Apps: store})
	h := http.Header{"X-App-Id": {"one"}, "X-Api-Key": {m.Text}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.App(context.Background(), h, here); err != nil {
			b.Fatal(err)
		}
	}
}
