package dispatch

import (
	"errors"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// doubts are refusals that look like an outage, by what they may be about.
var doubts = map[string]error{"out of memory": errScarce, "session ended": errKilled}

// playDoubts plays a scene with each of them, about starts and finishes.
func playDoubts(t *testing.T, scene func(t *testing.T, s *stage, what string)) {
	for name, err := range doubts {
		for _, what := range []string{"start", "finish"} {
			play(t, name+" "+what, func(t *testing.T, s *stage) {
				s.store.refusal = err
				scene(t, s, what)
			})
		}
	}
}

// TestARowLikeAnOutageStopsNobody: one row whose refusal looks like an outage is set aside,
// and hundreds of others of its app and of others go on.
func TestARowLikeAnOutageStopsNobody(t *testing.T) {
	playDoubts(t, func(t *testing.T, s *stage, what string) {
		a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		srv.delay(5 * time.Millisecond)
		var ids []comm.ID
		var bad comm.ID
		for i := range 400 {
			if i == 100 {
				bad = s.sendRefused(srv, a, what, nil)
				continue
			}
			ids = append(ids, s.send(srv, []*comm.App{a, b}[i%2], nil))
		}
		wait := 400 * time.Millisecond // some transactions
		if errors.Is(s.store.refusal, store.ErrUncertain) && what == "start" {
			wait = 4 * time.Second // and some sweeps
		}
		time.Sleep(wait)
		if n := s.unsent(ids); n > 0 {
			t.Errorf("%d of %d others are not sent after %v", n, len(ids), wait)
		}
		late := s.crowd(srv, []*comm.App{a, b}, 60)
		time.Sleep(time.Second)
		if n := s.unsent(late); n > 0 {
			t.Errorf("%d of %d later ones are not sent", n, len(late))
		}
		if st := srv.d.Stats(); !st.Healthy || st.Aside != 1 {
			t.Errorf("healthy %v (%s), %d aside", st.Healthy, st.LastError, st.Aside)
		}
		s.cure(what)
		time.Sleep(10 * time.Minute) // longer than any wait has grown to
		if st := s.status(bad); st.Status != comm.Sent || s.called("ONE") != len(ids)+len(late)+1 {
			t.Errorf("it is %v, %d calls for %d messages", st.Status, s.called("ONE"), len(ids)+len(late)+1)
		}
	})
}

// TestManyRowsLikeAnOutage: rows come all the time whose refusal looks like an outage; the others go on.
func TestManyRowsLikeAnOutage(t *testing.T) {
	playDoubts(t, func(t *testing.T, s *stage, what string) {
		a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("TWO", 1))
		srv := s.boot(0)
		srv.delay(2 * time.Millisecond)
		time.Sleep(time.Second)
		var ids []comm.ID
		for i := range 1500 {
			if i%16 == 0 {
				s.sendRefused(srv, a, what, nil)
			} else {
				ids = append(ids, s.send(srv, []*comm.App{a, b}[i%2], nil))
			}
			time.Sleep(8 * time.Millisecond)
		}
		time.Sleep(4 * time.Second)
		if n := s.unsent(ids); n > 0 {
			t.Errorf("%d of %d others are not sent", n, len(ids))
		}
	})
	playDoubts(t, func(t *testing.T, s *stage, what string) {
		const bad = 300 // all at once
		a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("TWO", 1))
		srv := s.boot(0)
		srv.delay(2 * time.Millisecond)
		time.Sleep(time.Second)
		for range bad {
			s.sendRefused(srv, a, what, nil)
		}
		var ids []comm.ID
		for range 50 {
			ids = append(ids, s.send(srv, b, nil), s.send(srv, a, nil))
		}
		time.Sleep(10 * time.Second)
		if n := s.unsent(ids); n > len(ids)/2 {
			t.Errorf("%d of %d others are not sent after 10 s", n, len(ids))
		}
		// Three of four rows end the session: it looks like an outage, and is one by the rules. Then each heartbeat lets
		// doubtRelief small turns be tried, a third of them from the queue, whose last row stands behind all that are bad.
		const pace = 4 // rows of the queue for each heartbeat, at least
		for range (bad + len(ids)) / pace {
			if s.unsent(ids) == 0 {
				break
			}
			time.Sleep(srv.d.cfg.Heartbeat)
		}
		if n := s.unsent(ids); n > 0 {
			t.Errorf("%d of %d others are not sent although each heartbeat should try %d rows", n, len(ids), pace)
		}
		s.cure(what)
		time.Sleep(10 * time.Minute)
		if st := srv.d.Stats(); st.Aside != 0 || !st.Healthy || s.called("ONE") != bad+len(ids)/2 {
			t.Errorf("%d are still aside after the store took such rows again, %d calls, %s", st.Aside, s.called("ONE"), st.LastError)
		}
	})
}

// TestAnOutageStaysCheap: a store that refuses every turn is asked seldom, says so, and
// gets everything soon after it heals.
func TestAnOutageStaysCheap(t *testing.T) {
	for name, err := range doubts {
		play(t, name, func(t *testing.T, s *stage) {
			s.store.refusal = err
			a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			const minutes = 5
			asked := 0
			srv.node.mu.Lock()
			srv.node.fault = func(op string) simFault {
				if op != "turn" {
					return faultNone
				}
				asked++
				return faultRefused
			}
			srv.node.mu.Unlock()
			var ids []comm.ID
			for range 2000 {
				ids = append(ids, s.send(srv, a, nil), s.send(srv, b, nil))
			}
			time.Sleep(minutes * time.Minute)
			if st := srv.d.Stats(); st.Healthy {
				t.Error("it says that it is healthy")
			}
			srv.node.mu.Lock()
			srv.node.fault = nil
			srv.node.mu.Unlock()
			// Heartbeats are stored every other second or so, and let a few more be tried.
			if most := minutes * 60 * (doubtRelief + 2); asked > most {
				t.Errorf("%d transactions in %d minutes, more than %d", asked, minutes, most)
			}
			time.Sleep(5 * time.Second)
			if n := s.unsent(ids); n > 0 || s.called("ONE") != len(ids) {
				t.Errorf("%d of %d are not sent 5 s after the store healed, %d calls", n, len(ids), s.called("ONE"))
			}
			t.Log(asked, "transactions")
		})
	}
}

// TestATakeOverPassesRowsLikeAnOutage: an attempt whose end is refused as if by an outage
// keeps no shard closed that another node takes over.
func TestATakeOverPassesRowsLikeAnOutage(t *testing.T) {
	for name, err := range doubts {
		play(t, name, func(t *testing.T, s *stage) {
			s.store.refusal = err
			a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			bad := s.sendRefused(srv, a, "finish", nil)
			time.Sleep(time.Second)
			s.kill(0)
			next := s.boot(0)
			time.Sleep(20 * time.Second) // the lease of the first has ended
			ids := s.crowd(next, []*comm.App{a, b}, 10)
			time.Sleep(time.Second)
			if n := s.unsent(ids); n != 0 {
				t.Errorf("%d of %d are not sent", n, len(ids))
			}
			if st := next.d.Stats(); st.Closed > 0 || s.status(bad).Status != comm.Sending {
				t.Errorf("%d shards are closed; the refused one is %v", st.Closed, s.status(bad).Status)
			}
			s.cure("finish")
			time.Sleep(10 * time.Minute)
			if st := s.status(bad).Status; !st.Final() {
				t.Errorf("it is %v once it could be stored", st)
			}
		})
	}
}
