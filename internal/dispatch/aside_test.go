package dispatch

import (
	"fmt"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// crowd sends messages of ten apps, three a second of each, and answers their ids.
func (s *stage) crowd(srv *simServer, apps []*comm.App, seconds int) (ids []comm.ID) {
	for range seconds {
		for _, a := range apps {
			for range 3 {
				ids = append(ids, s.send(srv, a, nil))
			}
		}
		time.Sleep(time.Second)
	}
	return ids
}

// unsent counts those of the messages that are not SENT.
func (s *stage) unsent(ids []comm.ID) (n int) {
	for _, id := range ids {
		if s.status(id).Status != comm.Sent {
			n++
		}
	}
	return n
}

// TestARowThatCannotBeStored: the store refuses one message for ever, everybody else's go on at once.
func TestARowThatCannotBeStored(t *testing.T) {
	apps := func(s *stage) (out []*comm.App) {
		for range 10 {
			out = append(out, s.app(nil, emailConfig("ONE", 1)))
		}
		return out
	}
	for _, what := range []string{"start", "finish"} {
		play(t, what, func(t *testing.T, s *stage) {
			all := apps(s)
			srv := s.boot(0)
			time.Sleep(time.Second)
			var bad []comm.ID
			for i := range 20 {
				id := comm.NewID(comm.At(time.Now()))
				s.refuse(id, what)
				bad = append(bad, id)
				s.send(srv, all[i%10], func(st *comm.State) { st.ID, st.Shard = id, comm.ShardOf(st.App, id, 1) })
			}
			ids := s.crowd(srv, all, 120)
			time.Sleep(time.Second)
			if n := s.unsent(ids); n != 0 {
				t.Errorf("%d of %d are not sent", n, len(ids))
			}
			if st := srv.d.Stats(); !st.Healthy || st.InFlight != 0 {
				t.Errorf("healthy %v (%s), %d in flight", st.Healthy, st.LastError, st.InFlight)
			}
			if n := s.unsent(bad); n != len(bad) {
				t.Errorf("%d of the refused ones are sent", len(bad)-n)
			}
			for _, id := range bad {
				s.refuse(id, "")
			}
			time.Sleep(10 * time.Minute) // longer than any wait has grown to
			if n := s.unsent(bad); n != 0 || s.called("ONE") != len(ids)+len(bad) {
				t.Errorf("%d are not sent once they could be stored; %d calls", n, s.called("ONE"))
			}
		})
	}
	play(t, "at a take-over", func(t *testing.T, s *stage) {
		all := apps(s)
		srv := s.boot(0)
		time.Sleep(time.Second)
		bad := comm.NewID(comm.At(time.Now()))
		s.refuse(bad, "finish")
		s.send(srv, all[0], func(st *comm.State) { st.ID, st.Shard = bad, comm.ShardOf(st.App, bad, 1) })
		time.Sleep(time.Second)
		s.kill(0)
		next := s.boot(0)
		time.Sleep(20 * time.Second) // the lease of the first has ended
		ids := s.crowd(next, all, 20)
		time.Sleep(time.Second)
		if n := s.unsent(ids); n != 0 {
			t.Errorf("%d of %d are not sent", n, len(ids))
		}
		if st := s.status(bad); st.Status != comm.Sending {
			t.Errorf("the refused one is %v", st.Status)
		}
		began := time.Now()
		next.stop()
		<-next.done
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
	play(t, "a store that refuses everything has a fault", func(t *testing.T, s *stage) {
		all := apps(s)
		srv := s.boot(0)
		time.Sleep(time.Second)
		var ids []comm.ID
		for i := range 2000 {
			id := testID(i)
			id[14], id[13] = byte(i>>8), byte(i>>16)
			s.refuse(id, "start")
			ids = append(ids, id)
			s.send(srv, all[i%10], func(st *comm.State) { st.ID, st.Shard = id, comm.ShardOf(st.App, id, 1) })
		}
		time.Sleep(time.Minute)
		if st := srv.d.Stats(); st.Healthy {
			t.Error("it says that it is healthy")
		}
		for _, id := range ids {
			s.refuse(id, "")
		}
		time.Sleep(10 * time.Minute) // longer than any wait has grown to
		if n := s.unsent(ids); n != 0 {
			t.Error(fmt.Sprint(n, " are not sent once they could be stored"))
		}
	})
}
