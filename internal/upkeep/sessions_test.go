package upkeep

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestSessionsGoWhenNobodyCanUseThem: rounds remove those that were not used for half an hour and those whose time is over,
// more of them than one transaction takes, and leave the others.
func TestSessionsGoWhenNobodyCanUseThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := byte(0)
	begin := func(seen, ends time.Duration) [32]byte {
		t.Helper()
		now, err := w.s.Now(t.Context())
		w.must(err)
		n++
		row := &store.Session{Hash: [32]byte{n, byte(len(t.Name()))}, CreatedAt: now, SeenAt: now.Add(-seen), ExpiresAt: now.Add(ends)}
		w.must(w.s.StartSession(t.Context(), row, nil))
		return row.Hash
	}
	for range pageOf/2 + 1 {
		begin(comm.SessionIdle+time.Second, time.Hour) // not used
		begin(0, -time.Second)                         // over
	}
	fresh, used := begin(0, comm.SessionLifetime), begin(0, comm.SessionLifetime)
	is := func(when string, removed int, want ...bool) {
		t.Helper()
		w.must(w.up.Round(t.Context()))
		for i, hash := range [][32]byte{fresh, used} {
			row, err := w.s.Session(t.Context(), hash)
			if err != nil && !comm.IsKind(err, comm.Missing) {
				t.Fatal(err)
			}
			if there := row != nil; there != want[i] {
				t.Errorf("%s: session %d is there: %v", when, i, there)
			}
		}
		if got := w.task(TaskSessions); got.Done != removed {
			t.Errorf("%s: %+v", when, got)
		}
	}
	is("at once", pageOf+2, true, true)
	w.later(comm.SessionIdle - time.Minute)
	now, err := w.s.Now(t.Context())
	w.must(err)
	w.must(w.s.TouchSession(t.Context(), used, now))
	is("before the half hour", 0, true, true)
	w.later(2 * time.Minute)
	is("past it", 1, false, true)
	w.later(comm.SessionLifetime)
	is("past the end", 1, false, false)
}
