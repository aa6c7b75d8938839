package storetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func listCases() []testCase {
	return []testCase{
		{"every filter pages newest first without gaps or repeats", listFilters},
		{"times are those that messages show", listTimes},
		{"pages stay stable while rows arrive", listStable},
		{"captures are what the sandbox took", captures},
	}
}

// mixed makes messages of both channels in several states; the newest last.
func (w *world) mixed(a *comm.App, n int) []store.Submission {
	w.Helper()
	w.own()
	var subs []store.Submission
	for i := range n {
		s := w.one(a, func(s *store.Submission) {
			if i%3 == 0 {
				s.Channel = comm.SMS
			}
		})
		switch i % 4 {
		case 1:
			w.start(s)
		case 2:
			w.start(s)
			w.turn([]store.Finish{w.finishOf(s, 1, sentOutcome())}, nil)
		case 3:
			w.cancel(s)
		}
		subs = append(subs, s)
	}
	return subs
}

func listFilters(w *world) {
	a, b := w.app(true), w.app(true)
	subs := w.mixed(a, 24)
	w.one(b)
	all := make([]comm.Message, 0, len(subs))
	for _, s := range subs {
		m, err := w.s.Message(w.ctx, a.ID, s.ID)
		w.must(err)
		all = append(all, *m)
	}
	slices.SortFunc(all, func(x, y comm.Message) int { return y.ID.Compare(x.ID) })
	mid := all[10].CreatedAt
	for _, status := range append([]comm.Status{comm.None}, comm.Statuses()...) {
		for _, ch := range []comm.Channel{0, comm.Email, comm.SMS} {
			for _, times := range [][2]comm.Micros{{0, 0}, {mid, 0}, {0, mid}, {mid - 1000, mid + 1000}, {mid - 5000, mid + 5000}} {
				f := store.Filter{Status: status, Channel: ch, CreatedAfter: times[0], CreatedBefore: times[1]}
				w.comparePages(a.ID, f, all)
			}
		}
	}
}

// comparePages walks a filter's pages and compares them with a plain scan.
func (w *world) comparePages(app comm.ID, f store.Filter, all []comm.Message) {
	w.Helper()
	var want []comm.ID
	for _, m := range all {
		if (f.Status == 0 || m.Status == f.Status) && (f.Channel == 0 || m.Channel == f.Channel) &&
			(f.CreatedAfter == 0 || shown(&m) > f.CreatedAfter) && (f.CreatedBefore == 0 || shown(&m) < f.CreatedBefore) {
			want = append(want, m.ID)
		}
	}
	var got []comm.ID
	f.Limit = 5
	for {
		page, err := w.s.List(w.ctx, app, f)
		w.must(err)
		for _, m := range page {
			got = append(got, m.ID)
			if m.To == "" || m.Status == 0 || len(m.Events) != 0 {
				w.Fatalf("list item %+v", m)
			}
		}
		if len(page) > f.Limit {
			w.Fatalf("%d items, limit %d", len(page), f.Limit)
		}
		if len(page) < f.Limit {
			break
		}
		f.Before = page[len(page)-1].ID
	}
	if !slices.Equal(got, want) {
		w.Fatalf("filter %+v: %d items, want %d\n%s\n%s", f, len(got), len(want), fmt.Sprint(got), fmt.Sprint(want))
	}
}

// shown is when a message was created, as its answers say it.
func shown(m *comm.Message) comm.Micros { return comm.Micros(m.CreatedAt.Millis() * 1000) }

// Ids are minted before their messages are stored, by clocks that differ: times
// are compared with what messages show, never with what their ids say.
func listTimes(w *world) {
	a := w.app(true)
	var all []comm.Message
	for _, off := range []time.Duration{0, -50 * time.Millisecond, 50 * time.Millisecond, -20 * time.Second, 0, -50 * time.Millisecond, 50 * time.Millisecond} {
		s := w.one(a, func(s *store.Submission) { s.ID = comm.NewID(comm.At(time.Now()).Add(off)) })
		if m := w.message(s); off == -50*time.Millisecond {
			w.cancel(s)
			all = append(all, *w.message(s))
		} else {
			all = append(all, *m)
		}
		time.Sleep(3 * time.Millisecond)
	}
	slices.SortFunc(all, func(x, y comm.Message) int { return y.ID.Compare(x.ID) })
	for _, status := range []comm.Status{comm.None, comm.Queued, comm.Cancelled} {
		for i := range all {
			at := all[i].CreatedAt
			for _, f := range []store.Filter{{CreatedAfter: at}, {CreatedBefore: at}, {CreatedAfter: at - 1000}, {CreatedBefore: at + 1000},
				{CreatedAfter: shown(&all[i])}, {CreatedBefore: shown(&all[i])}, {CreatedAfter: at - 1000, CreatedBefore: at + 1000}} {
				f.Status = status
				w.comparePages(a.ID, f, all)
			}
		}
	}
}

func listStable(w *world) {
	a := w.app(true)
	var ids []comm.ID
	for range 12 {
		ids = append(ids, w.one(a).ID)
	}
	slices.SortFunc(ids, func(x, y comm.ID) int { return y.Compare(x) })
	var got []comm.ID
	for f := (store.Filter{Limit: 5}); ; {
		page, err := w.s.List(w.ctx, a.ID, f)
		w.must(err)
		for _, m := range page {
			got = append(got, m.ID)
		}
		if len(page) < f.Limit {
			break
		}
		f.Before = page[len(page)-1].ID
		w.one(a) // newer than every cursor
	}
	if !slices.Equal(got, ids) {
		w.Fatalf("%d items, want %d", len(got), len(ids))
	}
}

func captures(w *world) {
	a := w.app(true)
	w.own()
	w.one(a)
	var taken []comm.ID
	for range 3 {
		s := w.one(a)
		w.start(s)
		w.turn([]store.Finish{w.finishOf(s, 1, sentOutcome())}, nil)
		taken = append(taken, s.ID)
	}
	slices.SortFunc(taken, func(x, y comm.ID) int { return y.Compare(x) })
	got, err := w.s.Captures(w.ctx, a.ID, store.Filter{Limit: 2})
	w.must(err)
	if len(got) != 2 || got[0].ID != taken[0] || got[1].ID != taken[1] || got[0].Body == "" {
		w.Fatalf("%+v", got)
	}
	rest, err := w.s.Captures(w.ctx, a.ID, store.Filter{Limit: 2, Before: got[1].ID})
	w.must(err)
	if len(rest) != 1 || rest[0].ID != taken[2] {
		w.Fatalf("%+v", rest)
	}
}
