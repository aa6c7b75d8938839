package dispatch

import (
	"context"
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// bench makes a scheduler that owns every shard, with nothing running, and n
// apps whose windows are filled by fill.
func benchScheduler(tb testing.TB) *scheduler {
	tb.Helper()
	n := &simNode{simStore: newSimStore()}
	d, err := New(Config{Queue: n, Shards: n, Apps: n, Providers: n, Logger: &pacedSender{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	s := d.sched
	s.reads.start = func(task) {}
	s.guard.renewed(time.Now())
	for i := range s.shards {
		s.shards[i] = newShard(store.Lease{Shard: comm.Shard(i), Epoch: 1})
		s.shards[i].active = true
	}
	s.slots = slots{max: 1 << 20, reserve: 1}
	e := s.dir.entry(comm.ID{})
	e.read, e.force = true, false
	return s
}

func (s *scheduler) benchApp(i int) comm.ID {
	var id comm.ID
	binary.BigEndian.PutUint64(id[8:], uint64(i+1)<<20)
	e := s.dir.entry(id)
	if !e.read {
		e.read, e.force = true, false
		c := emailConfig("PACED", 1)
		e.app = comm.App{ID: id, Active: true}
		e.configs = []comm.ProviderConfig{c}
		a := newAccount(c, 1)
		a.sender = &pacedSender{}
		e.accounts = map[comm.ID]*account{c.ID: a}
	}
	return id
}

func (s *scheduler) benchPush(app comm.ID, k int) {
	u := comm.Unit{Shard: comm.ShardOf(app, comm.ID{}, 1), App: app, Channel: comm.Email, Lane: comm.Normal}
	h := store.Head{Due: s.clock.db()}
	binary.BigEndian.PutUint64(h.ID[8:], uint64(k+1))
	s.push(u, h)
}

// pickAll is the whole way of a message through the scheduler without store and provider.
func (s *scheduler) pickAll(apps, n int) int {
	for k := range n {
		s.benchPush(s.benchApp(k%apps), k)
	}
	picked := 0
	s.advance()
	for {
		jobs := s.pick(turnSize, nil)
		if len(jobs) == 0 {
			return picked
		}
		for _, j := range jobs {
			s.release(j)
			s.stored(&finish{job: j, item: store.Finish{ID: j.head.ID, Want: store.Outcome{To: comm.Sent}}})
			picked++
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, apps := range []int{1, 100, 10_000} {
		b.Run(map[int]string{1: "1 app", 100: "100 apps", 10_000: "10000 apps"}[apps], func(b *testing.B) {
			s := benchScheduler(b)
			b.ReportAllocs()
			for range b.N/1000 + 1 {
				s.pickAll(apps, 1000)
			}
		})
	}
}

// TestPickAllocations: a message's way through the scheduler costs its job and
// little else, however many apps there are.
func TestPickAllocations(t *testing.T) {
	s := benchScheduler(t)
	if n := s.pickAll(100, 1000); n != 1000 {
		t.Fatalf("%d of 1000 were picked", n)
	}
	per := testing.AllocsPerRun(20, func() { s.pickAll(100, 1000) }) / 1000
	// The job, the test's finish, and a share of maps and of one chain per app and turn.
	if per > 8 {
		t.Errorf("%.1f allocations a message", per)
	}
	t.Logf("%.1f allocations a message", per)
}

// BenchmarkDrain is the whole dispatcher over the model store with an instant sender.
func BenchmarkDrain(b *testing.B) {
	n := &simNode{simStore: newSimStore()}
	a := &comm.App{ID: testID(1), Active: true, Sandbox: true, ShardSpread: 1}
	n.apps[a.ID] = a
	for i := range b.N {
		st := comm.State{App: a.ID, Channel: comm.Email, Lane: comm.Normal, Mode: comm.Sandbox, Shard: comm.ShardOf(a.ID, comm.ID{}, 1)}
		binary.BigEndian.PutUint64(st.ID[8:], uint64(i+1))
		n.accept(st)
	}
	p := &pacedSender{at: map[comm.ID]time.Time{}}
	w := &world{t: nil, store: n.simStore}
	b.ReportAllocs()
	b.ResetTimer()
	d, err := New(Config{Queue: n, Shards: n, Apps: n, Providers: n, Logger: p, Adapters: []provider.Adapter{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	for d.Stats().Finished < uint64(b.N) {
		time.Sleep(5 * time.Millisecond)
	}
	b.StopTimer()
	b.ReportMetric(float64(2*b.N)/float64(d.Stats().Turns), "items/turn")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
	if w.open() != 0 {
		b.Error("messages are left")
	}
}
