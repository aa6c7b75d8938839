package dispatch

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
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
		for _, kind := range []string{"ONE", "TWO"} {
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
		if n := s.called("ONE"); n != 12 {
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

func TestOwnership(t *testing.T) {
	play(t, "a long call survives that its shard was lost and found", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error { time.Sleep(time.Minute); return nil }
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Second)
		srv.node.mu.Lock()
		srv.node.cutUntil = time.Now().Add(20 * time.Second)
		srv.node.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if st := s.status(id); st.Status != comm.Sent || st.Flags != 0 || s.called("ONE") != 1 || s.saw(id, comm.CauseLateResult) != 0 {
			t.Errorf("%v, flags %b, %d calls", st.Status, st.Flags, s.called("ONE"))
		}
	})
	play(t, "an outage of the store does not fill the log, and its end is said", func(t *testing.T, s *stage) {
		var log bytes.Buffer
		edit := s.edit
		s.edit = func(c *Config) { edit(c); c.Log = slog.New(slog.NewTextHandler(&log, nil)) }
		srv := s.boot(0)
		time.Sleep(time.Second)
		synctest.Wait() // nobody writes to the log now
		log.Reset()
		srv.node.mu.Lock()
		srv.node.cutUntil = time.Now().Add(10 * time.Minute)
		srv.node.mu.Unlock()
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		text := log.String()
		if lines := strings.Count(text, "\n"); lines > 30 {
			t.Errorf("%d lines in ten minutes:\n%s", lines, text)
		}
		for _, want := range []string{`level=ERROR msg="heartbeat could not be stored"`, `failures=1 `, `level=INFO msg="heartbeat is stored again"`,
			`level=ERROR msg="overdue messages cannot be listed"`, `level=INFO msg="overdue messages are listed again"`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is not in the log:\n%s", want, text)
			}
		}
	})
	play(t, "a node with nothing to send is healthy again after an outage of the store", func(t *testing.T, s *stage) {
		srv := s.boot(0)
		time.Sleep(time.Second)
		srv.node.mu.Lock()
		srv.node.cutUntil = time.Now().Add(30 * time.Second)
		srv.node.mu.Unlock()
		time.Sleep(20 * time.Second)
		if srv.d.Stats().Healthy {
			t.Error("healthy during the outage")
		}
		time.Sleep(time.Minute)
		if st := srv.d.Stats(); !st.Healthy {
			t.Errorf("not healthy after the outage: %s", st.LastError)
		}
	})
	play(t, "a second node gets its half, and gives it back at its stop", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error { time.Sleep(50 * time.Millisecond); return nil }
		var apps []*comm.App
		for range 40 {
			apps = append(apps, s.app(nil, emailConfig("ONE", 1)))
		}
		one := s.boot(0)
		time.Sleep(time.Second)
		two := s.boot(0)
		for i := range 1000 {
			if i == 500 && (one.d.Stats().Shards != 32 || two.d.Stats().Shards != 32) {
				t.Errorf("shards: %d and %d", one.d.Stats().Shards, two.d.Stats().Shards)
			}
			if i == 600 {
				two.stop()
			}
			s.send(one, apps[i%len(apps)], nil)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if s.open() != 0 || s.called("ONE") != 1000 || one.d.Stats().Shards != 64 {
			t.Errorf("%d open, %d calls for 1000 messages, %d shards", s.open(), s.called("ONE"), one.d.Stats().Shards)
		}
	})
	play(t, "at the stop an unanswered call becomes unknown, nothing else", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(ctx context.Context, _ *provider.Message) error { time.Sleep(40 * time.Second); return nil }
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		hung := s.send(srv, a, nil)
		time.Sleep(50 * time.Millisecond)
		srv.stop()
		waiting := s.send(nil, a, nil)
		began := time.Now()
		<-srv.done
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("the stop took %v", d)
		}
		if st := s.status(hung); st.Status != comm.Queued || !st.Flags.Has(comm.PossibleDuplicate) || s.status(waiting).Attempts != 0 {
			t.Errorf("%v, flags %b; the other has %d attempts", st.Status, st.Flags, s.status(waiting).Attempts)
		}
		time.Sleep(time.Minute)
	})
	play(t, "a refusal here during the stop is not the end while another provider is left", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			time.Sleep(2 * time.Second)
			return &provider.Error{Class: provider.PermanentHere, Text: "no"}
		}
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		srv.stop()
		<-srv.done
		if st := s.status(id); st.Status != comm.Queued || s.called("TWO") != 0 {
			t.Errorf("%v, %d calls of the other provider", st.Status, s.called("TWO"))
		}
		s.boot(0)
		time.Sleep(30 * time.Second)
		if st := s.status(id); st.Status != comm.Sent || st.Provider != "two" {
			t.Errorf("after the stop: %v by %s", st.Status, st.Provider)
		}
	})
	play(t, "what cannot be recorded is not sent", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		srv.node.mu.Lock()
		srv.node.fault = func(op string) simFault {
			if op == "turn" {
				return faultFails
			}
			return faultNone
		}
		srv.node.mu.Unlock()
		id := s.send(srv, a, nil)
		time.Sleep(30 * time.Second)
		if s.called("ONE") != 1 || srv.d.Stats().Healthy {
			t.Errorf("%d calls; %+v", s.called("ONE"), srv.d.Stats())
		}
		s.heal()
		time.Sleep(5 * time.Second)
		if s.status(id).Status != comm.Sent || !srv.d.Stats().Healthy {
			t.Errorf("%v; %+v", s.status(id).Status, srv.d.Stats())
		}
	})
	play(t, "an open attempt without a call is swept up", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(1037 * time.Millisecond) // when the node does nothing by itself
		id := s.send(nil, a, nil)
		// A turn of this node that was given up commits after all.
		s.store.mu.Lock()
		st := s.store.msgs[id].state
		s.store.startOne(store.Start{Unit: unitOfState(&st), Head: store.Head{Due: st.Due, ID: id}, Provider: "one", Live: true}, "", map[comm.Shard]int64{st.Shard: s.store.owner[st.Shard].Epoch})
		s.store.mu.Unlock()
		time.Sleep(40 * time.Second)
		if got := s.status(id); got.Status != comm.Sent || s.saw(id, comm.CauseReleased) != 1 || got.Flags != 0 || srv.d.Stats().Swept != 1 {
			t.Errorf("%v, flags %b", got.Status, got.Flags)
		}
	})
	play(t, "the answer to the start comes after the lease: no call", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		other := s.boot(0)
		time.Sleep(10 * time.Second)
		s.ledger.mu.Lock()
		s.calls["ONE"] = 0
		s.ledger.mu.Unlock()
		for range 20 { // some of them on the shards of the first node
			b := s.app(nil, emailConfig("ONE", 1))
			s.send(srv, b, nil)
			s.send(other, b, nil)
		}
		time.Sleep(2 * time.Millisecond)
		srv.node.mu.Lock()
		srv.node.hungTill = time.Now().Add(25 * time.Second)
		srv.node.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if s.open() != 0 {
			t.Errorf("%d are open", s.open())
		}
	})
}

func TestLatency(t *testing.T) {
	play(t, "an idle node calls at once, another node's message too", func(t *testing.T, s *stage) {
		var at time.Time
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			at = time.Now()
			return nil
		}
		a := s.app(nil, emailConfig("ONE", 1))
		one := s.boot(0)
		two := s.boot(0)
		time.Sleep(20 * time.Second)
		for _, on := range []*simServer{one, two, one, two} {
			began := time.Now()
			s.send(on, a, nil)
			time.Sleep(500 * time.Millisecond)
			s.ledger.mu.Lock()
			d := at.Sub(began)
			s.ledger.mu.Unlock()
			if d < 0 || d > 15*time.Millisecond {
				t.Errorf("called after %v", d)
			}
		}
	})
	play(t, "scheduled messages start on time", func(t *testing.T, s *stage) {
		const ahead = 10 * time.Minute
		var at []time.Duration
		began := time.Now()
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			at = append(at, time.Since(began))
			return nil
		}
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 2000 {
			s.send(srv, a, func(st *comm.State) { st.ScheduledAt = comm.At(began.Add(ahead)) })
		}
		time.Sleep(ahead + 10*time.Second)
		s.ledger.mu.Lock()
		defer s.ledger.mu.Unlock()
		if len(at) != 2000 || at[0] < ahead || at[1999] > ahead+2*time.Second {
			t.Errorf("%d calls, first %v, last %v", len(at), at[0], at[len(at)-1])
		}
	})
}
