package dispatch

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// sendRefused sends a message of which the store refuses what is said.
func (s *stage) sendRefused(srv *simServer, a *comm.App, what string, edit func(*comm.State)) comm.ID {
	id := comm.NewID(comm.At(time.Now()))
	s.refuse(id, what)
	return s.send(srv, a, func(st *comm.State) {
		st.ID, st.Shard = id, comm.ShardOf(st.App, id, 1)
		if edit != nil {
			edit(st)
		}
	})
}

// delay makes every transaction of a node take that long.
func (srv *simServer) delay(d time.Duration) {
	srv.node.mu.Lock()
	defer srv.node.mu.Unlock()
	srv.node.latency = func() time.Duration { return d / 2 }
}

// TestManyRefusedRowsStopNobody: however many rows of one app the store refuses,
// another app's messages go on, and the node is healthy once one of them was stored.
func TestManyRefusedRowsStopNobody(t *testing.T) {
	for _, what := range []string{"finish", "start"} {
		play(t, what, func(t *testing.T, s *stage) {
			const bad = 600 // more than any group
			a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("TWO", 1))
			srv := s.boot(0)
			srv.delay(2 * time.Millisecond)
			time.Sleep(time.Second)
			for i := range bad {
				s.sendRefused(srv, a, what, nil)
				if i%50 == 0 {
					time.Sleep(10 * time.Millisecond)
				}
			}
			for _, wait := range []time.Duration{100 * time.Millisecond, 5 * time.Second, time.Minute} {
				time.Sleep(wait)
				var ids []comm.ID
				for range 50 {
					ids = append(ids, s.send(srv, b, nil))
				}
				time.Sleep(3 * time.Second) // a refused transaction or two for each bad row in front
				if n := s.unsent(ids); n > 0 {
					t.Errorf("%d of %d messages of another app are not sent after 3 s", n, len(ids))
				}
			}
			for i := range 1200 {
				if i%20 == 0 {
					s.send(srv, b, nil)
				}
				time.Sleep(50 * time.Millisecond)
				if st := srv.d.Stats(); !st.Healthy {
					t.Fatalf("it says that it is not healthy (%s)", st.LastError)
				}
			}
			if st := srv.d.Stats(); st.Aside < bad*9/10 {
				t.Errorf("only %d are aside", st.Aside)
			}
			s.cure(what)
			time.Sleep(10 * time.Minute) // longer than any wait has grown to
			if st := srv.d.Stats(); st.Aside != 0 || s.called("ONE") != bad {
				t.Errorf("%d are still aside after the store took such rows again, %d calls", st.Aside, s.called("ONE"))
			}
		})
	}
}

// TestRefusedGroupKeepsNobodyWaiting: while a whole group is taken apart, which takes
// hundreds of transactions, a message that comes goes on at once.
func TestRefusedGroupKeepsNobodyWaiting(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("TWO", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		srv.delay(5 * time.Millisecond)
		for range turnSize {
			s.sendRefused(srv, a, "start", nil)
		}
		for range 5 {
			time.Sleep(100 * time.Millisecond)
			id := s.send(srv, b, nil)
			time.Sleep(200 * time.Millisecond)
			if st := s.status(id); st.Status != comm.Sent {
				t.Errorf("a message is %v after 200 ms, %d of %d refused ones are aside", st.Status, srv.d.Stats().Aside, turnSize)
			}
		}
	})
}

// TestRefusedRowsOnBusyNode: rows are refused all the time, in every proportion; the others go on.
func TestRefusedRowsOnBusyNode(t *testing.T) {
	for _, every := range []int{2, 10, 100} {
		play(t, "", func(t *testing.T, s *stage) {
			a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("TWO", 1))
			srv := s.boot(0)
			srv.delay(2 * time.Millisecond)
			time.Sleep(time.Second)
			var ids []comm.ID
			for i := range 3000 {
				if i%every == 0 {
					s.sendRefused(srv, a, []string{"start", "finish"}[i/every%2], nil)
				} else {
					ids = append(ids, s.send(srv, []*comm.App{a, b}[i%2], nil))
				}
				time.Sleep(8 * time.Millisecond)
			}
			time.Sleep(2 * time.Second)
			if n := s.unsent(ids); n > 0 {
				t.Errorf("with one of %d refused, %d of %d others are not sent", every, n, len(ids))
			}
		})
	}
}

// TestRefusedEndsStopNoOther: messages whose end cannot be stored, more than are listed at once,
// do not keep others from ending in time.
func TestRefusedEndsStopNoOther(t *testing.T) {
	for _, bad := range []int{1, 2 * turnSize} {
		play(t, "", func(t *testing.T, s *stage) {
			paused := func(a *comm.App) { a.QueuePaused = true }
			a, b := s.app(paused, emailConfig("ONE", 1)), s.app(paused, emailConfig("ONE", 1))
			soon := func(st *comm.State) { st.ExpiresAt = s.store.now().Add(2 * time.Second) }
			srv := s.boot(0)
			time.Sleep(time.Second)
			for range bad {
				s.sendRefused(srv, a, "finish", soon)
			}
			time.Sleep(10 * time.Second)
			var ids []comm.ID
			for range 20 {
				ids = append(ids, s.send(srv, b, soon))
			}
			time.Sleep(5 * time.Second)
			for _, id := range ids {
				s.ended(t, id, comm.CauseExpired, s.status(id).ExpiresAt, 0)
			}
		})
	}
}

// TestRefusedStartExpires: a message whose start cannot be stored ends when its time is over.
func TestRefusedStartExpires(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		var ids []comm.ID
		for _, ttl := range []time.Duration{5 * time.Second, 45 * time.Second, 20 * time.Minute} {
			ids = append(ids, s.sendRefused(srv, a, "start", func(st *comm.State) { st.ExpiresAt = s.store.now().Add(ttl) }))
		}
		s.send(srv, a, nil) // the store takes others
		time.Sleep(21 * time.Minute)
		for _, id := range ids {
			s.ended(t, id, comm.CauseExpired, s.status(id).ExpiresAt, 0)
		}
		time.Sleep(10 * time.Minute) // longer than any wait has grown to
		if st := srv.d.Stats(); st.Aside != 0 || s.called("ONE") != 1 {
			t.Errorf("%d aside, %d calls", st.Aside, s.called("ONE"))
		}
	})
}

// TestStopBeginsNothing: a node that stops begins no attempt that stood in line.
func TestStopBeginsNothing(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		srv.delay(20 * time.Millisecond)
		time.Sleep(time.Second)
		for i := range 200 {
			if i%8 == 0 {
				s.sendRefused(srv, a, "start", nil)
			} else {
				s.send(srv, a, nil)
			}
		}
		time.Sleep(150 * time.Millisecond)
		srv.stop()
		time.Sleep(25 * time.Millisecond) // of the turn under way
		before := s.called("ONE")
		began := time.Now()
		<-srv.done
		if n := s.called("ONE"); n != before || n > 150 {
			t.Errorf("%d calls when it was stopped, %d at the end", before, n)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

// TestAShortFaultCostsNoMore: a message that the store refused once, by a fault of its
// own that is over after some seconds, goes out with the next one that it takes.
func TestAShortFaultCostsNoMore(t *testing.T) {
	for _, what := range []string{"start", "finish"} {
		play(t, what, func(t *testing.T, s *stage) {
			a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			s.send(srv, b, nil) // something was stored lately
			time.Sleep(2 * time.Second)
			code := s.sendRefused(srv, a, what, func(st *comm.State) { st.Lane = comm.Critical })
			time.Sleep(5500 * time.Millisecond) // between two tries
			s.cure(what)
			s.send(srv, b, nil)
			time.Sleep(100 * time.Millisecond)
			if got := s.status(code).Status; got != comm.Sent {
				t.Errorf("it is %s 100 ms after the store took something else", got)
			}
			if n := s.called("ONE"); n != 3 {
				t.Errorf("%d calls for 3 messages", n)
			}
		})
	}
}

// TestAStopStoresWhatIsAside: an outcome that the store refused is tried once more before
// the node forgets it; else its attempt would be unknown, and the message sent again.
func TestAStopStoresWhatIsAside(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		var ids []comm.ID
		for range 100 {
			ids = append(ids, s.sendRefused(srv, a, "finish", nil))
		}
		never := s.sendRefused(srv, a, "finish", nil)
		for range 300 { // so that they wait long
			s.send(srv, a, nil)
			time.Sleep(time.Second)
		}
		s.cure("finish")
		s.refuse(never, "finish")
		srv.stop()
		began := time.Now()
		<-srv.done
		if n := s.unsent(ids); n != 0 {
			t.Errorf("%d outcomes are lost by the stop", n)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		if got := s.status(never).Status; got != comm.Sending {
			t.Errorf("what is refused for ever is %s", got)
		}
	})
}

// TestHealedStoreGetsEverything: what the store refused while it refused everything is
// stored about a minute after it heals, and at once when something else is.
func TestHealedStoreGetsEverything(t *testing.T) {
	for _, traffic := range []bool{false, true} {
		for _, what := range []string{"start", "finish"} {
			play(t, what, func(t *testing.T, s *stage) {
				a := s.app(nil, emailConfig("ONE", 1))
				srv := s.boot(0)
				time.Sleep(time.Second)
				var ids []comm.ID
				for range 100 {
					ids = append(ids, s.sendRefused(srv, a, what, nil))
				}
				time.Sleep(10 * time.Minute)
				s.cure(what)
				wait := 2*asideFirst + 10*time.Second
				if traffic {
					s.send(srv, a, nil)
					wait = 2 * time.Second
				}
				time.Sleep(wait)
				if n := s.unsent(ids); n > 0 {
					t.Errorf("%d are not sent %v after the store healed", n, wait)
				}
			})
		}
	}
}

// TestOneRefusedRowCostsLittle: one bad row among 400 keeps the others waiting for a few transactions.
func TestOneRefusedRowCostsLittle(t *testing.T) {
	for _, what := range []string{"start", "finish"} {
		play(t, what, func(t *testing.T, s *stage) {
			a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			srv.delay(5 * time.Millisecond)
			var ids []comm.ID
			for i := range 400 {
				if i == 100 {
					s.sendRefused(srv, a, what, nil)
					continue
				}
				ids = append(ids, s.send(srv, []*comm.App{a, b}[i%2], nil))
			}
			time.Sleep(200 * time.Millisecond)
			if n := s.unsent(ids); n > 0 {
				t.Errorf("%d of %d others are not sent after 200 ms", n, len(ids))
			}
		})
	}
	play(t, "at a take-over", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(ctx context.Context, _ *provider.Message) error { <-ctx.Done(); return ctx.Err() }
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.sendRefused(srv, a, "finish", nil)
		for range 300 {
			s.send(srv, a, nil)
		}
		time.Sleep(time.Second)
		s.kill(0)
		turns := s.turns()
		s.store.change(func() { a.QueuePaused = true })
		s.boot(0)
		time.Sleep(30 * time.Second) // the lease of the first has ended
		n := 0
		for _, id := range s.ids {
			if s.status(id).Status == comm.Sending {
				n++
			}
		}
		// The halves of one page, and the refused one alone a few times more.
		if got := s.turns() - turns; n != 1 || got > 50 {
			t.Errorf("%d are open, %d transactions", n, got)
		}
	})
}

// TestRefusedLateResults: evidence that the store refuses is kept, however much it is, and stops nobody.
func TestRefusedLateResults(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		srv.delay(2 * time.Millisecond)
		time.Sleep(time.Second)
		var ids []comm.ID
		for range 700 {
			ids = append(ids, s.send(srv, a, nil))
		}
		time.Sleep(10 * time.Second)
		file := func(ids []comm.ID) {
			sched := srv.d.sched
			sched.mu.Lock()
			defer sched.mu.Unlock()
			for _, id := range ids {
				sched.late = append(sched.late, store.LateResult{App: a.ID, ID: id, Attempt: 1, Accepted: true, Outcome: store.Outcome{To: comm.Sent}})
			}
			sched.poke()
		}
		filed := func(ids []comm.ID) (n int) {
			for _, id := range ids {
				n += s.saw(id, comm.CauseLateResult)
			}
			return n
		}
		for _, id := range ids[:600] {
			s.refuse(id, "late")
		}
		file(ids)
		time.Sleep(100 * time.Millisecond)
		others := s.crowd(srv, []*comm.App{a}, 10)
		time.Sleep(time.Second)
		if n := s.unsent(others); n > 0 {
			t.Errorf("%d of %d messages are not sent", n, len(others))
		}
		if n := filed(ids[600:]); n != 100 {
			t.Errorf("%d of 100 other late results are filed", n)
		}
		s.cure("late")
		time.Sleep(5 * time.Minute)
		if n := filed(ids[:600]); n != 600 {
			t.Errorf("%d of 600 late results are filed once they could be", n)
		}
	})
}

// closedQueue refuses to list open attempts, as a damaged index would make it.
type closedQueue struct {
	store.Queue
	healed time.Time
}

func (q *closedQueue) Orphans(ctx context.Context, leases []store.Lease, limit int) ([]comm.State, error) {
	if time.Now().Before(q.healed) {
		return nil, errPoison
	}
	return q.Queue.Orphans(ctx, leases, limit)
}

// TestClosedShardsAreNotHealthy: a node that may not open what it owns says so.
func TestClosedShardsAreNotHealthy(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		edit := s.edit
		s.edit = func(c *Config) { edit(c); c.Queue = &closedQueue{c.Queue, time.Now().Add(time.Minute)} }
		srv := s.boot(0)
		time.Sleep(30 * time.Second)
		if st := srv.d.Stats(); st.Healthy || st.Closed != st.Shards || st.Shards == 0 || st.LastError == "" {
			t.Errorf("%d of %d shards are closed, healthy %v (%s)", st.Closed, st.Shards, st.Healthy, st.LastError)
		}
		time.Sleep(40 * time.Second)
		if st := srv.d.Stats(); !st.Healthy || st.Closed != 0 {
			t.Errorf("%d shards are closed, healthy %v (%s) when they could be opened", st.Closed, st.Healthy, st.LastError)
		}
	})
}

// TestUnheardBesideRefused: a message that nobody told of is found although one of its unit is aside.
func TestUnheardBesideRefused(t *testing.T) {
	for _, what := range []string{"start", "finish"} {
		play(t, what, func(t *testing.T, s *stage) {
			a := s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			bad := s.sendRefused(srv, a, what, nil)
			time.Sleep(5 * time.Second)
			id := s.send(nil, a, func(st *comm.State) { st.Shard = s.status(bad).Shard })
			time.Sleep(5 * time.Second)
			if st := s.status(id); st.Status != comm.Sent {
				t.Errorf("it is %v", st.Status)
			}
		})
	}
}

// slowRefusals takes its time to refuse, as where somebody holds a row locked.
type slowRefusals struct{ store.Queue }

func (q *slowRefusals) Turn(ctx context.Context, t store.Turn) (store.TurnResult, error) {
	res, err := q.Queue.Turn(ctx, t)
	if errors.Is(err, errPoison) {
		sleep(ctx, 400*time.Millisecond)
	}
	return res, err
}

// TestUnheardWhileRefusedAreTried: the same where one of those that are aside is being tried again at any time.
func TestUnheardWhileRefusedAreTried(t *testing.T) {
	for _, what := range []string{"start", "finish"} {
		play(t, what, func(t *testing.T, s *stage) {
			edit := s.edit
			s.edit = func(c *Config) { edit(c); c.Queue = &slowRefusals{c.Queue} }
			a := s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			for range 4 { // each again a second after it was refused, and that takes 400 ms
				s.sendRefused(srv, a, what, nil)
			}
			time.Sleep(5 * time.Second)
			for range 3 {
				id := s.send(nil, a, nil)
				time.Sleep(5 * time.Second)
				if st := s.status(id); st.Status == comm.Queued {
					t.Error("it is not found")
				}
				time.Sleep(5 * time.Second) // its start and its end wait for turns in which the refused are tried one by one
				if st := s.status(id); st.Status != comm.Sent {
					t.Errorf("it is %v", st.Status)
				}
			}
		})
	}
}

// TestManyRefusedOrphansKeepNoShardClosed: a node that takes over shards with hundreds of
// attempts whose end cannot be stored sends everybody else's messages soon, and ends
// the attempts once it can.
func TestManyRefusedOrphansKeepNoShardClosed(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		a, b := s.app(nil, emailConfig("ONE", 1)), s.app(nil, emailConfig("TWO", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		var bad []comm.ID
		for range 400 {
			bad = append(bad, s.sendRefused(srv, a, "finish", nil))
		}
		fine := s.send(srv, a, nil) // its outcome is stored
		time.Sleep(2 * time.Second)
		s.kill(0)
		next := s.boot(0)
		next.delay(40 * time.Millisecond)
		time.Sleep(12 * time.Second) // the lease of the first has ended
		ids := []comm.ID{s.send(next, b, nil), fine}
		time.Sleep(5 * time.Second)
		if n := s.unsent(ids); n != 0 {
			t.Errorf("%d of 2 are not sent 5 s after the take-over", n)
		}
		s.cure("finish")
		time.Sleep(5 * time.Minute)
		for _, id := range bad {
			if st := s.status(id); st.Status != comm.Sent && st.Status != comm.Failed {
				t.Fatalf("%s is still %v", id, st.Status)
			}
		}
	})
}

// TestAStoredMessageThatCannotBeReadFailsAlone: once, without a call, and those around it are sent.
func TestAStoredMessageThatCannotBeReadFailsAlone(t *testing.T) {
	for name, payload := range map[string]string{"no content": `{"to":"a@b.example","body":`, "no address of a copy": `{"to":"a@b.example","body":"x","cc":["nobody"]}`} {
		play(t, name, func(t *testing.T, s *stage) {
			edit := s.edit
			s.edit = func(c *Config) {
				edit(c)
				c.Suppressions = &optOuts{}
			}
			a := s.app(nil, emailConfig("ONE", 1))
			srv := s.boot(0)
			time.Sleep(time.Second)
			var good, bad []comm.ID
			for i := range 30 {
				id := s.send(nil, a, nil)
				if i%3 > 0 {
					good = append(good, id)
					continue
				}
				bad = append(bad, id)
				s.store.change(func() { s.store.msgs[id].payload = []byte(payload) })
			}
			s.send(srv, a, nil)
			time.Sleep(10 * time.Second)
			if n := s.unsent(good); n > 0 {
				t.Errorf("%d of %d messages are not sent", n, len(good))
			}
			for _, id := range bad {
				if st := s.status(id); st.Status != comm.Failed || st.ErrorCode != codeInternal || st.Attempts != 1 || s.saw(id, comm.CauseAttemptStarted) != 1 {
					t.Errorf("%+v", st)
				}
			}
			if n := s.called("ONE"); n != len(good)+1 {
				t.Errorf("%d calls", n)
			}
		})
	}
}
