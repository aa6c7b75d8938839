package auth

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
)

// TestTheTimeOfARefusalTellsNothing (S1): how long a refusal takes is how many look-ups it
// makes, since the rest is comparison in constant time. In a bubble a look-up takes a second
// exactly, and all that is wrong with an app or with what is kept of a key takes the same.
func TestTheTimeOfARefusalTellsNothing(t *testing.T) {
	t.Parallel()
	none := apikey.Mint(false).Text
	change := func(f func(k *comm.Key)) func(w *world) {
		return func(w *world) {
			for h, k := range w.keys {
				f(&k)
				w.keys[h] = k
			}
		}
	}
	header := func(app string, names ...string) http.Header {
		h := http.Header{"X-App-Id": {app}}
		for i := 0; i < len(names); i += 2 {
			h.Set(names[i], names[i+1])
		}
		return h
	}
	type call struct {
		what  string
		spoil func(w *world)
		make  func(w *world) http.Header
	}
	inactive := func(w *world) { w.app.Active = false }
	of := func(app, key string) func(*world) http.Header {
		return func(w *world) http.Header {
			if key == "" {
				return header(app, "X-API-Key", w.key)
			}
			return header(app, "X-API-Key", key)
		}
	}
	for name, class := range map[string]struct {
		lookUps int
		calls   []call
	}{
		"no key of ours": {1, []call{
			{"of the app", nil, of("one", none)}, {"of its id", nil, func(w *world) http.Header { return header(w.app.ID.String(), "X-API-Key", none) }},
			{"of an unknown app", nil, of("two", none)}, {"of an inactive app", inactive, of("one", none)},
			{"as a bearer", nil, func(*world) http.Header { return header("one", "Authorization", "Bearer "+none) }},
		}},
		"a key that was issued": {2, []call{
			{"for another app", nil, of("two", "")}, {"for an unknown id", nil, of("c0123456789abcdefghijklmn", "")}, {"of an inactive app", inactive, of("one", "")},
			{"revoked", change(func(k *comm.Key) { k.RevokedAt = 1 }), of("one", "")}, {"expired", change(func(k *comm.Key) { k.ExpiresAt = 1 }), of("one", "")},
		}},
		"what cannot be a key": {0, []call{
			{"of the app", nil, of("one", "wrong")}, {"of an unknown app", nil, of("two", "wrong")}, {"a checksum", nil, func(w *world) http.Header { return header("one", "X-API-Key", w.key+"x") }},
			{"none", nil, func(*world) http.Header { return header("one") }}, {"no app", nil, func(w *world) http.Header { return http.Header{"X-Api-Key": {w.key}} }},
			{"the administrator's, for the app", nil, func(*world) http.Header { return header("one", "X-Admin-Key", "wrong-wrong-wrong-wrong") }},
			{"the administrator's, for an unknown app", nil, func(*world) http.Header { return header("two", "X-Admin-Key", "wrong-wrong-wrong-wrong") }},
		}},
	} {
		for _, c := range class.calls {
			t.Run(name+", "+c.what, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					w.takes = time.Second
					if c.spoil != nil {
						c.spoil(w)
					}
					began := time.Now()
					_, err := w.auth.App(context.Background(), c.make(w), here)
					if took, want := time.Since(began), time.Duration(class.lookUps)*time.Second; codeOf(err) != "unauthenticated" || took != want {
						t.Errorf("%v after %v, want %v", err, took, want)
					}
				})
			})
		}
	}
}

// TestTwentyFailuresAMinute (S7) holds the number that applies where none is configured.
func TestTwentyFailuresAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.auth = New(Config{Keys: w.book, Apps: w.book, Now: func() time.Time { return w.now }})
	for n := range 20 {
		if _, err := w.try("one", "wrong"); codeOf(err) != "unauthenticated" {
			t.Fatalf("failure %d: %v", n+1, err)
		}
	}
	_, err := w.try("one", "wrong")
	if e, ok := errors.AsType[*comm.Error](err); !ok || e.Code != "too_many_failures" || e.RetryAfter < 1 {
		t.Errorf("the one after: %v", err)
	}
	if _, err := w.try("one", w.key); err != nil {
		t.Errorf("a correct key: %v", err)
	}
}
