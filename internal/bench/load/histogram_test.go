package load_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/bench/load"
)

// TestQuantilesAreNearTheTruth compares with the sorted values.
func TestQuantilesAreNearTheTruth(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var a, b load.Histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(math.Exp(rnd.Float64()*20) + 1)
		all = append(all, d)
		if i%2 == 0 {
			a.Add(d)
		} else {
			b.Add(d)
		}
	}
	a.Merge(&b)
	slices.Sort(all)
	if a.Count() != 20_000 || a.Max() != all[len(all)-1] {
		t.Fatalf("%d counted, longest %v; want 20000, %v", a.Count(), a.Max(), all[len(all)-1])
	}
	for _, q := range []float64{0.001, 0.5, 0.9, 0.99, 0.9999, 1} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		got := a.Quantile(q)
		if got < want || float64(got) > 1.016*float64(want)+1 {
			t.Errorf("quantile %v is %v, want %v or at most 1.6 %% more", q, got, want)
		}
	}
}

func TestHistogramEdges(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		add  []time.Duration
		want time.Duration // the median
	}{
		{"nothing", nil, 0},
		{"zero", []time.Duration{0}, 0},
		{"negative", []time.Duration{-time.Second}, 0},
		{"one", []time.Duration{time.Nanosecond}, time.Nanosecond},
		{"last exact one", []time.Duration{127}, 127},
		{"hours", []time.Duration{3 * time.Hour}, time.Duration(1<<36 - 1)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h load.Histogram
			for _, d := range tt.add {
				h.Add(d)
			}
			if got := h.Quantile(0.5); got != tt.want {
				t.Errorf("median %v, want %v", got, tt.want)
			}
		})
	}
}
