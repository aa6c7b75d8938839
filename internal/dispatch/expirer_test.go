package dispatch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// ended wants a message to have ended by the cause, soon after its time, without another attempt.
func (s *stage) ended(t *testing.T, id comm.ID, cause comm.Cause, at comm.Micros, attempts int) {
	t.Helper()
	st := s.status(id)
	if st.Status != comm.Failed || st.ErrorCode != cause.String() || s.saw(id, cause) != 1 || st.Attempts != attempts {
		t.Errorf("%v %s after %d attempts, want FAILED %v after %d", st.Status, st.ErrorCode, st.Attempts, cause, attempts)
	}
	if late := st.UpdatedAt.Sub(at); late < 0 || late > 2*time.Second {
		t.Errorf("ended %v after its time", late)
	}
}

func TestWhatWaitsTooLongEnds(t *testing.T) {
	ttl := func(s *stage, d time.Duration) func(*comm.State) {
		return func(st *comm.State) { st.ExpiresAt = s.store.now().Add(d) }
	}
	play(t, "behind a closed queue", func(t *testing.T, s *stage) {
		a := s.app(func(a *comm.App) { a.QueuePaused = true }, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		first := s.send(srv, a, nil)
		id := s.send(srv, a, ttl(s, 3*time.Second))
		unheard := s.send(nil, a, ttl(s, 3*time.Second)) // of another process
		time.Sleep(6 * time.Second)
		s.ended(t, id, comm.CauseExpired, s.status(id).ExpiresAt, 0)
		s.ended(t, unheard, comm.CauseExpired, s.status(unheard).ExpiresAt, 0)
		s.store.change(func() { a.QueuePaused = false })
		srv.d.Invalidate(a.ID)
		time.Sleep(time.Second)
		if s.status(first).Status != comm.Sent || s.called("ONE") != 1 {
			t.Errorf("the one without a time to live is %v, %d calls", s.status(first).Status, s.called("ONE"))
		}
	})
	play(t, "behind an open breaker", func(t *testing.T, s *stage) {
		s.act["ONE"] = refuse(provider.Account)
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		id := s.send(srv, a, ttl(s, 2*time.Second))
		time.Sleep(5 * time.Second)
		s.ended(t, id, comm.CauseExpired, s.status(id).ExpiresAt, 0)
	})
	play(t, "behind its own app's calls", func(t *testing.T, s *stage) {
		first := s.edit
		s.edit = func(c *Config) { first(c); c.MaxInFlight = 8 }
		s.act["ONE"] = func(ctx context.Context, _ *provider.Message) error {
			<-ctx.Done()
			return refuse(provider.Transient)(ctx, nil)
		}
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 20 {
			s.send(srv, a, nil)
		}
		time.Sleep(100 * time.Millisecond)
		id := s.send(srv, a, ttl(s, 2*time.Second))
		time.Sleep(5 * time.Second)
		s.ended(t, id, comm.CauseExpired, s.status(id).ExpiresAt, 0)
	})
	play(t, "after its retries", func(t *testing.T, s *stage) {
		s.act["ONE"] = refuse(provider.Transient)
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		s.store.change(func() { a.QueuePaused = true })
		srv.d.Invalidate(a.ID)
		time.Sleep(10 * time.Second)
		tries := s.status(id).Attempts
		never := s.send(srv, a, nil)
		time.Sleep(10*time.Minute + 3*time.Second)
		st := s.status(id)
		s.ended(t, id, comm.CauseExhausted, st.RoundSince.Add(10*time.Minute), tries)
		if st.ErrorText != "retries are used up; last answer: no" {
			t.Errorf("%q", st.ErrorText)
		}
		if s.status(never).Status != comm.Queued {
			t.Errorf("a message that was never tried is %v", s.status(never).Status)
		}
	})
}

// TestAMillionWaitWithoutWrites: what ends behind a closed unit of 1,000,000
// messages costs its own writes and nobody else's.
func TestAMillionWaitWithoutWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, boot := crowd(t, time.Millisecond, &pacedSender{})
		a := w.app(func(a *comm.App) { a.QueuePaused = true }, emailConfig("PACED", 1))
		w.backlog(a, 1_000_000)
		srv := boot()
		time.Sleep(time.Second)
		const n = 1200 // more than a window and two batches
		var last comm.Micros
		for range n {
			w.send(srv, a, func(st *comm.State) {
				st.Lane = comm.Bulk
				st.ExpiresAt = w.store.now().Add(30 * time.Second)
				last = st.ExpiresAt
			})
		}
		time.Sleep(time.Minute)
		w.store.mu.Lock()
		ends := 0
		for _, id := range w.ids {
			st := &w.store.msgs[id].state
			if st.Status == comm.Failed && st.UpdatedAt.Sub(last) < 2*time.Second {
				ends++
			}
		}
		items, lookups := w.store.items, w.store.overdues
		w.store.mu.Unlock()
		if ends != n || items != n {
			t.Errorf("%d of %d ended in time, %d items written", ends, n, items)
		}
		if lookups > 80 {
			t.Errorf("%d look-ups in a minute", lookups)
		}
		w.stopAll()
	})
}
