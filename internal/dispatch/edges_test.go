package dispatch

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// TestWhatAProviderAsksFor: a Retry-After may be anything.
func TestWhatAProviderAsksFor(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for asked, want := range map[time.Duration]time.Duration{
		0: defaultThrottle, -time.Second: defaultThrottle, math.MinInt64: defaultThrottle, time.Millisecond: time.Millisecond, 1500 * time.Millisecond: 1500 * time.Millisecond,
		time.Minute: time.Minute, time.Hour: time.Hour, 10 * 365 * 24 * time.Hour: maxThrottle, math.MaxInt64: maxThrottle,
	} {
		a := newAccount(comm.ProviderConfig{}, 1)
		a.pause(now, asked)
		if got := a.throttled.Sub(now); got != want {
			t.Errorf("asked for %v, waits %v", asked, got)
		}
		a.pause(now, time.Nanosecond) // a shorter wish does not end a longer one
		if got := a.throttled.Sub(now); got != want {
			t.Errorf("asked for %v and for less, waits %v", asked, got)
		}
	}
}

// TestMomentsEnd: three waits, each longer, and then the back-off, after which there are three again; none after an answer about the message.
func TestMomentsEnd(t *testing.T) {
	t.Parallel()
	j := &job{shard: newShard(store.Lease{}), head: store.Head{ID: testID(1)}}
	var got []time.Duration
	for range 5 {
		d := j.moment()
		got = append(got, d)
		j.waits(d > 0, time.Now())
	}
	if want := []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, 900 * time.Millisecond, 0, 100 * time.Millisecond}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if j.own = true; j.moment() != 0 {
		t.Errorf("it waits %v for what would be the same", j.moment())
	}
	if j.shard.settled(j.head.ID); len(j.shard.moments) != 0 {
		t.Error("they outlive their message")
	}
}

func TestEdgesOfAChain(t *testing.T) {
	play(t, "ten providers, all throttled", func(t *testing.T, s *stage) {
		var chain []comm.ProviderConfig
		for i := range 10 {
			c := emailConfig("ONE", i+1)
			chain = append(chain, c)
		}
		asks := time.Duration(0)
		s.acts("ONE", func(context.Context, *provider.Message) error {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			asks += time.Minute
			return &provider.Error{Class: provider.RateLimited, Text: "slow down", RetryAfter: 11*time.Minute - asks}
		})
		a := s.app(nil, chain...)
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(30 * time.Second)
		if n, st := s.called("ONE"), s.status(id); n != 10 || st.Status != comm.Queued || st.Round != 0 || st.Due.Sub(st.UpdatedAt) > time.Minute {
			t.Errorf("%d calls; %v, round %d, due after %v", n, st.Status, st.Round, st.Due.Sub(st.UpdatedAt))
		}
		second := s.send(srv, a, nil)
		time.Sleep(10 * time.Second)
		if n := s.called("ONE"); n != 10 {
			t.Errorf("%d calls while all had asked for time", n)
		}
		s.acts("ONE", nil)
		time.Sleep(45 * time.Second) // the last one asked for a minute
		if n := s.unsent([]comm.ID{id, second}); n != 0 {
			t.Errorf("%d are not sent once the first throttle is over", n)
		}
	})
	play(t, "the last one is at its rate: the message waits for that, for no back-off", func(t *testing.T, s *stage) {
		third := emailConfig("THREE", 3)
		third.Limits.RatePerSecond = 10
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2), third)
		srv := s.boot(0)
		s.acts("ONE", refuse(provider.Transient))
		s.acts("TWO", refuse(provider.RateLimited))
		time.Sleep(time.Second)
		var ids []comm.ID
		for range 8 {
			ids = append(ids, s.send(srv, a, nil))
		}
		time.Sleep(2 * time.Second)
		if n := s.unsent(ids); n != 0 {
			t.Errorf("%d of 8 are not sent after two seconds by one that takes ten a second", n)
		}
		for _, id := range ids {
			if st := s.status(id); st.Round != 0 {
				t.Errorf("in round %d", st.Round)
			}
		}
	})
	for what, answer := range map[string]error{
		"refused here":      &provider.Error{Class: provider.PermanentHere, Text: "sender refused"},
		"has to wait":       &provider.Error{Class: provider.Transient, Healthy: true, Text: "greylisted"},
		"to be left alone":  &provider.Error{Class: provider.Transient, Text: "busy", RetryAfter: 3 * time.Second},
		"the same and more": &provider.Error{Class: provider.Transient, Healthy: true, Text: "greylisted", RetryAfter: 5 * time.Minute},
	} {
		play(t, "the last one is busy, the first has said something of this message: "+what, func(t *testing.T, s *stage) {
			third := emailConfig("THREE", 3)
			third.Limits.MaxConcurrent = 1
			a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2), third)
			srv := s.boot(0)
			s.acts("ONE", func(context.Context, *provider.Message) error { return answer })
			s.acts("TWO", refuse(provider.Transient))
			s.acts("THREE", takes(time.Second))
			time.Sleep(time.Second)
			s.send(srv, a, nil)
			s.send(srv, a, nil)
			time.Sleep(900 * time.Millisecond)
			if n := s.called("ONE"); n != 2 {
				t.Errorf("it was called %d times within a second for two messages", n)
			}
		})
	}
	play(t, "a pinned one that is down is tried first all the same", func(t *testing.T, s *stage) {
		first := emailConfig("ONE", 9)
		first.Limits.Pinned = true
		a := s.app(nil, first, emailConfig("TWO", 1))
		srv := s.boot(0)
		s.acts("ONE", refuse(provider.Transient))
		time.Sleep(time.Second)
		ids := s.stream(srv, a, 100*time.Millisecond, 5*time.Second)
		time.Sleep(time.Second)
		if n := s.called("ONE"); n != len(ids) || s.unsent(ids) != 0 {
			t.Errorf("%d of %d tried it, %d are not sent", n, len(ids), s.unsent(ids))
		}
	})
	play(t, "one that is deleted during a call", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		s.acts("ONE", takes(5*time.Second))
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Second)
		s.store.change(func() { s.store.configs[a.ID] = s.store.configs[a.ID][1:] })
		srv.d.Invalidate(a.ID)
		next := s.send(srv, a, nil)
		time.Sleep(time.Second)
		if s.status(next).Status != comm.Sent || s.called("TWO") != 1 || s.status(id).Status != comm.Sending {
			t.Errorf("the next one is %v, the one under way %v", s.status(next).Status, s.status(id).Status)
		}
		time.Sleep(5 * time.Second)
		if st := s.status(id); st.Status != comm.Sent || st.Attempts != 1 {
			t.Errorf("the one under way is %v after %d attempts", st.Status, st.Attempts)
		}
	})
	play(t, "a day ends at midnight of the database's clock", func(t *testing.T, s *stage) {
		c := emailConfig("ONE", 1)
		c.Limits.RatePerDay = 2
		a := s.app(nil, c)
		midnight := comm.At(time.Now()).NextDay().Time()
		time.Sleep(time.Until(midnight.Add(-time.Minute))) // what nobody looks on at costs nothing
		srv := s.boot(0)
		var ids []comm.ID
		for range 5 {
			ids = append(ids, s.send(srv, a, nil))
		}
		time.Sleep(50 * time.Second)
		if n := s.unsent(ids); n != 3 {
			t.Errorf("%d of 5 wait for the next day, want 3", n)
		}
		time.Sleep(30 * time.Second)
		if n := s.unsent(ids); n != 1 {
			t.Errorf("%d wait after midnight, want 1", n)
		}
		s.kill(0)
		time.Sleep(time.Until(midnight.Add(24*time.Hour - 10*time.Minute)))
		s.boot(0)
		time.Sleep(9 * time.Minute)
		if n := s.unsent(ids); n != 1 {
			t.Errorf("%d wait before a second midnight, want 1", n)
		}
		time.Sleep(2 * time.Minute)
		if n := s.unsent(ids); n != 0 {
			t.Errorf("%d wait after a second midnight", n)
		}
	})
	play(t, "account trouble of one spares the message", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		s.acts("ONE", refuse(provider.Account))
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(5 * time.Minute)
		if st := s.status(id); st.Status != comm.Queued {
			t.Errorf("it is %v: %s %s", st.Status, st.ErrorCode, st.ErrorText)
		}
		s.acts("ONE", nil) // the password was put right
		time.Sleep(4 * time.Minute)
		if st := s.status(id); st.Status != comm.Sent {
			t.Errorf("it is %v once the account works", st.Status)
		}
	})
}
