package backlog

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
)

// world is a Service over a real store.
type world struct {
	*testing.T
	s     *sqlite.Store
	b     *Service
	apps  int
	ahead atomic.Int64 // of the clock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: sqlitetest.Path(t), Now: func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.s, w.b = s, New(s, Rules{})
	w.b.pause = func(context.Context, time.Duration) {}
	return w
}

func (w *world) app(spread int) *comm.App {
	w.Helper()
	now := comm.At(time.Now())
	w.apps++
	a := &comm.App{ID: comm.NewID(now), Slug: fmt.Sprint("app-", w.apps), Name: "App", Active: true, Sandbox: true, RatePerMinute: 1_000_000, ShardSpread: spread, CreatedAt: now, UpdatedAt: now}
	if _, err := w.s.CreateApp(w.Context(), a, nil); err != nil {
		w.Fatal(err)
	}
	return a
}

// fill accepts n messages of the app in a lane.
func (w *world) fill(a *comm.App, lane comm.Lane, n int) {
	w.Helper()
	payload, err := store.EncodeContent(&comm.Content{To: "233241234567", Body: "Hi"})
	if err != nil {
		w.Fatal(err)
	}
	subs := make([]store.Submission, n)
	for i := range subs {
		id := comm.NewID(comm.At(time.Now().Add(time.Duration(w.ahead.Load()))))
		subs[i] = store.Submission{App: a.ID, ID: id, Shard: comm.ShardOf(a.ID, id, a.ShardSpread), Channel: comm.SMS, Lane: lane, Mode: comm.Sandbox, Recipient: "233241234567", Payload: payload, RatePerMinute: a.RatePerMinute}
	}
	if _, err := w.s.Accept(w.Context(), subs); err != nil {
		w.Fatal(err)
	}
}

func (w *world) left(scope Scope) int {
	w.Helper()
	n, more, err := w.b.Left(w.Context(), scope)
	if err != nil || more {
		w.Fatal(n, more, err)
	}
	return n
}

// TestPagesShowEveryAppOnce: pages of any size hold each app with all its units once, spread apps and
// more units than are read at a time among them, and a deleted app is left out.
func TestPagesShowEveryAppOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := w.app(1)
	w.fill(gone, comm.Bulk, 1)
	const apps = 90
	for i := range apps {
		a := w.app(1 + i%3*7)
		w.fill(a, comm.Critical, 3)
		w.fill(a, comm.Bulk, 2)
	}
	if err := w.s.DeleteApp(t.Context(), gone.ID, comm.At(time.Now())); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 7, 100} {
		seen := map[string]int{}
		for f := (Filter{Apps: size}); ; {
			v, err := w.b.View(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			if v.Waiting != 5*apps+1 || v.More || v.Sending != 0 || len(v.Units) > 2*size {
				t.Fatalf("%+v", v)
			}
			for _, u := range v.Units {
				if seen[u.App.Slug+u.Lane.String()] += u.Due; u.Due != map[comm.Lane]int{comm.Critical: 3, comm.Bulk: 2}[u.Lane] || u.Later != 0 || u.More || u.OldestDue == 0 {
					t.Errorf("%s %+v", u.App.Slug, u)
				}
			}
			if v.Next == nil {
				break
			}
			f.After = *v.Next
		}
		if len(seen) != 2*apps {
			t.Errorf("%d apps a page: %d units are shown, want %d", size, len(seen), 2*apps)
		}
		for name, n := range seen {
			if n > 3 {
				t.Errorf("%d apps a page: %s is shown more than once", size, name)
			}
		}
	}
	lane := comm.Bulk
	if v, err := w.b.View(t.Context(), Filter{Apps: 100, Scope: Scope{Channel: comm.SMS, Lane: &lane}}); err != nil || len(v.Units) != apps || v.CountedTo >= CountMost {
		t.Errorf("%d units of a lane, counted to %d, %v", len(v.Units), v.CountedTo, err)
	}
	if v, err := w.b.View(t.Context(), Filter{Apps: 100, Scope: Scope{Channel: comm.Email}}); err != nil || len(v.Units) != 0 {
		t.Errorf("%+v %v", v, err)
	}
}

// TestClearingGoesOnAfterAnInterruption: what one call did not come to the next one does, from its
// place or anew, in a spread app; what is accepted later and another app's are left alone.
func TestClearingGoesOnAfterAnInterruption(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, other := w.app(5), w.app(1)
	w.fill(a, comm.Bulk, 400)
	w.fill(a, comm.Critical, 60)
	w.fill(other, comm.Bulk, 7)
	all := Scope{App: a}
	ctx, cancel := context.WithCancel(store.WithActor(t.Context(), comm.Actor{Kind: comm.ActorAdmin}))
	slices := 0
	w.b.pause = func(context.Context, time.Duration) {
		if slices++; slices == 3 {
			cancel()
		}
	}
	if _, err := w.b.Cancel(ctx, all, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	after := w.left(all)
	if after >= 460 || after == 0 {
		t.Fatalf("%d are left", after)
	}
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for until := now; now <= until; { // the next ones are created later
		if now, err = w.s.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	from := &Step{Until: now - 1}
	w.fill(a, comm.Bulk, 11)
	lane := comm.Critical
	ctx = store.WithActor(t.Context(), comm.Actor{Kind: comm.ActorAdmin})
	first, err := w.b.Cancel(ctx, Scope{App: a, Lane: &lane}, from)
	if err != nil || first.Next != nil || w.left(Scope{App: a, Lane: &lane}) != 0 {
		t.Fatalf("%+v %v", first, err)
	}
	// From a place in the middle: what lies before it stays.
	units, err := w.b.unitsOf(ctx, a)
	if err != nil || len(units) < 2 {
		t.Fatal(units, err)
	}
	last := units[len(units)-1]
	mine, err := w.s.Depths(ctx, []comm.Unit{last}, now, []int{1000})
	if err != nil {
		t.Fatal(err)
	}
	before := w.left(all)
	got, err := w.b.Cancel(ctx, all, &Step{Until: now - 1, Unit: last})
	if err != nil || got.Cancelled > mine[0].Due || before-w.left(all) != got.Cancelled {
		t.Fatalf("%+v of %+v, %v", got, mine, err)
	}
	if _, err = w.b.Cancel(ctx, all, from); err != nil || w.left(all) != 11 || w.left(Scope{App: other}) != 7 {
		t.Fatalf("%d and %d are left, %v", w.left(all), w.left(Scope{App: other}), err)
	}
	if done, err := w.b.Cancel(ctx, all, nil); err != nil || done.Cancelled != 11 || done.Next != nil || w.left(all) != 0 {
		t.Fatalf("%+v %v", done, err)
	}
	notes, err := w.s.AuditList(ctx, store.AuditFilter{Action: comm.AuditQueueCancelled, Limit: 10})
	if err != nil || len(notes.Entries) != 2 || notes.Entries[0].Actor.Kind != comm.ActorAdmin || notes.Entries[0].App != a.ID { // of the two first calls
		t.Errorf("%+v %v", notes, err)
	}
}

// TestClearingWhatWasShown: of what was accepted since an instant nothing is cancelled, and one to come is that of the order.
func TestClearingWhatWasShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app(3)
	w.fill(a, comm.Bulk, 100)
	var shown comm.Micros
	for from := shown; shown <= from+1; { // the next ones are created later
		var err error
		if shown, err = w.s.Now(t.Context()); err != nil {
			t.Fatal(err)
		}
		if from == 0 {
			from = shown
		}
	}
	w.fill(a, comm.Bulk, 30)
	ctx := store.WithActor(t.Context(), comm.Actor{Kind: comm.ActorAdmin})
	if done, err := w.b.Cancel(ctx, Scope{App: a, Before: shown}, nil); err != nil || done.Cancelled != 100 || done.Next != nil || w.left(Scope{App: a}) != 30 {
		t.Fatalf("%+v %v, %d are left", done, err, w.left(Scope{App: a}))
	}
	w.b.pause = func(context.Context, time.Duration) { w.fill(a, comm.Bulk, 1) } // while it is being done
	if done, err := w.b.Cancel(ctx, Scope{App: a, Before: shown.Add(time.Hour)}, nil); err != nil || done.Cancelled != 30 || w.left(Scope{App: a}) == 0 {
		t.Fatalf("%+v %v, %d are left", done, err, w.left(Scope{App: a}))
	}
}

// asking counts the questions about units.
type asking struct {
	Store
	units int
}

func (s *asking) UnitsOf(ctx context.Context, app comm.ID, shards []comm.Shard) ([]comm.Unit, error) {
	s.units++
	return s.Store.UnitsOf(ctx, app, shards)
}

func (s *asking) UnitsAfter(ctx context.Context, after comm.Unit, limit int) ([]comm.Unit, error) {
	s.units++
	return s.Store.UnitsAfter(ctx, after, limit)
}

// An app is one question, over however many shards it is spread.
func TestASpreadAppIsOneQuestion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app(comm.ShardCount)
	w.fill(a, comm.Normal, 100)
	s := &asking{Store: w.s}
	v, err := New(s, Rules{}).View(t.Context(), Filter{Scope: Scope{App: a}, Apps: 10})
	if err != nil || len(v.Units) != 1 || v.Units[0].Due != 100 || s.units != 1 {
		t.Errorf("%d questions, %+v, %v", s.units, v, err)
	}
}

// TestALookCountsWithinBounds: however much waits a page counts so much of each part, beside what is under way, and says that there is more.
func TestALookCountsWithinBounds(t *testing.T) {
	t.Parallel()
	for units, want := range map[int]int{0: 1000, 1: 1000, 2: 1000, 3: 500, 6: 200, 19: 100, 21: 50, 500: 50} {
		if got := countTo(units); got != want {
			t.Errorf("of %d units each is counted to %d, want %d", units, got, want)
		}
	}
	w := newWorld(t)
	a := w.app(1)
	for range 3 {
		w.fill(a, comm.Bulk, 1000)
	}
	v, err := w.b.View(t.Context(), Filter{Apps: 20})
	if err != nil || v.CountedTo != 1000 || v.Waiting != TotalMost || !v.More || len(v.Units) != 1 || v.Units[0].Due != 1000 || !v.Units[0].More || v.Units[0].OldestDue == 0 {
		t.Fatalf("%+v %v", v, err)
	}
	if n, more, err := w.b.Left(t.Context(), Scope{App: a}); err != nil || more || n != 3000 {
		t.Errorf("%d are left, %v %v", n, more, err)
	}
	// What is under way stands in front, and takes nothing of what is counted.
	unit := comm.Unit{Shard: comm.ShardOf(a.ID, a.ID, 1), App: a.ID, Channel: comm.SMS, Lane: comm.Bulk}
	var underWay []store.UnderWay
	windows, err := w.s.Windows(t.Context(), []store.Ask{{Unit: unit, Limit: 80}})
	if err != nil || len(windows[0]) != 80 {
		t.Fatal(windows, err)
	}
	for _, h := range windows[0] {
		underWay = append(underWay, store.UnderWay{Unit: unit, ID: h.ID})
	}
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := w.b.count(t.Context(), []comm.Unit{unit}, map[comm.ID]*comm.App{a.ID: a}, underWay, now, 50)
	if err != nil || len(all) != 1 || all[0].Due != 50 || all[0].Sending != 80 || !all[0].More || all[0].OldestDue == 0 {
		t.Errorf("%+v %v", all, err)
	}
}

// TestWhatFollowsTheCallsUnderWay: where all that is due is being sent it is told when the next one will be, also of a unit that is spread.
func TestWhatFollowsTheCallsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.app(1)
	id, later := comm.NewID(comm.At(time.Now())), comm.At(time.Now().Add(time.Hour))
	unit := comm.Unit{Shard: comm.ShardOf(a.ID, id, 1), App: a.ID, Channel: comm.SMS, Lane: comm.Bulk}
	w.fill(a, comm.Bulk, 1)
	windows, err := w.s.Windows(t.Context(), []store.Ask{{Unit: unit, Limit: 10}})
	if err != nil || len(windows[0]) != 1 {
		t.Fatal(windows, err)
	}
	underWay := []store.UnderWay{{Unit: unit, ID: windows[0][0].ID}}
	scheduled := store.Submission{App: a.ID, ID: id, Shard: unit.Shard, Channel: comm.SMS, Lane: comm.Bulk, Mode: comm.Sandbox, Recipient: "233241234567", Payload: []byte("x"), RatePerMinute: a.RatePerMinute, ScheduledAt: later}
	if _, err := w.s.Accept(t.Context(), []store.Submission{scheduled}); err != nil {
		t.Fatal(err)
	}
	look := func(underWay []store.UnderWay) Unit {
		t.Helper()
		now, err := w.s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all, err := w.b.count(t.Context(), []comm.Unit{unit}, map[comm.ID]*comm.App{a.ID: a}, underWay, now, 50)
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	sending := look(underWay)
	if sending.Due != 0 || sending.Later != 1 || sending.Sending != 1 || sending.OldestDue != 0 || sending.NextDue != later || sending.Next.ScheduledAt != later {
		t.Errorf("all that is due is being sent: %+v", sending)
	}
	waits := look(nil)
	if waits.Due != 1 || waits.Later != 1 || waits.OldestDue == 0 || waits.NextDue != 0 || waits.Next != (comm.State{}) {
		t.Errorf("one is due: %+v", waits)
	}
	if waits.join(&sending); waits.Due != 1 || waits.NextDue != 0 || waits.Next != (comm.State{}) {
		t.Errorf("one is due in one shard: %+v", waits)
	}
}
