package dispatch

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// keyedStage is a stage on which ONE takes an idempotency key and TWO takes none. It notes who was called for each message.
type keyedStage struct {
	*stage
	mu    sync.Mutex
	went  map[comm.ID][]string
	acted map[string]func(ctx context.Context, m *provider.Message) error
}

const keyLife = 24 * time.Hour

func newKeyedStage(s *stage, life time.Duration) *keyedStage {
	k := &keyedStage{stage: s, went: map[comm.ID][]string{}, acted: map[string]func(context.Context, *provider.Message) error{}}
	first := s.edit
	s.edit = func(c *Config) {
		first(c)
		c.Adapters[0].RepeatFor, c.Adapters[0].CallTimeout = life, 30*time.Second
	}
	for _, kind := range []string{"ONE", "TWO", "LOGGER"} {
		s.acts(kind, func(ctx context.Context, m *provider.Message) error {
			k.mu.Lock()
			k.went[m.ID] = append(k.went[m.ID], kind)
			act := k.acted[kind]
			k.mu.Unlock()
			if act == nil {
				return nil
			}
			return act(ctx, m)
		})
	}
	return k
}

func (k *keyedStage) does(kind string, act func(ctx context.Context, m *provider.Message) error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.acted[kind] = act
}

func (k *keyedStage) order(id comm.ID) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.went[id], " ")
}

// unknownAt lets one message end unknown at ONE and puts ONE out of order for all others by what they get there.
func (k *keyedStage) unknownAt(srv *simServer, a *comm.App, others error, edit func(*comm.State)) comm.ID {
	k.does("ONE", refuse(provider.Ambiguous))
	id := k.send(srv, a, edit)
	time.Sleep(100 * time.Millisecond)
	k.does("ONE", func(_ context.Context, m *provider.Message) error {
		if m.ID == id {
			return nil
		}
		return others
	})
	if others != nil {
		k.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
	}
	return id
}

func playKeyed(t *testing.T, name string, life time.Duration, scene func(t *testing.T, k *keyedStage, a *comm.App)) {
	play(t, name, func(t *testing.T, s *stage) {
		k := newKeyedStage(s, life)
		first, second := emailConfig("ONE", 1), emailConfig("TWO", 2)
		first.Name, second.Name = "Keyed", "Spare"
		scene(t, k, s.app(nil, first, second))
	})
}

var (
	noCredit = &provider.Error{Class: provider.Account, Text: "no credit"}
	unclear  = refuse(provider.Ambiguous)
)

func throttle(d time.Duration) error {
	return &provider.Error{Class: provider.RateLimited, Text: "slow down", RetryAfter: d}
}

// wants compares who was called for a message, and its status.
func (k *keyedStage) wants(t *testing.T, id comm.ID, order string, status comm.Status) {
	t.Helper()
	if got := k.order(id); got != order || k.status(id).Status != status {
		t.Errorf("called %q and %v, want %q and %v; told %q", got, k.status(id).Status, order, status, k.told(id))
	}
}

// TestARepeatGoesToTheSameProviderFirst is the last clause of promise 6.
func TestARepeatGoesToTheSameProviderFirst(t *testing.T) {
	playKeyed(t, "although another could take it", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, noCredit, nil) // its breaker is open for 10 s
		other := k.send(srv, a, nil)
		time.Sleep(9 * time.Second)
		k.wants(t, other, "TWO", comm.Sent) // nobody waits with it
		k.wants(t, id, "ONE", comm.Queued)
		time.Sleep(6 * time.Second)
		k.wants(t, id, "ONE ONE", comm.Sent)
		if told := k.told(id); !strings.HasPrefix(told[1], "Keyed, again") {
			t.Errorf("told %q", told)
		}
	})
	playKeyed(t, "in spite of its breaker when that takes too long", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, noCredit, nil)
		k.does("ONE", func(_ context.Context, m *provider.Message) error {
			if m.ID == id {
				return unclear(context.Background(), m)
			}
			return noCredit
		})
		for range 150 { // every probe fails, so that it stays open for longer each time
			k.send(srv, a, nil)
			time.Sleep(time.Second)
		}
		if order := k.order(id); !strings.HasPrefix(order, "ONE ONE") || !strings.HasSuffix(order, "TWO") || k.status(id).Status != comm.Sent {
			t.Errorf("called %q", order)
		}
	})
	playKeyed(t, "until it gives a clear answer", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, nil, nil)
		k.does("ONE", refuse(provider.Transient)) // the repeat does not get through
		time.Sleep(30 * time.Second)
		if order := k.order(id); strings.Contains(order, "TWO") || !strings.HasPrefix(order, "ONE ONE ONE") {
			t.Errorf("called %q", order)
		}
		time.Sleep(time.Minute)
		if order := k.order(id); !strings.HasSuffix(order, "ONE TWO") || k.status(id).Status != comm.Sent {
			t.Errorf("called %q", order)
		}
	})
	playKeyed(t, "a refusal is clear", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, nil, nil)
		k.does("ONE", refuse(provider.PermanentHere))
		time.Sleep(5 * time.Second)
		k.wants(t, id, "ONE ONE TWO", comm.Sent)
	})
	playKeyed(t, "beside its unit while there is no place", keyLife, func(t *testing.T, k *keyedStage, _ *comm.App) {
		first, second := emailConfig("TWO", 1), emailConfig("ONE", 2)
		second.Limits.MaxConcurrent = 1
		a := k.app(nil, first, second)
		srv := k.boot(0)
		time.Sleep(time.Second)
		refuses := map[comm.ID]bool{}
		var mu sync.Mutex
		k.does("TWO", func(_ context.Context, m *provider.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if refuses[m.ID] {
				return &provider.Error{Class: provider.PermanentHere, Text: "not this one"}
			}
			return nil
		})
		sendPast := func() comm.ID {
			return k.send(srv, a, func(st *comm.State) { mu.Lock(); refuses[st.ID] = true; mu.Unlock() })
		}
		k.does("ONE", takes(15*time.Second)) // so that it does not count as silent below
		sendPast()
		time.Sleep(16 * time.Second)
		k.does("ONE", unclear)
		id := sendPast()
		time.Sleep(100 * time.Millisecond)
		k.does("ONE", takes(20*time.Second))
		sendPast() // has the only place
		time.Sleep(time.Second)
		k.does("ONE", nil)
		others := k.stream(srv, a, 500*time.Millisecond, 10*time.Second)
		if n := k.unsent(others[:len(others)-1]); n > 0 {
			t.Errorf("%d others wait with it", n)
		}
		k.wants(t, id, "TWO ONE", comm.Queued)
		time.Sleep(15 * time.Second)
		k.wants(t, id, "TWO ONE ONE", comm.Sent)
	})
	playKeyed(t, "not under FAIL", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, nil, func(st *comm.State) { st.OnUnknown = comm.FailUnknown })
		time.Sleep(time.Minute)
		k.wants(t, id, "ONE", comm.Failed)
	})
	playKeyed(t, "not after a wish to cancel", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, noCredit, nil)
		time.Sleep(3 * time.Second) // it waits beside its unit
		if r := k.store.cancel(id); r != comm.CancelMaybe {
			t.Errorf("cancel answered %d", r)
		}
		time.Sleep(2 * time.Minute)
		k.wants(t, id, "ONE", comm.Failed)
	})
	playKeyed(t, "alone it waits as ever", keyLife, func(t *testing.T, k *keyedStage, _ *comm.App) {
		alone := k.app(nil, emailConfig("ONE", 1))
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, alone, noCredit, nil)
		k.does("ONE", nil)
		time.Sleep(8 * time.Second)
		k.wants(t, id, "ONE", comm.Queued) // its breaker is open, and nobody is called in spite of it
		time.Sleep(10 * time.Second)
		k.wants(t, id, "ONE ONE", comm.Sent)
	})
}

// TestARepeatOutlivesItsProcess: that it is owed stands with the message.
func TestARepeatOutlivesItsProcess(t *testing.T) {
	playKeyed(t, "killed in the middle of the call", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		k.does("ONE", func(ctx context.Context, _ *provider.Message) error { <-ctx.Done(); return ctx.Err() })
		id := k.send(srv, a, nil)
		time.Sleep(time.Second)
		k.kill(0)
		k.does("ONE", nil)
		k.store.change(func() { k.store.configs[a.ID][0].Priority = 3 }) // the other one comes first now
		k.boot(0)
		time.Sleep(20 * time.Second)
		k.wants(t, id, "ONE ONE", comm.Sent)
	})
	playKeyed(t, "stopped before the repeat", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, nil, nil)
		srv.stop()
		<-srv.done
		k.nodes = slices.DeleteFunc(k.nodes, func(x *simServer) bool { return x == srv })
		k.store.change(func() { k.store.configs[a.ID][0].Priority = 3 })
		k.boot(0)
		time.Sleep(20 * time.Second)
		k.wants(t, id, "ONE ONE", comm.Sent)
	})
}

// TestARepeatIsNotWaitedForForEver: another provider may have the message when the first one cannot be asked.
func TestARepeatIsNotWaitedForForEver(t *testing.T) {
	for name, edit := range map[string]func(s *simStore, a *comm.App){
		"deleted":      func(s *simStore, a *comm.App) { s.configs[a.ID] = s.configs[a.ID][1:] },
		"switched off": func(s *simStore, a *comm.App) { s.configs[a.ID][0].Active = false },
	} {
		playKeyed(t, name, keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
			srv := k.boot(0)
			time.Sleep(time.Second)
			id := k.unknownAt(srv, a, nil, nil)
			k.store.change(func() {
				k.store.configs[a.ID] = slices.Clone(k.store.configs[a.ID])
				edit(k.store, a)
			})
			srv.d.Invalidate(a.ID)
			time.Sleep(5 * time.Second)
			k.wants(t, id, "ONE TWO", comm.Sent)
			if told := k.told(id); !strings.HasSuffix(told[len(told)-1], "is not used any more") {
				t.Errorf("told %q", told)
			}
		})
	}
	for _, tc := range []struct {
		name        string
		asks        time.Duration
		edit        func(*comm.State)
		order       string
		least, most time.Duration
	}{
		{"a short throttle is waited for", 20 * time.Second, nil, "ONE ONE", 19 * time.Second, 22 * time.Second},
		{"a long one is not", 10 * time.Minute, nil, "ONE TWO", repeatPatience, repeatPatience + 5*time.Second},
		{"the less so by CRITICAL", 10 * time.Minute, func(st *comm.State) { st.Lane = comm.Critical }, "ONE TWO", repeatPatienceCritical, repeatPatienceCritical + 5*time.Second},
		{"and by what ends soon", 10 * time.Minute, func(st *comm.State) { st.ExpiresAt = comm.At(time.Now()).Add(40 * time.Second) }, "ONE TWO", 5 * time.Second, 15 * time.Second},
	} {
		playKeyed(t, tc.name, keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
			srv := k.boot(0)
			time.Sleep(time.Second)
			began := time.Now()
			id := k.unknownAt(srv, a, throttle(tc.asks), tc.edit)
			for k.status(id).Status == comm.Queued && time.Since(began) < 2*time.Minute {
				time.Sleep(100 * time.Millisecond)
			}
			k.wants(t, id, tc.order, comm.Sent)
			if took := time.Since(began); took < tc.least || took > tc.most {
				t.Errorf("sent after %v, want %v to %v", took, tc.least, tc.most)
			}
			if told := k.told(id); tc.order == "ONE TWO" && !strings.HasSuffix(told[len(told)-1], "may have taken it already and cannot be asked again now") {
				t.Errorf("told %q", told)
			}
		})
	}
	playKeyed(t, "the key is forgotten", 31*time.Second, func(t *testing.T, k *keyedStage, a *comm.App) { // of which a call may take 30
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, throttle(10*time.Minute), nil)
		time.Sleep(5 * time.Second)
		k.wants(t, id, "ONE TWO", comm.Sent)
	})
}

// TestWhatIsParkedIsForgotten: a message that was settled without an attempt leaves nothing behind.
func TestWhatIsParkedIsForgotten(t *testing.T) {
	playKeyed(t, "", keyLife, func(t *testing.T, k *keyedStage, a *comm.App) {
		srv := k.boot(0)
		time.Sleep(time.Second)
		id := k.unknownAt(srv, a, noCredit, nil)
		time.Sleep(3 * time.Second)
		k.store.cancel(id)
		time.Sleep(20 * time.Minute)
		s := srv.d.sched
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, sh := range s.shards {
			if sh != nil && len(sh.debts) > 0 {
				t.Errorf("%d debts are left", len(sh.debts))
			}
		}
		if len(s.parked) > 0 || s.heads != 0 {
			t.Errorf("%d are parked, %d heads", len(s.parked), s.heads)
		}
	})
}

// What is forced past a breaker still counts against the limit of the day.
func TestAForcedRepeatKeepsToTheDay(t *testing.T) {
	play(t, "", func(t *testing.T, st *stage) {
		s := newKeyedStage(st, keyLife)
		time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(47 * time.Hour)))
		first := emailConfig("ONE", 1)
		first.Limits.RatePerDay = 1
		a := s.app(nil, first, emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.does("ONE", func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.Ambiguous, Code: "503", Text: "not available"}
		})
		id := s.send(srv, a, nil)
		for range 12 { // its breaker stays open for longer than the message waits
			time.Sleep(time.Second)
			srv.d.sched.mu.Lock()
			for _, x := range srv.d.sched.dir.entry(a.ID).accounts {
				if x.name == "one" {
					x.breaker.Trip(time.Now())
				}
			}
			srv.d.sched.mu.Unlock()
			time.Sleep(9 * time.Second)
		}
		time.Sleep(5 * time.Minute)
		if went, end := s.order(id), s.status(id).Status; went != "ONE TWO" || end != comm.Sent {
			t.Errorf("%s on a day of 1, %s", went, end)
		}
	})
}
