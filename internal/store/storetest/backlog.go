package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func everywhereCases() []testCase {
	return []testCase{
		{"messages of all apps are found by every filter, page after page, and none of a deleted app", allMessages},
		{"the apps that have an address on their list are found", suppressedBy},
		{"units follow one another over all shards", unitsInOrder},
		{"an app's units are found in the shards that are asked for", unitsOfApp},
		{"depths are counted up to a bound", depths},
		{"what is queued is cancelled, and nothing else", cancelSlices},
		{"what was asked for again after the order is not cancelled", cancelRetried},
	}
}

// everywhere walks all pages of all apps' messages.
func (w *world) everywhere(f store.Filter) (ids []comm.ID) {
	w.Helper()
	for {
		found, err := w.s.AllMessages(w.ctx, f)
		w.must(err)
		for _, m := range found.Messages {
			if len(m.Events) != 0 || m.Body != "" || m.To == "" || m.Status == comm.None {
				w.Fatalf("list item %+v", m)
			}
			ids = append(ids, m.State.ID)
		}
		if len(found.Messages) > f.Limit {
			w.Fatalf("%d items, limit %d", len(found.Messages), f.Limit)
		}
		if found.Before.IsZero() {
			return ids
		}
		f.Before = found.Before
	}
}

func allMessages(w *world) {
	w.own()
	apps := []*comm.App{w.app(true), w.app(true), w.app(true), w.app(true)}
	var subs []store.Submission
	for i := range 48 {
		s := w.submission(apps[i%len(apps)])
		if i%3 == 0 {
			s.Channel, s.Recipient = comm.SMS, "233241234567"
		} else if i%5 == 0 {
			s.Recipient = "ama@example.org"
		}
		w.accept(s)
		if i%6 == 1 {
			w.cancel(s)
		}
		subs = append(subs, s)
	}
	w.found(subs[len(subs)-1])
	gone := apps[3]
	w.must(w.s.DeleteApp(w.ctx, gone.ID, w.now()))
	all := map[comm.ID]*comm.Message{}
	for _, s := range subs {
		all[s.ID] = w.message(s)
		if app, err := w.s.AppOf(w.ctx, s.ID); err != nil || app != s.App {
			w.Fatalf("%s belongs to %s, %v", s.ID, app, err)
		}
	}
	_, err := w.s.AppOf(w.ctx, comm.NewID(1))
	w.wantCode(err, "not_found")
	middle := all[subs[24].ID].CreatedAt
	for _, f := range []store.Filter{
		{}, {Status: comm.Cancelled}, {Channel: comm.SMS}, {Status: comm.Queued, Channel: comm.Email}, {CreatedAfter: middle}, {CreatedBefore: middle, Status: comm.Queued},
		{Recipient: "ama@example.org"}, {Recipient: "233241234567"}, {Recipient: "233241234567", Status: comm.Cancelled}, {Recipient: "nobody@example.org"},
		{Recipient: "ama@example.org", CreatedAfter: middle},
	} {
		var want []comm.ID
		for _, s := range subs {
			m := all[s.ID]
			if s.App != gone.ID && (f.Status == comm.None || m.Status == f.Status) && (f.Channel == 0 || m.Channel == f.Channel) && (f.Recipient == "" || s.Recipient == f.Recipient) &&
				(f.CreatedAfter == 0 || m.CreatedAt.Millis() > f.CreatedAfter.Millis()) && (f.CreatedBefore == 0 || m.CreatedAt.Millis() <= (f.CreatedBefore-1).Millis()) {
				want = append(want, s.ID)
			}
		}
		newestFirst(want)
		for _, limit := range []int{1, 7, 100} {
			f.Limit = limit
			got := w.everywhere(f)
			got = slices.DeleteFunc(got, func(id comm.ID) bool { return all[id] == nil }) // of the world's own
			if !slices.Equal(got, want) {
				w.Fatalf("%+v: %d messages, want %d", f, len(got), len(want))
			}
		}
	}
}

func suppressedBy(w *world) {
	apps := []*comm.App{w.app(true), w.app(true), w.app(true)}
	slices.SortFunc(apps, func(a, b *comm.App) int { return a.ID.Compare(b.ID) }) // of one millisecond, perhaps
	const mail, phone = "ama@example.org", "233241234567"
	put := func(a *comm.App, ch comm.Channel, address string) {
		_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: ch, Address: address, Reason: comm.SuppressManual, CreatedAt: 1})
		w.must(err)
	}
	for _, a := range apps {
		put(a, comm.Email, mail)
		put(a, comm.Email, mail+"x")
	}
	put(apps[1], comm.SMS, phone)
	put(apps[1], comm.SMS, mail) // nothing keeps a store from it
	look := func(address string, ch comm.Channel, limit int) (got []string) {
		var after *store.Suppression
		for {
			page, err := w.s.SuppressedBy(w.ctx, address, ch, after, limit)
			w.must(err)
			for _, s := range page {
				got = append(got, s.Channel.String()+" "+s.App.String())
				if s.Address != address || s.Reason != comm.SuppressManual {
					w.Fatalf("%+v", s)
				}
			}
			if len(page) < limit {
				return got
			}
			after = &page[len(page)-1]
		}
	}
	all := []string{"EMAIL " + apps[0].ID.String(), "EMAIL " + apps[1].ID.String(), "EMAIL " + apps[2].ID.String(), "SMS " + apps[1].ID.String()}
	for _, limit := range []int{1, 2, 3, 10} {
		for _, c := range []struct {
			address string
			ch      comm.Channel
			want    []string
		}{{mail, 0, all}, {mail, comm.Email, all[:3]}, {mail, comm.SMS, all[3:]}, {phone, 0, all[3:]}, {phone, comm.Email, nil}, {"nobody@example.org", 0, nil}} {
			if got := look(c.address, c.ch, limit); !slices.Equal(got, c.want) {
				w.Fatalf("%s in %s, %d at a time: %v, want %v", c.address, c.ch, limit, got, c.want)
			}
		}
	}
}

func unitsInOrder(w *world) {
	var want []comm.Unit
	for range 5 {
		a := w.app(true)
		for _, lane := range []comm.Lane{comm.Critical, comm.Bulk} {
			for range 2 {
				want = append(want, unitOf(w.one(a, func(s *store.Submission) { s.Lane = lane })))
			}
		}
	}
	want = slices.CompactFunc(slices.SortedFunc(slices.Values(want), orderUnits), func(a, b comm.Unit) bool { return a == b })
	for _, limit := range []int{1, 3, 100} {
		var got []comm.Unit
		for after := (comm.Unit{}); ; {
			page, err := w.s.UnitsAfter(w.ctx, after, limit)
			w.must(err)
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			w.Fatalf("%d at a time: %v, want %v", limit, got, want)
		}
	}
}

// An app that is spread has units in many shards, among those of other apps; those of a shard that was not asked for are left out.
func unitsOfApp(w *world) {
	a, b := w.app(true), w.app(true)
	var want []comm.Unit
	for shard := comm.Shard(3); shard < comm.ShardCount; shard += 7 {
		for _, lane := range []comm.Lane{comm.Critical, comm.Bulk} {
			for range 2 {
				w.one(a, func(s *store.Submission) { s.Shard, s.Lane = shard, lane })
				if lane == comm.Critical || shard%2 == 0 {
					s := w.one(a, func(s *store.Submission) {
						s.Shard, s.Lane, s.Channel, s.Recipient = shard, lane, comm.SMS, "233241234567"
					})
					want = append(want, unitOf(s))
				}
				want = append(want, comm.Unit{Shard: shard, App: a.ID, Channel: comm.Email, Lane: lane})
				w.one(b, func(s *store.Submission) { s.Shard, s.Lane = shard, lane })
			}
		}
	}
	want = slices.CompactFunc(slices.SortedFunc(slices.Values(want), orderUnits), func(a, b comm.Unit) bool { return a == b })
	last := want[len(want)-1].Shard
	var shards []comm.Shard // in no order
	for shard := range comm.Shard(comm.ShardCount) {
		if shard != last {
			shards = append([]comm.Shard{shard}, shards...)
		}
	}
	want = slices.DeleteFunc(want, func(u comm.Unit) bool { return u.Shard == last })
	got, err := w.s.UnitsOf(w.ctx, a.ID, shards)
	if err != nil || !slices.Equal(got, want) {
		w.Fatalf("%v, want %v, %v", got, want, err)
	}
	if got, err = w.s.UnitsOf(w.ctx, comm.NewID(1), shards); err != nil || len(got) != 0 {
		w.Fatalf("of an app that has none: %v %v", got, err)
	}
	if got, err = w.s.UnitsOf(w.ctx, a.ID, nil); err != nil || len(got) != 0 {
		w.Fatalf("in no shard: %v %v", got, err)
	}
}

func orderUnits(a, b comm.Unit) int {
	for _, n := range []int{int(a.Shard) - int(b.Shard), a.App.Compare(b.App), int(a.Channel) - int(b.Channel), int(a.Lane) - int(b.Lane)} {
		if n != 0 {
			return n
		}
	}
	return 0
}

func depths(w *world) {
	w.own()
	a, empty := w.app(true), w.app(true)
	now := w.now()
	later := now.Add(time.Hour)
	var due []store.Submission
	for range 4 {
		due = append(due, w.one(a))
	}
	scheduled := w.one(a, func(s *store.Submission) { s.ScheduledAt = later.Add(-time.Minute) })
	for range 2 {
		w.one(a, func(s *store.Submission) { s.ScheduledAt = later })
	}
	bulk := w.one(a, func(s *store.Submission) { s.Lane, s.ScheduledAt, s.TTL = comm.Bulk, later, 5_000_000 })
	w.start(due[1])
	hold := store.Hold{Unit: unitOf(due[0]), Reason: "provider_down", Until: later}
	w.must(w.s.SetHolds(w.ctx, w.node, []store.Hold{hold}))
	none := comm.Unit{Shard: comm.ShardOf(empty.ID, empty.ID, 1), App: empty.ID, Channel: comm.Email, Lane: comm.Normal}
	units := []comm.Unit{unitOf(due[0]), unitOf(bulk), none}
	size := due[0].Bytes()
	got, err := w.s.Depths(w.ctx, units, w.now(), []int{100, 100, 100})
	w.must(err)
	for i := range got {
		got[i].Bytes = (got[i].Bytes + size - 1) / size // bodies are numbered: some are a byte longer
	}
	m, next, oldest := w.message(bulk), w.message(scheduled), w.message(due[0]).Due
	for i := range due {
		oldest = min(oldest, w.message(due[i]).Due)
	}
	want := []store.Depth{{Unit: units[0], Due: 4, Later: 3, Bytes: got[0].Bytes, OldestDue: oldest, Hold: hold,
		Next: comm.State{Due: next.Due, ScheduledAt: next.ScheduledAt, ExpiresAt: next.ExpiresAt}},
		{Unit: units[1], Later: 1, Bytes: got[1].Bytes, Next: comm.State{Due: m.Due, ScheduledAt: m.ScheduledAt, ExpiresAt: m.ExpiresAt}}, {Unit: none}}
	if !slices.Equal(got, want) || got[0].Bytes < 7 || got[1].Bytes < 1 {
		w.Fatalf("\n%+v, want\n%+v", got, want)
	}
	got, err = w.s.Depths(w.ctx, units[:2], w.now(), []int{2, 0}) // of each as much as it says
	if err != nil || got[0].Due != 2 || got[0].Later != 2 || !got[0].More || got[0].OldestDue != oldest || got[1].Due != 0 || got[1].Later != 0 || !got[1].More {
		w.Fatalf("%+v %v", got, err)
	}
	for most, want := range map[int]int{3: 3, 100: 8} {
		if n, err := w.s.QueueRows(w.ctx, most); err != nil || n != want {
			w.Fatalf("%d rows, want %d, %v", n, want, err)
		}
	}
	byLane, more, err := w.s.LaneDepths(w.ctx, w.now(), 100)
	slices.SortFunc(byLane, func(a, b store.LaneDepth) int { return int(a.Lane) - int(b.Lane) })
	if err != nil || more || !slices.Equal(byLane, []store.LaneDepth{{Channel: due[0].Channel, Lane: comm.Normal, Due: 4, Later: 3}, {Channel: bulk.Channel, Lane: comm.Bulk, Later: 1}}) {
		w.Fatalf("%+v %v %v", byLane, more, err)
	}
	if byLane, more, err = w.s.LaneDepths(w.ctx, w.now(), 3); err != nil || !more || store.Counted(byLane) != 4 {
		w.Fatalf("%+v %v %v", byLane, more, err)
	}
	byUnit, more, err := w.s.UnitDepths(w.ctx, w.now(), 100)
	slices.SortFunc(byUnit, func(a, b store.UnitDepth) int { return int(a.Unit.Lane) - int(b.Unit.Lane) })
	if err != nil || more || !slices.Equal(byUnit, []store.UnitDepth{{Unit: units[0], Due: 4, Later: 3}, {Unit: units[1], Later: 1}}) {
		w.Fatalf("%+v %v %v", byUnit, more, err)
	}
	for most, want := range map[int]bool{3: true, 7: true, 8: false} {
		byUnit, more, err := w.s.UnitDepths(w.ctx, w.now(), most)
		counted := 0
		for _, d := range byUnit {
			counted += d.Due + d.Later
		}
		if err != nil || more != want || counted != min(most+1, 8) {
			w.Fatalf("up to %d: %+v %v %v", most, byUnit, more, err)
		}
	}
	under, err := w.s.UnderWay(w.ctx)
	if err != nil || len(under) != 1 || under[0] != (store.UnderWay{Unit: unitOf(due[1]), ID: due[1].ID, Provider: "sandbox"}) {
		w.Fatalf("%+v %v", under, err)
	}
}

func cancelSlices(w *world) {
	w.own()
	a, b := w.app(true), w.app(true)
	waits, running, doubtful, foreign := w.one(a), w.one(a), w.one(a), w.one(b)
	w.start(running)
	first := w.start(doubtful)
	w.turn([]store.Finish{w.finishOf(doubtful, first.State.Attempts, unknownOutcome(w.now()))}, nil)
	until := w.now()
	for w.now() <= until { // nothing is created in the same microsecond
	}
	young := w.one(a)
	heads := []store.Head{w.head(waits), w.head(running), w.head(doubtful), w.head(young), {ID: comm.NewID(1)}, w.head(foreign)}
	var done store.CancelledSlice
	for left := heads; len(left) > 0; {
		one, err := w.s.CancelQueued(w.ctx, unitOf(waits), left, until, comm.ActorAdmin)
		w.must(err)
		if one.Looked < 1 || one.Looked > len(left) {
			w.Fatalf("%+v of %d", one, len(left))
		}
		done.Looked, done.Cancelled, done.Uncertain = done.Looked+one.Looked, done.Cancelled+one.Cancelled, done.Uncertain+one.Uncertain
		left = left[one.Looked:]
	}
	if done != (store.CancelledSlice{Looked: len(heads), Cancelled: 1, Uncertain: 1}) {
		w.Fatalf("%+v", done)
	}
	for _, c := range []struct {
		s    store.Submission
		want string
	}{{waits, "CANCELLED "}, {running, "SENDING "}, {doubtful, "FAILED outcome_unknown"}, {young, "QUEUED "}, {foreign, "QUEUED "}} {
		m := w.message(c.s)
		if got := fmt.Sprint(m.Status, " ", m.ErrorCode); got != c.want || m.Status.Final() == w.queued(c.s) || m.Flags.Has(comm.CancelWanted) {
			w.Fatalf("%s, want %s: %+v", got, c.want, m.State)
		}
		if last := m.Events[len(m.Events)-1]; m.Status.Final() && last.Actor != comm.ActorAdmin {
			w.Fatalf("%+v", last)
		}
	}
	if again, err := w.s.CancelQueued(w.ctx, unitOf(waits), heads[:1], until, comm.ActorAdmin); err != nil || again != (store.CancelledSlice{Looked: 1}) {
		w.Fatalf("%+v %v", again, err)
	}
	w.turn([]store.Finish{w.finishOf(running, 1, sentOutcome())}, nil)
}

func cancelRetried(w *world) {
	w.own()
	a := w.app(true)
	before, after, tried := w.one(a), w.one(a), w.one(a)
	retry := func(s store.Submission) {
		w.Helper()
		if _, got, err := w.s.Retry(w.ctx, a.ID, s.ID, "app"); err != nil || got != comm.RetryDone {
			w.Fatalf("%v %v", got, err)
		}
	}
	for _, s := range []store.Submission{before, after, tried} {
		w.cancel(s)
	}
	retry(before)
	retry(tried)
	until := w.now()
	for w.now() <= until { // nothing happens in the same microsecond
	}
	retry(after)
	started := w.start(tried) // it waited at the order, and has been tried since
	w.turn([]store.Finish{w.finishOf(tried, started.State.Attempts, unknownOutcome(w.now()))}, nil)
	for heads := []store.Head{w.head(before), w.head(after), w.head(tried)}; len(heads) > 0; {
		one, err := w.s.CancelQueued(w.ctx, unitOf(before), heads, until, comm.ActorAdmin)
		w.must(err)
		heads = heads[one.Looked:]
	}
	for s, want := range map[*store.Submission]comm.Status{&before: comm.Cancelled, &after: comm.Queued, &tried: comm.Failed} {
		if m := w.message(*s); m.Status != want {
			w.Fatalf("%s, want %s: %+v", m.Status, want, causes(m))
		}
	}
}
