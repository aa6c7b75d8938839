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
		if n := s.called("ONE"); n < 99 || n > 102 {
			t.Errorf("%d calls on a day of 100", n)
		}
		for range 40 {
			for _, a := range apps {
				s.send(two, a, nil)
			}
		}
		time.Sleep(time.Minute)
		day := s.called("ONE")
		if day < 99 || day > 102 {
			t.Errorf("%d calls on a day of 100", day)
		}
		// The next day begins with hundreds at once: half of what is left for each of the two, and nothing twice.
		time.Sleep(time.Hour)
		if n := s.called("ONE") - day; n < 99 || n > 102 {
			t.Errorf("%d calls on the next day of 100", n)
		}
	})
}
