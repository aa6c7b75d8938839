package storetest

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// RunForgotten tests how long a trouble counts that nobody answers for: a week since that was seen. A node that lives again answers for what it said.
// db is what a store's shared SQL goes through.
func RunForgotten(t *testing.T, open Opener, db func(store.Store) sqlstore.DB, d sqlstore.Dialect) {
	w := newWorld(t, open)
	base := &damaged{w, db(w.s), d}
	c := newTroubled(w)
	c.say("node-x", c.ill(c.own, 7))
	want := func(n int) {
		w.Helper()
		if all, err := w.s.ProviderTroubles(w.ctx, 10); err != nil || len(all) != n {
			w.Fatalf("%+v %v, want %d", all, err, n)
		}
	}
	weekLater := func() {
		w.Helper()
		base.do(`UPDATE provider_troubles SET since = since - 86400000000 * 7, left_at = left_at - CASE WHEN left_at > 0 THEN 86400000000 * 7 ELSE 0 END`)
	}
	trim := func() {
		w.Helper()
		w.must(w.s.TrimAlerts(w.ctx, 0))
	}
	weekLater()
	want(1) // nobody has looked, such as while no node ran
	trim()
	want(1)
	weekLater()
	want(0)
	w.beat("node-x", time.Hour)
	want(1)
	trim()
	w.must(w.s.Leave(w.ctx, "node-x"))
	want(1)
	trim()
	weekLater()
	trim()
	want(0)
	if left, err := w.s.LeftTroubles(w.ctx, 10); err != nil || len(left) != 0 {
		w.Fatalf("%+v %v", left, err)
	}
}
