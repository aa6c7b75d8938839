package storetest

import (
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func (w *world) wish(app *comm.App, address string, stop bool, at comm.Micros, want bool) {
	w.Helper()
	changed, err := w.s.Wish(w.ctx, store.Wish{App: app.ID, Channel: comm.SMS, Address: address, Stop: stop, At: at})
	w.must(err)
	if changed != want {
		w.Fatalf("changed %v, want %v", changed, want)
	}
}

func (w *world) listed(app *comm.App, address string) (reason, source string) {
	w.Helper()
	x, err := w.s.Suppression(w.ctx, app.ID, comm.SMS, address)
	if comm.IsKind(err, comm.Missing) {
		return "", ""
	}
	w.must(err)
	return x.Reason, x.Source
}

func optIn(w *world) {
	a, other := w.app(true), w.app(true)
	add := func(app *comm.App, address, reason, source string) {
		_, err := w.s.Suppress(w.ctx, store.Suppression{App: app.ID, Channel: comm.SMS, Address: address, Reason: reason, Source: source, CreatedAt: w.now()})
		w.must(err)
	}
	add(a, "233241234567", comm.SuppressUnsubscribed, comm.SuppressByProvider)
	add(other, "233241234567", comm.SuppressUnsubscribed, comm.SuppressByProvider)
	add(a, "233241234568", comm.SuppressUnsubscribed, comm.SuppressByAPI)
	add(a, "233241234569", comm.SuppressHardBounce, comm.SuppressByProvider)
	for address, want := range map[string]bool{"233241234567": true, "233241234568": false, "233241234569": false, "1": false} {
		w.wish(a, address, false, w.now(), want)
	}
	if reason, _ := w.listed(other, "233241234567"); reason == "" {
		w.Fatal("another app's was taken off")
	}
}

// wishesInAnyOrder says STOP and START at four times, in every order of their coming in, each twice.
func wishesInAnyOrder(w *world) {
	a := w.app(true)
	base := w.now()
	type word struct {
		at   comm.Micros
		stop bool
	}
	for n, said := range [][]word{
		{{1, true}, {2, false}}, {{1, false}, {2, true}}, {{1, true}, {2, false}, {3, true}}, {{1, false}, {2, true}, {3, false}}, {{1, true}, {1, false}}, {{1, true}, {2, true}, {3, false}, {4, true}},
	} {
		last := said[len(said)-1]
		want := last.stop || said[0].at == last.at // at the same time: STOP
		for i, order := range permutations(len(said)) {
			address := "2332400" + string(rune('a'+n)) + string(rune('a'+i))
			for range 2 {
				for _, k := range order {
					_, err := w.s.Wish(w.ctx, store.Wish{App: a.ID, Channel: comm.SMS, Address: address, Stop: said[k].stop, At: base + said[k].at})
					w.must(err)
				}
			}
			if reason, _ := w.listed(a, address); (reason != "") != want {
				w.Fatalf("%v in order %v: listed %q", said, order, reason)
			}
		}
	}
	// What is forgotten is what was said, not what it led to.
	w.wish(a, "1", true, base, true)
	w.must(w.s.TrimWishes(w.ctx, base+1))
	if reason, _ := w.listed(a, "1"); reason == "" {
		w.Fatal("an opt-out went with the word")
	}
	w.wish(a, "1", false, base, true) // nobody knows of the STOP any more
	// An erasure takes the address.
	w.wish(a, "2", false, base.Add(time.Hour), false)
	w.must(w.s.EraseSuppression(w.ctx, a.ID, comm.SMS, "2", []byte("hash")))
	w.wish(a, "2", true, base, true)
}

func wishOverOtherReasons(w *world) {
	a := w.app(true)
	add := func(address, reason, source string) {
		_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: comm.SMS, Address: address, Reason: reason, Source: source, Note: "n", CreatedAt: w.now()})
		w.must(err)
	}
	add("1", comm.SuppressHardBounce, comm.SuppressByProvider)
	add("2", comm.SuppressManual, comm.SuppressByAPI)
	at := w.now()
	w.wish(a, "1", true, at, true)
	w.wish(a, "2", true, at, true)
	w.wish(a, "2", true, at, false)
	for address, source := range map[string]string{"1": comm.SuppressByProvider, "2": comm.SuppressByAPI} {
		if reason, by := w.listed(a, address); reason != comm.SuppressUnsubscribed || by != source {
			w.Fatalf("%s: %s by %s", address, reason, by)
		}
	}
	w.wish(a, "1", false, at+1, true)
	w.wish(a, "2", false, at+1, false) // the app's own entry is the app's to take off
}

func writers(w *world) {
	config, other := newID(), newID()
	const address = "233241234567"
	to := func(s *store.Submission) { s.Channel, s.Recipient = comm.SMS, address }
	w.own()
	var want []comm.ID
	for i := range 5 {
		a := w.app(true)
		w.sentThrough(a, config, a.Slug, to)
		w.sentThrough(a, other, a.Slug, to)
		if i == 4 {
			w.must(w.s.DeleteApp(w.ctx, a.ID, w.now()))
			continue
		}
		want = append(want, a.ID)
	}
	apart := w.app(true)
	w.sentThrough(apart, other, "x", to)
	w.sentThrough(apart, config, "y", func(s *store.Submission) { s.Channel, s.Recipient = comm.SMS, address+"0" })
	slices.SortFunc(want, comm.ID.Compare)
	for _, limit := range []int{1, 2, 100} {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) { // recipients are found a moment later
			var got []comm.ID
			var after comm.ID
			for first := true; first || !after.IsZero(); first = false {
				apps, next, err := w.s.Writers(w.ctx, config, address, after, limit)
				if err != nil && time.Now().Before(end) { // a message is not found yet
					time.Sleep(50 * time.Millisecond)
					got, after, first = nil, comm.ID{}, true
					continue
				}
				w.must(err)
				if len(apps) > limit {
					w.Fatalf("%d of at most %d", len(apps), limit)
				}
				got, after = append(got, apps...), next
			}
			if slices.Equal(got, want) {
				break
			}
			if time.Now().After(end) {
				w.Fatalf("by %d: %v, want %v", limit, got, want)
			}
		}
	}
}
