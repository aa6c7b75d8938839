package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/erased"
	"github.com/commserver/commserver/test/pgtest"
)

// TestNodesAppendAtOnce lets two nodes change settings as fast as they can: the
// chain stays whole, nothing is refused, and the log costs a bounded part of the speed.
func TestNodesAppendAtOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	nodes := []store.Store{node(t, url), node(t, url)}
	const callers, each = 4, 40
	var apps [2 * callers]*comm.App
	for i := range apps {
		now := comm.At(time.Now())
		apps[i] = &comm.App{ID: comm.NewID(now), Slug: fmt.Sprint("app", i), Name: "App", Active: true, RatePerMinute: 1, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
		if _, err := nodes[0].CreateApp(t.Context(), apps[i], nil); err != nil {
			t.Fatal(err)
		}
	}
	run := func(change func(i, n int) error) time.Duration {
		began := time.Now()
		var wg sync.WaitGroup
		for i := range apps {
			wg.Go(func() {
				for n := range each {
					if err := change(i, n); err != nil {
						t.Errorf("change %d of app %d: %v", n, i, err)
						return
					}
				}
			})
		}
		wg.Wait()
		return time.Since(began)
	}
	// The same changes without a log, by the same number of connections.
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	bare := run(func(i, n int) error {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
		if _, err := tx.Exec(t.Context(), `UPDATE apps SET rate_per_minute = $1 WHERE slug = $2`, n+1, apps[i].Slug); err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), `UPDATE config_version SET version = version + 1 WHERE id = 1`); err != nil {
			return err
		}
		return tx.Commit(t.Context())
	})
	logged := run(func(i, n int) error {
		apps[i].RatePerMinute = n + 2
		return nodes[i%2].UpdateApp(t.Context(), apps[i], comm.At(time.Now()))
	})
	v, err := registry.New(registry.Config{Audit: nodes[1], Ring: newRing(t)}).VerifyAudit(t.Context(), 0)
	if err != nil || v.BrokenAt != 0 || v.Checked != int64(len(apps)*(each+1)) {
		t.Errorf("%+v %v", v, err)
	}
	t.Logf("%d changes by two nodes at once: %v each without a log, %v with it", len(apps)*each, bare/time.Duration(len(apps)*each), logged/time.Duration(len(apps)*each))
}

// TestWhatEndsOnOneNodeEndsOnAll: a key that was revoked, one whose app was made
// inactive and one whose app was deleted open nothing on another node five seconds
// later, although that node hears no announcement.
func TestWhatEndsOnOneNodeEndsOnAll(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	a, b := node(t, url), node(t, url)
	here := auth.New(auth.Config{Keys: a, Apps: a})
	there := auth.New(auth.Config{Keys: b, Apps: b})
	reg := registry.New(registry.Config{Apps: a, Keys: a, Providers: a, Endpoints: a, Messages: a, Audit: a, Ring: newRing(t), Log: slog.New(slog.DiscardHandler), Changed: func(comm.ID) { here.Invalidate() }})
	made := map[string]*registry.AppMade{}
	opens := func(at *auth.Authenticator, slug string) bool {
		_, err := at.App(t.Context(), http.Header{"X-App-Id": {slug}, "X-Api-Key": {made[slug].APIKey}}, netip.MustParseAddr("192.0.2.1"))
		return err == nil
	}
	for _, slug := range []string{"revoked", "inactive", "deleted"} {
		var err error
		if made[slug], err = reg.CreateApp(t.Context(), registry.AppSpec{Name: slug, Slug: slug}); err != nil {
			t.Fatal(err)
		}
		if !opens(here, slug) || !opens(there, slug) {
			t.Fatalf("the key of %s does not open at first", slug)
		}
	}
	keys, err := reg.KeyList(t.Context(), made["revoked"].App.ID, comm.ID{}, 10)
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	began := time.Now()
	if err := reg.RevokeKey(t.Context(), keys[0].App, keys[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := reg.UpdateApp(t.Context(), made["inactive"].App.ID, registry.AppChange{Active: new(false)}); err != nil {
		t.Fatal(err)
	}
	if err := reg.DeleteApp(t.Context(), made["deleted"].App, "deleted"); err != nil {
		t.Fatal(err)
	}
	for slug := range made {
		if opens(here, slug) {
			t.Errorf("%s still opens where it was ended", slug)
		}
	}
	for open := 1; open > 0; time.Sleep(50 * time.Millisecond) {
		open = 0
		for slug := range made {
			if opens(there, slug) {
				open++
			}
		}
		if passed := time.Since(began); open > 0 && passed > 6*time.Second { // five, and a second for a slow machine
			t.Fatalf("%d keys still open on the other node after %v", open, passed)
		}
	}
	t.Logf("all ended on the other node after %v", time.Since(began).Round(time.Millisecond))
}

// TestADrainReachesEveryNode: a node that hears no announcement refuses a draining app's
// messages five seconds after it was drained on another one, and takes them again after it was resumed.
func TestADrainReachesEveryNode(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	a, b := node(t, url), node(t, url)
	there := auth.New(auth.Config{Keys: b, Apps: b})
	ring := newRing(t)
	book, err := erased.Open(t.Context(), b, ring)
	if err != nil {
		t.Fatal(err)
	}
	in := intake.New(intake.Config{Store: b, Look: b, Configs: b, Templates: b, Listed: book, Node: "there"})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ran := make(chan error, 1)
	go func() { ran <- in.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	reg := registry.New(registry.Config{Apps: a, Keys: a, Providers: a, Endpoints: a, Messages: a, Audit: a, Ring: ring, Log: slog.New(slog.DiscardHandler)})
	made, err := reg.CreateApp(t.Context(), registry.AppSpec{Name: "Drained", Slug: "drained"})
	if err != nil {
		t.Fatal(err)
	}
	accept := func() error {
		caller, err := there.App(t.Context(), http.Header{"X-App-Id": {"drained"}, "X-Api-Key": {made.APIKey}}, netip.MustParseAddr("192.0.2.1"))
		if err != nil {
			return err
		}
		request, err := intake.Decode([]byte(`{"channel":"SMS","to":"233241234567","body":"Hi"}`))
		if err != nil {
			return err
		}
		return in.Accept(t.Context(), caller.App, []intake.Request{*request})[0].Err
	}
	if err := accept(); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		state   string
		refused bool
	}{{comm.QueueDraining, true}, {comm.QueueRunning, false}} {
		began := time.Now()
		if _, err := reg.UpdateApp(t.Context(), made.App.ID, registry.AppChange{Queue: &step.state}); err != nil {
			t.Fatal(err)
		}
		for ; ; time.Sleep(50 * time.Millisecond) {
			err := accept()
			var e *comm.Error
			if refused := errors.As(err, &e) && e.Code == "app_draining"; refused == step.refused {
				break
			}
			if passed := time.Since(began); passed > 6*time.Second { // five, and a second for a slow machine
				t.Fatalf("%v after %s: %v", passed, step.state, err)
			}
		}
		t.Logf("%s on the other node after %v", step.state, time.Since(began).Round(time.Millisecond))
	}
}
