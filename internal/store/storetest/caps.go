package storetest

import (
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// cappedSMS is a submission of so many segments under a cap.
func (w *world) cappedSMS(a *comm.App, key string, segments, perDay int) store.Submission {
	s := w.submission(a)
	if key != "" {
		s = w.keyed(a, key)
	}
	s.Channel, s.Mode, s.Segments, s.Caps = comm.SMS, comm.Live, segments, []comm.SMSCap{{PerDay: perDay}}
	return s
}

// wholeDay waits for the next UTC day when this one is about to end.
func (w *world) wholeDay() {
	if now := w.now(); now.NextDay().Sub(now) < 10*time.Second {
		time.Sleep(now.NextDay().Sub(now) + time.Millisecond)
	}
}

func acceptCap(w *world) {
	w.wholeDay()
	a, free := w.app(false), w.app(false)
	const perDay = 5
	first := w.cappedSMS(a, "k", 2, perDay)
	out := w.accept(first, w.cappedSMS(a, "", 1, perDay), w.submission(free))
	if out[0].Use.Used != 2 || out[1].Use.Used != 3 || out[0].Use.Day != w.now().Day() || out[2].Use != (comm.SMSUse{}) || out[0].RateUsed == 0 {
		w.Fatalf("%+v", out)
	}
	// Of three with two segments each one fits; a smaller one behind them does too, until the day is full.
	late := w.cappedSMS(a, "late", 2, perDay)
	subs := []store.Submission{w.cappedSMS(a, "k", 2, perDay), w.cappedSMS(a, "", 3, perDay), late, w.cappedSMS(a, "other", 1, perDay), w.submission(free)}
	got, err := w.s.Accept(w.ctx, slices.Clone(subs))
	w.must(err)
	for i, want := range []store.AcceptResult{store.Replay, store.QuotaExceeded, store.New, store.QuotaExceeded, store.New} {
		if got[i].Result != want {
			w.Fatalf("%d: %+v, want %d", i, got[i], want)
		}
	}
	if got[0].ID != first.ID || got[1].Use.Used != 3 && got[1].Use.Used != 5 || got[2].Use.Used != 5 {
		w.Fatalf("%+v", got)
	}
	for _, i := range []int{1, 3} {
		_, err := w.s.Message(w.ctx, a.ID, subs[i].ID)
		w.wantCode(err, "not_found")
	}
	// The key of what was refused is free, and a cap that was raised takes it; a conflict counts for nothing.
	again := w.cappedSMS(a, "other", 1, perDay+1)
	wrong := w.cappedSMS(a, "k", 1, perDay+2)
	wrong.Fingerprint = sum("another request")
	got, err = w.s.Accept(w.ctx, []store.Submission{again, wrong})
	w.must(err)
	if got[0].Result != store.New || got[1].Result != store.Conflict || got[0].Use.Used != 6 {
		w.Fatalf("%+v", got)
	}
	app, err := w.s.AppByID(w.ctx, a.ID)
	w.must(err)
	if app.SMSDays[""].Used != 6 || app.SMSDays.Today("", w.now()) != 6 {
		w.Fatalf("%+v", app.SMSDays)
	}
}

func acceptCapRace(w *world) {
	w.wholeDay()
	a := w.app(false)
	const callers, each, perDay = 8, 5, 17
	var wg sync.WaitGroup
	results := make([][]store.Accepted, callers)
	errs := make([]error, callers)
	groups := make([][]store.Submission, callers)
	for i := range groups {
		for range each {
			groups[i] = append(groups[i], w.cappedSMS(a, "", 1, perDay))
		}
	}
	for i := range groups {
		wg.Go(func() { results[i], errs[i] = w.s.Accept(w.ctx, groups[i]) })
	}
	wg.Wait()
	counts := map[store.AcceptResult]int{}
	for i := range results {
		w.must(errs[i])
		for _, r := range results[i] {
			counts[r.Result]++
		}
	}
	if counts[store.New] != perDay || counts[store.QuotaExceeded] != callers*each-perDay {
		w.Fatalf("%v", counts)
	}
}

// prefixSMS is a submission under caps of the app and of prefixes, as {"1876", 2}.
func (w *world) prefixSMS(a *comm.App, key string, segments int, caps ...comm.SMSCap) store.Submission {
	s := w.cappedSMS(a, key, segments, 0)
	s.Caps = caps
	return s
}

// acceptPrefixCap: what begins with several prefixes has to fit under each of their caps and counts under all of
// them; a group in which some fit is decided one by one, replays count nothing, and what is refused counts nowhere.
func acceptPrefixCap(w *world) {
	w.wholeDay()
	a := w.app(false)
	all, one, jamaica, ghana := comm.SMSCap{PerDay: 9}, comm.SMSCap{Prefix: "1", PerDay: 5}, comm.SMSCap{Prefix: "1876", PerDay: 2}, comm.SMSCap{Prefix: "233", PerDay: 3}
	subs := []store.Submission{
		w.prefixSMS(a, "k", 2, all, one, jamaica),                        // fills 1876
		w.prefixSMS(a, "", 1, all, one, jamaica),                         // one over
		w.prefixSMS(a, "usa", 2, all, one),                               // 4 of 5
		w.prefixSMS(a, "big", 2, all, one),                               // one over
		w.prefixSMS(a, "", 1, all, one),                                  // fills 1
		w.prefixSMS(a, "", 3, all, ghana),                                // fills 233
		w.prefixSMS(a, "k", 2, all, one, jamaica),                        // a replay of the first
		w.prefixSMS(a, "", 1, all),                                       // fills the app's own
		w.prefixSMS(a, "", 1, all),                                       // one over
		w.prefixSMS(a, "alone", 1, comm.SMSCap{Prefix: "44", PerDay: 1}), // of an app that has no cap of its own
	}
	got, err := w.s.Accept(w.ctx, slices.Clone(subs))
	w.must(err)
	over := map[int]comm.SMSCap{1: jamaica, 3: one, 8: all}
	for i, r := range got {
		switch c, refused := over[i]; {
		case refused && (r.Result != store.QuotaExceeded || r.Cap != c || r.Use.Used+int64(subs[i].Segments) <= int64(c.PerDay)):
			w.Errorf("%d: %+v, want it over %+v", i, r, c)
		case i == 6 && (r.Result != store.Replay || r.ID != subs[0].ID):
			w.Errorf("%d: %+v, want a replay", i, r)
		case !refused && i != 6 && (r.Result != store.New || len(r.Alarms) != 0):
			w.Errorf("%d: %+v", i, r)
		}
	}
	w.wantDays(a, map[string]int64{"": 9, "1": 5, "1876": 2, "233": 3, "44": 1})
	// Everything is full: replays are answered, alone and together, and nothing else changes.
	for _, subs := range [][]store.Submission{
		{w.prefixSMS(a, "usa", 2, all, one)},
		{w.prefixSMS(a, "k", 2, all, one, jamaica), w.prefixSMS(a, "", 1, all, ghana), w.prefixSMS(a, "alone", 1, comm.SMSCap{Prefix: "44", PerDay: 1})},
	} {
		got, err := w.s.Accept(w.ctx, subs)
		w.must(err)
		for i, r := range got {
			if want := subs[i].HasKey; want != (r.Result == store.Replay) || !want && r.Result != store.QuotaExceeded {
				w.Errorf("%d: %+v", i, r)
			}
		}
	}
	w.wantDays(a, map[string]int64{"": 9, "1": 5, "1876": 2, "233": 3, "44": 1})
	// A cap that was taken away counts on where it is still counted, and a raised one takes more.
	got, err = w.s.Accept(w.ctx, []store.Submission{w.prefixSMS(a, "big", 2, comm.SMSCap{Prefix: "1", PerDay: 7})})
	w.must(err)
	if got[0].Result != store.New || got[0].Use.Used != 7 {
		w.Errorf("%+v", got[0])
	}
	w.wantDays(a, map[string]int64{"": 9, "1": 7, "1876": 2, "233": 3, "44": 1})
}

// wantDays compares what is counted of the app today, by prefix.
func (w *world) wantDays(a *comm.App, want map[string]int64) {
	w.Helper()
	app, err := w.s.AppByID(w.ctx, a.ID)
	w.must(err)
	for prefix, n := range want {
		if got := app.SMSDays.Today(prefix, w.now()); got != n {
			w.Errorf("%d segments count under %q, want %d", got, prefix, n)
		}
	}
	if len(app.SMSDays) != len(want) {
		w.Errorf("%+v", app.SMSDays)
	}
}

// acceptOneKeyAtTheEdge: of submissions with one key in one group, where one place is left in the day or in the
// minute, one is accepted and the others are replays of it; it counts once.
func acceptOneKeyAtTheEdge(w *world) {
	w.wholeDay()
	w.wholeMinute()
	a := w.app(false)
	caps := []comm.SMSCap{{PerDay: 3}, {Prefix: "233", PerDay: 3}}
	edge := func(make func(key string) store.Submission) {
		w.Helper()
		w.accept(make("before"), make("too"))
		subs := []store.Submission{make("k"), make("other"), make("k"), make("before"), make("k")}
		got, err := w.s.Accept(w.ctx, slices.Clone(subs))
		w.must(err)
		refused := store.QuotaExceeded
		if len(subs[0].Caps) == 0 {
			refused = store.RateLimited
		}
		for i, want := range []store.AcceptResult{store.New, refused, store.Replay, store.Replay, store.Replay} {
			if got[i].Result != want {
				w.Errorf("%d: %+v, want %d", i, got[i], want)
			}
		}
		if got[2].ID != subs[0].ID || got[4].ID != subs[0].ID {
			w.Errorf("%+v", got)
		}
		// Where no place is left all of one key are refused alike, and the key stays free.
		got, err = w.s.Accept(w.ctx, []store.Submission{make("late"), make("late"), make("k")})
		w.must(err)
		if got[0].Result != refused || got[1].Result != refused || got[2].Result != store.Replay {
			w.Errorf("%+v", got)
		}
	}
	edge(func(key string) store.Submission { return w.prefixSMS(a, key, 1, caps...) })
	w.wantDays(a, map[string]int64{"": 3, "233": 3})
	b := w.app(false)
	edge(func(key string) store.Submission {
		s := w.keyed(b, key)
		s.RatePerMinute = 3
		return s
	})
	// A mail and an SMS with one key are two requests: a conflict, whichever of them has the cap.
	c := w.app(false)
	mail, text := w.keyed(c, "k"), w.prefixSMS(c, "k", 1, caps...)
	text.Fingerprint = sum("another request")
	got, err := w.s.Accept(w.ctx, []store.Submission{mail, text, mail})
	w.must(err)
	if got[0].Result != store.New || got[1].Result != store.Conflict || got[2].Result != store.Replay {
		w.Errorf("%+v", got)
	}
}

// acceptCapBehindRate: what the rate refuses takes no place under a cap from those behind it, in one group as in several.
func acceptCapBehindRate(w *world) {
	w.wholeDay()
	w.wholeMinute()
	a, free := w.app(false), w.app(false)
	caps := []comm.SMSCap{{PerDay: 4}, {Prefix: "233", PerDay: 4}}
	one := func(key string, segments int) store.Submission {
		s := w.prefixSMS(a, key, segments, caps...)
		s.RatePerMinute = 2
		return s
	}
	w.accept(one("before", 1)) // 3 segments are left in the day, and one message in the minute
	subs := []store.Submission{
		one("", 4), one("", 1), one("", 1), one("", 1), one("k", 1), one("before", 1), one("", 1), one("", 3), one("", 2),
		w.prefixSMS(free, "", 4, caps...), w.prefixSMS(free, "", 1, caps...),
	}
	got, err := w.s.Accept(w.ctx, slices.Clone(subs))
	w.must(err)
	const n, r, q = store.New, store.RateLimited, store.QuotaExceeded
	for i, want := range []store.AcceptResult{q, n, r, r, r, store.Replay, r, q, r, n, q} {
		if got[i].Result != want {
			w.Errorf("%d: %+v, want %d", i, got[i], want)
		}
		if want == r && (got[i].RateUsed <= subs[i].RatePerMinute || got[i].RateReset != got[1].RateReset) {
			w.Errorf("%d: %+v", i, got[i])
		}
	}
	if got[0].Use.Used != 1 || got[7].Use.Used != 2 || got[7].Cap != caps[0] || got[10].Use.Used != 4 {
		w.Errorf("refused by what is not counted: %+v", got)
	}
	w.wantDays(a, map[string]int64{"": 2, "233": 2})
}

// wholeMinute waits for the next minute when this one is about to end.
func (w *world) wholeMinute() {
	const minute = comm.Micros(time.Minute / time.Microsecond)
	if left := time.Duration(minute-w.now()%minute) * time.Microsecond; left < 5*time.Second {
		time.Sleep(left + time.Millisecond)
	}
}
