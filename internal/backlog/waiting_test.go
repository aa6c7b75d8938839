package backlog

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// TestOverdue: of each app that is not paused the unit that waits longest, the longest first, and none that is not overdue.
func TestOverdue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, paused, spread, young := w.app(1), w.app(1), w.app(8), w.app(1)
	w.fill(old, comm.Bulk, 3)
	w.fill(paused, comm.Bulk, 3)
	w.ahead.Add(int64(time.Minute))
	w.fill(old, comm.Critical, 1)
	w.fill(spread, comm.Normal, 20)
	w.ahead.Add(int64(time.Minute))
	w.fill(young, comm.Normal, 1)
	paused.QueuePaused = true
	if err := w.s.UpdateApp(t.Context(), paused, paused.UpdatedAt); err != nil {
		t.Fatal(err)
	}
	now, err := w.s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, more, err := w.b.Overdue(t.Context(), now.Add(-30*time.Second))
	if err != nil || more || len(got) != 2 || got[0].App.ID != old.ID || got[0].Lane != comm.Bulk || got[1].App.ID != spread.ID || got[1].OldestDue-got[0].OldestDue < comm.Micros(59e6) {
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
