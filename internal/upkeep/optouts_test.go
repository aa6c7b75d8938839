package upkeep

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestWhoIsOptedOutAgainHoldsNoErasureUp: an app that puts the address on its list again and again has new opt-outs, which
// keep their address; the erasure, which may be of all apps, comes to its end.
func TestWhoIsOptedOutAgainHoldsNoErasureUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Settle = time.Second })
	a, other := w.app(), w.app()
	const to = "ama@example.org"
	optOut := func(app comm.ID) {
		t.Helper()
		_, err := w.book.Suppress(t.Context(), store.Suppression{App: app, Channel: comm.Email, Address: to, Reason: comm.SuppressManual, CreatedAt: comm.At(time.Now())})
		w.must(err)
	}
	optOut(a.ID)
	optOut(other.ID)
	e, err := w.up.Erase(t.Context(), comm.ID{}, comm.Email, to)
	w.must(err)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.book.Forget(a.ID) // as if it were known by now that there is a hash
		optOut(a.ID)
		w.erasures()
		got, err := w.up.AnyErasure(t.Context(), e.ID)
		w.must(err)
		if got.FinishedAt != 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not done: %+v", got)
		}
	}
	if w.listed(a) != 1 || w.listed(other) != 0 {
		t.Errorf("%d and %d addresses are listed", w.listed(a), w.listed(other))
	}
	for _, app := range []comm.ID{a.ID, other.ID} {
		if on, err := w.book.Suppressed(t.Context(), app, comm.Email, to); err != nil || !on {
			t.Errorf("no longer opted out: %v", err)
		}
	}
}

// TestABounceDuringAnErasureLeavesNoAddress: what the server puts on the list by itself is of the messages that are erased.
func TestABounceDuringAnErasureLeavesNoAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Settle = time.Second })
	a := w.app()
	const to = "ama@example.org"
	e, err := w.up.Erase(t.Context(), a.ID, comm.Email, to)
	w.must(err)
	w.erasures()
	_, err = w.s.Suppress(t.Context(), store.Suppression{App: a.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressHardBounce, Source: comm.SuppressByProvider, CreatedAt: comm.At(time.Now().Add(time.Millisecond))})
	w.must(err)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		w.erasures()
		got, err := w.up.AnyErasure(t.Context(), e.ID)
		w.must(err)
		if got.FinishedAt != 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not done: %+v", got)
		}
	}
	if on, err := w.book.Suppressed(t.Context(), a.ID, comm.Email, to); err != nil || !on || w.listed(a) != 0 {
		t.Errorf("%v %v, %d listed", on, err, w.listed(a))
	}
}

// TestAnErasureThatWaitedLetsItsHashBecomeKnown: however long ago the erasure was asked for, the address
// stays on the list until every node must know that there is a hash.
func TestAnErasureThatWaitedLetsItsHashBecomeKnown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.Settle = time.Second })
	a := w.app()
	const to = "ama@example.org"
	_, err := w.book.Suppress(t.Context(), store.Suppression{App: a.ID, Channel: comm.Email, Address: to, Reason: comm.SuppressManual, CreatedAt: comm.At(time.Now())})
	w.must(err)
	_, err = w.up.Erase(t.Context(), a.ID, comm.Email, to)
	w.must(err)
	w.later(time.Minute) // it waited for its turn
	w.erasures()
	if n := w.listed(a); n != 1 {
		t.Fatalf("%d addresses are listed right after the hash was made", n)
	}
	for end := time.Now().Add(20 * time.Second); w.listed(a) > 0; time.Sleep(50 * time.Millisecond) {
		w.erasures()
		if time.Now().After(end) {
			t.Fatal("the address stays on the list")
		}
	}
}
