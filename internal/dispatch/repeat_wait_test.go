package dispatch

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// maintenance is a 503 that says when to come again.
func maintenance(d time.Duration) func(context.Context, *provider.Message) error {
	return func(context.Context, *provider.Message) error {
		return &provider.Error{Class: provider.Ambiguous, Code: "503", Text: "maintenance", RetryAfter: d}
	}
}

// ends waits until a message is queued no more, or for that long, and answers how long it has taken since it was accepted.
func (k *keyedStage) ends(id comm.ID, most time.Duration) time.Duration {
	for began := time.Now(); time.Since(began) < most; time.Sleep(100 * time.Millisecond) {
		if st := k.status(id); st.Status.Final() || st.Status == comm.Sent {
			break
		}
	}
	st := k.status(id)
	return st.UpdatedAt.Sub(st.CreatedAt)
}

// shut opens the breaker of ONE for longer than the scene lasts.
func (k *keyedStage) shut(srv *simServer, a *comm.App) {
	srv.d.sched.mu.Lock()
	defer srv.d.sched.mu.Unlock()
	for _, x := range srv.d.sched.dir.entry(a.ID).accounts {
		if x.name == "one" {
			x.breaker = pace.NewBreaker(pace.BreakerConfig{OpenFor: 24 * time.Hour})
			x.breaker.Trip(time.Now())
		}
	}
}

// A time at which to come again is the provider's wish and holds for the provider: a message in doubt that another one could
// carry does not wait for it.
func TestAMessageInDoubtDoesNotWaitForATime(t *testing.T) {
	ttl := func(st *comm.State) { st.ExpiresAt = comm.At(time.Now()).Add(2 * time.Minute) }
	critical := func(st *comm.State) { st.Lane = comm.Critical }
	for _, tc := range []struct {
		name  string
		life  time.Duration // of keys; 0: ONE takes none
		edit  func(*comm.State)
		order string
		most  time.Duration
	}{
		{"without a key", 0, nil, "ONE TWO", 5 * time.Second},
		{"without a key, with a time to live", 0, ttl, "ONE TWO", 5 * time.Second},
		{"with a key", keyLife, nil, "ONE TWO", repeatPatience + 5*time.Second},
		{"with a key, with a time to live", keyLife, ttl, "ONE TWO", 35 * time.Second},
		{"with a key, CRITICAL", keyLife, critical, "ONE TWO", repeatPatienceCritical + 5*time.Second},
	} {
		playKeyed(t, tc.name, tc.life, func(t *testing.T, k *keyedStage, a *comm.App) {
			srv := k.boot(0)
			time.Sleep(time.Second)
			k.does("ONE", maintenance(15*time.Minute))
			id := k.send(srv, a, tc.edit)
			if took := k.ends(id, 20*time.Minute); took > tc.most {
				t.Errorf("it took %v, at most %v", took, tc.most)
			}
			k.wants(t, id, tc.order, comm.Sent)
		})
	}
	playKeyed(t, "alone it waits with its provider", keyLife, func(t *testing.T, k *keyedStage, _ *comm.App) {
		alone := k.app(nil, emailConfig("ONE", 1))
		srv := k.boot(0)
		time.Sleep(time.Second)
		k.does("ONE", maintenance(8*time.Minute))
		id := k.send(srv, alone, nil)
		time.Sleep(time.Second)
		k.does("ONE", nil)
		time.Sleep(7 * time.Minute)
		k.wants(t, id, "ONE", comm.Queued)
		time.Sleep(70 * time.Second)
		k.wants(t, id, "ONE ONE", comm.Sent)
	})
}

// A repeat that is put off itself is given up in time, too.
func TestARepeatThatIsPutOffIsGivenUpInTime(t *testing.T) {
	putOff := func(context.Context, *provider.Message) error {
		return &provider.Error{Class: provider.Transient, Code: "450", Text: "come again", Healthy: true, RetryAfter: 15 * time.Minute}
	}
	for _, tc := range []struct {
		name  string
		act   func(context.Context, *provider.Message) error
		edit  func(*comm.State)
		order string // its beginning
		most  time.Duration
	}{
		{"throttled", func(context.Context, *provider.Message) error { return throttle(15 * time.Minute) }, nil, "ONE ONE TWO", repeatPatience + 5*time.Second},
		{"throttled, CRITICAL", func(context.Context, *provider.Message) error { return throttle(15 * time.Minute) },
			func(st *comm.State) { st.Lane = comm.Critical }, "ONE ONE TWO", repeatPatienceCritical + 5*time.Second},
		{"throttled for longer than it lives", func(context.Context, *provider.Message) error { return throttle(15 * time.Minute) },
			func(st *comm.State) { st.ExpiresAt = comm.At(time.Now()).Add(time.Minute) }, "ONE ONE TWO", 25 * time.Second},
		{"the recipient has to wait", putOff, nil, "ONE ONE", repeatPatience + repeatPause + 5*time.Second},
	} {
		playKeyed(t, tc.name, keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
			srv := k.boot(0)
			time.Sleep(time.Second)
			id := k.unknownAt(srv, a, nil, tc.edit)
			k.does("ONE", tc.act)
			if took := k.ends(id, 20*time.Minute); took > tc.most {
				t.Errorf("it took %v, at most %v", took, tc.most)
			}
			if order := k.order(id); !strings.HasPrefix(order, tc.order) || !strings.HasSuffix(order, "ONE TWO") || k.status(id).Status != comm.Sent {
				t.Errorf("called %q, %v", order, k.status(id).Status)
			}
		})
	}
	playKeyed(t, "throttled alone", keyLife, func(t *testing.T, k *keyedStage, _ *comm.App) {
		alone := k.app(nil, emailConfig("ONE", 1))
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, alone, nil, nil)
		k.does("ONE", func(context.Context, *provider.Message) error { return throttle(8 * time.Minute) })
		time.Sleep(5 * time.Second)
		k.does("ONE", nil)
		time.Sleep(7 * time.Minute)
		k.wants(t, id, "ONE ONE", comm.Queued)
		time.Sleep(70 * time.Second)
		k.wants(t, id, "ONE ONE ONE", comm.Sent)
	})
}

// What is forced past a breaker still keeps to the rate and to the calls at once that its operator allows.
func TestForcedRepeatsKeepToTheLimits(t *testing.T) {
	const n = 3
	for _, tc := range []struct {
		name   string
		limits comm.ProviderLimits
		takes  time.Duration // of a repeat
		apart  time.Duration // at least between the beginnings of two
		again  int           // how many are repeated
	}{
		{"rate", comm.ProviderLimits{RatePerSecond: 5}, 0, 200 * time.Millisecond, n},
		{"calls at once", comm.ProviderLimits{MaxConcurrent: 1}, 2 * time.Second, 2 * time.Second, n},
		{"calls at once that take too long", comm.ProviderLimits{MaxConcurrent: 1}, 25 * time.Second, 25 * time.Second, 1},
	} {
		playKeyed(t, tc.name, keyLife, func(t *testing.T, k *keyedStage, _ *comm.App) {
			first := emailConfig("ONE", 1)
			first.Limits = tc.limits
			a := k.app(nil, first, emailConfig("TWO", 2))
			srv := k.boot(0)
			time.Sleep(time.Second)
			k.send(srv, a, nil) // it works, so that one unknown outcome does not open its breaker
			time.Sleep(210 * time.Millisecond)
			k.does("ONE", unclear)
			var ids []comm.ID
			for range n {
				ids = append(ids, k.send(srv, a, nil))
				time.Sleep(210 * time.Millisecond)
			}
			k.shut(srv, a)
			var mu sync.Mutex
			var began []time.Time
			k.does("ONE", func(ctx context.Context, _ *provider.Message) error {
				mu.Lock()
				began = append(began, time.Now())
				mu.Unlock()
				sleep(ctx, tc.takes)
				return nil
			})
			time.Sleep(5 * time.Second)
			until := time.Now().Add(20 * time.Second)
			srv.d.sched.mu.Lock()
			for _, sh := range srv.d.sched.shards {
				if sh != nil {
					for _, d := range sh.debts {
						d.until = comm.At(until) // the patience of all ends at the same moment
					}
				}
			}
			srv.d.sched.mu.Unlock()
			time.Sleep(time.Until(until) + repeatPause + tc.takes + time.Second)
			mu.Lock()
			defer mu.Unlock()
			for i, at := range began {
				if i > 0 && at.Sub(began[i-1]) < tc.apart {
					t.Errorf("two began %v apart, at least %v", at.Sub(began[i-1]), tc.apart)
				}
			}
			again := 0
			for _, id := range ids {
				switch order := k.order(id); {
				case order == "ONE ONE":
					again++
				case order != "ONE TWO" || k.status(id).Status != comm.Sent:
					t.Errorf("called %q, %v", order, k.status(id).Status)
				}
			}
			if again != tc.again || len(began) != tc.again {
				t.Errorf("%d of %d were repeated, want %d", again, n, tc.again)
			}
		})
	}
}

// A start that is not allowed by the rate books nothing, and what is given back was taken.
func TestNoTokenIsTakenOrMintedPastTheRate(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := emailConfig("ONE", 1)
	c.Limits.RatePerSecond = 1
	a := newAccount(c, 1)
	a.breaker.Trip(now)
	ticket, ok := a.take(now, comm.At(now), classRest, true)
	if _, second := a.take(now, comm.At(now), classRest, true); !ok || second || a.calls.rest != 1 || a.days.pending != 1 {
		t.Fatalf("took %v and %v; %d calls, %d of the day", ok, second, a.calls.rest, a.days.pending)
	}
	a.refund(now, ticket)
	if n := a.second.Tokens(now); n != 1 {
		t.Errorf("%d tokens", n)
	}
}

// When the last repeat gave no clear answer either, the next configuration has the message at once.
func TestAfterTheLastRepeatTheChainIsTakenAtOnce(t *testing.T) {
	playKeyed(t, "", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, nil, nil)
		k.shut(srv, a)
		var again time.Time
		k.does("ONE", func(context.Context, *provider.Message) error {
			again = time.Now()
			return &provider.Error{Class: provider.Ambiguous, Text: "no"}
		})
		k.ends(id, 5*time.Minute)
		k.wants(t, id, "ONE ONE TWO", comm.Sent)
		if took := k.status(id).UpdatedAt.Time().Sub(again); took > 500*time.Millisecond {
			t.Errorf("the chain was taken %v after the last repeat", took)
		}
	})
	playKeyed(t, "alone it is not called again at once", keyLife, func(t *testing.T, k *keyedStage, _ *comm.App) {
		alone := k.app(nil, emailConfig("ONE", 1))
		srv := k.boot(0)
		time.Sleep(time.Second)
		var mu sync.Mutex
		var calls []time.Time
		k.does("ONE", func(context.Context, *provider.Message) error {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, time.Now())
			return &provider.Error{Class: provider.Ambiguous, Text: "no"}
		})
		k.send(srv, alone, nil)
		time.Sleep(5 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for i, at := range calls {
			if i > 0 && at.Sub(calls[i-1]) < 800*time.Millisecond {
				t.Errorf("call %d came %v after the one before", i+1, at.Sub(calls[i-1]))
			}
		}
		if last := calls[len(calls)-1]; last.Sub(calls[0]) < repeatPatience {
			t.Errorf("the last call came %v after the first", last.Sub(calls[0]))
		}
	})
}

// Once a repeat was waited for long enough, no unit stands in a line with it while another configuration is free.
func TestNoUnitStandsInALineWithAnOldRepeat(t *testing.T) {
	playKeyed(t, "", keyLife, func(t *testing.T, k *keyedStage, _ *comm.App) {
		second := emailConfig("ONE", 2)
		second.Limits.MaxConcurrent = 1
		a := k.app(nil, emailConfig("TWO", 1), second)
		srv := k.boot(0)
		time.Sleep(time.Second)
		var mu sync.Mutex
		refuses := map[comm.ID]bool{}
		k.does("TWO", func(_ context.Context, m *provider.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if refuses[m.ID] {
				delete(refuses, m.ID)
				return &provider.Error{Class: provider.PermanentHere, Text: "not now"}
			}
			return nil
		})
		critical := func(st *comm.State) { st.Lane = comm.Critical }
		past := func() comm.ID {
			return k.send(srv, a, func(st *comm.State) {
				mu.Lock()
				defer mu.Unlock()
				critical(st)
				refuses[st.ID] = true
			})
		}
		const busy = 25 * time.Second
		k.does("ONE", takes(busy)) // so that it does not count as silent below
		past()
		time.Sleep(busy + time.Second)
		k.does("ONE", unclear)
		id := past()
		time.Sleep(100 * time.Millisecond)
		k.does("ONE", takes(busy))
		past() // has the only place for longer than the other is patient
		for range 46 {
			other := k.send(srv, a, critical)
			time.Sleep(500 * time.Millisecond)
			if got := k.status(other).Status; got != comm.Sent {
				t.Errorf("another of its unit is %v after half a second", got)
				break
			}
		}
		k.wants(t, id, "TWO ONE TWO", comm.Sent)
	})
}

// A row of the queue that was read before the last attempt ended may be begun from once more. The store refuses that start, and the
// message's patience goes on: it is not given twice.
func TestAStartThatComesTooEarlyKeepsThePatience(t *testing.T) {
	playKeyed(t, "CRITICAL", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		before := comm.At(time.Now())
		id := k.unknownAt(srv, a, nil, func(st *comm.State) { st.Lane = comm.Critical })
		k.does("ONE", func(context.Context, *provider.Message) error { return throttle(15 * time.Minute) })
		func() {
			srv.d.sched.mu.Lock()
			defer srv.d.sched.mu.Unlock()
			shard := comm.ShardOf(a.ID, id, a.ShardSpread)
			srv.d.sched.push(comm.Unit{Shard: shard, App: a.ID, Channel: comm.Email, Lane: comm.Critical}, store.Head{Due: before, ID: id})
		}()
		if took, most := k.ends(id, time.Minute), repeatPatienceCritical+5*time.Second; took > most || k.order(id) != "ONE ONE TWO" {
			t.Errorf("it took %v, at most %v: %s", took, most, k.order(id))
		}
	})
}
