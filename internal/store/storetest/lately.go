package storetest

import (
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func latelyCases() []testCase {
	return []testCase{
		{"each look shows what came since the last one, the newest first", seesWhatIsNew},
		{"a look at an app shows its own events alone", seesOneApp},
		{"a look is bounded, and says so", seesSoMuch},
		{"a look goes on after the database was set back", seesAfterASetback},
		{"an event is told with its message's channel and recipient", glimpses},
	}
}

// look reads what is new, and answers where to go on.
func (w *world) look(app comm.ID, seen store.Seen, limit int) (names []string, next store.Seen, more bool) {
	w.Helper()
	got, err := w.s.Newest(w.ctx, app, seen, limit)
	w.must(err)
	for _, e := range got.Events {
		names = append(names, comm.EventID(e.Message, e.Sequence, 0))
	}
	return names, got.Seen, got.More
}

func named(s store.Submission, sequence int) string { return comm.EventID(s.ID, sequence, 0) }

// wants compares what a look saw; the order of what was stamped in one transaction is not promised between apps.
func (w *world) wants(when string, got []string, want ...string) {
	w.Helper()
	if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		w.Fatalf("%s: %v, want %v", when, got, want)
	}
}

func seesWhatIsNew(w *world) {
	w.own()
	a, b := w.app(true), w.app(true)
	got, seen, _ := w.look(comm.ID{}, store.Seen{}, 100)
	w.wants("at the beginning", got)
	one, two := w.one(a), w.one(b)
	if got, seen, _ = w.look(comm.ID{}, seen, 100); len(got) != 0 {
		w.Fatalf("what has no place yet was seen: %v", got)
	}
	w.stampAll()
	got, seen, more := w.look(comm.ID{}, seen, 100)
	if w.wants("two messages", got, named(one, 1), named(two, 1)); more {
		w.Fatal("there is more of two rows")
	}
	got, seen, _ = w.look(comm.ID{}, seen, 100)
	w.wants("nothing new", got)
	w.start(one)
	w.turn([]store.Finish{w.finishOf(one, 1, sentOutcome())}, nil)
	w.stampAll()
	got, seen, _ = w.look(comm.ID{}, seen, 100)
	if w.wants("a message sent", got, named(one, 2), named(one, 3)); got[0] != named(one, 3) {
		w.Fatalf("the older one is first: %v", got)
	}
	got, _, _ = w.look(comm.ID{}, store.Seen{}, 100)
	if w.wants("everything", got, named(one, 1), named(two, 1), named(one, 2), named(one, 3)); got[0] != named(one, 3) {
		w.Fatalf("the newest is not first: %v", got)
	}
	w.cancel(two)
	w.stampAll()
	got, _, _ = w.look(comm.ID{}, seen, 100)
	w.wants("a message cancelled", got, named(two, 2))
}

func seesOneApp(w *world) {
	w.own()
	a, b := w.app(true), w.app(true)
	one, two := w.one(a), w.one(b)
	w.stampAll()
	got, seen, _ := w.look(a.ID, store.Seen{}, 100)
	w.wants("an app", got, named(one, 1))
	w.cancel(two)
	w.stampAll()
	got, seen, _ = w.look(a.ID, seen, 100)
	w.wants("another app's event", got)
	w.cancel(one)
	w.stampAll()
	got, seen, _ = w.look(a.ID, seen, 100)
	w.wants("its own", got, named(one, 2))
	got, _, _ = w.look(a.ID, seen, 100)
	w.wants("nothing new", got)
	got, _, _ = w.look(w.app(true).ID, store.Seen{}, 100)
	w.wants("an app without events", got)
}

func seesSoMuch(w *world) {
	w.own()
	a := w.app(true)
	var last []store.Submission
	for range 3 {
		last = append(last, w.one(a))
		w.stampAll()
	}
	for _, app := range []comm.ID{{}, a.ID} {
		got, seen, more := w.look(app, store.Seen{}, 2)
		if w.wants("two of three rows", got, named(last[2], 1), named(last[1], 1)); !more || got[0] != named(last[2], 1) {
			w.Fatalf("%v, more: %v", got, more)
		}
		if got, _, more = w.look(app, seen, 2); len(got) != 0 || more {
			w.Fatalf("what was passed over is seen later: %v, more: %v", got, more)
		}
	}
}

func seesAfterASetback(w *world) {
	w.own()
	a := w.app(true)
	one := w.one(a)
	w.stampAll()
	for _, app := range []comm.ID{{}, a.ID} {
		got, seen, _ := w.look(app, store.Seen{From: 1 << 50, Open: []int64{1 << 40}}, 100)
		w.wants("behind everything", got, named(one, 1))
		if got, _, _ = w.look(app, seen, 100); len(got) != 0 {
			w.Fatalf("and again: %v", got)
		}
	}
}

func glimpses(w *world) {
	w.own()
	a, b := w.app(true), w.app(false)
	one, two := w.one(a), w.one(b, func(s *store.Submission) { s.Channel, s.Recipient = comm.SMS, "233241234567" })
	ref := func(s store.Submission, n int) store.EventRef {
		return store.EventRef{App: s.App, Message: s.ID, Sequence: n}
	}
	foreign := ref(one, 1)
	foreign.App = b.ID
	got, err := w.s.Glimpses(w.ctx, []store.EventRef{ref(one, 1), ref(one, 2), ref(two, 1), foreign})
	w.must(err)
	if len(got) != 2 {
		w.Fatalf("%+v", got)
	}
	for _, g := range got {
		want := store.Glimpse{Event: w.message(one).Events[0], Channel: comm.Email, Mode: comm.Sandbox}
		if g.Message == two.ID {
			want = store.Glimpse{Event: w.message(two).Events[0], Channel: comm.SMS, Mode: comm.Live}
		}
		if g != want {
			w.Fatalf("%+v, want %+v", g, want)
		}
	}
	w.cancel(one)
	_, err = w.s.Erase(w.ctx, a.ID, []comm.ID{one.ID}, store.Erasing{Mask: "u***@example.org"})
	w.must(err)
	to, err := w.s.Recipients(w.ctx, []store.EventRef{ref(one, 1), ref(two, 1), foreign})
	w.must(err)
	if len(to) != 2 || to[one.ID] != "u***@example.org" || to[two.ID] != "233241234567" {
		w.Fatalf("%v", to)
	}
}
