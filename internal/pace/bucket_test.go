package pace

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func start() time.Time { return time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC) }

func TestBucket(t *testing.T) {
	t.Parallel()
	type step struct {
		after time.Duration // since the start
		takes int           // how many succeed
		wait  time.Duration // then, until the next
	}
	tests := []struct {
		name      string
		perSecond float64
		burst     int
		steps     []step
	}{
		{"one a second", 1, 1, []step{{0, 1, time.Second}, {500 * time.Millisecond, 0, 500 * time.Millisecond}, {time.Second, 1, time.Second}, {10 * time.Second, 1, time.Second}}},
		{"burst", 2, 3, []step{{0, 3, 500 * time.Millisecond}, {time.Second, 2, 500 * time.Millisecond}, {time.Minute, 3, 500 * time.Millisecond}}},
		{"one a minute", 1.0 / 60, 1, []step{{0, 1, time.Minute}, {time.Minute, 1, time.Minute}}},
		{"a million a second", 1e6, 1, []step{{0, 1, time.Microsecond}, {time.Microsecond, 1, time.Microsecond}}},
		{"faster than the clock", 1e12, 1, []step{{0, 1, time.Nanosecond}}},
		{"burst below one counts as one", 1, 0, []step{{0, 1, time.Second}}},
		{"almost never", 1e-300, 1 << 40, []step{{0, 1, 100 * 365 * 24 * time.Hour}}},
		{"huge burst", 1e9, math.MaxInt, []step{{0, 1000, 0}}},
		{"no limit", 0, 5, []step{{0, 1000, 0}}},
		{"negative is no limit", -1, 5, []step{{0, 1000, 0}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := NewBucket(test.perSecond, test.burst)
			for i, s := range test.steps {
				now := start().Add(s.after)
				takes := 0
				for takes < 1000 && b.Take(now) {
					takes++
				}
				if takes != s.takes {
					t.Errorf("step %d: %d takes, want %d", i, takes, s.takes)
				}
				if got := b.Wait(now); got != s.wait {
					t.Errorf("step %d: Wait = %v, want %v", i, got, s.wait)
				}
			}
		})
	}
}

// TestBucketTokens: as many takes succeed as it says, whatever was taken before.
func TestBucketTokens(t *testing.T) {
	t.Parallel()
	for _, b := range []Bucket{NewBucket(1, 1), NewBucket(3, 7), NewBucket(200, 20), NewBucket(1e6, 3), NewBucket(0.01, 2)} {
		now := start()
		for i := range 200 {
			n, took := b.Tokens(now), 0
			for c := b; c.Take(now); {
				took++
			}
			if n != took {
				t.Fatalf("%+v: %d tokens at step %d, %d takes", b, n, i, took)
			}
			for range rand.IntN(n + 1) {
				b.Take(now)
			}
			now = now.Add(rand.N(3 * b.interval))
		}
	}
	if b := NewBucket(0, 1); b.Tokens(start()) != math.MaxInt {
		t.Error("no limit has an end")
	}
}

// TestBucketRate checks the promise over random times: in any span at most
// burst + rate x span, and after Wait exactly one more.
func TestBucketRate(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		rate, burst := 0.1+rng.Float64()*50, 1+rng.IntN(20)
		b := NewBucket(rate, burst)
		now := start()
		var taken []time.Time
		for range 500 {
			now = now.Add(time.Duration(rng.ExpFloat64() * float64(time.Second) / rate / 2))
			if b.Take(now) {
				taken = append(taken, now)
				continue
			}
			wait := b.Wait(now)
			if wait <= 0 {
				t.Fatalf("seed %d: refused with Wait %v", seed, wait)
			}
			copied := b
			if copied.Take(now.Add(wait - 1)) {
				t.Fatalf("seed %d: token before Wait is over", seed)
			}
			copied = b
			if !copied.Take(now.Add(wait)) || copied.Take(now.Add(wait)) {
				t.Fatalf("seed %d: not exactly one token after Wait", seed)
			}
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				if allowed := float64(burst) + rate*taken[j].Sub(taken[i]).Seconds() + 1e-6; float64(j-i+1) > allowed {
					t.Fatalf("seed %d: %d takes in %v, rate %v burst %d", seed, j-i+1, taken[j].Sub(taken[i]), rate, burst)
				}
			}
		}
	}
}

func TestBucketClockStepsBack(t *testing.T) {
	t.Parallel()
	b := NewBucket(1, 5)
	for range 5 {
		b.Take(start())
	}
	back := start().Add(-time.Hour)
	if b.Take(back) {
		t.Error("a step back of the clock gives tokens")
	}
	if wait := b.Wait(back); wait != time.Second {
		t.Errorf("Wait = %v after a step back, want 1s", wait)
	}
}

func TestBucketSetRateAndReturn(t *testing.T) {
	t.Parallel()
	now := start()
	b := NewBucket(1, 10)
	for range 10 {
		b.Take(now)
	}
	b.SetRate(10, 10)
	if b.Take(now) {
		t.Error("a new rate refills the bucket")
	}
	if wait := b.Wait(now); wait != 100*time.Millisecond {
		t.Errorf("Wait = %v, want 100ms", wait)
	}
	b.Return()
	if !b.Take(now) || b.Take(now) {
		t.Error("Return does not give exactly one token back")
	}
	for range 100 {
		b.Return()
	}
	takes := 0
	for b.Take(now) {
		takes++
	}
	if takes != 10 {
		t.Errorf("%d takes after many returns, want the burst of 10", takes)
	}
	var zero Bucket
	if !zero.Take(now) || zero.Wait(now) != 0 {
		t.Error("the zero bucket limits")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	want := []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, time.Hour, time.Hour}
	for i, step := range want {
		n := i + 1
		if got := Retry().Delay(n, nil); got != step {
			t.Errorf("Delay(%d) = %v, want %v", n, got, step)
		}
		if got := Retry().Delay(n, func() float64 { return 0 }); got != step*8/10 {
			t.Errorf("shortest Delay(%d) = %v, want %v", n, got, step*8/10)
		}
		if got := Retry().Delay(n, func() float64 { return 0.5 }); got != step {
			t.Errorf("middle Delay(%d) = %v, want %v", n, got, step)
		}
		longest := Retry().Delay(n, func() float64 { return math.Nextafter(1, 0) })
		if longest > step*12/10 || longest < step*119/100 {
			t.Errorf("longest Delay(%d) = %v, want just under %v", n, longest, step*12/10)
		}
	}
	if got := Retry().Delay(math.MaxInt, nil); got != time.Hour {
		t.Errorf("Delay(MaxInt) = %v", got)
	}
	for _, n := range []int{0, -5, math.MinInt} {
		if got := Retry().Delay(n, nil); got != 5*time.Second {
			t.Errorf("Delay(%d) = %v, want the first step", n, got)
		}
	}
	if got := (Backoff{}).Delay(3, rand.Float64); got != 0 {
		t.Errorf("the zero Backoff waits %v", got)
	}
	wild := Backoff{Steps: []time.Duration{time.Second}, Jitter: 7}
	if got := wild.Delay(1, func() float64 { return 0 }); got != 0 {
		t.Errorf("jitter above 1 makes %v", got)
	}
}

func TestBackoffSpreads(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	var sum time.Duration
	const n = 10000
	for range n {
		d := Retry().Delay(6, rng.Float64)
		if d < 48*time.Minute || d > 72*time.Minute || d != d.Round(time.Microsecond) {
			t.Fatalf("Delay = %v", d)
		}
		sum += d
	}
	if mean := sum / n; mean < 59*time.Minute || mean > 61*time.Minute {
		t.Errorf("mean %v, want about an hour", mean)
	}
}

func BenchmarkBucketTake(b *testing.B) {
	bucket := NewBucket(1e6, 100)
	now := start()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		bucket.Take(now)
	}
}
