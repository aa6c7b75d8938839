package storetest

import (
	"context"
	"slices"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// What cannot be read, whatever damaged it and whichever version wrote it, costs itself and nothing else.

func damagedCases() []testCase {
	return []testCase{
		{"a content that cannot be read hides nothing else", unreadContent},
	}
}

// damaged is a store with a way to write what no store writes.
type damaged struct {
	*world
	db sqlstore.DB
	d  sqlstore.Dialect
}

// RunDamaged tests rows that cannot be read. db is what a store's shared SQL goes through.
func RunDamaged(t *testing.T, open Opener, db func(store.Store) sqlstore.DB, d sqlstore.Dialect) {
	for name, run := range map[string]func(w *damaged){
		"a row of the outbox": unreadOutbox,
		"a row of the feed":   unreadFeed,
		"rows of statistics":  unreadStats,
		"deliveries":          unreadDeliveries,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open)
			run(&damaged{w, db(w.s), d})
		})
	}
}

// do runs a statement as if from outside.
func (w *damaged) do(query string, args ...any) {
	w.Helper()
	w.must(w.db.Write(w.ctx, func(q sqlstore.Querier) error {
		_, err := q.ExecContext(context.WithoutCancel(w.ctx), query, args...)
		return err
	}))
}

// count answers a number that a statement finds.
func (w *damaged) count(query string, args ...any) (n int) {
	w.Helper()
	w.must(w.db.Read(w.ctx, func(q sqlstore.Querier) error { return q.QueryRowContext(w.ctx, query, args...).Scan(&n) }))
	return n
}

// badContent makes a submission's content one that cannot be read.
func badContent(s *store.Submission) {
	s.Payload = []byte(`{"to":"someone@example.org","body":7,"tags":["all"]`)
}

// contents wants these messages, of which one has a content that cannot be read.
func (w *world) contents(got []comm.Message, bad store.Submission, good ...store.Submission) {
	w.Helper()
	if len(got) != 1+len(good) {
		w.Fatalf("%d messages, want %d", len(got), 1+len(good))
	}
	for i := range got {
		m, unread := &got[i], got[i].State.ID == bad.ID
		if !unread && !slices.ContainsFunc(good, func(s store.Submission) bool { return s.ID == m.State.ID }) {
			w.Fatalf("%s is none of them", m.State.ID)
		}
		if m.ContentUnread != unread || m.ContentGone != unread || m.To == "" || m.Status == comm.None || unread && (m.To != bad.Recipient || m.Body != "" || m.Subject != "") {
			w.Fatalf("%+v", m)
		}
	}
}

func unreadContent(w *world) {
	w.own()
	a := w.app(true)
	bad := w.one(a, badContent)
	good := w.one(a, tagged("all"))
	w.contents([]comm.Message{*w.message(bad)}, bad)
	stories, err := w.s.Stories(w.ctx, []store.EventRef{{App: a.ID, Message: bad.ID}, {App: a.ID, Message: good.ID}})
	w.must(err)
	for _, m := range stories {
		if len(m.Events) != 1 {
			w.Fatalf("%+v", m)
		}
	}
	w.contents(stories, bad, good)
	if n := w.stampAll(); n != 2 {
		w.Fatalf("%d events were stamped", n)
	}
	for _, s := range []store.Submission{bad, good} {
		w.start(s)
		w.turn([]store.Finish{w.finishOf(s, 1, sentOutcome())}, nil)
	}
	if m := w.message(bad); m.Status != comm.Sent || len(m.Events) != 3 {
		w.Fatalf("%+v", m)
	}
	page := store.Filter{Limit: 10}
	list, err := w.s.List(w.ctx, a.ID, page)
	w.must(err)
	w.contents(list, bad, good)
	captured, err := w.s.Captures(w.ctx, a.ID, page)
	w.must(err)
	w.contents(captured, bad, good)
	all, err := w.s.AllMessages(w.ctx, page)
	w.must(err)
	w.contents(all.Messages, bad, good)
	w.searchable(good) // what comes behind it is found
	found, err := w.s.Search(w.ctx, a.ID, store.Filter{Recipient: bad.Recipient, Limit: 10})
	w.must(err)
	w.contents(found.Messages, bad)
	found, err = w.s.Search(w.ctx, a.ID, store.Filter{Terms: []store.Term{tag("all")}, Limit: 10})
	w.must(err)
	if len(found.Messages) != 1 || found.Messages[0].State.ID != good.ID {
		w.Fatalf("%+v", found.Messages)
	}
}

// unreadOutbox: what is listed before and after it gets its places, and it is met once.
func unreadOutbox(w *damaged) {
	w.own()
	a, b := w.app(true), w.app(true)
	subs := []store.Submission{w.one(a)}
	bad := [][]byte{{}, []byte("no event"), make([]byte, sqlstore.RefSize+1)}
	for _, items := range bad {
		w.list(items)
	}
	subs = append(subs, w.one(b), w.one(a))
	all, leases := w.shards()
	look, err := w.s.Outbox(w.ctx, all, store.Seen{}, 100)
	w.must(err)
	if len(look.Rows) != len(subs) || len(look.Unread) != len(bad) {
		w.Fatalf("%+v", look)
	}
	if n := w.stamp(store.Stamping{Node: w.node, Leases: leases}, look.Rows); n != len(subs) {
		w.Fatalf("%d events were stamped", n)
	}
	w.must(w.s.SetAside(w.ctx, look.Unread))
	w.must(w.s.SetAside(w.ctx, look.Unread)) // by another node
	w.must(w.s.SetAside(w.ctx, nil))
	subs = append(subs, w.one(b))
	w.stampAll()
	w.feedHolds(subs...)
	if look, err = w.s.Outbox(w.ctx, all, store.Seen{}, 100); err != nil || len(look.Rows)+len(look.Unread) > 0 || look.More {
		w.Fatalf("%+v, %v", look, err)
	}
	if n := w.count(`SELECT count(*) FROM outbox`); n != len(bad) {
		w.Fatalf("%d rows are kept", n)
	}
}

// list puts a row into the outbox.
func (w *damaged) list(items []byte) {
	w.Helper()
	args := []any{int64(w.now()), items}
	if !w.d.OneLane {
		args = append(args, int64(0))
	}
	w.do(w.d.Outbox, args...)
}

// shards is every shard with its lease.
func (w *world) shards() (all []comm.Shard, leases []store.Lease) {
	for s, l := range w.leases {
		all, leases = append(all, s), append(leases, l)
	}
	return all, leases
}

// unreadStats: what is counted is folded all the same, those rows included that are added to one that cannot be read; and it is kept.
func unreadStats(w *damaged) {
	w.own()
	w.wholeMinute()
	a, b := w.app(true), w.app(true)
	for _, app := range []*comm.App{a, b} {
		w.one(app)
	}
	w.foldAll()
	// Of this minute, and of an hour that has become old.
	w.do(`UPDATE stats SET counts = $1 WHERE app_id = $2`, []byte("no figures"), w.d.ID(a.ID))
	w.do(`UPDATE stats SET top = $1 WHERE app_id = $2`, []byte("no apps"), w.d.ID(comm.ID{}))
	old := int64((w.now() - 20*store.Day) / store.Hour * store.Hour)
	for app, counts := range map[comm.ID][]byte{a.ID: []byte("nor these"), b.ID: store.Counts{{Channel: comm.Email, Counter: comm.CountAccepted}: 5}.Encode()} {
		w.do(`INSERT INTO stats (app_id, span, start, counts) VALUES ($1, $2, $3, $4)`, w.d.ID(app), int64(store.Hour), old, counts)
	}
	for _, app := range []*comm.App{a, b} {
		w.one(app)
	}
	aside := 0
	for idle := 0; idle < 3; {
		f, err := w.s.Fold(w.ctx)
		w.must(err)
		if aside += f.Aside; !f.More {
			idle++
		}
	}
	if n := w.count(`SELECT count(*) FROM stats WHERE span < 0`); aside != 3 || n != 3 {
		w.Fatalf("%d rows were set aside, %d are kept", aside, n)
	}
	if n := w.count(`SELECT count(*) FROM tallies`); n != 0 {
		w.Fatalf("%d tallies are left", n)
	}
	accepted := store.CountKey{Channel: comm.Email, Counter: comm.CountAccepted}
	for app, want := range map[*comm.App]int64{a: 1, b: 7} {
		if counts, _, _ := w.counts(app.ID); counts[accepted] != want {
			w.Fatalf("%v, want %d", counts, want)
		}
	}
	w.counts(comm.ID{})
}

// unreadDeliveries: words that nobody knows, and shards that there are not, keep no other delivery of the endpoint, and no other endpoint, from its turn.
func unreadDeliveries(w *damaged) {
	a := w.app(true)
	one, two := comm.NewID(1), comm.NewID(2)
	var all []store.Delivery
	for _, endpoint := range []comm.ID{one, one, one, one, two} {
		all = append(all, w.stored(w.delivery(a.ID, endpoint)))
	}
	for i, column := range []string{"status", "shard", "state"} {
		w.do(`UPDATE deliveries SET `+column+` = $1 WHERE id = $2`, int64(300), w.d.ID(all[i].ID))
	}
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	due, err := w.s.DueEndpoints(w.ctx, shards)
	w.must(err)
	if len(due) != 2 {
		w.Fatalf("%+v", due)
	}
	for _, e := range due {
		got, err := w.s.DueDeliveries(w.ctx, e, w.now()+store.Day, 10)
		w.must(err)
		if want := map[comm.ID]int{one: 2, two: 1}[e.Endpoint]; len(got) != want {
			w.Fatalf("%d deliveries are due, want %d", len(got), want)
		}
	}
	list, err := w.s.DeliveryList(w.ctx, a.ID, one, store.DeliveryFilter{Limit: 10})
	w.must(err)
	if len(list) != 4 {
		w.Fatalf("%+v", list)
	}
}

// unreadFeed: who reads the feed comes past it.
func unreadFeed(w *damaged) {
	w.own()
	a := w.app(true)
	for range 3 {
		w.one(a)
		w.stampAll()
	}
	w.do(`UPDATE feed SET items = $1 WHERE app_id = $2 AND last = 2`, []byte("no place"), w.d.ID(a.ID))
	for _, limit := range []int{1, 2, 10} {
		var got []store.Place
		for after := int64(0); ; after = got[len(got)-1].Position {
			page, err := w.s.Places(w.ctx, a.ID, after, limit)
			w.must(err)
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
		}
		if len(got) != 3 || got[0].Message.IsZero() || got[1].Position != 2 || !got[1].Message.IsZero() || got[2].Position != 3 || got[2].Message.IsZero() {
			w.Fatalf("by %d: %+v", limit, got)
		}
	}
}
