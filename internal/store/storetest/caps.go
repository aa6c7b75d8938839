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
	s.Channel, s.Mode, s.Segments, s.SMSPerDay = comm.SMS, comm.Live, segments, perDay
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
	if app.SMSUse.Used != 6 || app.SMSUse.Today(w.now()) != 6 {
		w.Fatalf("%+v", app.SMSUse)
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
