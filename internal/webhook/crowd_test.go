package webhook

import (
	"context"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// However many endpoints are down with much waiting for each, the one that works gets its events at once, and memory is bounded.
func TestManyThatAreDown(t *testing.T) {
	const down = 150
	inBubble(t, down+1, nil, func(b *bubble) {
		for i := range down {
			b.answer(i, 500)
		}
		for range 34 {
			for i := range down {
				b.made(i)
			}
		}
		time.Sleep(10 * time.Second)
		for n := range 6 {
			b.made(down)
			time.Sleep(3 * time.Second)
			if got := len(b.receiver(down).got()); got != n+1 {
				b.Fatalf("%d of %d arrived", got, n+1)
			}
			b.s.mu.Lock()
			if b.s.queued > queueAll {
				b.Errorf("%d bodies are held", b.s.queued)
			}
			b.s.mu.Unlock()
		}
	})
}

// Ten thousand endpoints of as many apps are due at once: a look at them takes no more than its reads do.
func TestTenThousandAreDue(t *testing.T) {
	t.Parallel()
	const n = 10_000
	m := &memory{rows: map[comm.ID]*store.Delivery{}, made: map[comm.ID][]*store.Delivery{}, troubles: map[comm.ID]store.Trouble{}, off: map[comm.ID]string{}}
	now := comm.At(time.Now())
	for range n {
		e := comm.Endpoint{ID: comm.NewID(now), App: comm.NewID(now), URL: "http://hook/", Active: true, Version: 1}
		m.endpoints = append(m.endpoints, e)
		d := &store.Delivery{EventRef: store.EventRef{App: e.App, Message: comm.NewID(now), Sequence: 1}, Endpoint: e.ID, ID: comm.NewID(now), Shard: comm.ShardOf(e.App, comm.ID{}, 1), State: store.DeliveryWaiting, Due: now}
		m.add(d)
	}
	leases := make([]store.Lease, comm.ShardCount)
	for i := range leases {
		leases[i].Shard = comm.Shard(i)
	}
	s := New(Config{Store: quick{m}, Endpoints: byApp{m}, Owned: func() (string, []store.Lease) { return "node", leases }, Now: func(context.Context) (comm.Micros, error) { return comm.At(time.Now()), nil },
		Secrets: func(*comm.Endpoint) ([]string, error) { return []string{secret}, nil }})
	began := time.Now()
	if err := s.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("a look took %v", took)
	}
	if s.queued != queueAll || len(s.targets) != n {
		t.Errorf("%d are queued, %d endpoints known", s.queued, len(s.targets))
	}
	began = time.Now()
	s.cfg.Owned = func() (string, []store.Lease) { return "node", nil }
	if err := s.look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > time.Second || s.queued != 0 || len(s.targets) != 0 || len(s.order) != 0 {
		t.Errorf("leaving took %v; %d are queued, %d endpoints known", took, s.queued, len(s.targets))
	}
}

// quick and byApp are a memory that does not look through everything for each.
type quick struct{ *memory }

func (q quick) DueDeliveries(_ context.Context, e store.DueEndpoint, _ comm.Micros, _ int) ([]store.Delivery, error) {
	return []store.Delivery{{EventRef: store.EventRef{App: e.App}, Endpoint: e.Endpoint, ID: comm.NewID(1), Shard: e.Shard, State: store.DeliveryWaiting, Due: e.Due}}, nil
}

type byApp struct{ *memory }

func (b byApp) EndpointsOf(context.Context, []comm.ID) ([]comm.Endpoint, error) {
	return b.endpoints, nil
}
