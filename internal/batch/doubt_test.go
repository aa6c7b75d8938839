package batch

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestDoubtedItems: an error that may be everybody's costs a few calls if it is, and
// fails only the items at fault if it is not.
func TestDoubtedItems(t *testing.T) {
	t.Parallel()
	all := func(n int) (out []int) {
		for i := range n {
			out = append(out, i)
		}
		return out
	}
	errAway := errors.New("away")
	tests := []struct {
		name  string
		n     int
		bad   []int
		away  int // from this call of Commit on everything fails, unmarked; 0 for never
		calls int // most calls of Commit after the first item's
	}{
		{"none", 8, nil, 0, 1},
		{"one of eight", 8, []int{3}, 0, 9},
		{"one of 512", 512, []int{501}, 0, 25},
		{"one of each part", 64, []int{0, 9, 18, 27, 36, 45, 54, 63}, 0, 9},
		{"two of 512", 512, []int{3, 300}, 0, 41},
		{"one of two", 2, []int{1}, 0, 3},
		{"everybody", 512, all(512), 0, 9},
		{"everybody of a few", 3, all(3), 0, 4},
		{"alone", 1, []int{0}, 0, 1},
		{"an outage meanwhile", 64, []int{3}, 4, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &recorder{delay: time.Second}
				r.fail = func(group []int) error {
					if test.away > 0 && len(r.groups) >= test.away {
						return errAway
					}
					for _, item := range group {
						if slices.Contains(test.bad, item) {
							rand.Shuffle(len(group), func(i, j int) { group[i], group[j] = group[j], group[i] })
							return fmt.Errorf("insert: %w", Doubt(errBad))
						}
					}
					return nil
				}
				g := New(Config[int, int]{Commit: r.commit})
				stop := running(t, g)
				synctest.Wait()
				first := doEach(t.Context(), g, -1) // holds the committer while the rest gathers
				rest := doEach(t.Context(), g, all(test.n)...)
				first()
				shown := len(test.bad) < test.n && test.name != "one of each part" && test.away == 0
				for i, o := range rest() {
					switch {
					case o.err == nil && o.out != 2*i:
						t.Errorf("item %d: %d", i, o.out)
					case slices.Contains(test.bad, i) != (o.err != nil) && shown:
						t.Errorf("item %d: %d, %v", i, o.out, o.err)
					case o.err != nil && !errors.Is(o.err, errBad) && !errors.Is(o.err, errAway):
						t.Errorf("item %d: %v", i, o.err)
					}
				}
				if calls := len(r.groups) - 1; calls > test.calls {
					t.Errorf("%d calls of Commit, want at most %d", calls, test.calls)
				}
				stop()
			})
		})
	}
	if Doubt(nil) != nil || !errors.Is(Doubt(errBad), errBad) {
		t.Error("the mark hides what it marks")
	}
}
