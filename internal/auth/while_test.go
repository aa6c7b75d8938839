package auth

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// TestACallEndsWithItsCaller: whatever ends a key on another node is noticed within five
// seconds, by the cause that the call is answered with; and nothing else ends it.
func TestACallEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	key := func(change func(*comm.Key)) func(*world) {
		return func(w *world) {
			for hash, k := range w.keys {
				change(&k)
				w.keys[hash] = k
			}
		}
	}
	for name, c := range map[string]struct {
		change func(w *world)
		admin  bool
		ends   string
	}{
		"nothing":           {func(*world) {}, false, ""},
		"revoked":           {key(func(k *comm.Key) { k.RevokedAt = comm.At(time.Now()) }), false, "unauthenticated"},
		"revoked later":     {key(func(k *comm.Key) { k.RevokedAt = comm.At(time.Now().Add(time.Hour)) }), false, ""},
		"expired":           {key(func(k *comm.Key) { k.ExpiresAt = comm.At(time.Now().Add(time.Millisecond)) }), false, "unauthenticated"},
		"key gone":          {func(w *world) { clear(w.keys) }, false, "unauthenticated"},
		"inactive":          {func(w *world) { w.app.Active = false }, false, "unauthenticated"},
		"app gone":          {func(w *world) { w.app.ID = comm.ID{9} }, false, "unauthenticated"},
		"database away":     {func(w *world) { w.err = errors.New("away") }, false, ""},
		"admin":             {func(*world) {}, true, ""},
		"admin, inactive":   {func(w *world) { w.app.Active = false }, true, ""},
		"admin, app gone":   {func(w *world) { w.app.ID = comm.ID{9} }, true, "not_found"},
		"admin, no key now": {func(w *world) { clear(w.keys) }, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.auth.cfg.Now, w.auth.cache.now = time.Now, time.Now
				caller := w.enter(t, c.admin)
				told := 0
				ctx, stop := w.auth.While(t.Context(), caller, func() { told++ })
				time.Sleep(10 * time.Second)
				w.enter(t, c.admin) // what is known of the key is as fresh as can be
				w.mu.Lock()
				c.change(w)
				w.mu.Unlock()
				time.Sleep(5 * time.Second)
				synctest.Wait()
				if got := codeOf(context.Cause(ctx)); got != c.ends || told != len(c.ends)/max(1, len(c.ends)) {
					t.Errorf("after five seconds: %q, told %d times", got, told)
				}
				if got := codeOf(w.auth.Holds(t.Context(), caller)); got != c.ends {
					t.Errorf("asked: %q", got)
				}
				stop()
				if ctx.Err() == nil {
					t.Error("the context goes on after stop")
				}
			})
		})
	}
}

// enter admits the app's key, or the administrator in its place.
func (w *world) enter(t *testing.T, admin bool) *Caller {
	t.Helper()
	h := http.Header{"X-App-Id": {"one"}, "X-Api-Key": {w.key}}
	if admin {
		h = http.Header{"X-App-Id": {"one"}, "X-Admin-Key": {"administrate-me-0001"}}
	}
	caller, err := w.auth.App(t.Context(), h, here)
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

// TestALookAfterStopChangesNothing: the call may have ended at the very moment of a look.
func TestALookAfterStopChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	caller := w.enter(t, false)
	ctx, stop := w.auth.While(t.Context(), caller, func() { t.Error("told of the end of a call that was over") })
	watch := &watch{auth: w.auth, caller: caller, ended: func() { t.Error("told") }, ctx: ctx, cancel: func(error) { t.Error("ended") }, stopped: true}
	stop()
	w.mu.Lock()
	clear(w.keys)
	w.mu.Unlock()
	w.auth.Invalidate()
	watch.look()
}

// TestCallsOfOneKeyAskTogether: a thousand calls under way cost no more questions than one.
func TestCallsOfOneKeyAskTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.auth.cfg.Now, w.auth.cache.now = time.Now, time.Now
		caller := w.enter(t, false)
		for range 1000 {
			_, stop := w.auth.While(t.Context(), caller, func() {})
			defer stop()
		}
		before := w.asked.Load()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := w.asked.Load() - before; n < 7 || n > 11 {
			t.Errorf("asked %d times in 30 s", n)
		}
	})
}
