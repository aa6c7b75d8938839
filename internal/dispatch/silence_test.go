package dispatch

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
)

// hangs takes calls and answers none of them; how many of them had sent nothing yet is up to early.
func hangs(early bool) func(ctx context.Context, m *provider.Message) error {
	return func(ctx context.Context, m *provider.Message) error {
		var hurry <-chan struct{}
		if early && m.Hurry != nil {
			hurry = m.Hurry.Done()
		}
		limit := time.NewTimer(30 * time.Second)
		defer limit.Stop()
		select {
		case <-hurry:
			return &provider.Error{Class: provider.Transient, Code: "no_answer", Text: "nothing was sent"}
		case <-limit.C:
		case <-ctx.Done():
		}
		return &provider.Error{Class: provider.Ambiguous, Code: "timeout", Text: "no answer"}
	}
}

func takes(d time.Duration) func(ctx context.Context, m *provider.Message) error {
	return func(ctx context.Context, _ *provider.Message) error { sleep(ctx, d); return nil }
}

// acts changes how a provider behaves.
func (s *stage) acts(kind string, act func(ctx context.Context, m *provider.Message) error) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.act[kind] = act
}

// lanes is every lane.
func lanes() []comm.Lane { return []comm.Lane{comm.Critical, comm.Normal, comm.Bulk} }

// stream sends a message every so often for that long, of all lanes in turn, and waits until the end.
func (s *stage) stream(srv *simServer, a *comm.App, every, long time.Duration) (ids []comm.ID) {
	for i := range int(long / every) {
		ids = append(ids, s.send(srv, a, func(st *comm.State) { st.Lane = lanes()[i%3] }))
		time.Sleep(every)
	}
	return ids
}

// delays is how long after their acceptance messages were sent, sorted, and how many were not.
func (s *stage) delays(ids []comm.ID) (all []time.Duration, open int) {
	for _, id := range ids {
		st := s.status(id)
		if st.Status != comm.Sent {
			open++
			continue
		}
		all = append(all, st.UpdatedAt.Time().Sub(st.CreatedAt.Time()))
	}
	slices.Sort(all)
	return all, open
}

func TestASilentProviderIsBypassed(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits comm.ProviderLimits
		every  time.Duration
	}{
		{"many calls", comm.ProviderLimits{}, 50 * time.Millisecond},
		{"few calls", comm.ProviderLimits{}, 500 * time.Millisecond},
		{"concurrency of 4", comm.ProviderLimits{MaxConcurrent: 4}, 50 * time.Millisecond},
		{"concurrency of 1", comm.ProviderLimits{MaxConcurrent: 1}, 250 * time.Millisecond},
	} {
		play(t, tc.name, func(t *testing.T, s *stage) {
			first := emailConfig("ONE", 1)
			first.Limits = tc.limits
			a := s.app(nil, first, emailConfig("TWO", 2))
			srv := s.boot(0)
			s.acts("ONE", takes(100*time.Millisecond))
			time.Sleep(time.Second)
			s.stream(srv, a, tc.every, 5*time.Second)
			time.Sleep(3 * time.Second)
			s.acts("ONE", hangs(false))
			before := s.called("ONE")
			ids := s.stream(srv, a, tc.every, 20*time.Second)
			time.Sleep(time.Second)
			met := s.called("ONE") - before
			all, open := s.delays(ids)
			// Those that it has, two probes, and nobody else: the others have been decided within 2 s.
			most := int(2*time.Second/tc.every) + 2
			if n := tc.limits.MaxConcurrent; n > 0 {
				most = min(most, n+2)
			}
			if met == 0 || met > most+1 || open > met || all[len(all)-1] > 2*time.Second {
				t.Errorf("%d met the silent provider (at most %d), %d are open, the last one took %v", met, most, open, all[len(all)-1])
			}
			s.acts("ONE", nil)
			time.Sleep(10 * time.Minute)
			if n := s.unsent(ids); n != 0 {
				t.Errorf("%d are not sent", n)
			}
			back := s.called("ONE")
			s.stream(srv, a, tc.every, 5*time.Second)
			if got := s.called("ONE") - back; got < int(4*time.Second/tc.every) {
				t.Errorf("only %d of the last messages went to the provider that is back", got)
			}
		})
	}
	play(t, "what was not sent yet goes on at once", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", hangs(true))
		ids := s.stream(srv, a, 100*time.Millisecond, 5*time.Second)
		time.Sleep(3 * time.Second)
		all, open := s.delays(ids)
		if open > 0 || all[len(all)-1] > 2*time.Second {
			t.Errorf("%d are open, the last one took %v", open, all[len(all)-1])
		}
		for _, id := range ids {
			if s.status(id).Flags.Has(comm.PossibleDuplicate) {
				t.Error("one that was never handed over counts as unknown")
			}
		}
	})
	play(t, "one that is alone stays as it is", func(t *testing.T, s *stage) {
		down := emailConfig("TWO", 2)
		a := s.app(nil, emailConfig("ONE", 1))
		b := s.app(nil, emailConfig("ONE", 1), down)
		srv := s.boot(0)
		s.acts("TWO", func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.RateLimited, Text: "no", RetryAfter: time.Hour}
		})
		s.acts("ONE", refuse(provider.RateLimited))
		time.Sleep(time.Second)
		s.send(srv, b, nil) // TWO is not to be called for an hour
		time.Sleep(11 * time.Second)
		s.acts("ONE", hangs(true))
		before := s.called("ONE")
		for _, app := range []*comm.App{a, b} {
			s.stream(srv, app, 100*time.Millisecond, 2*time.Second)
		}
		if n := s.called("ONE") - before; n < 40 {
			t.Errorf("%d of 41 calls", n)
		}
	})
	play(t, "probes that hang do not keep their messages", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", hangs(true))
		ids := s.stream(srv, a, 100*time.Millisecond, time.Minute)
		time.Sleep(3 * time.Second)
		all, open := s.delays(ids)
		if open > 0 || all[len(all)-1] > 2*time.Second || s.called("ONE") > 16+3*2 {
			t.Errorf("%d are open, the last one took %v; %d calls of the silent one", open, all[len(all)-1], s.called("ONE"))
		}
	})
}

// TestASilentProviderMetRarely: where messages are far apart the third one that meets it waits for no time-out any more.
func TestASilentProviderMetRarely(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", func(ctx context.Context, m *provider.Message) error {
			limit := time.NewTimer(30 * time.Second)
			defer limit.Stop()
			select {
			case <-m.Hurry.Done():
			case <-limit.C:
			}
			return &provider.Error{Class: provider.Transient, Code: "timeout", Text: "nothing was sent"}
		})
		ids := s.stream(srv, a, 40*time.Second, 10*time.Minute)
		waited := 0
		for _, id := range ids {
			if st := s.status(id); st.Status != comm.Sent || st.UpdatedAt.Sub(st.CreatedAt) > 2*time.Second {
				waited++
			}
		}
		if waited != silentFew-1 {
			t.Errorf("%d of %d waited for a time-out", waited, len(ids))
		}
	})
}

// TestASlowProviderKeepsItsMessages: one that takes 3 s for each is not starved, however its calls fall.
func TestASlowProviderKeepsItsMessages(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", takes(3*time.Second))
		s.stream(srv, a, 100*time.Millisecond, 10*time.Second) // it is not known yet how slow it is
		for range 5 {
			time.Sleep(20 * time.Second)
			s.stream(srv, a, 100*time.Millisecond, 10*time.Second)
		}
		if one, two := s.called("ONE"), s.called("TWO"); two > 15 {
			t.Errorf("%d went to it, %d past it", one, two)
		}
	})
}

// TestDialsAreShortWhereAnotherCanCarry: nothing is sent yet, so another provider may as well take it.
func TestDialsAreShortWhereAnotherCanCarry(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		var mu sync.Mutex
		var took []time.Duration
		first := s.edit
		s.edit = func(c *Config) {
			first(c)
			c.Env.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { // a black hole
				began := time.Now()
				sleep(ctx, 10*time.Second)
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(began))
				return nil, context.DeadlineExceeded
			}
			c.Adapters = append(c.Adapters, provider.Adapter{Type: "HOLE", CallTimeout: time.Minute, Open: func(_ provider.Settings, env provider.Env) (provider.Sender, error) {
				return hole{env}, nil
			}})
		}
		a, alone := s.app(nil, emailConfig("HOLE", 1), emailConfig("TWO", 2)), s.app(nil, emailConfig("HOLE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		ids := s.stream(srv, a, 2*time.Second, 30*time.Second)
		time.Sleep(2 * time.Second)
		if all, open := s.delays(ids); open > 0 || all[len(all)-1] > 2*time.Second {
			t.Errorf("%d are open, the last one took %v", open, all[len(all)-1])
		}
		mu.Lock()
		took = nil
		mu.Unlock()
		s.send(srv, alone, nil)
		time.Sleep(12 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(took) != 1 || took[0] != 10*time.Second {
			t.Errorf("where nobody else could carry it a dial took %v", took)
		}
	})
}

type hole struct{ env provider.Env }

func (hole) Close() error { return nil }

func (h hole) Send(ctx context.Context, _ *provider.Message) (provider.Receipt, error) {
	_, err := h.env.Dial(ctx, "tcp", "mail.example:25")
	return provider.Receipt{}, &provider.Error{Class: provider.Transient, Code: "connect_timeout", Text: "no connection", Cause: err}
}

// TestWhoWaitsInALineIsToldOfAnOutage: those that wait for a place of an account whose breaker opens go elsewhere at once.
func TestWhoWaitsInALineIsToldOfAnOutage(t *testing.T) {
	for _, class := range []provider.Class{provider.Account, provider.RateLimited} {
		play(t, class.String(), func(t *testing.T, s *stage) {
			first := emailConfig("ONE", 1)
			first.Limits.MaxConcurrent = 2
			a := s.app(nil, first, emailConfig("TWO", 2))
			srv := s.boot(0)
			time.Sleep(time.Second)
			s.acts("ONE", func(ctx context.Context, _ *provider.Message) error {
				sleep(ctx, time.Second)
				return &provider.Error{Class: class, Text: "no", RetryAfter: time.Minute}
			})
			var ids []comm.ID
			for i := range 30 {
				ids = append(ids, s.send(srv, a, func(st *comm.State) { st.Lane = lanes()[i%3] }))
			}
			time.Sleep(1500 * time.Millisecond)
			if n := s.unsent(ids); n != 0 {
				t.Errorf("%d of 30 still wait half a second after the provider refused", n)
			}
		})
	}
}

// TestFairProbes: messages that fail wherever a provider that works meets them do not keep it out.
func TestFairProbes(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		poison := map[comm.ID]bool{}
		var mu sync.Mutex
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", refuse(provider.Transient))
		for range 12 {
			mu.Lock()
			poison[s.send(srv, a, nil)] = true
			mu.Unlock()
			time.Sleep(10 * time.Millisecond)
		}
		s.acts("ONE", func(_ context.Context, m *provider.Message) error {
			mu.Lock()
			defer mu.Unlock()
			if poison[m.ID] {
				return &provider.Error{Class: provider.Transient, Code: "451 4.3.0", Text: "no"}
			}
			return nil
		})
		ids := s.stream(srv, a, time.Second, 30*time.Second)
		if n := s.unsent(ids[:15]); n != 0 {
			t.Errorf("%d of 15 good messages still wait for a provider that works", n)
		}
	})
}

// TestManyPutOffAreAThrottle: a relay that puts everybody off is left alone for a moment.
func TestManyPutOffAreAThrottle(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.Transient, Code: "451 4.7.1", Text: "come again", Healthy: true, RetryAfter: 5 * time.Minute}
		})
		ids := s.stream(srv, a, 50*time.Millisecond, 20*time.Second)
		if n := s.called("ONE"); n > 2*putsOff+2 || n < putsOff {
			t.Errorf("%d of %d messages were put off by it", n, len(ids))
		}
		if n := s.unsent(ids[:len(ids)-1]); n != 0 {
			t.Errorf("%d are not sent", n)
		}
		srv.d.sched.mu.Lock()
		defer srv.d.sched.mu.Unlock()
		for _, x := range srv.d.sched.dir.entry(a.ID).accounts {
			if x.breaker.State(time.Now()) != pace.Closed {
				t.Error("its breaker opened")
			}
		}
	})
}

// TestLonelyMessagesPassAProviderBy: where little is sent one outcome that nobody knows says enough, if another provider can
// carry the messages. One alone is no trouble to tell anybody of.
func TestLonelyMessagesPassAProviderBy(t *testing.T) {
	unclear := func(context.Context, *provider.Message) error {
		return &provider.Error{Class: provider.Ambiguous, Code: "503", Text: "not available"}
	}
	play(t, "a spell of 5xx", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", unclear)
		ids := s.stream(srv, a, time.Minute, 20*time.Minute)
		met := s.called("ONE")
		if all, open := s.delays(ids); open != 0 || all[len(all)-1] > 10*time.Second || met > 10 {
			t.Errorf("%d of 20 are open, the last one took %v, the first provider was called %d times", open, all[len(all)-1], met)
		}
		s.acts("ONE", nil)
		s.stream(srv, a, time.Minute, 15*time.Minute)
		if n := s.called("ONE") - met; n < 4 {
			t.Errorf("it has had %d of 15 messages since it works", n)
		}
	})
	play(t, "one blink", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", unclear)
		id := s.send(srv, a, nil)
		time.Sleep(time.Minute)
		if st := s.status(id); st.Status != comm.Sent || st.Provider != "two" {
			t.Errorf("%s through %q", st.Status, st.Provider)
		}
		srv.d.sched.mu.Lock()
		defer srv.d.sched.mu.Unlock()
		if all, _ := srv.d.sched.troubles(time.Now()); len(all) != 0 {
			t.Errorf("it is told of: %v", all)
		}
	})
}

// TestNobodyIsLeftForOneThatIsWorse: a provider is not passed over, for one lost answer or for three that are late, in favour of another
// that is told not to work, although its breaker lets calls through; and it is, if it fails or is silent for longer.
func TestNobodyIsLeftForOneThatIsWorse(t *testing.T) {
	unclear := func(context.Context, *provider.Message) error {
		return &provider.Error{Class: provider.Ambiguous, Code: "503", Text: "not available"}
	}
	// failing makes both fail for n messages, and the first one work again. It says how often the second one was called.
	failing := func(t *testing.T, s *stage, srv *simServer, a *comm.App, class provider.Class, n int) int {
		t.Helper()
		s.acts("ONE", refuse(provider.Transient))
		s.acts("TWO", refuse(class))
		ids := s.stream(srv, a, 100*time.Millisecond, time.Duration(n)*100*time.Millisecond)
		s.acts("ONE", nil)
		time.Sleep(10 * time.Minute)
		if got := s.unsent(ids); got != 0 || s.called("TWO") == 0 {
			t.Fatalf("%d of %d are open, and the second one had %d calls", got, n, s.called("TWO"))
		}
		return s.called("TWO")
	}
	for _, class := range []provider.Class{provider.Transient, provider.Account} { // its breaker is closed, or open to a probe
		play(t, "one lost answer, before "+class.String(), func(t *testing.T, s *stage) {
			a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
			srv := s.boot(0)
			time.Sleep(time.Second)
			met := failing(t, s, srv, a, class, 3)
			s.acts("ONE", unclear)
			s.send(srv, a, nil)
			time.Sleep(time.Second)
			s.acts("ONE", nil)
			if all, open := s.delays(s.stream(srv, a, 100*time.Millisecond, 5*time.Second)); open != 0 || all[len(all)-1] > time.Second || s.called("TWO") != met {
				t.Errorf("%d are open, and the dead one was called %d times", open, s.called("TWO")-met)
			}
		})
		play(t, "three late answers, before "+class.String(), func(t *testing.T, s *stage) {
			a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
			srv := s.boot(0)
			time.Sleep(time.Second)
			met := failing(t, s, srv, a, class, 3)
			s.acts("ONE", takes(4*time.Second))
			s.stream(srv, a, 100*time.Millisecond, 300*time.Millisecond)
			time.Sleep(2 * time.Second)
			s.acts("ONE", nil)
			s.stream(srv, a, 100*time.Millisecond, time.Second)
			if n := s.called("TWO"); n != met {
				t.Errorf("the dead one was called %d times", n-met)
			}
		})
		play(t, "a silence that lasts, before "+class.String(), func(t *testing.T, s *stage) {
			a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
			srv := s.boot(0)
			time.Sleep(time.Second)
			failing(t, s, srv, a, class, 3)
			s.acts("ONE", takes(time.Minute))
			s.acts("TWO", nil)
			all, open := s.delays(s.stream(srv, a, 100*time.Millisecond, 20*time.Second))
			if open > 80 || all[len(all)-1] > time.Second {
				t.Errorf("%d of 200 are open, the others took %v", open, all)
			}
		})
	}
	for _, n := range []int{1, 3} {
		play(t, fmt.Sprintf("it fails for good, before one that failed %d times", n), func(t *testing.T, s *stage) {
			a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
			srv := s.boot(0)
			time.Sleep(time.Second)
			failing(t, s, srv, a, provider.Transient, n)
			s.acts("ONE", unclear)
			s.acts("TWO", nil)
			ids := s.stream(srv, a, time.Minute, 5*time.Minute)
			if all, open := s.delays(ids); open != 0 || all[3] > 10*time.Second || all[4] > 2*time.Minute {
				t.Errorf("%d of 5 are open, the others took %v", open, all)
			}
		})
	}
}

// A provider that cannot say what became of a message, but when it wants the next ones, is left alone until then.
func TestAnUnclearAnswerAsksForTime(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.Ambiguous, Code: "503", Text: "maintenance", RetryAfter: 2 * time.Minute}
		})
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		s.acts("ONE", nil)
		ids := s.stream(srv, a, 10*time.Second, 100*time.Second)
		if n := s.called("ONE"); n != 1 {
			t.Errorf("%d calls within the two minutes", n)
		}
		time.Sleep(time.Minute)
		if n := s.unsent(ids); n != 0 {
			t.Errorf("%d of %d wait still", n, len(ids))
		}
	})
}

// TestWhatIsKeptForLoginCodesCarriesThem: a silent provider is passed by for CRITICAL where the other one has left of its day what
// is kept for them alone.
func TestWhatIsKeptForLoginCodesCarriesThem(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		second := emailConfig("TWO", 2)
		second.Limits.RatePerDay = 1000
		a := s.app(nil, emailConfig("ONE", 1), second)
		srv := s.boot(0)
		s.acts("ONE", takes(100*time.Millisecond))
		time.Sleep(time.Second)
		s.stream(srv, a, 500*time.Millisecond, 5*time.Second)
		srv.d.sched.mu.Lock()
		for _, x := range srv.d.sched.dir.entry(a.ID).accounts {
			if x.name == "two" {
				x.days.turn(srv.d.sched.clock.db().Day())
				x.days.stored = 950 // of the other lanes' 910
			}
		}
		srv.d.sched.mu.Unlock()
		s.acts("ONE", hangs(false))
		var ids []comm.ID
		for range 40 {
			ids = append(ids, s.send(srv, a, func(st *comm.State) { st.Lane = comm.Critical }))
			time.Sleep(500 * time.Millisecond)
		}
		time.Sleep(time.Second)
		all, open := s.delays(ids)
		if open > 7 || len(all) == 0 || all[len(all)-1] > 2*time.Second {
			t.Errorf("%d of 40 are open, the others took %v", open, all)
		}
	})
}
