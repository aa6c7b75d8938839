package pace

import (
	"testing"
	"time"
)

// TestAWindowForgetsInTenths: also while nothing is added, and whatever the clock does.
func TestAWindowForgetsInTenths(t *testing.T) {
	t.Parallel()
	start := time.Unix(1_700_000_000, 0)
	w := NewWindow(time.Minute)
	for _, step := range []struct {
		at        time.Duration // when it is looked at, after what is added
		good, bad int           // are added then
		wantGood  int
		wantBad   int
	}{
		{0, 0, 0, 0, 0},
		{time.Second, 3, 1, 3, 1},
		{30 * time.Second, 0, 2, 3, 3},
		{20 * time.Second, 1, 0, 4, 3},
		{59 * time.Second, 0, 0, 4, 3},
		{61 * time.Second, 0, 0, 1, 2},
		{89 * time.Second, 0, 0, 1, 2},
		{91 * time.Second, 0, 0, 0, 0},
		{92 * time.Second, 5, 0, 5, 0},
		{24 * time.Hour, 0, 0, 0, 0},
		{24*time.Hour + time.Second, 0, 7, 0, 7},
	} {
		now := start.Add(step.at)
		for range step.good {
			w.Add(now, false)
		}
		for range step.bad {
			w.Add(now, true)
		}
		if good, bad := w.Sums(now); good != step.wantGood || bad != step.wantBad {
			t.Errorf("after %s: %d went well and %d failed, want %d and %d", step.at, good, bad, step.wantGood, step.wantBad)
		}
	}
	w.Clear()
	if good, bad := w.Sums(start); good+bad != 0 {
		t.Errorf("what is cleared has %d and %d", good, bad)
	}
}
