package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// limited opens the database at path under a clock.
func limited(t *testing.T, path string, now *time.Time) *Store {
	t.Helper()
	return openedWith(t, Options{Path: path, Now: func() time.Time { return *now }})
}

// submit sends one message of the app under a limit of three and answers what became of it.
func submit(t *testing.T, s *Store, app comm.ID) store.Accepted {
	t.Helper()
	sub := submission()
	sub.App, sub.RatePerMinute = app, 3
	out, err := s.Accept(t.Context(), []store.Submission{sub})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func TestRatesCountFixedMinutes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := limited(t, filepath.Join(t.TempDir(), "comm.db"), &now)
	app, other := comm.NewID(1), comm.NewID(2)
	for i := 1; i <= 5; i++ {
		got := submit(t, s, app)
		want := store.New
		if i > 3 {
			want = store.RateLimited
		}
		if got.Result != want || got.RateUsed != i || got.RateReset != comm.At(time.Date(2026, 1, 2, 3, 5, 0, 0, time.UTC)) {
			t.Fatalf("%d: %+v", i, got)
		}
	}
	if got := submit(t, s, other); got.Result != store.New || got.RateUsed != 1 {
		t.Fatalf("another app: %+v", got)
	}
	now = now.Add(55 * time.Second) // 03:05:00
	if got := submit(t, s, app); got.Result != store.New || got.RateUsed != 1 {
		t.Fatalf("the next minute: %+v", got)
	}
}

func TestRatesSurviveARestart(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "comm.db")
	app := comm.NewID(1)
	s := limited(t, path, &now)
	submit(t, s, app)
	submit(t, s, app)
	for range 3 * ratesAtOnce { // more apps than one group writes
		submit(t, s, comm.NewID(comm.At(now)))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = limited(t, path, &now)
	if got := submit(t, s, app); got.RateUsed != 3 {
		t.Fatalf("%+v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	s = limited(t, path, &now)
	if got := submit(t, s, app); got.RateUsed != 1 {
		t.Fatalf("rows of an old minute count: %+v", got)
	}
}

func TestAFailedAcceptCountsForNothing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s := limited(t, filepath.Join(t.TempDir(), "comm.db"), &now)
	app := comm.NewID(1)
	taken := submission()
	taken.App = app
	if _, err := s.Accept(t.Context(), []store.Submission{taken}); err != nil {
		t.Fatal(err)
	}
	fresh := submission()
	fresh.App = app
	for range 3 {
		if _, err := s.Accept(t.Context(), []store.Submission{fresh, taken}); err == nil {
			t.Fatal("a message id is stored twice")
		}
	}
	if got := submit(t, s, app); got.RateUsed != 2 {
		t.Fatalf("%+v", got)
	}
}
