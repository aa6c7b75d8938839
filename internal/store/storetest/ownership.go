package storetest

import (
	"errors"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

func ownershipCases() []testCase {
	return []testCase{
		{"taking gives each shard a new epoch, once", takeOnce},
		{"releasing frees at once, and only what is held", releaseShards},
		{"a node that left owns nothing", leave},
		{"racing takers share no shard", takeRace},
		{"a heartbeat lists workers, owners and the configuration version", beatLists},
		{"holds are replaced and found by unit", holds},
	}
}

func takeOnce(w *world) {
	w.beat("node-a", time.Minute)
	first, err := w.s.Take(w.ctx, "node-a", []comm.Shard{1, 2, 3})
	w.must(err)
	if len(first) != 3 {
		w.Fatalf("%+v", first)
	}
	for _, l := range first {
		if l.Epoch < 1 {
			w.Fatalf("%+v", l)
		}
	}
	// The answer of a take may be lost: the same node wins again, under newer epochs.
	again, err := w.s.Take(w.ctx, "node-a", []comm.Shard{3})
	w.must(err)
	if len(again) != 1 || again[0].Epoch <= first[0].Epoch {
		w.Fatalf("%+v then %+v", first, again)
	}
	c := w.beat("node-a", time.Minute)
	if o := c.Owners[2]; o.Node != "node-a" || o.Free || o.Epoch == 0 {
		w.Fatalf("%+v", o)
	}
	if o := c.Owners[9]; o.Node != "" || !o.Free {
		w.Fatalf("%+v", o)
	}
	none, err := w.s.Take(w.ctx, "node-a", nil)
	w.must(err)
	if len(none) != 0 {
		w.Fatalf("%+v", none)
	}
}

func releaseShards(w *world) {
	w.own()
	held := w.leases[5]
	stale := held
	stale.Epoch--
	w.must(w.s.Release(w.ctx, w.node, []store.Lease{stale}))
	if c := w.beat(w.node, time.Minute); c.Owners[5].Free || c.Owners[5].Node != w.node {
		w.Fatalf("an old epoch released the shard: %+v", c.Owners[5])
	}
	w.must(w.s.Release(w.ctx, w.node, []store.Lease{held}))
	if c := w.beat(w.node, time.Minute); !c.Owners[5].Free {
		w.Fatalf("%+v", c.Owners[5])
	}
	t := store.Turn{Node: w.node, Leases: []store.Lease{held}}
	_, err := w.s.Turn(w.ctx, t)
	if _, lost := errors.AsType[*store.LostShards](err); !lost {
		w.Fatalf("a released shard still takes turns: %v", err)
	}
}

func leave(w *world) {
	w.own()
	w.must(w.s.SetHolds(w.ctx, w.node, []store.Hold{{Unit: comm.Unit{App: comm.NewID(1), Channel: comm.SMS}, Reason: "app_paused"}}))
	w.must(w.s.Leave(w.ctx, w.node))
	if _, ok, err := w.s.Hold(w.ctx, comm.Unit{App: comm.NewID(1), Channel: comm.SMS}); err != nil || ok {
		w.Fatalf("a hold of a node that left: %v %v", ok, err)
	}
	c := w.beat("node-z", time.Minute)
	for i, o := range c.Owners {
		if !o.Free {
			w.Fatalf("shard %d: %+v", i, o)
		}
	}
	for _, n := range c.Workers {
		if n == w.node {
			w.Fatal("a node that left is listed")
		}
	}
}

func takeRace(w *world) {
	all := make([]comm.Shard, comm.ShardCount)
	for i := range all {
		all[i] = comm.Shard(i)
	}
	// On a database with one process per file this is one process asking for
	// several names; the contract is the same.
	names := []string{"node-1", "node-2", "node-3"}
	for _, n := range names {
		w.beat(n, time.Minute)
	}
	won := make([][]store.Lease, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, n := range names {
		wg.Go(func() { won[i], errs[i] = w.s.Take(w.ctx, n, all[i*10:40+i*10]) })
	}
	wg.Wait()
	owner := map[comm.Shard]string{}
	for i, n := range names {
		w.must(errs[i])
		for _, l := range won[i] {
			if other, twice := owner[l.Shard]; twice {
				w.Fatalf("shard %d is owned by %s and %s", l.Shard, other, n)
			}
			owner[l.Shard] = n
		}
	}
	c := w.beat("node-1", time.Minute)
	for s, n := range owner {
		if c.Owners[s].Node != n {
			w.Fatalf("shard %d: %s won it, %s has it", s, n, c.Owners[s].Node)
		}
	}
}

func beatLists(w *world) {
	before := w.now()
	w.beat("node-b", time.Minute)
	c := w.beat("node-a", time.Minute)
	if c.Now < before || c.Now > w.now() {
		w.Fatalf("clock %d outside [%d,%d]", c.Now, before, w.now())
	}
	if len(c.Workers) != 2 || c.Workers[0] != "node-a" || c.Workers[1] != "node-b" {
		w.Fatalf("%v", c.Workers)
	}
	a := w.app(true)
	v1 := w.beat("node-a", time.Minute).ConfigVersion
	if v1 <= c.ConfigVersion {
		w.Fatalf("a new app left the configuration version at %d", v1)
	}
	a.Name = "Renamed"
	w.must(w.s.UpdateApp(w.ctx, a, w.now()))
	if v2 := w.beat("node-a", time.Minute).ConfigVersion; v2 <= v1 {
		w.Fatalf("a changed app left the configuration version at %d", v2)
	}
	_, err := w.s.Beat(w.ctx, store.NodeInfo{Node: "api-1", Role: "api", Version: "test", Lease: time.Minute.Microseconds()})
	w.must(err)
	if c := w.beat("node-a", time.Minute); len(c.Workers) != 2 {
		w.Fatalf("an api node counts as worker: %v", c.Workers)
	}
}

func holds(w *world) {
	w.own()
	u := comm.Unit{Shard: 3, App: comm.NewID(1), Channel: comm.Email, Lane: comm.Bulk}
	other := u
	other.Lane = comm.Normal
	w.must(w.s.SetHolds(w.ctx, w.node, []store.Hold{{Unit: u, Reason: "provider_down", Until: 77}}))
	h, ok, err := w.s.Hold(w.ctx, u)
	w.must(err)
	if !ok || h.Reason != "provider_down" || h.Until != 77 || h.Unit != u {
		w.Fatalf("%+v %v", h, ok)
	}
	w.must(w.s.SetHolds(w.ctx, w.node, []store.Hold{{Unit: other, Reason: "app_paused"}}))
	if _, ok, err = w.s.Hold(w.ctx, u); err != nil || ok {
		w.Fatalf("a hold that was replaced is there: %v %v", ok, err)
	}
	if _, ok, err = w.s.Hold(w.ctx, other); err != nil || !ok {
		w.Fatalf("%v %v", ok, err)
	}
	w.must(w.s.SetHolds(w.ctx, w.node, nil))
	if _, ok, err = w.s.Hold(w.ctx, other); err != nil || ok {
		w.Fatalf("%v %v", ok, err)
	}
}
