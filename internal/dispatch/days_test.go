package dispatch

import (
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// evening sleeps until an hour before a midnight.
func evening() { time.Sleep(time.Until(time.Now().Truncate(24 * time.Hour).Add(47 * time.Hour))) }

func TestDays(t *testing.T) {
	play(t, "a restart, a kill and a new node are no new day", func(t *testing.T, s *stage) {
		evening()
		c := emailConfig("ONE", 1)
		c.Limits.RatePerDay = 10
		a := s.app(nil, c)
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 4 {
			s.send(srv, a, nil)
		}
		time.Sleep(time.Second)
		srv.stop()
		<-srv.done
		s.nodes = nil
		srv = s.boot(0)
		time.Sleep(time.Second)
		for range 3 {
			s.send(srv, a, nil)
		}
		time.Sleep(time.Second)
		s.kill(0)
		srv = s.boot(0)
		for range 20 {
			s.send(srv, a, nil)
		}
		time.Sleep(time.Minute)
		s.boot(0)
		time.Sleep(time.Minute)
		if n := s.called("ONE"); n != 10 {
			t.Errorf("%d calls on a day of 10", n)
		}
		time.Sleep(time.Hour)
		if n := s.called("ONE"); n != 20 {
			t.Errorf("%d calls on two days of 10", n)
		}
	})
	play(t, "nodes that share a configuration use up its day together", func(t *testing.T, s *stage) {
		evening()
		c := emailConfig("ONE", 1)
		c.Limits.RatePerDay, c.ID = 100, testID(77)
		s.store.change(func() { s.store.configs[comm.ID{}] = []comm.ProviderConfig{c} })
		one, two := s.boot(0), s.boot(0)
		time.Sleep(10 * time.Second) // both have their shards
		var apps []*comm.App
		for range 16 {
			apps = append(apps, s.app(nil))
		}
		// Most of the work is one node's: it may use what the other leaves.
		for i := range 90 {
			s.send(one, apps[0], nil)
			if i%9 == 0 {
				s.send(two, apps[1+i%15], nil)
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		// Nine of a hundred are kept for CRITICAL.
		if n := s.called("ONE"); n < 90 || n > 93 {
			t.Errorf("%d calls on a day of 100", n)
		}
		for range 40 {
			for _, a := range apps {
				s.send(two, a, nil)
			}
		}
		time.Sleep(time.Minute)
		day := s.called("ONE")
		if day < 90 || day > 93 {
			t.Errorf("%d calls on a day of 100", day)
		}
		// The next day begins with hundreds at once: half of what is left for each of the two, and nothing twice.
		time.Sleep(time.Hour)
		next := s.called("ONE") - day
		if next < 90 || next > 93 {
			t.Errorf("%d calls on the next day of 100", next)
		}
		for range 40 {
			s.send(one, apps[3], func(st *comm.State) { st.Lane = comm.Critical })
		}
		time.Sleep(time.Minute)
		if n := s.called("ONE") - day; n < 99 || n > 102 {
			t.Errorf("%d calls on the next day of 100, with login codes", n)
		}
	})
}

// TestWhoWaitsInALineIsToldThatTheDayIsOver for its lane: another provider is free.
func TestWhoWaitsInALineIsToldThatTheDayIsOver(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		evening()
		first := emailConfig("ONE", 1)
		first.Limits.RatePerDay, first.Limits.RatePerSecond = 100, 10
		a := s.app(nil, first, emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for i := range 300 {
			s.send(srv, a, func(st *comm.State) { st.Lane = []comm.Lane{comm.Normal, comm.Bulk}[i%2] })
		}
		time.Sleep(15 * time.Second) // the day takes nine of them
		if one, two := s.called("ONE"), s.called("TWO"); one < 90 || one > 93 || one+two != 300 {
			t.Errorf("%d through the first one, %d through the second, of 300", one, two)
		}
	})
}
