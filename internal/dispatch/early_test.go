package dispatch

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// TestAStartThatCameTooEarly: the store refuses it, since its clock was set back. That the adapter failed on the message is remembered all the same.
func TestAStartThatCameTooEarly(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		s.store.ahead = time.Second.Microseconds()
		s.act["ONE"] = func(context.Context, *provider.Message) error { panic("adapter bug") }
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Second)
		st := s.status(id)
		set := func(by time.Duration) time.Duration { // sets the clock, and answers how long the message still waits
			s.store.mu.Lock()
			defer s.store.mu.Unlock()
			s.store.skew += by
			return st.Due.Sub(s.store.now())
		}
		time.Sleep(set(0) - 20*time.Millisecond)
		set(-400 * time.Millisecond)
		time.Sleep(100 * time.Millisecond)
		if n := s.called("ONE"); n != 1 || s.status(id).Status != comm.Queued {
			t.Fatalf("%d calls: no start came too early", n)
		}
		time.Sleep(2 * time.Minute)
		if st := s.status(id); st.Status != comm.Failed || st.Attempts != maxPanics {
			t.Errorf("%v after %d attempts", st.Status, st.Attempts)
		}
	})
}

// countedGone counts the starts that the store refuses because their messages are elsewhere.
type countedGone struct {
	store.Queue
	n *atomic.Int64
}

func (q *countedGone) Turn(ctx context.Context, t store.Turn) (store.TurnResult, error) {
	res, err := q.Queue.Turn(ctx, t)
	for i := range res.Started {
		if res.Started[i].Verdict == store.Gone {
			q.n.Add(1)
		}
	}
	return res, err
}

// TestRowsThatAreUsedUpDuringARead are not started again, whatever the read brings: that says of its unit that rows cannot be started yet, for which
// it is looked again later and later.
func TestRowsThatAreUsedUpDuringARead(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		var gone atomic.Int64
		edit := s.edit
		s.edit = func(c *Config) { edit(c); c.Queue = &countedGone{&slowReads{c.Queue}, &gone} }
		s.act["ONE"] = func(ctx context.Context, m *provider.Message) error {
			sleep(ctx, 100*time.Millisecond)
			if m.Attempt == 1 && m.ID[15]%4 == 0 {
				return &provider.Error{Class: provider.Transient, Healthy: true}
			}
			return nil
		}
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 1000 {
			s.send(srv, a, nil)
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		if n := gone.Load(); n > 0 || s.open() != 0 {
			t.Errorf("%d starts were refused; %d messages are open", n, s.open())
		}
	})
}
