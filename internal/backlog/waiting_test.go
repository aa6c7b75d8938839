package backlog

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// stop changes what an operator wants of an app.
func (w *world) stop(a *comm.App, how func(*comm.App)) {
	w.Helper()
	how(a)
	if err := w.s.UpdateApp(w.Context(), a, a.UpdatedAt); err != nil {
		w.Fatal(err)
	}
}

// TestOldest: of each lane the message that has been due longest, but of no app that somebody stopped, however many there are.
func TestOldest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	look := func() map[Lane]comm.Micros {
		t.Helper()
		now, err := w.s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.b.Oldest(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	first := func(a *comm.App, lane comm.Lane) comm.Micros {
		t.Helper()
		units, err := w.b.unitsOf(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		now, err := w.s.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		units = slices.DeleteFunc(units, func(u comm.Unit) bool { return u.Lane != lane })
		depths, err := w.s.Depths(t.Context(), units, now, []int{10})
		if err != nil || len(depths) != 1 || depths[0].OldestDue == 0 {
			t.Fatal(depths, err)
		}
		return depths[0].OldestDue
	}
	if got := look(); len(got) != 0 {
		t.Errorf("nothing waits: %v", got)
	}
	paused, off, gone := w.app(1), w.app(1), w.app(1)
	for _, a := range []*comm.App{paused, off, gone} {
		w.fill(a, comm.Critical, 1)
		w.fill(a, comm.Bulk, 1)
	}
	w.ahead.Add(int64(time.Second))
	for range unitsAtOnce { // more than are looked at in one go
		a := w.app(1)
		w.fill(a, comm.Critical, 1)
		w.stop(a, func(a *comm.App) { a.QueuePaused = true })
	}
	w.ahead.Add(int64(time.Minute))
	old, draining := w.app(1), w.app(1)
	w.fill(old, comm.Critical, 1)
	w.fill(draining, comm.Normal, 1)
	w.ahead.Add(int64(time.Minute))
	w.fill(old, comm.Critical, 1)
	w.fill(w.app(1), comm.Critical, 1)
	w.stop(paused, func(a *comm.App) { a.QueuePaused = true })
	w.stop(off, func(a *comm.App) { a.Active = false })
	w.stop(draining, func(a *comm.App) { a.QueueDraining = true })
	if err := w.s.DeleteApp(t.Context(), gone.ID, comm.At(time.Now())); err != nil {
		t.Fatal(err)
	}
	want := map[Lane]comm.Micros{{comm.SMS, comm.Critical}: first(old, comm.Critical), {comm.SMS, comm.Normal}: first(draining, comm.Normal)}
	if got := look(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	w.stop(paused, func(a *comm.App) { a.QueuePaused = false })
	want[Lane{comm.SMS, comm.Critical}], want[Lane{comm.SMS, comm.Bulk}] = first(paused, comm.Critical), first(paused, comm.Bulk)
	if got := look(); !maps.Equal(got, want) {
		t.Errorf("resumed: %v, want %v", got, want)
	}
}

// TestOverdue: of each app that nobody stopped the unit that waits longest, the longest first, and none that is not overdue.
func TestOverdue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, paused, spread, young, draining := w.app(1), w.app(1), w.app(8), w.app(1), w.app(1)
	w.fill(old, comm.Bulk, 3)
	w.fill(paused, comm.Bulk, 3)
	w.ahead.Add(int64(time.Minute))
	w.fill(old, comm.Critical, 1)
	w.fill(spread, comm.Normal, 20)
	w.fill(draining, comm.Normal, 1)
	w.ahead.Add(int64(time.Minute))
	w.fill(young, comm.Normal, 1)
	w.stop(paused, func(a *comm.App) { a.QueuePaused = true })
	w.stop(draining, func(a *comm.App) { a.QueueDraining = true }) // what waits is to go out
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, more, err := w.b.Overdue(t.Context(), now.Add(-30*time.Second))
	if err != nil || more || len(got) != 3 || got[2].App.ID != draining.ID || got[0].App.ID != old.ID || got[0].Lane != comm.Bulk || got[1].App.ID != spread.ID || got[1].OldestDue-got[0].OldestDue < comm.Micros(59e6) {
		t.Fatalf("%+v %v", got, err)
	}
	if got, more, err := w.b.Overdue(t.Context(), now.Add(-time.Hour)); err != nil || more || len(got) != 0 {
		t.Fatalf("%+v %v", got, err)
	}
}

// TestOverdueOfVeryMany: what has waited for ever hides nothing that began to wait lately.
func TestOverdueOfVeryMany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range mostOverdue + unitsAtOnce {
		w.fill(w.app(1), comm.Normal, 1)
	}
	w.ahead.Add(int64(time.Hour))
	young := w.app(1)
	w.fill(young, comm.Normal, 1)
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, more, err := w.b.Overdue(t.Context(), now.Add(time.Second))
	if err != nil || !more || len(got) < mostOverdue || got[len(got)-1].App.ID != young.ID {
		t.Fatalf("%d, more %v, %v", len(got), more, err)
	}
}
