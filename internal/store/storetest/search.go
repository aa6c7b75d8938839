package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func searchCases() []testCase {
	return []testCase{
		{"every filter finds what has all of it, newest first", searchFilters},
		{"pages stay stable while rows arrive", searchStable},
		{"what is looked at is bounded, and pages lead to all of it", searchBounded},
		{"a capture is found behind any number of newer messages to its recipient, with its body if that is asked for", searchCaptured},
		{"of submissions of one call only those that are stored are found", searchStored},
	}
}

func tag(s string) store.Term { return store.Term{Kind: store.TagTerm, Value: s} }

// tagged gives a submission tags, in its content as intake does.
func tagged(tags ...string) func(*store.Submission) { return templated("", tags...) }

// templated likewise, with the key of a template.
func templated(key string, tags ...string) func(*store.Submission) {
	return func(s *store.Submission) {
		c := comm.Content{To: s.Recipient, Body: "Hello", TemplateKey: key, Tags: tags}
		s.Payload, _ = store.EncodeContent(&c) // a plain struct
		s.Terms = nil
		if key != "" {
			s.Terms = append(s.Terms, store.Term{Kind: store.TemplateTerm, Value: key})
		}
		for _, t := range tags {
			s.Terms = append(s.Terms, tag(t))
		}
	}
}

// searchable waits until everything accepted up to a message can be found. A store may
// write terms in batches: when one that was accepted after a term of a batch was
// seen is found, the whole of that batch is written.
func (w *world) searchable(s store.Submission) {
	w.Helper()
	w.found(s)
	w.found(w.one(w.app(true)))
}

// found waits until a message is found by its recipient.
func (w *world) found(s store.Submission) {
	w.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		found, err := w.s.Search(w.ctx, s.App, store.Filter{Recipient: s.Recipient, Limit: 100})
		w.must(err)
		if slices.ContainsFunc(found.Messages, func(m comm.Message) bool { return m.State.ID == s.ID }) {
			return
		}
	}
	w.Fatal("the message is not found by its recipient")
}

// search walks all pages and answers the ids.
func (w *world) search(app comm.ID, f store.Filter) (ids []comm.ID, pages int) {
	w.Helper()
	for {
		found, err := w.s.Search(w.ctx, app, f)
		w.must(err)
		if pages++; len(found.Messages) > f.Limit {
			w.Fatalf("%d items, limit %d", len(found.Messages), f.Limit)
		}
		for _, m := range found.Messages {
			ids = append(ids, m.State.ID)
			if m.App != app || len(m.Events) != 0 || m.Status == 0 || m.To == "" {
				w.Fatalf("list item %+v", m)
			}
		}
		if found.Before.IsZero() {
			return ids, pages
		}
		if !f.Before.IsZero() && found.Before.Compare(f.Before) >= 0 {
			w.Fatalf("the next page begins at %s, this one began at %s", found.Before, f.Before)
		}
		f.Before = found.Before
	}
}

// newestFirst sorts ids as lists do.
func newestFirst(ids []comm.ID) []comm.ID {
	slices.SortFunc(ids, func(x, y comm.ID) int { return y.Compare(x) })
	return ids
}

func searchFilters(w *world) {
	a, b := w.app(true), w.app(true)
	w.own()
	var subs []store.Submission
	for i := range 36 {
		s := w.submission(a)
		if i%3 == 0 {
			s.Channel, s.Recipient = comm.SMS, "233241234567"
		} else if i%3 == 1 {
			s.Recipient = "ama@example.org"
		}
		templated([]string{"", "x", "", "", "y", "", "x"}[i%7], [][]string{nil, {"x"}, {"x", "y", "x"}, {"Y"}, {"X"}}[i%5]...)(&s)
		w.accept(s)
		switch i % 4 {
		case 1:
			w.cancel(s)
		case 2:
			w.start(s)
		}
		subs = append(subs, s)
	}
	foreign := w.submission(b)
	foreign.Recipient = "ama@example.org"
	templated("x", "x", "y")(&foreign)
	w.accept(foreign)
	w.searchable(foreign)
	all := map[comm.ID]*comm.Message{}
	for _, s := range subs {
		all[s.ID] = w.message(s)
	}
	mid := all[subs[18].ID].CreatedAt
	check := func(f store.Filter) {
		w.Helper()
		var want []comm.ID
		for i := range subs {
			if m := all[subs[i].ID]; passes(f, &subs[i], m) {
				want = append(want, m.State.ID)
			}
		}
		if got, _ := w.search(a.ID, f); !slices.Equal(got, newestFirst(want)) {
			w.Fatalf("filter %+v: %v, want %v", f, got, want)
		}
	}
	for _, to := range []string{"", "ama@example.org", "233241234567", "nobody@example.org", "AMA@example.org"} {
		for _, tags := range [][]string{nil, {"x"}, {"y"}, {"x", "y"}, {"none"}, {"it's \\ \u00e9%_"}} {
			for _, template := range []string{"", "x"} { // of the name of a tag
				if to == "" && tags == nil && template == "" {
					continue
				}
				var terms []store.Term
				for _, t := range tags {
					terms = append(terms, tag(t))
				}
				if template != "" {
					terms = append(terms, store.Term{Kind: store.TemplateTerm, Value: template})
				}
				for _, status := range []comm.Status{comm.None, comm.Queued, comm.Sending, comm.Cancelled, comm.Failed} {
					for _, ch := range []comm.Channel{0, comm.Email, comm.SMS} {
						for _, times := range [][2]comm.Micros{{0, 0}, {mid, 0}, {0, mid}} {
							check(store.Filter{Recipient: to, Terms: terms, Status: status, Channel: ch, CreatedAfter: times[0], CreatedBefore: times[1], Limit: 4})
						}
					}
				}
			}
		}
	}
}

// passes says whether a message is to be found by a filter.
func passes(f store.Filter, s *store.Submission, m *comm.Message) bool {
	for _, t := range f.Terms {
		if !slices.Contains(s.Terms, t) {
			return false
		}
	}
	return (f.Recipient == "" || f.Recipient == s.Recipient) && (f.Status == 0 || m.Status == f.Status) && (f.Channel == 0 || m.Channel == f.Channel) &&
		(f.CreatedAfter == 0 || shown(m) > f.CreatedAfter) && (f.CreatedBefore == 0 || shown(m) < f.CreatedBefore)
}

func searchStable(w *world) {
	a := w.app(true)
	to := func(s *store.Submission) { s.Recipient = "ama@example.org"; tagged("x")(s) }
	var ids []comm.ID
	for range 12 {
		ids = append(ids, w.one(a, to).ID)
	}
	last := w.one(a, to)
	w.searchable(last)
	ids = newestFirst(append(ids, last.ID))
	for _, f := range []store.Filter{{Recipient: "ama@example.org", Limit: 5}, {Terms: []store.Term{tag("x")}, Limit: 5}} {
		var got []comm.ID
		f.Before = comm.NewID(w.now().Add(time.Minute))
		for !f.Before.IsZero() {
			found, err := w.s.Search(w.ctx, a.ID, f)
			w.must(err)
			for _, m := range found.Messages {
				got = append(got, m.State.ID)
			}
			f.Before = found.Before
			w.searchable(w.one(a, to)) // newer than every cursor from now on
		}
		if got = slices.DeleteFunc(got, func(id comm.ID) bool { return !slices.Contains(ids, id) }); !slices.Equal(got, ids) {
			w.Fatalf("%+v: %d items, want %d", f, len(got), len(ids))
		}
	}
}

// A tag and a status that thousands have each and few together: pages may be short,
// but each one leads on, and together they hold everything once.
func searchBounded(w *world) {
	a := w.app(true)
	const n = 5000
	var subs []store.Submission
	for i := range n {
		s := w.submission(a)
		tagged(fmt.Sprint("half", i/(n/2)), "all")(&s)
		if i%3 == 0 {
			s.Channel = comm.SMS
		}
		if i == 7 || i == n/2-1 {
			tagged("half0", "half1", "all", "rare")(&s)
		}
		subs = append(subs, s)
	}
	slices.SortFunc(subs, func(x, y store.Submission) int { return x.ID.Compare(y.ID) })
	for part := range slices.Chunk(subs, 1000) {
		w.accept(part...)
	}
	w.searchable(subs[n-1])
	w.cancel(subs[100])
	for _, c := range []struct {
		f     store.Filter
		pages int // at most
	}{
		{store.Filter{Terms: []store.Term{tag("all")}, Status: comm.Queued}, 60},
		{store.Filter{Terms: []store.Term{tag("all")}, Status: comm.Cancelled}, 1}, // the rare side leads
		{store.Filter{Terms: []store.Term{tag("all")}, Status: comm.Failed}, 1},
		{store.Filter{Terms: []store.Term{tag("half0"), tag("half1")}}, 6},
		{store.Filter{Terms: []store.Term{tag("half0"), tag("all")}, Channel: comm.SMS, Status: comm.Queued}, 20},
		{store.Filter{Terms: []store.Term{tag("all"), tag("rare")}}, 1},
		{store.Filter{Recipient: subs[5].Recipient, Terms: []store.Term{tag("all")}}, 1},
	} {
		var want []comm.ID
		for i := range subs {
			m := comm.Message{State: comm.State{Status: comm.Queued, Channel: subs[i].Channel}}
			if i == 100 {
				m.Status = comm.Cancelled
			}
			if passes(c.f, &subs[i], &m) {
				want = append(want, subs[i].ID)
			}
		}
		c.f.Limit = 100
		got, pages := w.search(a.ID, c.f)
		if !slices.Equal(got, newestFirst(want)) || pages > c.pages {
			w.Fatalf("%+v: %d items on %d pages, want %d on at most %d", c.f, len(got), pages, len(want), c.pages)
		}
	}
}

func searchStored(w *world) {
	a := w.app(true)
	first, again := w.keyed(a, "k"), w.keyed(a, "k")
	first.Recipient, again.Recipient = "ama@example.org", "ama@example.org"
	tagged("x")(&first)
	tagged("x")(&again)
	other := w.submission(a)
	other.Recipient = "ama@example.org"
	tagged("x")(&other)
	out, err := w.s.Accept(w.ctx, []store.Submission{first, again, other})
	w.must(err)
	if out[1].Result != store.Replay {
		w.Fatalf("%+v", out[1])
	}
	w.searchable(other)
	want := newestFirst([]comm.ID{first.ID, other.ID})
	for _, f := range []store.Filter{{Recipient: "ama@example.org", Limit: 9}, {Terms: []store.Term{tag("x")}, Limit: 9}} {
		if got, _ := w.search(a.ID, f); !slices.Equal(got, want) {
			w.Fatalf("%+v: %v, want %v", f, got, want)
		}
	}
}

func searchCaptured(w *world) {
	a := w.app(true)
	w.own()
	const to = "ama@example.org"
	toAma := func(s *store.Submission) { s.Recipient = to }
	var taken []comm.ID
	for range 2 {
		s := w.one(a, toAma)
		w.start(s)
		w.turn([]store.Finish{w.finishOf(s, 1, sentOutcome())}, nil)
		taken = append(taken, s.ID)
	}
	other := w.one(a) // to somebody else
	w.start(other)
	w.turn([]store.Finish{w.finishOf(other, 1, sentOutcome())}, nil)
	var last store.Submission
	for range 30 {
		last = w.one(a, toAma)
	}
	w.searchable(last)
	newestFirst(taken)
	f := store.Filter{Recipient: to, Captured: true, CreatedAfter: 1}
	for _, limit := range []int{1, 10} {
		f.Limit = limit
		if got, _ := w.search(a.ID, f); !slices.Equal(got, taken) {
			w.Fatalf("%d at a time: %v, want %v", limit, got, taken)
		}
	}
	for _, whole := range []bool{false, true} { // bodies are for who asks for them
		f.Whole = whole
		got, err := w.s.Search(w.ctx, a.ID, f)
		if err != nil || len(got.Messages) != 2 || (got.Messages[0].Body != "") != whole || (got.Messages[1].Body != "") != whole {
			w.Fatalf("whole %t: %+v %v", whole, got, err)
		}
	}
	f.CreatedAfter, f.Limit, f.Whole = 0, 1, false
	if got, err := w.s.Search(w.ctx, a.ID, f); err != nil || len(got.Messages) != 1 || got.Messages[0].State.ID != taken[0] {
		w.Fatalf("%+v %v", got, err)
	}
}
