package storetest

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func dayCases() []testCase {
	return []testCase{
		{"attempts that begin count on their configuration's day", countsDay},
		{"only attempts that begin count", countsStartsOnly},
		{"the count goes with its configuration", countGoes},
	}
}

// daysUsed is what the store counts for a configuration on the last day that it knows.
func (w *world) daysUsed(app, provider comm.ID) (d store.DayUse) {
	w.Helper()
	list, err := w.s.DaysUsed(w.ctx, app)
	w.must(err)
	for _, x := range list {
		if x.App != app {
			w.Fatalf("another app's count: %+v", x)
		}
		if x.Provider == provider {
			if d.Day != 0 {
				w.Fatal("two days of one configuration")
			}
			d = x
		}
	}
	return d
}

func (w *world) dailyStart(s store.Submission, owner, provider comm.ID) store.Start {
	w.Helper()
	st := w.startOf(s)
	st.Provider, st.ProviderID, st.Live, st.Daily, st.Owner = "smtp", provider, true, true, owner
	return st
}

// beforeMidnight keeps a case on one day.
func (w *world) beforeMidnight() (day int64) {
	w.Helper()
	const long = int64(24 * time.Hour / time.Microsecond)
	if now := w.now(); int64(now)%long > long-time.Minute.Microseconds() {
		w.waitPast(comm.Micros((int64(now)/long + 1) * long))
	}
	return int64(w.now()) / long
}

func countsDay(w *world) {
	day := w.beforeMidnight()
	a, b := w.app(false), w.app(false)
	w.own()
	now := w.now()
	own, other, server := comm.NewID(now), comm.NewID(now), comm.NewID(now)
	if d := w.daysUsed(a.ID, own); d != (store.DayUse{}) {
		w.Fatalf("%+v before the first attempt", d)
	}
	w.turn(nil, []store.Start{w.dailyStart(w.one(a), a.ID, own), w.dailyStart(w.one(b), comm.ID{}, server), w.dailyStart(w.one(a), a.ID, other)})
	uncounted := w.dailyStart(w.one(a), a.ID, own)
	uncounted.Daily = false
	w.turn(nil, []store.Start{w.dailyStart(w.one(a), a.ID, own), uncounted, w.dailyStart(w.one(a), a.ID, own), w.dailyStart(w.one(a), comm.ID{}, server)})
	for _, x := range []store.DayUse{{App: a.ID, Provider: own, Day: day, Used: 3}, {App: a.ID, Provider: other, Day: day, Used: 1}, {Provider: server, Day: day, Used: 2}} {
		if got := w.daysUsed(x.App, x.Provider); got != x {
			w.Fatalf("%+v, want %+v", got, x)
		}
	}
	if list, err := w.s.DaysUsed(w.ctx, a.ID, comm.ID{}, b.ID); err != nil || len(list) != 3 {
		w.Fatalf("%+v %v", list, err)
	}
}

func countsStartsOnly(w *world) {
	day := w.beforeMidnight()
	a := w.app(false)
	w.own()
	pc, next := comm.NewID(w.now()), comm.NewID(w.now())
	first, suppressed, stale := w.one(a), w.one(a), w.one(a)
	_, err := w.s.Suppress(w.ctx, store.Suppression{App: a.ID, Channel: suppressed.Channel, Address: suppressed.Recipient, Reason: "manual", CreatedAt: w.now()})
	w.must(err)
	gone := w.dailyStart(stale, a.ID, pc)
	gone.Head.Due++
	st := w.dailyStart(first, a.ID, pc)
	res := w.turn(nil, []store.Start{st, w.dailyStart(suppressed, a.ID, pc), gone})
	if res.Started[0].Verdict != store.Go || res.Started[1].Verdict != store.Ended || res.Started[2].Verdict != store.Gone {
		w.Fatalf("%+v", res.Started)
	}
	w.turn(nil, []store.Start{st}) // it is SENDING already
	if d := w.daysUsed(a.ID, pc); d.Used != 1 || d.Day != day {
		w.Fatalf("%+v", d)
	}
	again := w.dailyStart(first, a.ID, next)
	again.Attempt, again.Epoch, again.Head.Due = 1, res.Started[0].State.Epoch, res.Started[0].State.Due
	again.Failed = &store.Outcome{To: comm.Sending, Cause: comm.CauseAttemptFailed, Provider: "smtp", ProviderID: pc, ErrorCode: "transient"}
	if r := w.turn(nil, []store.Start{again}); r.Started[0].Verdict != store.Go {
		w.Fatalf("%+v", r.Started)
	}
	if x, y := w.daysUsed(a.ID, pc), w.daysUsed(a.ID, next); x.Used != 1 || y.Used != 1 {
		w.Fatalf("%+v %+v after the failover", x, y)
	}
	if _, err := w.tryTurn("somebody else", nil, []store.Start{w.dailyStart(w.one(a), a.ID, pc)}); err == nil {
		w.Fatal("a turn without leases was stored")
	}
	if d := w.daysUsed(a.ID, pc); d.Used != 1 {
		w.Fatalf("%+v after a turn that the fence refused", d)
	}
}

func countGoes(w *world) {
	a := w.app(false)
	w.own()
	c, kept := config(a.ID, "one", 1, w.now()), config(a.ID, "two", 2, w.now())
	w.must(w.s.CreateProviderConfig(w.ctx, c))
	w.must(w.s.CreateProviderConfig(w.ctx, kept))
	w.turn(nil, []store.Start{w.dailyStart(w.one(a), a.ID, c.ID), w.dailyStart(w.one(a), a.ID, kept.ID)})
	c.Limits.RatePerDay++
	w.must(w.s.UpdateProviderConfig(w.ctx, c))
	if d := w.daysUsed(a.ID, c.ID); d.Used != 1 {
		w.Fatalf("%+v after a change of the configuration", d)
	}
	w.must(w.s.DeleteProviderConfig(w.ctx, a.ID, c.ID))
	if d := w.daysUsed(a.ID, c.ID); d.Used != 0 {
		w.Fatalf("%+v of a deleted configuration", d)
	}
	if d := w.daysUsed(a.ID, kept.ID); d.Used != 1 {
		w.Fatalf("%+v of the other one", d)
	}
}
