package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func deliveryCases() []testCase {
	return []testCase{
		{"stamping makes them", deliveriesStamped},
		{"they come due in order", deliveriesDue},
		{"what was erased since it was read is told to nobody", deliveriesErased},
		{"attempts are recorded, outcomes where they are the last", deliveriesRecorded},
		{"a call that the server cut off is none of the tries", deliveriesCutOff},
		{"lists, newest first, with filters", deliveriesListed},
		{"one and many are replayed with their bodies", deliveriesReplayed},
		{"a replay is not undone by a call that was under way", deliveriesReplayedMeanwhile},
		{"old ones go, and those of endpoints and persons that are gone", deliveriesRemoved},
		{"what deleted endpoints left goes, slice by slice", endpointsTrimmed},
		{"the app's webhook that is set anew has nothing of the one before", deliveriesOfOneBefore},
		{"the app's webhook that is set anew waits for nothing that is done", deliveriesBefore},
		{"troubles are noted once", deliveriesTroubled},
		{"another app has none of them", deliveriesIsolated},
	}
}

// delivery is one for an endpoint; change what the case is about.
func (w *world) delivery(app, endpoint comm.ID, change ...func(*store.Delivery)) store.Delivery {
	w.Helper()
	now := w.now()
	n := w.serial.Add(1)
	d := store.Delivery{EventRef: store.EventRef{App: app, Message: comm.NewID(now), Sequence: 3}, Endpoint: endpoint, ID: comm.NewID(now.Add(time.Duration(n) * time.Millisecond)),
		Shard: comm.ShardOf(app, comm.ID{}, 1), Status: comm.Sent, Position: n, State: store.DeliveryWaiting, Due: now, CreatedAt: now, EventAt: now - comm.Micros(n), Body: fmt.Appendf(nil, `{"n":%d}`, n)}
	for _, f := range change {
		f(&d)
	}
	w.must(w.s.AddDelivery(w.ctx, &d))
	return d
}

func (w *world) stored(d store.Delivery) store.Delivery {
	w.Helper()
	got, err := w.s.Delivery(w.ctx, d.App, d.Endpoint, d.ID)
	w.must(err)
	return got
}

// sameDelivery compares what was stored with what is read.
func sameDelivery(a, b store.Delivery) bool {
	return a.EventRef == b.EventRef && a.Endpoint == b.Endpoint && a.ID == b.ID && a.Shard == b.Shard && a.Status == b.Status && a.Position == b.Position && a.State == b.State && a.Due == b.Due &&
		a.Attempts == b.Attempts && a.Tries == b.Tries && a.CreatedAt == b.CreatedAt && a.EndedAt == b.EndedAt && a.MadeFor == b.MadeFor && a.EventAt == b.EventAt && a.Log == b.Log && string(a.Body) == string(b.Body)
}

func deliveriesStamped(w *world) {
	w.own()
	a := w.app(true)
	s := w.one(a)
	l, err := w.s.Outbox(w.ctx, comm.ShardsOf(a.ID, 1), store.Seen{}, 10)
	w.must(err)
	now, endpoints := w.now(), []comm.ID{comm.NewID(1), comm.NewID(2)}
	st := store.Stamping{Node: w.node, Leases: []store.Lease{w.leases[l.Rows[0].Shard]}}
	for _, e := range endpoints {
		st.Made = append(st.Made, store.Delivery{EventRef: store.EventRef{App: a.ID, Message: s.ID, Sequence: 1}, Endpoint: e, ID: comm.NewID(now), Shard: l.Rows[0].Shard,
			Status: comm.Queued, Position: 1, State: store.DeliveryWaiting, Due: now, CreatedAt: now, EventAt: now - 1, Body: []byte("{}")})
	}
	lost := st
	lost.Node = "another"
	n := 0
	if err := w.tryStamp(lost, l.Rows, &n); err == nil {
		w.Fatal("stamped by another node")
	}
	if due, err := w.s.DueEndpoints(w.ctx, comm.ShardsOf(a.ID, 1)); err != nil || len(due) != 0 {
		w.Fatalf("%+v %v", due, err)
	}
	w.stamp(st, l.Rows)
	for _, d := range st.Made {
		if got := w.stored(d); !sameDelivery(got, d) {
			w.Fatalf("%+v, want %+v", got, d)
		}
	}
}

func deliveriesErased(w *world) {
	w.own()
	a := w.app(true)
	s, other := w.one(a), w.one(a)
	for _, m := range []store.Submission{s, other} {
		_, _, err := w.s.Cancel(w.ctx, a.ID, m.ID, "app")
		w.must(err)
	}
	l, err := w.s.Outbox(w.ctx, comm.ShardsOf(a.ID, 1), store.Seen{}, 10)
	w.must(err)
	now, read := w.now(), w.message(s).Sequence
	made := func() store.Stamping {
		st := store.Stamping{Node: w.node, Leases: []store.Lease{w.leases[l.Rows[0].Shard]}}
		for _, m := range []store.Submission{other, s} {
			st.Told = append(st.Told, store.EventRef{App: a.ID, Message: m.ID, Sequence: read})
			st.Made = append(st.Made, store.Delivery{EventRef: store.EventRef{App: a.ID, Message: m.ID, Sequence: 1}, Endpoint: comm.NewID(1), ID: comm.NewID(now), Shard: l.Rows[0].Shard,
				Status: comm.Queued, Position: 1, State: store.DeliveryWaiting, Due: now, CreatedAt: now, Body: []byte(`{"to":"someone"}`)})
		}
		return st
	}
	_, err = w.s.Erase(w.ctx, a.ID, []comm.ID{s.ID}, store.Erasing{Mask: "u***@example.org"})
	w.must(err)
	n := 0
	if err := w.tryStamp(made(), l.Rows, &n); !errors.Is(err, store.ErrErased) {
		w.Fatalf("what was erased is told: %v", err)
	}
	if due, err := w.s.DueEndpoints(w.ctx, comm.ShardsOf(a.ID, 1)); err != nil || len(due) != 0 {
		w.Fatalf("%+v %v", due, err)
	}
	read++ // read again, after the erasure
	st := made()
	w.stamp(st, l.Rows)
	w.stored(st.Made[1])
}

func deliveriesDue(w *world) {
	a, b := w.app(true), w.app(true)
	now := w.now()
	one, two, three := comm.NewID(1000), comm.NewID(2000), comm.NewID(3000)
	at := func(due comm.Micros) func(*store.Delivery) { return func(d *store.Delivery) { d.Due = due } }
	later, first, last := w.delivery(a.ID, one, at(now+10)), w.delivery(a.ID, one, at(now-5)), w.delivery(a.ID, one, at(now))
	w.delivery(a.ID, two, at(now+99))
	w.delivery(a.ID, one, func(d *store.Delivery) { d.State, d.Due = store.DeliveryDone, 0 })
	w.delivery(b.ID, three, at(now-1))
	shards := comm.ShardsOf(a.ID, 1)
	due, err := w.s.DueEndpoints(w.ctx, shards)
	w.must(err)
	want := []store.DueEndpoint{{Shard: shards[0], App: a.ID, Endpoint: one, Due: now - 5}, {Shard: shards[0], App: a.ID, Endpoint: two, Due: now + 99}}
	due = slices.DeleteFunc(due, func(e store.DueEndpoint) bool { return e.App == b.ID }) // it may share the shard
	if !slices.Equal(due, want) {
		w.Fatalf("%+v, want %+v", due, want)
	}
	got, err := w.s.DueDeliveries(w.ctx, want[0], now, 10)
	w.must(err)
	if len(got) != 2 || !sameDelivery(got[0], first) || !sameDelivery(got[1], last) {
		w.Fatalf("%+v", got)
	}
	if got, err = w.s.DueDeliveries(w.ctx, want[0], now+10, 2); err != nil || len(got) != 2 || got[1].ID != last.ID {
		w.Fatalf("%+v %v", got, err)
	}
	if got, err = w.s.DueDeliveries(w.ctx, want[0], now+10, 10); err != nil || len(got) != 3 || got[2].ID != later.ID {
		w.Fatalf("%+v %v", got, err)
	}
	if none, err := w.s.DueEndpoints(w.ctx, nil); err != nil || len(none) != 0 {
		w.Fatalf("%+v %v", none, err)
	}
}

func deliveriesRecorded(w *world) {
	a := w.app(true)
	e, now := comm.NewID(1), w.now()
	d, other := w.delivery(a.ID, e), w.delivery(a.ID, e)
	attempt := func(d store.Delivery, n int, state store.DeliveryState, due comm.Micros) store.Attempted {
		return store.Attempted{App: a.ID, Endpoint: e, ID: d.ID, Attempt: n, Try: n, At: now + comm.Micros(n), State: state, Due: due, Line: fmt.Sprintf("{\"attempt\":%d}\n", n)}
	}
	w.must(w.s.Record(w.ctx, []store.Attempted{attempt(d, 1, store.DeliveryWaiting, now+50), attempt(other, 1, store.DeliveryDone, 0)}))
	if got := w.stored(d); got.State != store.DeliveryWaiting || got.Due != now+50 || got.Attempts != 1 || got.Tries != 1 || got.Log != "{\"attempt\":1}\n" || got.EndedAt != 0 || string(got.Body) != string(d.Body) {
		w.Fatalf("%+v", got)
	}
	if got := w.stored(other); got.State != store.DeliveryDone || got.EndedAt != now+1 {
		w.Fatalf("%+v", got)
	}
	// A second first attempt, of a node that had the shard before: it counts, and decides nothing unless it was a success.
	w.must(w.s.Record(w.ctx, []store.Attempted{attempt(d, 1, store.DeliveryExhausted, 0), attempt(other, 1, store.DeliveryWaiting, now+99)}))
	if got := w.stored(d); got.State != store.DeliveryWaiting || got.Due != now+50 || got.Attempts != 2 || strings.Count(got.Log, "\n") != 2 {
		w.Fatalf("%+v", got)
	}
	if got := w.stored(other); got.State != store.DeliveryDone || got.EndedAt != now+1 || got.Attempts != 2 {
		w.Fatalf("%+v", got)
	}
	w.must(w.s.Record(w.ctx, []store.Attempted{attempt(d, 1, store.DeliveryDone, 0)}))
	if got := w.stored(d); got.State != store.DeliveryDone || got.Attempts != 3 {
		w.Fatalf("%+v", got)
	}
	long := attempt(d, 4, store.DeliveryDone, 0)
	long.Line = strings.Repeat("x", store.DeliveryLog) + "\n"
	w.must(w.s.Record(w.ctx, []store.Attempted{long}))
	w.must(w.s.Record(w.ctx, []store.Attempted{attempt(d, 5, store.DeliveryDone, 0)}))
	if got := w.stored(d); got.Log != "{\"attempt\":5}\n" || got.Attempts != 5 {
		w.Fatalf("%d bytes of a log", len(got.Log))
	}
	w.must(w.s.Record(w.ctx, []store.Attempted{attempt(store.Delivery{ID: comm.NewID(9)}, 1, store.DeliveryDone, 0)})) // it is gone
}

func deliveriesCutOff(w *world) {
	a := w.app(true)
	e, now := comm.NewID(1), w.now()
	d := w.delivery(a.ID, e)
	for n := range 3 {
		w.must(w.s.Record(w.ctx, []store.Attempted{{App: a.ID, Endpoint: e, ID: d.ID, Attempt: 1 + n, Try: 1, Cut: true, At: now, State: store.DeliveryWaiting, Due: now + comm.Micros(n), Line: "{}\n"}}))
		if got := w.stored(d); got.State != store.DeliveryWaiting || got.Due != now+comm.Micros(n) || got.Attempts != 1+n || got.Tries != 0 || strings.Count(got.Log, "\n") != 1+n {
			w.Fatalf("%+v", got)
		}
	}
	w.must(w.s.Record(w.ctx, []store.Attempted{{App: a.ID, Endpoint: e, ID: d.ID, Attempt: 4, Try: 1, At: now, State: store.DeliveryWaiting, Due: now + 50, Line: "{}\n"}}))
	if got := w.stored(d); got.Due != now+50 || got.Attempts != 4 || got.Tries != 1 {
		w.Fatalf("%+v", got)
	}
}

func deliveriesListed(w *world) {
	a := w.app(true)
	e := comm.NewID(1)
	var all []store.Delivery
	for n := range 6 {
		all = append(all, w.delivery(a.ID, e, func(d *store.Delivery) { d.State, d.Log = store.DeliveryState(1+n%3), "{}\n" }))
	}
	w.delivery(a.ID, comm.NewID(2))
	list := func(f store.DeliveryFilter, want ...int) {
		w.Helper()
		got, err := w.s.DeliveryList(w.ctx, a.ID, e, f)
		w.must(err)
		var ids, wanted []comm.ID
		for _, d := range got {
			if ids = append(ids, d.ID); d.Body != nil || d.Log != "{}\n" {
				w.Fatalf("a list shows %+v", d)
			}
		}
		for _, i := range want {
			wanted = append(wanted, all[i].ID)
		}
		if !slices.Equal(ids, wanted) {
			w.Fatalf("%+v: %v, want %v", f, ids, wanted)
		}
	}
	list(store.DeliveryFilter{Limit: 10}, 5, 4, 3, 2, 1, 0)
	list(store.DeliveryFilter{Limit: 2}, 5, 4)
	list(store.DeliveryFilter{Limit: 2, Before: all[4].ID}, 3, 2)
	list(store.DeliveryFilter{Limit: 10, State: store.DeliveryWaiting}, 3, 0)
	list(store.DeliveryFilter{Limit: 10, State: store.DeliveryDone}, 4, 1)
	list(store.DeliveryFilter{Limit: 10, State: store.DeliveryExhausted, Before: all[5].ID}, 2)
	list(store.DeliveryFilter{Limit: 10, Message: all[3].Message}, 3)
	list(store.DeliveryFilter{Limit: 10, CreatedAfter: all[2].ID.Time(), CreatedBefore: all[4].ID.Time()}, 3, 2)
}

func deliveriesReplayed(w *world) {
	a := w.app(true)
	e := comm.NewID(1)
	var all []store.Delivery
	for n := range 7 {
		all = append(all, w.delivery(a.ID, e, func(d *store.Delivery) {
			d.State, d.Attempts, d.Tries, d.EndedAt, d.Log = store.DeliveryState(1+n%3), 10, 10, 5, "{}\n"
			if d.State == store.DeliveryWaiting {
				d.Due, d.EndedAt = w.now()+1_000_000_000, 0
			}
		}))
	}
	again := func(i int, yes bool) {
		w.Helper()
		got := w.stored(all[i])
		if fresh := got.State == store.DeliveryWaiting && got.Tries == 0 && got.EndedAt == 0 && got.Due <= w.now(); fresh != yes || got.Attempts != 10 || got.Log != "{}\n" || string(got.Body) != string(all[i].Body) {
			w.Fatalf("delivery %d: %+v", i, got)
		}
	}
	w.must(w.s.Replay(w.ctx, a.ID, e, all[2].ID))
	again(2, true)
	again(1, false)
	w.must(w.s.Replay(w.ctx, a.ID, e, all[0].ID)) // one that waits comes at once
	again(0, true)
	w.wantCode(w.s.Replay(w.ctx, a.ID, e, comm.NewID(1)), "not_found")
	total := 0
	f := store.DeliveryFilter{Limit: 2, State: store.DeliveryExhausted}
	for {
		n, next, err := w.s.ReplaySome(w.ctx, a.ID, e, f)
		w.must(err)
		total += n
		if next.IsZero() {
			break
		}
		f.Before = next
	}
	if total != 1 {
		w.Fatalf("%d were replayed", total)
	}
	again(5, true)
	again(4, false)
	n, next, err := w.s.ReplaySome(w.ctx, a.ID, e, store.DeliveryFilter{Limit: 4})
	w.must(err)
	if n != 1 || next != all[3].ID { // of 6 to 3, those that are done: 4
		w.Fatalf("%d, next %s", n, next)
	}
	again(4, true)
	again(3, false)
}

func deliveriesReplayedMeanwhile(w *world) {
	a := w.app(true)
	e, now := comm.NewID(1), w.now()
	last := func(state store.DeliveryState) (store.Delivery, store.Attempted) {
		d := w.delivery(a.ID, e, func(d *store.Delivery) { d.Attempts, d.Tries = 13, 9 })
		return d, store.Attempted{App: a.ID, Endpoint: e, ID: d.ID, Attempt: 14, Try: 10, At: now, State: state, Line: "{}\n"}
	}
	d, failed := last(store.DeliveryExhausted)
	w.must(w.s.Replay(w.ctx, a.ID, e, d.ID))
	due := w.stored(d).Due
	w.must(w.s.Record(w.ctx, []store.Attempted{failed}))
	// It counts as a call, but as none of the tries that the replay has given.
	if got := w.stored(d); got.State != store.DeliveryWaiting || got.Due != due || got.EndedAt != 0 || got.Attempts != 14 || got.Tries != 0 || got.Log != "{}\n" {
		w.Fatalf("%+v", got)
	}
	d, went := last(store.DeliveryDone)
	w.must(w.s.Replay(w.ctx, a.ID, e, d.ID))
	w.must(w.s.Record(w.ctx, []store.Attempted{went}))
	if got := w.stored(d); got.State != store.DeliveryDone || got.EndedAt != now || got.Attempts != 14 {
		w.Fatalf("%+v", got)
	}
}

func deliveriesRemoved(w *world) {
	w.own()
	a := w.app(true)
	one, two := comm.NewID(1), comm.NewID(2)
	old, young := w.delivery(a.ID, one, func(d *store.Delivery) { d.CreatedAt = 5 }), w.delivery(a.ID, one)
	w.delivery(a.ID, two)
	w.delivery(a.ID, two)
	made := func(at comm.Micros, state store.DeliveryState) store.Delivery {
		return w.delivery(a.ID, one, func(d *store.Delivery) { d.CreatedAt, d.State = at, state })
	}
	waits, failed := made(8, store.DeliveryWaiting), made(9, store.DeliveryExhausted)
	if n, err := w.s.TrimDeliveries(w.ctx, 10, 3, 10); err != nil || n != 1 { // what waits is tried for longer
		w.Fatalf("%d %v", n, err)
	}
	_, gone := w.s.Delivery(w.ctx, a.ID, one, failed.ID)
	w.wantCode(gone, "not_found")
	w.stored(waits)
	for _, want := range []int{1, 0} {
		if n, err := w.s.TrimDeliveries(w.ctx, 6, 6, 10); err != nil || n != want {
			w.Fatalf("%d %v", n, err)
		}
	}
	_, err := w.s.Delivery(w.ctx, a.ID, one, old.ID)
	w.wantCode(err, "not_found")
	w.stored(young)
	for _, want := range []int{1, 1, 0} {
		if n, err := w.s.RemoveDeliveries(w.ctx, a.ID, two, 1); err != nil || n != want {
			w.Fatalf("%d %v", n, err)
		}
	}
	w.stored(young)
	s := w.one(a)
	_, _, err = w.s.Cancel(w.ctx, a.ID, s.ID, "app")
	w.must(err)
	of := w.delivery(a.ID, one, func(d *store.Delivery) { d.Message = s.ID })
	_, err = w.s.Erase(w.ctx, a.ID, []comm.ID{s.ID}, store.Erasing{Mask: "x"})
	w.must(err)
	_, err = w.s.Delivery(w.ctx, a.ID, one, of.ID)
	w.wantCode(err, "not_found")
	w.stored(young)
}

func deliveriesTroubled(w *world) {
	a, b := w.app(true), w.app(true)
	e := comm.NewID(1)
	w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: a.ID, Endpoint: e, Since: 7}))
	w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: a.ID, Endpoint: e, Since: 9}))
	if got, err := w.s.Troubles(w.ctx, []comm.ID{a.ID, b.ID}); err != nil || !slices.Equal(got, []store.Trouble{{App: a.ID, Endpoint: e, Since: 7}}) {
		w.Fatalf("%+v %v", got, err)
	}
	if got, err := w.s.Troubles(w.ctx, []comm.ID{b.ID}); err != nil || len(got) != 0 {
		w.Fatalf("%+v %v", got, err)
	}
	w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: a.ID, Endpoint: e}))
	if got, err := w.s.Troubles(w.ctx, []comm.ID{a.ID}); err != nil || len(got) != 0 {
		w.Fatalf("%+v %v", got, err)
	}
	endpointRests(w, a.ID, e)
	// What somebody changes has all the time again; nobody inherits the trouble of one that was deleted.
	x := endpoint(a.ID, "changed", w.now())
	w.must(w.s.CreateEndpoint(w.ctx, x))
	for _, change := range []func() error{func() error { return w.s.UpdateEndpoint(w.ctx, x) }, func() error { return w.s.DeleteEndpoint(w.ctx, a.ID, x.ID) }} {
		w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: a.ID, Endpoint: x.ID, Since: 7, RestsUntil: 8}))
		w.must(change())
		if got, err := w.s.Troubles(w.ctx, []comm.ID{a.ID}); err != nil || len(got) != 0 {
			w.Fatalf("%+v %v", got, err)
		}
	}
}

// endpointRests: until when an endpoint is left alone is what was said last, whether it fails or not; since when it fails stays as it was said first.
func endpointRests(w *world, app, e comm.ID) {
	for i, step := range []struct{ since, until, wantSince comm.Micros }{{0, 20, 0}, {7, 30, 7}, {9, 25, 7}, {9, 0, 7}, {0, 40, 0}, {5, 0, 5}, {0, 0, 0}} {
		w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: app, Endpoint: e, Since: step.since, RestsUntil: step.until}))
		want := []store.Trouble{{App: app, Endpoint: e, Since: step.wantSince, RestsUntil: step.until}}
		if step.since == 0 && step.until == 0 {
			want = nil
		}
		if got, err := w.s.Troubles(w.ctx, []comm.ID{app}); err != nil || !slices.Equal(got, want) {
			w.Fatalf("%d: %+v, want %+v, %v", i, got, want, err)
		}
	}
}

func deliveriesIsolated(w *world) {
	a, b := w.app(true), w.app(true)
	e := comm.NewID(1)
	d := w.delivery(a.ID, e, func(d *store.Delivery) { d.State = store.DeliveryDone })
	_, err := w.s.Delivery(w.ctx, b.ID, e, d.ID)
	w.wantCode(err, "not_found")
	w.wantCode(w.s.Replay(w.ctx, b.ID, e, d.ID), "not_found")
	if got, err := w.s.DeliveryList(w.ctx, b.ID, e, store.DeliveryFilter{Limit: 10}); err != nil || len(got) != 0 {
		w.Fatalf("%+v %v", got, err)
	}
	if n, _, err := w.s.ReplaySome(w.ctx, b.ID, e, store.DeliveryFilter{Limit: 10}); err != nil || n != 0 {
		w.Fatalf("%d %v", n, err)
	}
	if n, err := w.s.RemoveDeliveries(w.ctx, b.ID, e, 10); err != nil || n != 0 {
		w.Fatalf("%d %v", n, err)
	}
	if got := w.stored(d); got.State != store.DeliveryDone {
		w.Fatalf("%+v", got)
	}
	if places, err := w.s.Places(w.ctx, b.ID, 0, 10); err != nil || len(places) != 0 {
		w.Fatalf("%+v %v", places, err)
	}
}

func endpointsTrimmed(w *world) {
	a, b := w.app(true), w.app(true)
	kept, off := endpoint(a.ID, "kept", w.now()), endpoint(b.ID, "off", w.now())
	off.Active = false
	w.must(w.s.CreateEndpoint(w.ctx, kept))
	w.must(w.s.CreateEndpoint(w.ctx, off))
	var stay []store.Delivery
	for n := range 3 {
		done := func(d *store.Delivery) { d.State = store.DeliveryState(1 + n) }
		stay = append(stay, w.delivery(a.ID, kept.ID, done), w.delivery(b.ID, off.ID, done))
		w.delivery(a.ID, comm.NewID(7), done)
		w.delivery(b.ID, comm.NewID(8), done)
		w.delivery(comm.NewID(9), comm.NewID(9), done)
	}
	for _, e := range []comm.ID{kept.ID, comm.NewID(5), comm.NewID(7)} {
		w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: a.ID, Endpoint: e, Since: 5}))
	}
	if n, err := w.s.RemoveDeliveries(w.ctx, a.ID, kept.ID, 10); err != nil || n != 0 {
		w.Fatalf("%d of an endpoint that is there, %v", n, err)
	}
	total := 0
	for after, steps := (store.EndpointKey{}), 0; ; steps++ {
		got, err := w.s.TrimEndpoints(w.ctx, after, 2)
		w.must(err)
		if total += got.Rows; got.Rows == 0 && got.Next == (store.EndpointKey{}) {
			break
		}
		if after = got.Next; got.Rows > 2 || steps > 30 {
			w.Fatalf("%d at once, %d steps", got.Rows, steps)
		}
	}
	if total != 9 {
		w.Fatalf("%d of 9 were removed", total)
	}
	for _, d := range stay {
		w.stored(d)
	}
	if got, err := w.s.Troubles(w.ctx, []comm.ID{a.ID}); err != nil || len(got) != 1 || got[0].Endpoint != kept.ID {
		w.Fatalf("%+v %v", got, err)
	}
}
