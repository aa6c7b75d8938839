package pace

import (
	"math/rand/v2"
	"testing"
	"time"
)

func testConfig() BreakerConfig {
	return BreakerConfig{
		Window: 10 * time.Second, MinCount: 4, Share: 0.5, Probes: 2, ProbeWait: time.Minute,
		OpenFor: 10 * time.Second, MaxOpen: 40 * time.Second, MinClosed: 3 * time.Second,
	}
}

// feed lets results through one after the other at now and reports how many
// were allowed.
func feed(b *Breaker, now time.Time, results ...Result) int {
	allowed := 0
	for _, result := range results {
		if ticket, ok := b.Allow(now); ok {
			allowed++
			b.Done(now, ticket, result)
		}
	}
	return allowed
}

func at(seconds float64) time.Time {
	return start().Add(time.Duration(seconds * float64(time.Second)))
}

func wantState(t *testing.T, b *Breaker, now time.Time, want State) {
	t.Helper()
	if got := b.State(now); got != want {
		t.Fatalf("state = %v, want %v", got, want)
	}
}

func TestBreakerOpens(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		results []Result
		want    State
	}{
		{"nothing", nil, Closed},
		{"too few to judge", []Result{Failure, Failure, Failure}, Closed},
		{"all bad", []Result{Failure, Failure, Failure, Failure}, Open},
		{"half bad", []Result{Success, Success, Failure, Failure}, Open},
		{"less than half bad", []Result{Success, Success, Success, Failure, Failure}, Closed},
		{"neutral does not count", []Result{Failure, Failure, Failure, Neutral, Neutral}, Closed},
		{"all good", []Result{Success, Success, Success, Success, Success}, Closed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := NewBreaker(testConfig())
			feed(&b, at(0), test.results...)
			wantState(t, &b, at(0), test.want)
			_, allowed := b.Allow(at(0))
			if allowed != (test.want == Closed) {
				t.Errorf("Allow = %v in state %v", allowed, test.want)
			}
		})
	}
}

func TestBreakerWindowForgets(t *testing.T) {
	t.Parallel()
	b := NewBreaker(testConfig())
	feed(&b, at(0), Failure, Failure, Failure)
	feed(&b, at(10), Failure)
	wantState(t, &b, at(10), Closed) // the first three have left the window
	feed(&b, at(19), Failure, Failure)
	wantState(t, &b, at(19), Closed)
	feed(&b, at(19.5), Failure)
	wantState(t, &b, at(19.5), Open) // 10 and 19 are within one window
}

func opened(t *testing.T) Breaker {
	t.Helper()
	b := NewBreaker(testConfig())
	feed(&b, at(0), Failure, Failure, Failure, Failure)
	wantState(t, &b, at(0), Open)
	return b
}

func TestBreakerHalfOpen(t *testing.T) {
	t.Parallel()
	b := opened(t)
	if when, wait, forever := b.Next(at(1)); !wait || forever || !when.Equal(at(10)) {
		t.Errorf("Next = %v, %v, %v", when, wait, forever)
	}
	if _, ok := b.Allow(at(9.999)); ok {
		t.Error("work goes through before the time is over")
	}
	wantState(t, &b, at(10), HalfOpen)
	if _, wait, _ := b.Next(at(10)); wait {
		t.Error("Next waits although probes are wanted")
	}
	first, ok1 := b.Allow(at(10))
	second, ok2 := b.Allow(at(10))
	if _, ok3 := b.Allow(at(10)); !ok1 || !ok2 || ok3 {
		t.Fatalf("probes = %v %v %v, want two", ok1, ok2, ok3)
	}
	if when, wait, _ := b.Next(at(11)); !wait || !when.Equal(at(70)) {
		t.Errorf("Next = %v, %v while the probes are under way", when, wait)
	}
	b.Done(at(11), first, Success)
	wantState(t, &b, at(11), HalfOpen)
	b.Done(at(11), second, Success)
	wantState(t, &b, at(11), Closed)
	if n := feed(&b, at(11), Success, Success, Success); n != 3 {
		t.Errorf("%d of 3 go through after closing", n)
	}
}

func TestBreakerProbeFails(t *testing.T) {
	t.Parallel()
	b := opened(t)
	now := 0.0
	for _, openFor := range []float64{10, 20, 40, 40} { // doubles up to MaxOpen
		if feed(&b, at(now+openFor-0.001), Success) != 0 {
			t.Fatalf("work goes through before %v s are over", openFor)
		}
		now += openFor
		if feed(&b, at(now), Failure) != 1 {
			t.Fatalf("no probe after %v s", openFor)
		}
		wantState(t, &b, at(now), HalfOpen) // one alone tells nothing
		feed(&b, at(now), Failure)
		wantState(t, &b, at(now), Open)
	}
	// It closes, is well for longer than MaxOpen, and starts with the short time.
	now += 40
	feed(&b, at(now), Success, Success)
	wantState(t, &b, at(now), Closed)
	now += 100
	feed(&b, at(now), Failure, Failure, Failure, Failure)
	if when, _, _ := b.Next(at(now)); !when.Equal(at(now + 10)) {
		t.Errorf("opens for %v after a good time, want 10s", when.Sub(at(now)))
	}
}

func TestBreakerKeepsLongTimeWhenItFlaps(t *testing.T) {
	t.Parallel()
	b := opened(t)
	feed(&b, at(10), Failure, Failure) // 20 s now
	feed(&b, at(30), Success, Success)
	wantState(t, &b, at(30), Closed)
	feed(&b, at(34), Failure, Failure, Failure, Failure)
	if when, _, _ := b.Next(at(34)); !when.Equal(at(54)) {
		t.Errorf("opens until %v, want 20 s", when.Sub(at(34)))
	}
}

func TestBreakerMinClosed(t *testing.T) {
	t.Parallel()
	b := opened(t)
	feed(&b, at(10), Success, Success)
	feed(&b, at(10.5), Failure, Failure, Failure, Failure, Failure)
	wantState(t, &b, at(10.5), Closed)
	feed(&b, at(13), Failure)
	wantState(t, &b, at(13), Open)
}

func TestBreakerIgnoresOldResults(t *testing.T) {
	t.Parallel()
	b := NewBreaker(testConfig())
	var tickets []Ticket
	for range 8 {
		ticket, _ := b.Allow(at(0))
		tickets = append(tickets, ticket)
	}
	for _, ticket := range tickets[:4] {
		b.Done(at(1), ticket, Failure)
	}
	wantState(t, &b, at(1), Open)
	b.Done(at(2), tickets[4], Success)
	probe, _ := b.Allow(at(11))
	b.Done(at(11), tickets[5], Success)
	b.Done(at(11), tickets[6], Failure)
	b.Done(at(11), Ticket{}, Failure)
	wantState(t, &b, at(11), HalfOpen)
	b.Done(at(11), probe, Success)
	b.Done(at(11), tickets[7], Success) // must not count as the second probe
	wantState(t, &b, at(11), HalfOpen)
}

func TestBreakerNeutralProbe(t *testing.T) {
	t.Parallel()
	b := opened(t)
	for range 10 {
		if feed(&b, at(10), Neutral) != 1 {
			t.Fatal("a neutral probe does not give its place back")
		}
	}
	wantState(t, &b, at(10), HalfOpen)
}

func TestBreakerOverdueProbes(t *testing.T) {
	t.Parallel()
	b := opened(t)
	lost, _ := b.Allow(at(10))
	b.Allow(at(10))
	if _, ok := b.Allow(at(69)); ok {
		t.Fatal("a third probe goes through before the others are overdue")
	}
	if n := feed(&b, at(70), Success, Success); n != 2 {
		t.Fatalf("%d probes after the first ones were lost, want 2", n)
	}
	wantState(t, &b, at(70), Closed)
	b.Done(at(71), lost, Failure)
	wantState(t, &b, at(71), Closed)
}

func TestBreakerTrip(t *testing.T) {
	t.Parallel()
	b := NewBreaker(testConfig())
	b.Trip(at(0))
	wantState(t, &b, at(0), Open)
	b.Trip(at(5)) // stays as it is
	wantState(t, &b, at(10), HalfOpen)
	b.Trip(at(10)) // as a failed probe: 20 s
	if when, _, _ := b.Next(at(10)); !when.Equal(at(30)) {
		t.Errorf("Next = %v, want 30 s", when.Sub(start()))
	}
	feed(&b, at(30), Success, Success)
	b.Trip(at(31)) // overrules MinClosed
	wantState(t, &b, at(31), Open)
}

func TestBreakerPin(t *testing.T) {
	t.Parallel()
	b := NewBreaker(testConfig())
	b.Pin(PinOpen)
	wantState(t, &b, at(0), Open)
	if feed(&b, at(1e6), Success) != 0 {
		t.Error("pinned open lets work through")
	}
	if _, wait, forever := b.Next(at(1e6)); !wait || !forever {
		t.Error("pinned open ends by itself")
	}
	b.Pin(PinClosed)
	if n := feed(&b, at(0), Failure, Failure, Failure, Failure, Failure); n != 5 {
		t.Errorf("pinned closed lets %d of 5 through", n)
	}
	wantState(t, &b, at(0), Closed)
	if _, wait, _ := b.Next(at(0)); wait {
		t.Error("pinned closed waits")
	}
	b.Pin(PinNone)
	wantState(t, &b, at(0), Closed)
	feed(&b, at(0), Failure)
	wantState(t, &b, at(0), Open) // what happened under the pin counts
	b.Pin(PinClosed)
	if n := feed(&b, at(1), Failure, Success); n != 2 {
		t.Errorf("pinned closed over an open breaker lets %d of 2 through", n)
	}
	b.Pin(PinNone)
	wantState(t, &b, at(1), Open)
}

func TestBreakerDefaults(t *testing.T) {
	t.Parallel()
	b := NewBreaker(BreakerConfig{})
	for range 9 {
		feed(&b, at(0), Failure)
	}
	wantState(t, &b, at(0), Closed)
	feed(&b, at(0), Failure)
	wantState(t, &b, at(0), Open)
	if when, _, _ := b.Next(at(0)); !when.Equal(at(10)) {
		t.Errorf("opens for %v, want 10s", when.Sub(start()))
	}
}

func TestStateString(t *testing.T) {
	t.Parallel()
	for state, want := range map[State]string{Closed: "closed", Open: "open", HalfOpen: "half_open", 9: "unknown"} {
		if state.String() != want {
			t.Errorf("State(%d) = %q", state, state.String())
		}
	}
}

// TestBreakerRandomWalk holds what must be true whatever happens: Allow agrees
// with State, Next is never in the past and never wrong, probes are bounded,
// and a breaker always comes back once the peer is well.
func TestBreakerRandomWalk(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		b := NewBreaker(testConfig())
		now := start()
		var running []Ticket
		for range 400 {
			now = now.Add(time.Duration(rng.Int64N(int64(4 * time.Second))))
			when, wait, _ := b.Next(now)
			if wait && !when.After(now) {
				t.Fatalf("seed %d: Next is not in the future", seed)
			}
			ticket, ok := b.Allow(now)
			if ok == wait {
				t.Fatalf("seed %d: Allow = %v although Next says wait = %v", seed, ok, wait)
			}
			if ok && b.State(now) == Open {
				t.Fatalf("seed %d: work goes through an open breaker", seed)
			}
			if b.probes < 0 || b.probes > b.config.Probes {
				t.Fatalf("seed %d: %d probes", seed, b.probes)
			}
			if ok {
				if rng.IntN(8) > 0 {
					ticket = b.Began(now, ticket)
				}
				running = append(running, ticket)
			}
			if len(b.silence.begun) > len(running) {
				t.Fatalf("seed %d: %d are called, %d under way", seed, len(b.silence.begun), len(running))
			}
			if silent, some := b.SilentAt(3); some && !now.Before(silent) && rng.IntN(2) == 0 {
				if b.Stall(now); b.State(now) != Open {
					t.Fatalf("seed %d: it stalls and is %v", seed, b.State(now))
				}
			}
			if len(running) > 0 && rng.IntN(3) > 0 {
				i := rng.IntN(len(running))
				b.Done(now, running[i], Result(rng.IntN(4)))
				running = append(running[:i], running[i+1:]...)
			}
			if rng.IntN(100) == 0 {
				b.Trip(now)
			}
		}
		for _, ticket := range running {
			b.Done(now, ticket, Neutral)
		}
		if n := len(b.silence.begun); n != 0 {
			t.Fatalf("seed %d: %d are left although nothing is under way", seed, n)
		}
		for range 200 {
			now = now.Add(30 * time.Second)
			feed(&b, now, Success)
		}
		if b.State(now) != Closed {
			t.Fatalf("seed %d: still %v although all is well", seed, b.State(now))
		}
	}
}

func TestAllocations(t *testing.T) {
	b := NewBreaker(testConfig())
	bucket := NewBucket(100, 10)
	retry := Retry()
	now := start()
	if got := testing.AllocsPerRun(1000, func() {
		now = now.Add(time.Millisecond)
		bucket.Take(now)
		ticket, ok := b.Allow(now)
		if ok {
			ticket = b.Began(now, ticket)
			b.SilentAt(3)
			b.Done(now, ticket, Success)
		}
		b.Next(now)
		retry.Delay(3, nil)
	}); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func BenchmarkBreaker(b *testing.B) {
	breaker := NewBreaker(testConfig())
	now := start()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Millisecond)
		if ticket, ok := breaker.Allow(now); ok {
			breaker.Done(now, ticket, Success)
		}
	}
}

// TestBreakerOpensOnARow: however much went well before, a peer that died is left alone after a few calls.
func TestBreakerOpensOnARow(t *testing.T) {
	t.Parallel()
	fill := func(n int, r Result) (all []Result) {
		for range n {
			all = append(all, r)
		}
		return all
	}
	b := NewBreaker(testConfig())
	feed(&b, at(0), fill(1000, Success)...)
	feed(&b, at(1), fill(9, Failure)...)
	feed(&b, at(1), Neutral)
	wantState(t, &b, at(1), Closed)
	feed(&b, at(1), Success)
	if n := feed(&b, at(2), fill(50, Failure)...); n != 10 {
		t.Errorf("%d calls were made of a peer that died, want 10", n)
	}
	wantState(t, &b, at(2), Open)

	slow := NewBreaker(testConfig())
	feed(&slow, at(0), fill(1000, Success)...)
	for i := range 9 {
		feed(&slow, at(float64(1+i)/10), Failure)
	}
	feed(&slow, at(9.9), fill(1000, Success)...)
	feed(&slow, at(9.9), fill(9, Failure)...)
	wantState(t, &slow, at(9.9), Closed)
	feed(&slow, at(20), Failure) // the nine before it have left the window
	wantState(t, &slow, at(20), Closed)
}

// TestBreakerCounts: only a result of the present state says something; on trial only a trial's.
func TestBreakerCounts(t *testing.T) {
	b := NewBreaker(testConfig())
	early, _ := b.Allow(at(0))
	if !b.Counts(early) {
		t.Error("a result while it is closed does not count")
	}
	b.Trip(at(1))
	if b.Counts(early) {
		t.Error("a result from before counts while it is open")
	}
	probe, ok := b.Allow(at(12))
	if !ok || !b.Counts(probe) || b.Counts(early) {
		t.Errorf("on trial: allowed %v, the trial counts %v, one from before %v", ok, b.Counts(probe), b.Counts(early))
	}
}
