package storetest

import (
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func scheduleCases() []testCase {
	return []testCase{
		{"windows page a unit in due order, the future included", windowPages},
		{"many windows are read at once", manyWindows},
		{"units lists each unit once with its first due", unitsOnce},
		{"orphans are the open attempts of the shards", orphans},
		{"an orphan is finished under the epoch that its row carries", orphanFinish},
	}
}

func windowPages(w *world) {
	a := w.app(true)
	var subs []store.Submission
	for i := range 25 {
		s := w.submission(a)
		if i%5 == 4 {
			s.ScheduledAt = w.now().Add(time.Duration(i) * time.Hour)
		}
		if i%7 == 6 {
			s.Lane = comm.Bulk
		}
		subs = append(subs, s)
	}
	w.accept(subs...)
	u := unitOf(subs[0])
	var got []store.Head
	for cur := (store.Head{}); ; {
		page := w.window(u, cur, 4)
		got = append(got, page...)
		if len(page) < 4 {
			break
		}
		cur = page[len(page)-1]
	}
	want := 0
	for _, s := range subs {
		if s.Lane == comm.Normal {
			want++
		}
	}
	if len(got) != want {
		w.Fatalf("%d heads, want %d", len(got), want)
	}
	for i := 1; i < len(got); i++ {
		if !got[i-1].Before(got[i]) {
			w.Fatalf("heads out of order at %d: %+v", i, got)
		}
	}
	if last := got[len(got)-1]; last.Due <= w.now() {
		w.Fatal("the future is not in the window")
	}
}

func manyWindows(w *world) {
	const units, rows = 300, 5
	a := w.app(true)
	var subs []store.Submission
	var asks []store.Ask
	for i := range units {
		for range rows {
			s := w.submission(a)
			s.ID = comm.NewID(comm.Micros(len(subs)+1) * 1000)
			s.Shard, s.Channel, s.Lane = comm.Shard(i%comm.ShardCount), comm.Channel(1+i/comm.ShardCount%2), comm.Lane(i/comm.ShardCount/2)
			subs = append(subs, s)
		}
		asks = append(asks, store.Ask{Unit: unitOf(subs[len(subs)-1]), Limit: 1 + i%7})
	}
	w.accept(subs...)
	whole, err := w.s.Windows(w.ctx, asks)
	w.must(err)
	if len(whole) != units {
		w.Fatalf("%d answers to %d asks", len(whole), units)
	}
	for i, got := range whole {
		if len(got) != min(asks[i].Limit, rows) {
			w.Fatalf("ask %d: %d rows, want at most %d of %d", i, len(got), asks[i].Limit, rows)
		}
		for k, h := range got {
			if h.ID != subs[rows*i+k].ID { // of one group: the due is the same, the ids ascend
				w.Fatalf("ask %d: row %d is %+v", i, k, h)
			}
		}
	}
	// In the order of the asks, whatever they are: backwards, after a cursor, twice, and of units without rows.
	full := asks[6]
	after, empty, past := full, full, full
	after.After, empty.Unit.App, past.After = whole[6][1], comm.NewID(1), whole[6][rows-1]
	got, err := w.s.Windows(w.ctx, []store.Ask{asks[20], after, empty, full, past, asks[13], full})
	w.must(err)
	for i, want := range [][]store.Head{whole[20], whole[6][2:], nil, whole[6], nil, whole[13], whole[6]} {
		if !slices.Equal(got[i], want) {
			w.Fatalf("ask %d: %+v, want %+v", i, got[i], want)
		}
	}
	if got, err = w.s.Windows(w.ctx, nil); err != nil || len(got) != 0 {
		w.Fatalf("%+v %v", got, err)
	}
}

func unitsOnce(w *world) {
	a, b := w.app(true), w.app(true)
	first := w.one(a)
	for range 5 {
		w.one(a)
	}
	sms := w.one(a, func(s *store.Submission) { s.Channel, s.Lane = comm.SMS, comm.Critical })
	later := w.one(b, func(s *store.Submission) { s.ScheduledAt = w.now().Add(time.Hour) })
	all := make([]comm.Shard, comm.ShardCount)
	for i := range all {
		all[i] = comm.Shard(i)
	}
	wakes, err := w.s.Units(w.ctx, all)
	w.must(err)
	got := map[comm.Unit]comm.Micros{}
	for _, x := range wakes {
		if _, twice := got[x.Unit]; twice {
			w.Fatalf("unit twice: %+v", wakes)
		}
		got[x.Unit] = x.Due
	}
	if len(got) != 3 || got[unitOf(first)] != w.message(first).Due || got[unitOf(sms)] == 0 || got[unitOf(later)] != w.message(later).Due {
		w.Fatalf("%+v", wakes)
	}
	only, err := w.s.Units(w.ctx, []comm.Shard{later.Shard})
	w.must(err)
	for _, x := range only {
		if x.Unit.Shard != later.Shard {
			w.Fatalf("unit of another shard: %+v", x)
		}
	}
	none, err := w.s.Units(w.ctx, nil)
	w.must(err)
	if len(none) != 0 {
		w.Fatalf("%+v", none)
	}
}

func orphans(w *world) {
	a := w.app(true)
	w.own()
	open, done, queued := w.one(a), w.one(a), w.one(a)
	st := w.start(open)
	f := w.finishOf(done, 1, sentOutcome())
	w.start(done)
	w.turn([]store.Finish{f}, nil)
	_ = queued
	lease := w.leases[open.Shard]
	got, err := w.s.Orphans(w.ctx, []store.Lease{lease}, 10)
	w.must(err)
	if len(got) != 1 || got[0].ID != open.ID || got[0].Attempts != 1 || got[0].Epoch != st.State.Epoch || got[0].Due != st.State.Due || got[0].Lane != open.Lane || got[0].Bytes != open.Bytes() {
		w.Fatalf("%+v", got)
	}
	lease.Epoch--
	if got, err = w.s.Orphans(w.ctx, []store.Lease{lease}, 10); err != nil || len(got) != 0 {
		w.Fatalf("an attempt of a newer epoch is listed: %+v %v", got, err)
	}
	other := store.Lease{Shard: (open.Shard + 1) % comm.ShardCount, Epoch: 1 << 40}
	if got, err = w.s.Orphans(w.ctx, []store.Lease{other}, 10); err != nil || len(got) != 0 {
		w.Fatalf("an attempt of another shard is listed: %+v %v", got, err)
	}
}

func orphanFinish(w *world) {
	a := w.app(true)
	w.own()
	s := w.one(a)
	st := w.start(s)
	// The node restarts under a new name: every shard gets a new epoch.
	w.must(w.s.Leave(w.ctx, w.node))
	w.node = "node-b"
	w.own()
	if w.leases[s.Shard].Epoch <= st.State.Epoch {
		w.Fatalf("epoch %d after %d", w.leases[s.Shard].Epoch, st.State.Epoch)
	}
	got, err := w.s.Orphans(w.ctx, []store.Lease{w.leases[s.Shard]}, 10)
	w.must(err)
	if len(got) != 1 {
		w.Fatalf("%d orphans", len(got))
	}
	f := w.finishOf(s, got[0].Attempts, unknownOutcome(w.now().Add(time.Second)))
	f.Epoch = got[0].Epoch
	if r := w.turn([]store.Finish{f}, nil); !r.Finished[0] {
		w.Fatal("recovery refused")
	}
	m := w.message(s)
	if m.Status != comm.Queued || !m.Flags.Has(comm.PossibleDuplicate|comm.UnknownInGeneration|comm.UnknownEver) {
		w.Fatalf("%+v", m.State)
	}
}
