package dispatch

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

func TestChangesOfSettings(t *testing.T) {
	play(t, "what is sent after a change goes by the change", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		for i, kind := range []string{"TWO", "ONE"} {
			s.reconfigure(a.ID, 10+i, emailConfig(kind, 1))
			srv.d.Invalidate(a.ID)
			s.send(srv, a, nil)
			time.Sleep(time.Second)
		}
		s.reconfigure(a.ID, 0)
		s.reconfigure(comm.ID{}, 20, emailConfig("TWO", 1))
		srv.d.Invalidate(a.ID)
		srv.d.Invalidate(comm.ID{})
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		if one, two, logger := s.called("ONE"), s.called("TWO"), s.called("LOGGER"); one != 2 || two != 2 || logger != 0 {
			t.Errorf("%d calls of ONE, %d of TWO, %d of the logger", one, two, logger)
		}
	})
	play(t, "an account that refuses while the chain changes does not end the message", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		var change sync.Once
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			change.Do(func() {
				s.reconfigure(a.ID, 0, emailConfig("ONE", 1), emailConfig("TWO", 2))
				srv.d.Invalidate(a.ID)
			})
			return &provider.Error{Class: provider.PermanentHere}
		}
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Minute)
		if st := s.status(id); st.Status != comm.Sent || st.Provider != "two" {
			t.Errorf("%v by %s: %s", st.Status, st.Provider, st.ErrorText)
		}
	})
}
