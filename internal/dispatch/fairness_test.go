package dispatch

import (
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// pacedSender accepts after a fixed time and notes when each call began.
type pacedSender struct {
	mu     sync.Mutex
	took   time.Duration
	at     map[comm.ID]time.Time
	calls  int
	refuse func() error
}

func (p *pacedSender) Close() error { return nil }

func (p *pacedSender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	p.mu.Lock()
	p.calls++
	if _, ok := p.at[m.ID]; !ok {
		p.at[m.ID] = time.Now()
	}
	refuse := p.refuse
	p.mu.Unlock()
	if p.took > 0 {
		sleep(ctx, p.took)
	}
	if refuse != nil {
		return provider.Receipt{}, refuse()
	}
	return provider.Receipt{}, nil
}

// crowd is a world with one node, one paced provider type and a steady store latency.
func crowd(t *testing.T, latency time.Duration, p *pacedSender) (*world, func() *simServer) {
	p.at = map[comm.ID]time.Time{}
	w := newWorld(t, 1)
	w.edit = func(c *Config) {
		c.Adapters = []provider.Adapter{{Type: "PACED", Open: func(provider.Settings, provider.Env) (provider.Sender, error) { return p, nil }}}
		c.Logger = p
		c.OpenSecrets = func(*comm.ProviderConfig) (map[string]string, error) { return nil, errors.New("no such key") }
	}
	return w, func() *simServer {
		srv := w.boot(0)
		srv.node.mu.Lock()
		srv.node.latency = func() time.Duration { return latency / 2 }
		srv.node.mu.Unlock()
		return srv
	}
}

// backlog queues n BULK messages of an app that come into being when they are looked at.
func (w *world) backlog(a *comm.App, n int) {
	s := w.store
	u := comm.Unit{Shard: comm.ShardOf(a.ID, comm.ID{}, 1), App: a.ID, Channel: comm.Email, Lane: comm.Bulk}
	now := s.now()
	heads := make([]store.Head, n)
	for i := range heads {
		heads[i] = store.Head{Due: now.Add(-time.Hour) + comm.Micros(i)}
		binary.BigEndian.PutUint64(heads[i].ID[8:], uint64(i+1))
	}
	s.queue[u] = &simQueue{heads: heads}
	s.lazy = func(id comm.ID) *simMessage {
		i := binary.BigEndian.Uint64(id[8:])
		if binary.BigEndian.Uint64(id[:8]) != 0 || i == 0 || int(i) > n {
			return nil
		}
		return &simMessage{payload: []byte(`{"to":"a@b.example","body":"x"}`), state: comm.State{App: a.ID, ID: id, Shard: u.Shard, Channel: u.Channel, Lane: u.Lane,
			Mode: a.Mode(), Status: comm.Queued, Due: now.Add(-time.Hour) + comm.Micros(i-1), Generation: 1}}
	}
}

// TestAMillionDelaysNobody: one app has 1,000,000 BULK messages queued; its own
// CRITICAL and another app's NORMAL ones reach the provider within 250 ms (p99).
func TestAMillionDelaysNobody(t *testing.T) {
	for _, tc := range []struct {
		name string
		took time.Duration
	}{{"quick provider", 100 * time.Millisecond}, {"slow provider", 2 * time.Second}} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pacedSender{took: tc.took}
				w, boot := crowd(t, 3*time.Millisecond, p)
				flood := w.app(nil, emailConfig("PACED", 1))
				quiet := w.app(nil, emailConfig("PACED", 1))
				w.backlog(flood, 1_000_000)
				srv := boot()
				time.Sleep(time.Second)
				sent := map[comm.ID]time.Time{}
				for range 100 {
					now := time.Now()
					sent[w.send(srv, flood, func(st *comm.State) { st.Lane = comm.Critical })] = now
					sent[w.send(srv, quiet, nil)] = now
					time.Sleep(30 * time.Millisecond)
				}
				time.Sleep(time.Second)
				var late []time.Duration
				p.mu.Lock()
				for id, at := range sent {
					called, ok := p.at[id]
					if !ok {
						t.Fatal("a message was not attempted")
					}
					late = append(late, called.Sub(at))
				}
				flooded := p.calls - len(sent)
				p.mu.Unlock()
				slices.Sort(late)
				if p99 := late[len(late)*99/100]; p99 > 250*time.Millisecond {
					t.Errorf("p99 is %v", p99)
				}
				t.Logf("p50 %v p99 %v, %d BULK calls meanwhile", late[len(late)/2], late[len(late)*99/100], flooded)
				if flooded < 300 {
					t.Errorf("only %d BULK messages went out: the test says nothing", flooded)
				}
				if s := srv.d.Stats(); s.Heads > 5*windowSize {
					t.Errorf("%d heads in memory", s.Heads)
				}
				w.stopAll()
			})
		})
	}
}

// TestAClosedUnitWritesNothing: 1,000,000 messages behind a unit that cannot
// send for 5 minutes cause no turn, and their reason is published once.
func TestAClosedUnitWritesNothing(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  func(*comm.App, *comm.ProviderConfig, *pacedSender)
		most int // calls that it takes to find out
	}{
		{"credentials", func(_ *comm.App, c *comm.ProviderConfig, _ *pacedSender) { c.Secrets = []byte("sealed") }, 0},
		{"queue paused", func(a *comm.App, _ *comm.ProviderConfig, _ *pacedSender) { a.QueuePaused = true }, 0},
		{"app switched off", func(a *comm.App, _ *comm.ProviderConfig, _ *pacedSender) { a.Active = false }, 0},
		{"throttled", func(_ *comm.App, _ *comm.ProviderConfig, p *pacedSender) {
			p.refuse = func() error {
				return &provider.Error{Class: provider.RateLimited, RetryAfter: 10 * time.Minute}
			}
		}, 512},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pacedSender{took: time.Millisecond}
				w, boot := crowd(t, time.Millisecond, p)
				c := emailConfig("PACED", 1)
				a := w.app(nil, c)
				tc.set(a, &w.store.configs[a.ID][0], p)
				w.backlog(a, 1_000_000)
				srv := boot()
				time.Sleep(10 * time.Second)
				w.store.mu.Lock()
				turns, holds := w.store.turns, w.store.holds
				w.store.mu.Unlock()
				time.Sleep(5 * time.Minute)
				w.store.mu.Lock()
				if n := w.store.turns - turns; n != 0 {
					t.Errorf("%d turns were written", n)
				}
				if n := w.store.holds - holds; n != 0 || holds == 0 || holds > 3 {
					t.Errorf("reasons were published %d times, then %d more", holds, n)
				}
				w.store.mu.Unlock()
				p.mu.Lock()
				if p.calls > tc.most {
					t.Errorf("%d calls were made", p.calls)
				}
				p.mu.Unlock()
				if s := srv.d.Stats(); s.Heads > 2*windowSize || s.Held != 1 {
					t.Errorf("%+v", s)
				}
				w.stopAll()
			})
		})
	}
}

// TestTenThousandApps: one due message each, found at the take-over, all attempted within 5 s.
func TestTenThousandApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const apps = 10_000
		p := &pacedSender{took: 20 * time.Millisecond}
		w, boot := crowd(t, 300*time.Microsecond, p)
		w.edit2(func(c *Config) { c.Poll = time.Hour }) // the take-over alone must find them
		server := emailConfig("PACED", 1)
		server.ID = testID(1)
		w.store.configs[comm.ID{}] = []comm.ProviderConfig{server}
		for i := range apps {
			a := &comm.App{ID: comm.NewID(comm.Micros(i+1) * 1000), Active: true, ShardSpread: 1}
			w.store.apps[a.ID] = a
			w.send(nil, a, nil)
		}
		srv := boot()
		time.Sleep(5 * time.Second)
		p.mu.Lock()
		if len(p.at) != apps {
			t.Errorf("%d of %d were attempted", len(p.at), apps)
		}
		p.mu.Unlock()
		time.Sleep(time.Second)
		if s := srv.d.Stats(); s.Units != 0 || s.Heads != 0 || len(srv.d.sched.tenants) != 0 {
			t.Errorf("something is left in memory: %+v, %d tenants", s, len(srv.d.sched.tenants))
		}
		w.stopAll()
	})
}

// TestCriticalKeepsItsReserve: every slot of the other lanes hangs, CRITICAL still goes out.
func TestCriticalKeepsItsReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacedSender{took: 25 * time.Second}
		w, boot := crowd(t, time.Millisecond, p)
		w.edit2(func(c *Config) { c.MaxInFlight = 20 })
		var some []*comm.App
		for range 30 {
			c := emailConfig("PACED", 1)
			c.Limits.MaxConcurrent = 4
			some = append(some, w.app(nil, c))
		}
		srv := boot()
		time.Sleep(time.Second)
		for _, a := range some {
			for range 10 {
				w.send(srv, a, nil)
			}
		}
		time.Sleep(time.Second)
		id := w.send(srv, some[0], func(st *comm.State) { st.Lane = comm.Critical })
		time.Sleep(250 * time.Millisecond)
		p.mu.Lock()
		_, ok := p.at[id]
		calls := p.calls
		p.mu.Unlock()
		if !ok || calls != 19 {
			t.Errorf("CRITICAL called: %v; %d calls run, want the 18 that others may have and one", ok, calls)
		}
		w.stopAll()
	})
}

func (w *world) edit2(more func(*Config)) {
	first := w.edit
	w.edit = func(c *Config) { first(c); more(c) }
}

// TestMemoryStaysBounded: a million queued messages over a hundred thousand units.
func TestMemoryStaysBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacedSender{}
		w, boot := crowd(t, 0, p)
		w.edit2(func(c *Config) { c.MaxInFlight = 1 })
		srv := boot()
		time.Sleep(3 * time.Second)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := srv.d.sched
		s.mu.Lock()
		for i := range 300_000 {
			var u comm.Unit
			binary.BigEndian.PutUint64(u.App[8:], uint64(i)<<20)
			u.Shard, u.Channel = comm.Shard(i%comm.ShardCount), comm.Email
			for k := range 4 {
				h := store.Head{Due: s.clock.db().Add(time.Hour) + comm.Micros(k)}
				binary.BigEndian.PutUint64(h.ID[8:], uint64(i*4+k))
				s.push(u, h)
			}
		}
		units, heads := s.units, s.heads
		s.mu.Unlock()
		runtime.GC()
		runtime.ReadMemStats(&after)
		grown := (after.HeapAlloc - before.HeapAlloc) >> 20
		t.Logf("%d units, %d heads, %d MB", units, heads, grown)
		if units > maxUnits || heads > maxHeads+windowSize || grown > 100 {
			t.Errorf("%d units, %d heads, %d MB", units, heads, grown)
		}
		w.stopAll()
	})
}
