package pace

import (
	"testing"
	"time"
)

// begin starts pieces of work, one at each of these seconds.
func begin(t *testing.T, b *Breaker, seconds ...float64) (out []Ticket) {
	t.Helper()
	for _, s := range seconds {
		ticket, ok := b.Allow(at(s))
		if !ok {
			t.Fatalf("nothing goes through at %v s", s)
		}
		out = append(out, b.Began(at(s), ticket))
	}
	return out
}

func wantSilent(t *testing.T, b *Breaker, few int, seconds float64) {
	t.Helper()
	when, ok := b.SilentAt(few)
	if seconds < 0 {
		if ok {
			t.Errorf("it counts as silent at %v", when.Sub(start()))
		}
		return
	}
	if want := at(seconds); !ok || when.Sub(want).Abs() > time.Millisecond {
		t.Errorf("it counts as silent at %v (%v), want %v", when.Sub(start()), ok, want.Sub(start()))
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	quick := func(t *testing.T) *Breaker { // answers within 100 ms
		b := NewBreaker(BreakerConfig{})
		for i := range 40 {
			for _, x := range begin(t, &b, float64(i)/10) {
				b.Done(at(float64(i+1)/10), x, Success)
			}
		}
		return &b // heard at 4 s
	}
	t.Run("several are under way and nothing came back", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		begin(t, b, 10, 10.2)
		wantSilent(t, b, 3, -1)
		wantSilent(t, b, 2, 11.7)
		begin(t, b, 10.3, 10.9)
		wantSilent(t, b, 3, 11.8)
	})
	t.Run("any success counts, that of old work too", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		old := begin(t, b, 10, 10.1, 10.2, 10.3)
		b.Done(at(11), old[1], Success)
		wantSilent(t, b, 3, 12.5)
	})
	t.Run("failures are no sign of life, and end", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		old := begin(t, b, 10, 10.1, 10.2, 10.3)
		b.Done(at(11), old[1], Failure)
		b.Done(at(11), old[2], Neutral)
		wantSilent(t, b, 3, -1)
		wantSilent(t, b, 2, 11.8)
	})
	t.Run("rare work that ran out of its time counts", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		for _, s := range []float64{50, 100} {
			for _, x := range begin(t, b, s) {
				b.Done(at(s+30), x, Failure)
			}
		}
		begin(t, b, 150)
		wantSilent(t, b, 3, 151.5)
		late := begin(t, b, 150.1)
		b.Done(at(150.5), late[0], Success) // it answers after all
		wantSilent(t, b, 3, -1)
	})
	t.Run("what failed soon, or perhaps by its own fault, does not", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		for i, r := range []Result{Failure, Doubtful, Neutral, Failure, Doubtful, Neutral} {
			for _, x := range begin(t, b, float64(50+40*i)) {
				took := 30.0
				if r == Failure {
					took = 1
				}
				b.Done(at(float64(50+40*i)+took), x, r)
			}
		}
		begin(t, b, 400)
		wantSilent(t, b, 3, -1)
	})
	t.Run("a slow peer has twice the time that it takes", func(t *testing.T) {
		t.Parallel()
		b := NewBreaker(BreakerConfig{})
		begin(t, &b, 0)
		for i := range 30 {
			for _, x := range begin(t, &b, float64(i)) {
				b.Done(at(float64(i+3)), x, Success)
			}
		}
		begin(t, &b, 40, 40, 40)
		wantSilent(t, &b, 3, 46)
	})
	t.Run("it opens, and the first answer closes it", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		old := begin(t, b, 10, 10, 10)
		b.Stall(at(11.5))
		if _, ok := b.Allow(at(12)); ok || !b.Stalled() {
			t.Error("work goes through to a silent peer")
		}
		wantSilent(t, b, 3, -1)
		b.Done(at(13), old[0], Failure)
		wantState(t, b, at(13), Open)
		b.Done(at(14), old[1], Success)
		wantState(t, b, at(14), Closed)
		if feed(b, at(14), Success) != 1 || b.Stalled() {
			t.Error("nothing goes through although it answers again")
		}
	})
	t.Run("probes that hang open it again, for longer", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		begin(t, b, 10, 10, 10)
		b.Stall(at(11.5))
		begin(t, b, 21.5)
		wantSilent(t, b, 3, 23)
		b.Stall(at(23))
		if when, wait, _ := b.Next(at(23)); !wait || !when.Equal(at(43)) {
			t.Errorf("open until %v", when.Sub(start()))
		}
	})
	t.Run("a pinned one is not judged", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		b.Pin(PinClosed)
		begin(t, b, 10, 10, 10)
		wantSilent(t, b, 3, -1)
	})
	t.Run("one that was opened for failures is not closed by old work", func(t *testing.T) {
		t.Parallel()
		b := quick(t)
		old := begin(t, b, 10)
		b.Trip(at(11))
		b.Stall(at(11))
		b.Done(at(12), old[0], Success)
		wantState(t, b, at(12), Open)
	})
	t.Run("a copy forgets what is reported to the other", func(t *testing.T) {
		t.Parallel()
		b := *quick(t)
		begin(t, &b, 10, 10, 10)
		b.Detach()
		wantSilent(t, &b, 1, -1)
	})
}

// TestFairProbes: what fails wherever it is tried does not speak for the peer.
func TestFairProbes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		results []Result
		want    State
	}{
		{"one failure alone", []Result{Failure, Success, Success}, Closed},
		{"one in the middle", []Result{Success, Failure, Success}, Closed},
		{"two", []Result{Failure, Failure}, Open},
		{"two with a success between them", []Result{Failure, Success, Failure}, Open},
		{"a few that failed before", []Result{Doubtful, Doubtful, Doubtful, Doubtful, Doubtful, Doubtful, Success, Success}, Closed},
		{"a few that failed before, and one more", []Result{Doubtful, Doubtful, Doubtful, Failure, Success, Success}, Closed},
		{"many that failed before", []Result{Doubtful, Doubtful, Doubtful, Doubtful, Doubtful, Doubtful, Doubtful, Doubtful}, Open},
		{"what says nothing", []Result{Neutral, Neutral, Failure, Neutral}, HalfOpen},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := opened(t)
			if n := feed(&b, at(10), tc.results...); n != len(tc.results) {
				t.Errorf("%d of %d probes went through", n, len(tc.results))
			}
			wantState(t, &b, at(10), tc.want)
		})
	}
}
