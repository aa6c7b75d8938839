package upkeep

import (
	"log/slog"
	"testing"
	"time"
)

// TestLongWorkHurries: work is gentle, goes faster once it has lasted longer than the
// patience, and what begins after a calm is gentle again.
func TestLongWorkHurries(t *testing.T) {
	slow, fast := Pace{time.Millisecond, 0.5}, Pace{8 * time.Millisecond, 0.9}
	s := &Service{cfg: Config{Gentle: slow, Hurried: fast, Patience: time.Minute, Log: slog.New(slog.DiscardHandler)}}
	at := time.Unix(1_800_000_000, 0)
	for _, step := range []struct {
		name string
		wait time.Duration
		want Pace
	}{
		{"the first transaction", 0, slow},
		{"soon after", 20 * time.Second, slow},
		{"within the patience", 20 * time.Second, slow},
		{"longer than the patience", 21 * time.Second, fast},
		{"still at it", 29 * time.Second, fast},
		{"after a calm", calm + time.Second, slow},
		{"within the patience again", 20 * time.Second, slow},
	} {
		at = at.Add(step.wait)
		s.hurry(at)
		s.latest = at
		if got := (Pace{s.slice.Aim, s.slice.Share}); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
	}
}

// TestRestFollowsThePace: the rest after a transaction is what its pace leaves to others.
func TestRestFollowsThePace(t *testing.T) {
	s := New(Config{Ring: newWorld(t).up.cfg.Ring, Gentle: Pace{4 * time.Millisecond, 0.1}, Log: slog.New(slog.DiscardHandler)})
	h := s.retaining
	h.take()
	defer h.give()
	began := time.Now()
	if err := h.rest(t.Context(), 10, 4*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 36*time.Millisecond {
		t.Errorf("rested %s after 4 ms, want 36 ms", took)
	}
	s.since, s.cfg.Hurried, s.cfg.Patience = began.Add(-time.Hour), Pace{4 * time.Millisecond, 0.8}, time.Minute
	if err := h.rest(t.Context(), 10, 4*time.Millisecond); err != nil || s.slice.Share != 0.8 {
		t.Errorf("after an hour the share is %v (%v), want 0.8", s.slice.Share, err)
	}
}
