package storetest

import (
	"errors"
	"slices"
	"sync"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func feedCases() []testCase {
	return []testCase{
		{"every event gets one place, in its message's order", feedsEveryEvent},
		{"what is refused is not listed", feedsNothingRefused},
		{"a look begins where the last one ended", feedsLookByLook},
		{"stamping is fenced, and done once", feedsUnderFence},
		{"many accept while one stamps", feedsWhileAccepting},
		{"spread apps are stamped by one shard", feedsSpreadApps},
		{"a row is used up in parts", feedsInParts},
		{"a row that is gone takes no other one with it", feedsAllOrNothing},
		{"old rows go, the last one stays", feedTrimmed},
		{"what a message showed is told from its log", showsFromLogs},
	}
}

// stampAll gives everything in the outbox its place, as an engine does, and answers how many events that were.
func (w *world) stampAll() (n int) {
	w.Helper()
	var shards []comm.Shard
	st := store.Stamping{Node: w.node}
	for s, l := range w.leases {
		shards, st.Leases = append(shards, s), append(st.Leases, l)
	}
	seen, pages := store.Seen{}, false
	for range 1000 {
		look, err := w.s.Outbox(w.ctx, shards, seen, 7)
		w.must(err)
		first := !pages
		if seen, pages = look.Seen, look.More; len(look.Rows) > 0 {
			n += w.stamp(st, look.Rows)
		} else if first { // pages tell nothing of what came after the first of them
			return n
		}
	}
	w.Fatal("stamping does not come to an end")
	return 0
}

// stamp gives the events of some rows their places.
func (w *world) stamp(st store.Stamping, rows []store.Listed) (n int) {
	w.Helper()
	w.must(w.tryStamp(st, rows, &n))
	return n
}

func (w *world) tryStamp(st store.Stamping, rows []store.Listed, n *int) error {
	var apps []comm.ID
	byApp := map[comm.ID][]store.EventRef{}
	for _, r := range rows {
		st.Rows = append(st.Rows, r.Key)
		for _, e := range r.Events {
			if byApp[e.App] == nil {
				apps = append(apps, e.App)
			}
			byApp[e.App] = append(byApp[e.App], e)
			*n++
		}
	}
	heads, err := w.s.Heads(w.ctx, apps)
	w.must(err)
	for i, app := range apps {
		st.Runs = append(st.Runs, store.Run{App: app, Last: heads[i] + int64(len(byApp[app])), At: rows[0].At, Events: byApp[app]})
	}
	_, err = w.s.Stamp(w.ctx, st)
	return err
}

// feedOf reads an app's whole feed by pages.
func (w *world) feedOf(app comm.ID) (out []store.Place) {
	w.Helper()
	after := int64(0)
	for {
		page, err := w.s.Places(w.ctx, app, after, 3)
		w.must(err)
		if len(page) == 0 {
			return out
		}
		for _, p := range page {
			if p.Position != after+1 && !p.Gap || p.App != app {
				w.Fatalf("behind %d comes %+v", after, p)
			}
			if after = p.Position; !p.Gap {
				out = append(out, p)
			}
		}
	}
}

// feedHolds wants every event of these messages in the feed of their app once, each message's in order.
func (w *world) feedHolds(subs ...store.Submission) {
	w.Helper()
	next, want := map[comm.ID]int{}, map[comm.ID]int{}
	apps := map[comm.ID]bool{}
	for _, s := range subs {
		apps[s.App] = true
		want[s.ID] = w.message(s).Sequence
	}
	for app := range apps {
		for _, p := range w.feedOf(app) {
			if next[p.Message]++; p.Sequence != next[p.Message] {
				w.Fatalf("event %d of %s follows %d", p.Sequence, p.Message, next[p.Message]-1)
			}
		}
	}
	for id, n := range want {
		if next[id] != n {
			w.Fatalf("the feed has %d events of %s, its log %d", next[id], id, n)
		}
	}
}

func feedsEveryEvent(w *world) {
	w.own()
	a, b := w.app(true), w.app(true)
	sent, cancelled, retried, again, late := w.one(a), w.one(a), w.one(b), w.one(b), w.one(a)
	w.start(sent)
	w.turn([]store.Finish{w.finishOf(sent, 1, sentOutcome())}, nil)
	_, _, err := w.s.Cancel(w.ctx, a.ID, cancelled.ID, "app")
	w.must(err)
	_, _, err = w.s.Retry(w.ctx, a.ID, cancelled.ID, "app")
	w.must(err)
	st := w.start(retried)
	w.turn([]store.Finish{w.finishOf(retried, 1, store.Outcome{To: comm.Queued, Cause: comm.CauseRetryTransient, Due: st.State.Due + 1, Round: 1, Provider: "one", ErrorCode: "451", ErrorText: "later"})}, nil)
	first := w.start(again)
	next := w.startOf(again)
	next.Attempt, next.Epoch, next.Provider = 1, first.State.Epoch, "two"
	next.Failed = &store.Outcome{Cause: comm.CauseAttemptFailed, Provider: "one", ErrorCode: "550", ErrorText: "no", Detail: "550 no"}
	w.turn(nil, []store.Start{next})
	w.start(late)
	w.must(w.s.Late(w.ctx, w.node, []store.LateResult{{App: a.ID, ID: late.ID, Attempt: 1, Accepted: true, Outcome: sentOutcome()}}))
	if n := w.stampAll(); n == 0 {
		w.Fatal("nothing was listed")
	}
	_, err = w.s.Erase(w.ctx, a.ID, []comm.ID{sent.ID}, store.Erasing{Mask: "u***@example.org"})
	w.must(err)
	if n := w.stampAll(); n != 1 {
		w.Fatalf("%d events of an erasure", n)
	}
	w.feedHolds(sent, cancelled, retried, again, late)
	if n := w.stampAll(); n != 0 {
		w.Fatalf("%d events were stamped twice", n)
	}
}

func feedsNothingRefused(w *world) {
	w.own()
	a := w.app(true)
	first := w.keyed(a, "key")
	w.accept(first)
	w.stampAll()
	other := w.submission(a)
	replay, conflict := w.keyed(a, "key"), w.keyed(a, "key")
	conflict.Fingerprint = sum("another")
	poor := w.submission(a)
	poor.RatePerMinute = 0
	_, err := w.s.Accept(w.ctx, []store.Submission{replay, other, conflict, poor})
	w.must(err)
	stale := w.finishOf(first, 3, sentOutcome())
	w.turn([]store.Finish{stale}, nil)
	if n := w.stampAll(); n != 1 {
		w.Fatalf("%d events were listed, one was written", n)
	}
	w.feedHolds(first, other)
}

func feedsLookByLook(w *world) {
	w.own()
	a := w.app(true)
	shards := []comm.Shard{comm.ShardOf(a.ID, comm.ID{}, 1)}
	look := func(seen store.Seen, limit, want int) store.Look {
		w.Helper()
		l, err := w.s.Outbox(w.ctx, shards, seen, limit)
		w.must(err)
		if len(l.Rows) != want {
			w.Fatalf("%d rows, want %d", len(l.Rows), want)
		}
		return l
	}
	l := look(store.Seen{}, 10, 0)
	for range 5 {
		w.one(a)
	}
	st := store.Stamping{Node: w.node, Leases: []store.Lease{w.leases[shards[0]]}}
	for n := range 2 {
		if l = look(l.Seen, 2, 2); !l.More {
			w.Fatal("there are more rows")
		}
		w.stamp(st, l.Rows)
		if n == 0 {
			w.one(a)
		}
	}
	for got := 0; got < 2; { // the fifth, and the one that came meanwhile
		next, err := w.s.Outbox(w.ctx, shards, l.Seen, 2)
		w.must(err)
		l = next
		got += len(l.Rows)
		if len(l.Rows) > 0 {
			w.stamp(st, l.Rows)
		} else if !l.More {
			break
		}
	}
	for range 3 { // whatever is open elsewhere, nothing comes twice
		l = look(l.Seen, 2, 0)
	}
	if n := len(w.feedOf(a.ID)); n != 6 {
		w.Fatalf("%d of 6 events", n)
	}
	other := slices.DeleteFunc([]comm.Shard{0, 1}, func(s comm.Shard) bool { return s == shards[0] })
	w.one(a)
	if l, err := w.s.Outbox(w.ctx, other, store.Seen{}, 10); err != nil || len(l.Rows) != 0 {
		w.Fatalf("another shard's look finds %d rows, %v", len(l.Rows), err)
	}
}

func feedsUnderFence(w *world) {
	w.own()
	a := w.app(true)
	s := w.one(a)
	shard := comm.ShardOf(a.ID, comm.ID{}, 1)
	l, err := w.s.Outbox(w.ctx, []comm.Shard{shard}, store.Seen{}, 10)
	w.must(err)
	lease := w.leases[shard]
	for _, wrong := range []store.Stamping{
		{Node: "another", Leases: []store.Lease{lease}},
		{Node: w.node, Leases: []store.Lease{{Shard: shard, Epoch: lease.Epoch + 1}}},
	} {
		n := 0
		var lost *store.LostShards
		if err := w.tryStamp(wrong, l.Rows, &n); !errors.As(err, &lost) || !slices.Equal(lost.Shards, []comm.Shard{shard}) {
			w.Fatalf("stamped by who does not own the shard: %v", err)
		}
	}
	st := store.Stamping{Node: w.node, Leases: []store.Lease{lease}}
	w.stamp(st, l.Rows)
	n := 0
	if err := w.tryStamp(st, l.Rows, &n); !errors.Is(err, store.ErrStamped) {
		w.Fatalf("stamped twice: %v", err)
	}
	w.feedHolds(s)
}

func feedsWhileAccepting(w *world) {
	w.own()
	apps := []*comm.App{w.app(true), w.app(true), w.app(true)}
	const each = 40
	subs := make([][]store.Submission, 3)
	var wg sync.WaitGroup
	done := make(chan struct{})
	for g := range subs {
		for range each {
			subs[g] = append(subs[g], w.submission(apps[w.serial.Add(1)%3]))
		}
		wg.Go(func() {
			for i := range subs[g] {
				if _, err := w.s.Accept(w.ctx, subs[g][i:i+1]); err != nil {
					w.Error(err)
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	shards := make([]comm.Shard, 0, comm.ShardCount)
	st := store.Stamping{Node: w.node}
	for s, l := range w.leases {
		shards, st.Leases = append(shards, s), append(st.Leases, l)
	}
	seen, pages := store.Seen{}, false
	for ended := false; ; {
		select {
		case <-done:
			ended = true
		default:
		}
		l, err := w.s.Outbox(w.ctx, shards, seen, 5)
		w.must(err)
		first := !pages
		if seen, pages = l.Seen, l.More; len(l.Rows) > 0 {
			w.stamp(st, l.Rows)
		} else if ended && first {
			break
		}
	}
	w.feedHolds(slices.Concat(subs...)...)
}

func feedsSpreadApps(w *world) {
	w.own()
	a := w.app(true)
	a.ShardSpread = 16
	var subs []store.Submission
	for range 30 {
		s := w.submission(a)
		subs = append(subs, s)
	}
	w.accept(subs...)
	for _, s := range subs[:10] {
		w.start(s)
	}
	home := comm.ShardOf(a.ID, comm.ID{}, 1)
	l, err := w.s.Outbox(w.ctx, []comm.Shard{home}, store.Seen{}, 100)
	w.must(err)
	w.stamp(store.Stamping{Node: w.node, Leases: []store.Lease{w.leases[home]}}, l.Rows)
	w.feedHolds(subs...)
}

// oneRow makes one row of many events of an app, and answers it.
func (w *world) oneRow(n int) (*comm.App, store.Listed, store.Stamping) {
	w.Helper()
	w.own()
	a := w.app(true)
	subs := make([]store.Submission, n)
	for i := range subs {
		subs[i] = w.submission(a)
	}
	w.accept(subs...)
	shard := comm.ShardOf(a.ID, comm.ID{}, 1)
	l, err := w.s.Outbox(w.ctx, []comm.Shard{shard}, store.Seen{}, 100)
	w.must(err)
	if len(l.Rows) != 1 || len(l.Rows[0].Events) != n {
		w.Fatalf("%+v", l.Rows)
	}
	return a, l.Rows[0], store.Stamping{Node: w.node, Leases: []store.Lease{w.leases[shard]}}
}

// stampFirst stamps the first events of a row, and answers the row as it is then.
func (w *world) stampFirst(a *comm.App, st store.Stamping, row store.Listed, n int, last int64) store.Listed {
	w.Helper()
	st.Rows, st.Runs = []store.RowKey{row.Key}, []store.Run{{App: a.ID, Last: last, At: row.At, Events: row.Events[:n]}}
	if n < len(row.Events) {
		st.Split = n
	}
	left, err := w.s.Stamp(w.ctx, st)
	w.must(err)
	row.Key, row.Events = left, row.Events[n:]
	return row
}

func feedsInParts(w *world) {
	a, row, st := w.oneRow(5)
	want := row.Events
	rest := w.stampFirst(a, st, row, 2, 2)
	if row.Key != rest.Key { // it lies elsewhere now
		old := st
		old.Rows, old.Split = []store.RowKey{row.Key}, 1
		if _, err := w.s.Stamp(w.ctx, old); !errors.Is(err, store.ErrStamped) {
			w.Fatalf("the place where it lay: %v", err)
		}
	}
	l, err := w.s.Outbox(w.ctx, []comm.Shard{comm.ShardOf(a.ID, comm.ID{}, 1)}, store.Seen{}, 100)
	w.must(err)
	if len(l.Rows) != 1 || !slices.Equal(l.Rows[0].Events, want[2:]) || l.Rows[0].Key != rest.Key {
		w.Fatalf("left is %+v, want %v at %v", l.Rows, want[2:], rest.Key)
	}
	rest = w.stampFirst(a, st, rest, 1, 3)
	w.stampFirst(a, st, rest, 2, 5)
	var got []store.EventRef
	for _, p := range w.feedOf(a.ID) {
		got = append(got, p.EventRef)
	}
	if !slices.Equal(got, want) || w.stampAll() != 0 {
		w.Fatalf("%v, want %v", got, want)
	}
}

func feedsAllOrNothing(w *world) {
	a, row, st := w.oneRow(2)
	w.one(a)
	l, err := w.s.Outbox(w.ctx, []comm.Shard{comm.ShardOf(a.ID, comm.ID{}, 1)}, store.Seen{}, 100)
	w.must(err)
	later := l.Rows[len(l.Rows)-1]
	w.stampFirst(a, st, later, 1, 1)
	for _, split := range []int{0, 1} { // the second of two rows is gone
		both := st
		both.Rows, both.Split = []store.RowKey{row.Key, later.Key}, split
		both.Runs = []store.Run{{App: a.ID, Last: 4, At: 1, Events: row.Events}}
		if _, err := w.s.Stamp(w.ctx, both); !errors.Is(err, store.ErrStamped) {
			w.Fatalf("split %d: %v", split, err)
		}
	}
	if n := w.stampAll(); n != 2 {
		w.Fatalf("%d of 2 events are left", n)
	}
}

func feedTrimmed(w *world) {
	w.own()
	a := w.app(true)
	for range 3 {
		w.one(a)
		w.stampAll()
	}
	trim := func(before comm.Micros, limit int) (n int) {
		for after := (comm.ID{}); ; {
			removed, next, err := w.s.TrimFeed(w.ctx, after, before, limit)
			w.must(err)
			if n += removed; removed == 0 && next.IsZero() {
				return n
			}
			after = next
		}
	}
	if n := trim(1, 10); n != 0 {
		w.Fatalf("%d rows were old", n)
	}
	if n := trim(w.now()+1, 1); n != 2 {
		w.Fatalf("%d of 2 rows were removed", n)
	}
	if rest, err := w.s.Places(w.ctx, a.ID, 0, 10); err != nil || len(rest) != 1 || rest[0].Position != 3 {
		w.Fatalf("%+v, %v", rest, err)
	}
	w.one(a)
	w.stampAll()
	if rest, err := w.s.Places(w.ctx, a.ID, 3, 10); err != nil || len(rest) != 1 || rest[0].Position != 4 {
		w.Fatalf("%+v, %v", rest, err)
	}
}

// showsAsItIs holds what the log tells at its end to the row.
func (w *world) showsAsItIs(m *comm.Message) {
	w.Helper()
	s, ok := m.StateAt(m.Sequence)
	if !ok || s.Status != m.Status || s.Attempts != m.Attempts || s.Provider != m.Provider || s.ProviderID != m.ProviderID || s.ProviderRef != m.ProviderRef ||
		s.ErrorText != m.ErrorText || s.ErrorMessage() != m.ErrorMessage() || s.SentAt != m.SentAt || s.DeliveredAt != m.DeliveredAt {
		w.Fatalf("the log tells %+v, the row is %+v", s, m.State)
	}
}

func showsFromLogs(w *world) {
	w.own()
	a := w.app(true)
	s := w.one(a)
	first := w.start(s)
	w.showsAsItIs(w.message(s))
	next := w.startOf(s)
	next.Attempt, next.Epoch, next.Provider = 1, first.State.Epoch, "two"
	next.Failed = &store.Outcome{Cause: comm.CauseAttemptFailed, Provider: "one", ErrorCode: "550", ErrorText: "no such user", Detail: "550: no such user"}
	w.turn(nil, []store.Start{next})
	w.showsAsItIs(w.message(s))
	w.turn([]store.Finish{w.finishOf(s, 2, store.Outcome{To: comm.Failed, Cause: comm.CauseExpired, Provider: "two", ErrorCode: "expired", ErrorText: "too late", Detail: "421"})}, nil)
	w.showsAsItIs(w.message(s))
	_, _, err := w.s.Retry(w.ctx, a.ID, s.ID, "app")
	w.must(err)
	m := w.message(s)
	w.showsAsItIs(m)
	if failed, ok := m.StateAt(m.Sequence - 1); !ok || failed.Status != comm.Failed || failed.ErrorMessage() != "too late" || failed.Attempts != 2 || failed.Provider != "two" {
		w.Fatalf("before the RETRY it showed %+v", failed)
	}
	stories, err := w.s.Stories(w.ctx, []store.EventRef{{App: a.ID, Message: s.ID}, {App: a.ID, Message: a.ID}, {App: comm.NewID(1), Message: s.ID}})
	w.must(err)
	if len(stories) != 1 || len(stories[0].Events) != m.Sequence || stories[0].To != m.To {
		w.Fatalf("%+v", stories)
	}
}
