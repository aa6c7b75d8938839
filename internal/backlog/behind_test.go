package backlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

// live makes an app that sends for real.
func (w *world) live(spread int) *comm.App {
	w.Helper()
	a := w.app(spread)
	w.stop(a, func(a *comm.App) { a.Sandbox = false })
	return a
}

// config adds a configuration for SMS; a is nil for the server's.
func (w *world) config(a *comm.App, name string, priority int) *comm.ProviderConfig {
	w.Helper()
	now := comm.At(time.Now())
	c := &comm.ProviderConfig{ID: comm.NewID(now), Channel: comm.SMS, Type: "TWILIO", Name: name, Priority: priority, Active: true, Settings: map[string]string{}, CreatedAt: now, UpdatedAt: now}
	if a != nil {
		c.App = a.ID
	}
	if err := w.s.CreateProviderConfig(w.Context(), c); err != nil {
		w.Fatal(err)
	}
	return c
}

// waits is what waits behind each configuration by name, as a page of one app and one of all tell it: "Relay 3 at least".
func (w *world) waits() map[string]Calls {
	w.Helper()
	var last map[string]Calls
	for _, f := range []Filter{{Apps: 1}, {Apps: 100}, {Apps: 1, Scope: Scope{Channel: comm.Email}}} {
		w.b.behind = nil // it is not remembered here
		v, err := w.b.View(w.Context(), f)
		if err != nil {
			w.Fatal(err)
		}
		got := map[string]Calls{}
		for _, c := range v.Calls {
			name := c.Type
			if c.Config != nil {
				name = c.Config.Name
			}
			got[name] = c
		}
		if last != nil && fmt.Sprint(counts(last)) != fmt.Sprint(counts(got)) {
			w.Errorf("a page of %+v tells %v, one before %v", f, counts(got), counts(last))
		}
		last = got
	}
	return last
}

func counts(all map[string]Calls) map[string]string {
	out := map[string]string{}
	for name, c := range all {
		out[name] = fmt.Sprint(c.Due)
		if c.More {
			out[name] += " at least"
		}
	}
	return out
}

func (w *world) wantWaits(when string, want map[string]string) map[string]Calls {
	w.Helper()
	got := w.waits()
	if fmt.Sprint(counts(got)) != fmt.Sprint(want) {
		w.Errorf("%s: %v, want %v", when, counts(got), want)
	}
	return got
}

// TestWhatWaitsBehindAProvider: messages count at the head of their chain as it is now, over all apps and shards; those that nobody's provider keeps back
// count nowhere.
func TestWhatWaitsBehindAProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	node := "node-a"
	if _, err := w.s.Beat(t.Context(), store.NodeInfo{Node: node, Role: "all", Version: "test", Lease: time.Hour.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	shared, spare := w.config(nil, "shared", 1), w.config(nil, "spare", 2)
	one, spread, own, sandboxed, paused, off := w.live(1), w.live(8), w.live(1), w.app(1), w.live(1), w.live(1)
	w.config(own, "own", 1)
	w.fill(one, comm.Normal, 3)
	since := w.oldestOf(one)
	w.ahead.Add(int64(time.Minute))
	w.fill(spread, comm.Bulk, 20)
	w.fill(spread, comm.Critical, 4)
	w.fill(own, comm.Normal, 5)
	w.fill(sandboxed, comm.Normal, 6)
	w.fill(paused, comm.Normal, 7)
	w.fill(off, comm.Normal, 8)
	w.stop(paused, func(a *comm.App) { a.QueuePaused = true })
	w.stop(off, func(a *comm.App) { a.Active = false })
	got := w.wantWaits("all work", map[string]string{"shared": "27", "own": "5", "sandbox": "6"})
	if got["shared"].Oldest != since || got["own"].Oldest <= since {
		t.Errorf("%+v, want since %v", got, since)
	}
	ill := func(all ...store.ProviderTrouble) {
		t.Helper()
		if err := w.s.SetProviderTroubles(t.Context(), node, all, nil); err != nil {
			t.Fatal(err)
		}
	}
	down := func(c *comm.ProviderConfig, next comm.Micros) store.ProviderTrouble {
		return store.ProviderTrouble{App: c.App, ID: c.ID, Reason: chain.WaitDown, Since: 7, Breaker: pace.Open.String(), NextAt: next}
	}
	ill(down(shared, 0))
	w.wantWaits("the head is down", map[string]string{"spare": "27", "own": "5", "sandbox": "6"})
	ill(down(shared, 9e15), down(spare, 8e15))
	w.wantWaits("all of the chain are down: the one that is tried first", map[string]string{"spare": "27", "own": "5", "sandbox": "6"})
	ill()
	if err := w.s.SetProviderStrains(t.Context(), node, []store.ProviderStrain{{ID: shared.ID, ThrottledUntil: comm.At(time.Now().Add(time.Hour)), Calls: 1}}); err != nil {
		t.Fatal(err)
	}
	w.wantWaits("the head asked for a pause", map[string]string{"spare": "27", "own": "5", "sandbox": "6"})
	for _, c := range []*comm.ProviderConfig{shared, spare} {
		c.Active = false
		if err := w.s.UpdateProviderConfig(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	w.wantWaits("all are switched off", map[string]string{"own": "5", "sandbox": "6"})
	w.b.rules.CannotSend = func(kind string) bool { return kind == "TWILIO" }
	w.wantWaits("of a type that this version cannot send with", map[string]string{"own": "5", "sandbox": "6"})
}

// used answers what configurations have used of their day.
type used struct {
	Store
	days []store.DayUse
}

func (s used) DaysUsed(_ context.Context, apps ...comm.ID) (out []store.DayUse, err error) {
	for _, d := range s.days {
		if slices.Contains(apps, d.App) {
			out = append(out, d)
		}
	}
	return out, nil
}

// TestWhoseDayIsSpentIsPassedBy: until midnight nothing waits behind a configuration that has used up its day; CRITICAL may use all of it.
func TestWhoseDayIsSpentIsPassedBy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited, open := w.config(nil, "limited", 1), w.config(nil, "open", 2)
	limited.Limits.RatePerDay = 100
	if err := w.s.UpdateProviderConfig(t.Context(), limited); err != nil {
		t.Fatal(err)
	}
	a := w.live(1)
	w.fill(a, comm.Normal, 3)
	w.fill(a, comm.Critical, 2)
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if left := now.NextDay() - now; left < comm.Micros(time.Minute.Microseconds()) { // the day must not end meanwhile
		w.ahead.Add(2 * int64(time.Minute))
		now = now.Add(2 * time.Minute)
	}
	w.b.rules.Reserve = 10
	for _, tc := range []struct {
		name string
		day  int64
		used int
		want map[string]string
	}{
		{"nothing used", now.Day(), 0, map[string]string{"limited": "5"}},
		{"one is left to all", now.Day(), 89, map[string]string{"limited": "5"}},
		{"the rest is for CRITICAL", now.Day(), 90, map[string]string{"limited": "2", "open": "3"}},
		{"all used", now.Day(), 100, map[string]string{"open": "5"}},
		{"all used, by a clock ahead", now.Day() + 1, 100, map[string]string{"open": "5"}},
		{"yesterday", now.Day() - 1, 100, map[string]string{"limited": "5"}},
	} {
		w.b.store = used{w.s, []store.DayUse{{Provider: limited.ID, Day: tc.day, Used: tc.used}, {Provider: open.ID, Day: tc.day, Used: 1000}}}
		w.wantWaits(tc.name, tc.want)
	}
}

// oldestOf is since when the first message of an app is due.
func (w *world) oldestOf(a *comm.App) comm.Micros {
	w.Helper()
	v, err := w.b.View(w.Context(), Filter{Scope: Scope{App: a}, Apps: 1})
	if err != nil || len(v.Units) != 1 {
		w.Fatal(v, err)
	}
	return v.Units[0].OldestDue
}

// TestWhatIsUnderWayWaitsForNobody: it is a call, and neither counted nor the oldest.
func TestWhatIsUnderWayWaitsForNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shared := w.config(nil, "shared", 1)
	a := w.live(1)
	w.fill(a, comm.Normal, 3)
	units, err := w.b.unitsOf(t.Context(), a)
	if err != nil || len(units) != 1 {
		t.Fatal(units, err)
	}
	heads, err := w.s.Windows(t.Context(), []store.Ask{{Unit: units[0], Limit: 10}})
	if err != nil || len(heads[0]) != 3 {
		t.Fatal(heads, err)
	}
	under := []store.UnderWay{{Unit: units[0], ID: heads[0][0].ID, Provider: "twilio", ProviderID: shared.ID}}
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.b.calls(t.Context(), under, now)
	if err != nil || len(all) != 1 || all[0].Sending != 1 || all[0].Due != 2 || all[0].Config == nil || all[0].Oldest != heads[0][1].Due {
		t.Errorf("%+v %v, want two since %v", all, err, heads[0][1].Due)
	}
	for _, h := range heads[0][1:] {
		under = append(under, store.UnderWay{Unit: units[0], ID: h.ID, Provider: "twilio", ProviderID: shared.ID})
	}
	w.b.behind = nil
	if all, err = w.b.calls(t.Context(), under, now); err != nil || len(all) != 1 || all[0].Sending != 3 || all[0].Due != 0 || all[0].Oldest != 0 || all[0].Config == nil {
		t.Errorf("%+v %v", all, err)
	}
}

// TestWhatWaitsIsLookedForNowAndThen: everybody who looks at the page within two seconds shares one look.
func TestWhatWaitsIsLookedForNowAndThen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config(nil, "shared", 1)
	a := w.live(1)
	w.fill(a, comm.Normal, 3)
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		at   comm.Micros
		want int
	}{{now, 3}, {now + behindFor - 1, 3}, {now + behindFor, 4}, {now - 1, 3}} {
		all, err := w.b.calls(t.Context(), nil, tc.at)
		if err != nil || len(all) != 1 || all[0].Due != tc.want {
			t.Errorf("after %d: %+v %v, want %d", tc.at-now, all, err, tc.want)
		}
		if tc.at == now {
			w.fill(a, comm.Normal, 1)
		}
	}
}

// slow takes its time to count, and counts how often it does.
type slow struct {
	Store
	looks atomic.Int32
}

func (s *slow) UnitDepths(ctx context.Context, now comm.Micros, most int) ([]store.UnitDepth, bool, error) {
	s.looks.Add(1)
	time.Sleep(50 * time.Millisecond)
	return s.Store.UnitDepths(ctx, now, most)
}

// TestManyWhoLookAtOnceLookOnce: who comes while somebody looks takes what that finds, and who does not wait for it is gone.
func TestManyWhoLookAtOnceLookOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config(nil, "shared", 1)
	w.fill(w.live(1), comm.Normal, 3)
	s := &slow{Store: w.s}
	b := New(s, Rules{})
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if got, err := b.calls(t.Context(), nil, now+comm.Micros(i)); err != nil || len(got) != 1 || got[0].Due != 3 {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	all.Wait()
	if n := s.looks.Load(); n != 1 {
		t.Errorf("it was looked for %d times", n)
	}
	b.looking <- struct{}{}
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := b.calls(gone, nil, now); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// short counts nothing of a queue that is longer than it may count.
type short struct{ Store }

func (short) UnitDepths(context.Context, comm.Micros, int) ([]store.UnitDepth, bool, error) {
	return nil, true, nil
}

// TestWhatIsNotCountedIsKnownToWait: however long the queue is, behind whom something waits is told, and since when; but for what is under way.
func TestWhatIsNotCountedIsKnownToWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shared := w.config(nil, "shared", 1)
	a, busy := w.live(1), w.live(1)
	w.fill(a, comm.Normal, 3)
	w.fill(a, comm.Bulk, 2)
	w.fill(busy, comm.Normal, 1)
	since := w.oldestOf(busy)
	units, err := w.b.unitsOf(t.Context(), busy)
	if err != nil || len(units) != 1 {
		t.Fatal(units, err)
	}
	heads, err := w.s.Windows(t.Context(), []store.Ask{{Unit: units[0], Limit: 1}})
	if err != nil {
		t.Fatal(err)
	}
	b := New(short{w.s}, Rules{})
	all, err := b.calls(t.Context(), []store.UnderWay{{Unit: units[0], ID: heads[0][0].ID, Provider: "twilio", ProviderID: shared.ID}}, since.Add(time.Minute))
	if err != nil || len(all) != 1 || all[0].Due != 2 || !all[0].More || all[0].Oldest == 0 || all[0].Oldest > since || all[0].Sending != 1 {
		t.Errorf("%+v %v", all, err)
	}
}
