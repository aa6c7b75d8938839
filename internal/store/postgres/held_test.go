package postgres

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestHeldAppsRest follows an app that is waited for in vain: it rests longer and is waited for longer each time, is
// tried apart for a minute after the last time, and forgotten then.
func TestHeldAppsRest(t *testing.T) {
	t.Parallel()
	locked, other := comm.ID{1}, comm.ID{2}
	subs := []store.Submission{{App: other}, {App: locked}, {App: other}, {App: locked}}
	group := []int{0, 1, 2, 3}
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	var h held
	expect := func(wantFree []int, wantApart [][]int, wantBusy ...int) {
		t.Helper()
		out := make([]store.Accepted, len(subs))
		free, apart := h.sort(subs, group, out, now)
		var refused []int
		for i := range out {
			if out[i].Result == store.Busy {
				refused = append(refused, i)
			}
		}
		if !slices.Equal(free, wantFree) || !slices.EqualFunc(apart, wantApart, slices.Equal) || !slices.Equal(refused, wantBusy) {
			t.Fatalf("free %v, apart %v, refused %v", free, apart, refused)
		}
	}
	expect(group, nil)
	if h.release(locked); len(h.apps) != 0 || h.patience(locked) != apartWait {
		t.Fatal("something is known of an app that never waited")
	}
	for n, rest := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second} {
		if first := h.hold(locked, now); first != (n == 0) {
			t.Fatal("first", first)
		}
		now = now.Add(rest - time.Millisecond)
		expect([]int{0, 2}, nil, 1, 3)
		now = now.Add(time.Millisecond)
		expect([]int{0, 2}, [][]int{{1, 3}})
		if got := h.patience(locked); got != rest/8 {
			t.Fatalf("it is waited for %v after a rest of %v", got, rest)
		}
	}
	h.hold(locked, now)
	h.release(locked) // it could be stored, and goes on apart, without a rest
	expect([]int{0, 2}, [][]int{{1, 3}})
	now = now.Add(suspected + time.Millisecond)
	expect(group, nil)
	if !h.hold(locked, now) {
		t.Error("it was not forgotten")
	}
}

// TestOnlyLocksHoldApps: a group whose statement took too long, or was cancelled in the database, is asked app by app as one that
// waited for a lock, but no app is known to be locked for it; what its own caller cancelled is asked no more.
func TestOnlyLocksHoldApps(t *testing.T) {
	t.Parallel()
	bad, good := comm.ID{1}, comm.ID{2}
	subs := []store.Submission{{App: good}, {App: bad}, {App: good}}
	for _, c := range []struct {
		code string
		held bool
	}{{lockNotAvailable, true}, {statementCancelled, false}} {
		s := &Store{log: slog.New(slog.DiscardHandler)}
		var asked [][]int
		try := func(part []int, _ time.Duration) ([]int, error) {
			asked = append(asked, part)
			if slices.Contains(part, 1) {
				return nil, &store.RolledBack{Cause: &pgconn.PgError{SeverityUnlocalized: "ERROR", Code: c.code}}
			}
			return nil, nil
		}
		answers := make([]store.Accepted, len(subs))
		again, err := s.unlessHeld(t.Context(), subs, []int{0, 1, 2}, false, answers, try)
		if err != nil || again != nil || answers[0].Result == store.Busy || answers[1].Result != store.Busy || len(asked) != 3 {
			t.Errorf("%s: %+v %v %v, asked for %v", c.code, answers, again, err, asked)
		}
		if s.held.apps[bad].resting != c.held || len(s.held.apps) > 1 {
			t.Errorf("%s: held are %v", c.code, s.held.apps)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s, asked = &Store{log: s.log}, nil
		_, err = s.unlessHeld(ctx, subs, []int{0, 1, 2}, false, answers, func(part []int, wait time.Duration) ([]int, error) {
			cancel()
			return try(part, wait)
		})
		if err == nil || len(asked) != 1 {
			t.Errorf("%s: after its caller went: %v, asked for %v", c.code, err, asked)
		}
	}
}
