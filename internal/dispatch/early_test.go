package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
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
