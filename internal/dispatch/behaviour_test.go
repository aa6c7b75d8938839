package dispatch

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// stage is a world whose provider types are scripted.
type stage struct {
	*world
	calls map[string]int // by provider type
	act   map[string]func(ctx context.Context, m *provider.Message) error
}

type scripted struct {
	s    *stage
	kind string
}

func (x *scripted) Close() error { return nil }

func (x *scripted) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	x.s.ledger.mu.Lock()
	x.s.calls[x.kind]++
	act := x.s.act[x.kind]
	x.s.ledger.mu.Unlock()
	if act != nil {
		if err := act(ctx, m); err != nil {
			return provider.Receipt{}, err
		}
	}
	return provider.Receipt{Ref: x.kind}, nil
}

func newStage(t *testing.T) *stage {
	s := &stage{world: newWorld(t, 1), calls: map[string]int{}, act: map[string]func(context.Context, *provider.Message) error{}}
	s.edit = func(c *Config) {
		c.Logger = &scripted{s, "LOGGER"}
		c.Adapters = nil
		for _, kind := range []string{"ONE", "TWO", "THREE"} {
			c.Adapters = append(c.Adapters, provider.Adapter{Type: kind, CallTimeout: 10 * time.Minute,
				Open: func(provider.Settings, provider.Env) (provider.Sender, error) { return &scripted{s, kind}, nil }})
		}
	}
	return s
}

func (s *stage) called(kind string) int {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.calls[kind]
}

func (s *stage) status(id comm.ID) comm.State {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.msgs[id].state
}

// turns says how many transactions of the queue there were so far.
func (s *stage) turns() int {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.store.turns
}

func (s *stage) saw(id comm.ID, c comm.Cause) (n int) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for _, e := range s.store.msgs[id].events {
		if e.Type == c {
			n++
		}
	}
	return n
}

// play runs one scene in fake time and checks that no law was broken.
func play(t *testing.T, name string, scene func(t *testing.T, s *stage)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t)
			scene(t, s)
			s.stopAll()
			for _, w := range s.store.wrong {
				t.Error(w)
			}
		})
	})
}

func refuse(c provider.Class) func(context.Context, *provider.Message) error {
	return func(context.Context, *provider.Message) error { return &provider.Error{Class: c, Text: "no"} }
}

func TestModes(t *testing.T) {
	play(t, "a live message right after go-live never goes to the logger", func(t *testing.T, s *stage) {
		a := s.app(func(a *comm.App) { a.Sandbox = true }, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(300 * time.Millisecond)
		s.store.change(func() { a.Sandbox = false })
		id := s.send(srv, a, nil) // before any heartbeat tells of the change
		time.Sleep(100 * time.Millisecond)
		if s.called("LOGGER") != 1 || s.called("ONE") != 1 || s.status(id).Status != comm.Sent {
			t.Errorf("logger %d, provider %d", s.called("LOGGER"), s.called("ONE"))
		}
	})
	play(t, "nor right after the server got its first provider", func(t *testing.T, s *stage) {
		a := s.app(nil)
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(300 * time.Millisecond)
		c := emailConfig("ONE", 1)
		c.ID = testID(9)
		s.store.change(func() { s.store.configs[comm.ID{}] = []comm.ProviderConfig{c} })
		s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		if s.called("LOGGER") != 1 || s.called("ONE") != 1 {
			t.Errorf("logger %d, provider %d", s.called("LOGGER"), s.called("ONE"))
		}
	})
	play(t, "a sandbox message of a live app is logged", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, func(st *comm.State) { st.Mode = comm.Sandbox })
		time.Sleep(100 * time.Millisecond)
		if s.called("LOGGER") != 1 || s.called("ONE") != 0 || s.status(id).Provider != chain.Sandbox {
			t.Errorf("logger %d, provider %d", s.called("LOGGER"), s.called("ONE"))
		}
	})
	play(t, "no provider, fail", func(t *testing.T, s *stage) {
		first := s.edit
		s.edit = func(c *Config) { first(c); c.Fallback = chain.FallbackFail }
		a := s.app(nil)
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		if st := s.status(id); st.Status != comm.Failed || s.saw(id, comm.CauseNoProvider) != 1 || st.Attempts != 0 {
			t.Errorf("%v after %d attempts", st.Status, st.Attempts)
		}
		s.store.change(func() { a.UpdatedAt = s.store.now().Add(time.Minute) })
		srv.d.Invalidate(a.ID)
		live := s.send(srv, a, nil)
		sand := s.send(srv, a, func(st *comm.State) { st.Mode = comm.Sandbox })
		time.Sleep(time.Second)
		if s.status(live).Status != comm.Failed || s.status(sand).Status != comm.Sent || s.called("LOGGER") != 1 {
			t.Errorf("accepted before the app's last change: live %v, sandbox %v", s.status(live).Status, s.status(sand).Status)
		}
	})
}

func TestFailoverAndHealth(t *testing.T) {
	play(t, "account trouble fails over at once and opens the breaker", func(t *testing.T, s *stage) {
		s.act["ONE"] = refuse(provider.Account)
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(50 * time.Millisecond)
		if st := s.status(id); st.Status != comm.Sent || st.Attempts != 2 || st.Provider != "two" || s.saw(id, comm.CauseAttemptFailed) != 1 {
			t.Errorf("%v by %s after %d attempts", st.Status, st.Provider, st.Attempts)
		}
		next := s.send(srv, a, nil)
		time.Sleep(50 * time.Millisecond)
		if st := s.status(next); st.Attempts != 1 || s.called("ONE") != 1 {
			t.Errorf("the open breaker let %d calls through", s.called("ONE"))
		}
	})
	play(t, "Retry-After is shared and costs no round", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.RateLimited, RetryAfter: 20 * time.Second}
		}
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(17 * time.Second)
		if s.called("ONE") != 1 || s.status(id).Round != 0 {
			t.Errorf("%d calls during the pause, round %d", s.called("ONE"), s.status(id).Round)
		}
		s.ledger.mu.Lock()
		s.act["ONE"] = nil
		s.ledger.mu.Unlock()
		time.Sleep(5 * time.Second)
		if s.open() != 0 {
			t.Error("nothing went out after the pause")
		}
	})
	play(t, "a change of the limits is no new day, and no new health", func(t *testing.T, s *stage) {
		time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(48*time.Hour - 30*time.Minute))) // half an hour before midnight
		c := emailConfig("ONE", 1)
		c.Limits.RatePerDay = 10
		a := s.app(nil, c)
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 15 {
			s.send(srv, a, nil)
		}
		edit := func(f func(*comm.ProviderConfig)) {
			s.store.change(func() {
				list := append([]comm.ProviderConfig(nil), s.store.configs[a.ID]...)
				f(&list[0])
				list[0].Version++
				s.store.configs[a.ID] = list
			})
			srv.d.Invalidate(a.ID)
		}
		time.Sleep(10 * time.Second)
		edit(func(c *comm.ProviderConfig) { c.Limits.RatePerDay = 12 })
		time.Sleep(10 * time.Second)
		if n := s.called("ONE"); n != 11 { // one is kept for CRITICAL
			t.Errorf("%d calls on a day of 12", n)
		}
		time.Sleep(time.Hour)
		if n := s.called("ONE"); n != 15 {
			t.Errorf("%d calls on the next day", n)
		}
		s.ledger.mu.Lock()
		s.act["ONE"] = refuse(provider.Account)
		s.ledger.mu.Unlock()
		s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		edit(func(c *comm.ProviderConfig) { c.Name = "another" })
		time.Sleep(2 * time.Second)
		if n := s.called("ONE"); n != 16 {
			t.Errorf("%d calls: the new name opened the breaker's way", n)
		}
		edit(func(c *comm.ProviderConfig) { c.Settings = map[string]string{"key": "right"} })
		time.Sleep(10 * time.Second)
		if n := s.called("ONE"); n < 17 {
			t.Errorf("%d calls: new credentials were not tried", n)
		}
	})
	play(t, "a change during calls is no more calls at once", func(t *testing.T, s *stage) {
		var now, most atomic.Int32
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			n := now.Add(1)
			most.Store(max(most.Load(), n))
			time.Sleep(5 * time.Second)
			now.Add(-1)
			return nil
		}
		c := emailConfig("ONE", 1)
		c.Limits.MaxConcurrent = 3
		a := s.app(nil, c)
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 12 {
			s.send(srv, a, nil)
		}
		for range 4 {
			time.Sleep(time.Second)
			s.store.change(func() {
				list := append([]comm.ProviderConfig(nil), s.store.configs[a.ID]...)
				list[0].Priority++
				list[0].Version++
				s.store.configs[a.ID] = list
			})
			srv.d.Invalidate(a.ID)
		}
		time.Sleep(32 * time.Second) // with a place kept for CRITICAL two at a time: six rounds
		if most.Load() > 3 {
			t.Errorf("%d calls at once, at most 3 are allowed", most.Load())
		}
		if n := s.open(); n != 0 {
			t.Errorf("%d are not sent yet: the end of an older version's call woke nobody", n)
		}
	})
	play(t, "greylisting closes nobody's way", func(t *testing.T, s *stage) {
		grey := testID(70)
		s.act["ONE"] = func(_ context.Context, m *provider.Message) error {
			if m.ID[0] == 255 {
				return &provider.Error{Class: provider.Transient, Code: "450", Text: "come again", RetryAfter: 5 * time.Minute, Healthy: true}
			}
			return nil
		}
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 50 {
			grey[0], grey[14] = 255, grey[14]+1
			s.send(srv, a, func(st *comm.State) { st.ID, st.Shard = grey, comm.ShardOf(a.ID, grey, 1) })
		}
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		if s.status(id).Status != comm.Sent || s.called("ONE") != 51 {
			t.Errorf("%v after %d calls", s.status(id).Status, s.called("ONE"))
		}
		if st := s.status(grey); st.Due.Sub(st.UpdatedAt) < 5*time.Minute-time.Second {
			t.Errorf("tried again after %v", st.Due.Sub(st.UpdatedAt))
		}
	})
	play(t, "a rate per second is kept and used", func(t *testing.T, s *stage) {
		c := emailConfig("ONE", 1)
		c.Limits.RatePerSecond = 20
		a := s.app(nil, c)
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 400 {
			s.send(srv, a, nil)
		}
		time.Sleep(10 * time.Second)
		if n := s.called("ONE"); n < 190 || n > 203 {
			t.Errorf("%d calls in 10 s at 20 a second", n)
		}
	})
	play(t, "a poison message ends after three tries, the rest flows", func(t *testing.T, s *stage) {
		poison := testID(66)
		s.act["ONE"] = func(_ context.Context, m *provider.Message) error {
			if m.ID == poison {
				panic("adapter bug")
			}
			return nil
		}
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 50 {
			s.send(srv, a, nil)
		}
		s.send(srv, a, func(st *comm.State) { st.ID, st.Shard = poison, comm.ShardOf(a.ID, poison, 1) })
		time.Sleep(time.Minute)
		if st := s.status(poison); st.Status != comm.Failed || st.Attempts != 3 || s.saw(poison, comm.CauseInternalError) != 1 || !st.Flags.Has(comm.UnknownEver) {
			t.Errorf("%v after %d attempts", st.Status, st.Attempts)
		}
		if s.open() != 0 {
			t.Error("other messages are stuck")
		}
	})
	play(t, "a cancel wish during a call", func(t *testing.T, s *stage) {
		for _, tc := range []struct {
			answer provider.Class
			want   comm.Status
			cause  comm.Cause
		}{
			{0, comm.Sent, comm.CauseProviderAccepted},
			{provider.Transient, comm.Cancelled, comm.CauseCancelledAfterCleanFailure},
			{provider.Ambiguous, comm.Failed, comm.CauseOutcomeUnknown},
			{provider.PermanentMessage, comm.Cancelled, comm.CauseCancelledAfterCleanFailure},
			{provider.PermanentHere, comm.Cancelled, comm.CauseCancelledAfterCleanFailure}, // instead of failing over
		} {
			s.ledger.mu.Lock()
			s.act["ONE"] = func(context.Context, *provider.Message) error {
				time.Sleep(time.Second)
				if tc.answer == 0 {
					return nil
				}
				return &provider.Error{Class: tc.answer}
			}
			s.ledger.mu.Unlock()
			a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
			if len(s.nodes) == 0 {
				s.boot(0)
				time.Sleep(time.Second)
			}
			id := s.send(s.nodes[0], a, nil)
			time.Sleep(500 * time.Millisecond)
			if r := s.store.cancel(id); r != comm.CancelFlight {
				t.Errorf("cancel: %v", r)
			}
			time.Sleep(time.Minute)
			if st := s.status(id); st.Status != tc.want || s.saw(id, tc.cause) != 1 || st.Attempts != 1 || s.called("TWO") != 0 {
				t.Errorf("%v: %v after %d attempts", tc.answer, st.Status, st.Attempts)
			}
		}
	})
	play(t, "a call that ignores its deadline is given up", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error { time.Sleep(time.Hour); return nil }
		a := s.app(func(a *comm.App) { a.OnUnknown = comm.FailUnknown }, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(11 * time.Minute)
		if st := s.status(id); st.Status != comm.Failed || s.saw(id, comm.CauseOutcomeUnknown) != 1 || srv.d.Stats().InFlight != 0 {
			t.Errorf("%v, %d in flight", st.Status, srv.d.Stats().InFlight)
		}
		time.Sleep(time.Hour)
		if st := s.status(id); st.Status != comm.Sent || s.saw(id, comm.CauseLateProof) != 1 {
			t.Errorf("%v: the late acceptance is lost", st.Status)
		}
	})
}
