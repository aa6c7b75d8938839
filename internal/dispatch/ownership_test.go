package dispatch

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

func TestOwnership(t *testing.T) {
	play(t, "a long call survives that its shard was lost and found", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error { time.Sleep(time.Minute); return nil }
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Second)
		srv.node.mu.Lock()
		srv.node.cutUntil = time.Now().Add(20 * time.Second)
		srv.node.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if st := s.status(id); st.Status != comm.Sent || st.Flags != 0 || s.called("ONE") != 1 || s.saw(id, comm.CauseLateResult) != 0 {
			t.Errorf("%v, flags %b, %d calls", st.Status, st.Flags, s.called("ONE"))
		}
	})
	play(t, "an outage of the store does not fill the log, and its end is said", func(t *testing.T, s *stage) {
		var log bytes.Buffer
		edit := s.edit
		s.edit = func(c *Config) { edit(c); c.Log = slog.New(slog.NewTextHandler(&log, nil)) }
		srv := s.boot(0)
		time.Sleep(time.Second)
		synctest.Wait() // nobody writes to the log now
		log.Reset()
		srv.node.mu.Lock()
		srv.node.cutUntil = time.Now().Add(10 * time.Minute)
		srv.node.mu.Unlock()
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		text := log.String()
		if lines := strings.Count(text, "\n"); lines > 30 {
			t.Errorf("%d lines in ten minutes:\n%s", lines, text)
		}
		for _, want := range []string{`level=ERROR msg="heartbeat could not be stored"`, `failures=1 `, `level=INFO msg="heartbeat is stored again"`,
			`level=ERROR msg="overdue messages cannot be listed"`, `level=INFO msg="overdue messages are listed again"`} {
			if !strings.Contains(text, want) {
				t.Errorf("%s is not in the log:\n%s", want, text)
			}
		}
	})
	play(t, "a node with nothing to send is healthy again after an outage of the store", func(t *testing.T, s *stage) {
		srv := s.boot(0)
		time.Sleep(time.Second)
		srv.node.mu.Lock()
		srv.node.cutUntil = time.Now().Add(30 * time.Second)
		srv.node.mu.Unlock()
		time.Sleep(20 * time.Second)
		if srv.d.Stats().Healthy {
			t.Error("healthy during the outage")
		}
		time.Sleep(time.Minute)
		if st := srv.d.Stats(); !st.Healthy {
			t.Errorf("not healthy after the outage: %s", st.LastError)
		}
	})
	play(t, "a second node gets its half, and gives it back at its stop", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error { time.Sleep(50 * time.Millisecond); return nil }
		var apps []*comm.App
		for range 40 {
			apps = append(apps, s.app(nil, emailConfig("ONE", 1)))
		}
		one := s.boot(0)
		time.Sleep(time.Second)
		two := s.boot(0)
		for i := range 1000 {
			if i == 500 && (one.d.Stats().Shards != 32 || two.d.Stats().Shards != 32) {
				t.Errorf("shards: %d and %d", one.d.Stats().Shards, two.d.Stats().Shards)
			}
			if i == 600 {
				two.stop()
			}
			s.send(one, apps[i%len(apps)], nil)
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		if s.open() != 0 || s.called("ONE") != 1000 || one.d.Stats().Shards != 64 {
			t.Errorf("%d open, %d calls for 1000 messages, %d shards", s.open(), s.called("ONE"), one.d.Stats().Shards)
		}
	})
	play(t, "at the stop an unanswered call becomes unknown, nothing else", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(ctx context.Context, _ *provider.Message) error { time.Sleep(40 * time.Second); return nil }
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		hung := s.send(srv, a, nil)
		time.Sleep(50 * time.Millisecond)
		srv.stop()
		waiting := s.send(nil, a, nil)
		began := time.Now()
		<-srv.done
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("the stop took %v", d)
		}
		if st := s.status(hung); st.Status != comm.Queued || !st.Flags.Has(comm.PossibleDuplicate) || s.status(waiting).Attempts != 0 {
			t.Errorf("%v, flags %b; the other has %d attempts", st.Status, st.Flags, s.status(waiting).Attempts)
		}
		time.Sleep(time.Minute)
	})
	play(t, "a refusal here during the stop is not the end while another provider is left", func(t *testing.T, s *stage) {
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			time.Sleep(2 * time.Second)
			return &provider.Error{Class: provider.PermanentHere, Text: "no"}
		}
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(100 * time.Millisecond)
		srv.stop()
		<-srv.done
		if st := s.status(id); st.Status != comm.Queued || s.called("TWO") != 0 {
			t.Errorf("%v, %d calls of the other provider", st.Status, s.called("TWO"))
		}
		s.boot(0)
		time.Sleep(30 * time.Second)
		if st := s.status(id); st.Status != comm.Sent || st.Provider != "two" {
			t.Errorf("after the stop: %v by %s", st.Status, st.Provider)
		}
	})
	play(t, "what cannot be recorded is not sent", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		srv.node.mu.Lock()
		srv.node.fault = func(op string) simFault {
			if op == "turn" {
				return faultFails
			}
			return faultNone
		}
		srv.node.mu.Unlock()
		id := s.send(srv, a, nil)
		time.Sleep(30 * time.Second)
		if s.called("ONE") != 1 || srv.d.Stats().Healthy {
			t.Errorf("%d calls; %+v", s.called("ONE"), srv.d.Stats())
		}
		s.heal()
		time.Sleep(5 * time.Second)
		if s.status(id).Status != comm.Sent || !srv.d.Stats().Healthy {
			t.Errorf("%v; %+v", s.status(id).Status, srv.d.Stats())
		}
	})
	play(t, "an open attempt without a call is swept up", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(1037 * time.Millisecond) // when the node does nothing by itself
		id := s.send(nil, a, nil)
		// A turn of this node that was given up commits after all.
		s.store.mu.Lock()
		st := s.store.msgs[id].state
		s.store.startOne(store.Start{Unit: unitOfState(&st), Head: store.Head{Due: st.Due, ID: id}, Provider: "one", Live: true}, "", map[comm.Shard]int64{st.Shard: s.store.owner[st.Shard].Epoch})
		s.store.mu.Unlock()
		time.Sleep(40 * time.Second)
		if got := s.status(id); got.Status != comm.Sent || s.saw(id, comm.CauseReleased) != 1 || got.Flags != 0 || srv.d.Stats().Swept != 1 {
			t.Errorf("%v, flags %b", got.Status, got.Flags)
		}
	})
	play(t, "the answer to the start comes after the lease: no call", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		other := s.boot(0)
		time.Sleep(10 * time.Second)
		s.ledger.mu.Lock()
		s.calls["ONE"] = 0
		s.ledger.mu.Unlock()
		for range 20 { // some of them on the shards of the first node
			b := s.app(nil, emailConfig("ONE", 1))
			s.send(srv, b, nil)
			s.send(other, b, nil)
		}
		time.Sleep(2 * time.Millisecond)
		srv.node.mu.Lock()
		srv.node.hungTill = time.Now().Add(25 * time.Second)
		srv.node.mu.Unlock()
		time.Sleep(2 * time.Minute)
		if s.open() != 0 {
			t.Errorf("%d are open", s.open())
		}
	})
}

func TestLatency(t *testing.T) {
	play(t, "an idle node calls at once, another node's message too", func(t *testing.T, s *stage) {
		var at time.Time
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			at = time.Now()
			return nil
		}
		a := s.app(nil, emailConfig("ONE", 1))
		one := s.boot(0)
		two := s.boot(0)
		time.Sleep(20 * time.Second)
		for _, on := range []*simServer{one, two, one, two} {
			began := time.Now()
			s.send(on, a, nil)
			time.Sleep(500 * time.Millisecond)
			s.ledger.mu.Lock()
			d := at.Sub(began)
			s.ledger.mu.Unlock()
			if d < 0 || d > 15*time.Millisecond {
				t.Errorf("called after %v", d)
			}
		}
	})
	play(t, "scheduled messages start on time", func(t *testing.T, s *stage) {
		const ahead = 10 * time.Minute
		var at []time.Duration
		began := time.Now()
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			s.ledger.mu.Lock()
			defer s.ledger.mu.Unlock()
			at = append(at, time.Since(began))
			return nil
		}
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		for range 2000 {
			s.send(srv, a, func(st *comm.State) { st.ScheduledAt = comm.At(began.Add(ahead)) })
		}
		time.Sleep(ahead + 10*time.Second)
		s.ledger.mu.Lock()
		defer s.ledger.mu.Unlock()
		if len(at) != 2000 || at[0] < ahead || at[1999] > ahead+2*time.Second {
			t.Errorf("%d calls, first %v, last %v", len(at), at[0], at[len(at)-1])
		}
	})
}
