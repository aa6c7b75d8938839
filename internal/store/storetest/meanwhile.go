package storetest

import (
	"context"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// meanwhile is a database in which something happens once between what a slice of upkeep has
// read and its transaction.
type meanwhile struct {
	sqlstore.DB
	do func()
}

func (m *meanwhile) Write(ctx context.Context, fn func(sqlstore.Querier) error) error {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.DB.Write(ctx, fn)
}

// RunMeanwhile tests what happens to messages in the instant in which upkeep is about them. db is
// what a store's shared SQL goes through.
func RunMeanwhile(t *testing.T, open Opener, db func(store.Store) sqlstore.DB, d sqlstore.Dialect) {
	for name, slice := range map[string]func(w *world, up store.Upkeep, ids []comm.ID) int{
		"erased":  erasedMeanwhile,
		"purged":  func(w *world, up store.Upkeep, _ []comm.ID) int { return w.walkOnce(up, store.Purge) },
		"removed": func(w *world, up store.Upkeep, _ []comm.ID) int { return w.walkOnce(up, store.Remove) },
	} {
		t.Run("a message that is retried in the instant in which others are "+name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open)
			retriedMeanwhile(w, func(do func()) store.Upkeep { return sqlstore.NewCold(&meanwhile{db(w.s), do}, d) }, slice)
		})
	}
}

func erasedMeanwhile(w *world, up store.Upkeep, ids []comm.ID) int {
	app, err := w.s.AppOf(w.ctx, ids[0])
	w.must(err)
	got, err := up.Erase(w.ctx, app, ids, store.Erasing{Actor: comm.ActorApp, Mask: "a***@example.org"})
	w.must(err)
	return got.Done
}

// walkOnce does one slice of every lane.
func (w *world) walkOnce(up store.Upkeep, kind store.WalkKind) (done int) {
	w.Helper()
	lanes, err := up.UpkeepLanes(w.ctx, comm.ID{}, 10)
	w.must(err)
	for _, lane := range lanes {
		got, err := up.Walk(w.ctx, store.Walk{Kind: kind, Lane: lane, Until: comm.FirstID(w.now() + 2*hour), Now: w.now() + 2*hour, Rest: hour, Limit: 10})
		w.must(err)
		done += got.Done
	}
	return done
}

// retriedMeanwhile wants the message that was retried to keep all that it left in other tables:
// its tags, its recipient in the index and its idempotency key.
func retriedMeanwhile(w *world, between func(do func()) store.Upkeep, slice func(w *world, up store.Upkeep, ids []comm.ID) int) {
	a := w.app(true)
	goes, stays := w.full(a, "goes"), w.full(a, "stays")
	w.found(goes)
	w.found(stays)
	w.cancel(goes)
	w.cancel(stays)
	up := between(func() {
		if _, got, err := w.s.Retry(w.ctx, a.ID, stays.ID, "app"); err != nil || got != comm.RetryDone {
			w.Fatalf("%v %v", got, err)
		}
	})
	if n := slice(w, up, []comm.ID{goes.ID, stays.ID}); n != 1 {
		w.Fatalf("%d, want the one that was not retried", n)
	}
	if m := w.message(stays); m.ContentGone || m.Status != comm.Queued || m.To != stays.Recipient {
		w.Fatalf("%+v", m)
	}
	for what, f := range map[string]store.Filter{
		"recipient": {Recipient: stays.Recipient}, "tag": {Terms: []store.Term{tag("red")}}, "template": {Terms: []store.Term{{Kind: store.TemplateTerm, Value: "welcome"}}},
	} {
		f.Limit = 10
		found, err := w.s.Search(w.ctx, a.ID, f)
		w.must(err)
		there := false
		for i := range found.Messages {
			there = there || found.Messages[i].State.ID == stays.ID
		}
		if !there {
			w.Fatalf("not found by its %s", what)
		}
	}
	if out, err := w.s.Accept(w.ctx, []store.Submission{stays}); err != nil || out[0].Result != store.Replay || out[0].ID != stays.ID {
		w.Fatalf("%+v %v", out, err)
	}
}
