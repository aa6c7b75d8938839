package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/store"
)

// handOver is how long a shard that is to be handed over for balance may wait
// for its calls; then the hand-over is called off (F12).
const handOver = 2 * time.Second

// A hand-over that was called off is tried again after stayFirst, doubled each time
// up to stayMost: while calls hang, each try would stop the shard's starts for nothing.
const (
	stayFirst = 30 * time.Second
	stayMost  = 5 * time.Minute
)

// owner keeps this node alive in the store, takes free shards up to a fair
// share, hands surplus over and drops what others took. One goroutine runs it.
type owner struct {
	d       *Dispatcher
	leaving map[comm.Shard]time.Time // being handed over, since
	hungry  bool                     // fewer shards than the fair share
}

func (o *owner) run(ctx context.Context) {
	o.leaving = map[comm.Shard]time.Time{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next := o.tick(ctx)
		timer.Reset(next)
	}
}

// tick is one heartbeat with what follows from it; it answers the wait for the next one.
func (o *owner) tick(ctx context.Context) time.Duration {
	d, beat := o.d, o.d.cfg.Heartbeat
	if len(o.leaving) > 0 {
		o.finishHandOver(ctx)
	}
	if d.sched.guard.lapsed() {
		d.log.Warn("the lease has ended; starting over under a new name")
		o.rejoin()
	}
	if plant.Active(plant.NoFence) {
		sleep(ctx, beat/4)
	}
	began := d.sched.clock.now()
	limited, cancel := context.WithTimeout(ctx, max(beat, d.cfg.Lease/3))
	c, err := d.cfg.Shards.Beat(limited, store.NodeInfo{Node: d.sched.nodeName(), Role: d.cfg.Role, Version: d.cfg.Version, Lease: d.cfg.Lease.Microseconds()})
	cancel()
	switch {
	case errors.Is(err, store.ErrLeaseLost):
		d.log.Warn("the store says that the lease has ended; starting over under a new name")
		o.rejoin()
		return time.Millisecond
	case err != nil:
		if ctx.Err() == nil {
			d.outages.beat.Failed(err)
			d.sched.mu.Lock()
			d.sched.trouble(err)
			d.sched.mu.Unlock()
		}
		return beat / 4
	}
	d.outages.beat.Worked()
	d.sched.mu.Lock()
	d.sched.recovered()
	d.sched.mu.Unlock()
	d.sched.guard.renewed(began)
	d.sched.clock.observe(c.Now, true)
	o.reconcile(ctx, c)
	switch {
	case len(o.leaving) > 0:
		return min(beat, handOver/10)
	case o.hungry:
		return beat / 4
	}
	return beat
}

// rejoin forgets everything owned and takes a new name, so that nothing of the
// old life passes a fence.
func (o *owner) rejoin() {
	s := o.d.sched
	s.guard.lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		if sh != nil {
			s.count.lost++
			s.lose(sh)
		}
	}
	clear(o.leaving)
	s.node = comm.NewID(comm.At(s.clock.now())).String()
}

// reconcile makes memory agree with the store, then aims at the fair share.
func (o *owner) reconcile(ctx context.Context, c store.Cluster) {
	s := o.d.sched
	s.mu.Lock()
	s.seen(c)
	node, count, stopping := s.node, 0, s.stopping
	var free []comm.Shard
	var strays []store.Lease // ours in the store, not in memory: a take or release whose answer was lost
	for i := range c.Owners {
		own, sh := c.Owners[i], s.shards[i]
		if sh != nil && (own.Node != node || own.Epoch != sh.epoch) {
			o.d.log.Warn("a shard is owned by another node now", "shard", i)
			s.count.lost++
			s.lose(sh)
			delete(o.leaving, sh.id)
			sh = nil
		}
		switch {
		case sh != nil:
			count++
		case own.Node == node:
			strays = append(strays, store.Lease{Shard: comm.Shard(i), Epoch: own.Epoch})
		case own.Free:
			free = append(free, comm.Shard(i))
		}
	}
	s.mu.Unlock()
	share := (comm.ShardCount + len(c.Workers) - 1) / max(1, len(c.Workers))
	o.hungry = count < share && len(c.Workers) > 1
	// What is ours by accident is taken properly, under a new epoch, or given back.
	for len(strays) > 0 && count+len(free) < share && !stopping {
		free = append(free, strays[0].Shard)
		strays = strays[1:]
	}
	o.release(ctx, strays)
	switch {
	case stopping:
	case count < share && len(free) > 0:
		o.take(ctx, free, share-count)
	case count > share && len(o.leaving) == 0:
		o.beginHandOver(count - share)
	}
}

// take tries to win some of the free shards, from another place on each node.
func (o *owner) take(ctx context.Context, free []comm.Shard, most int) {
	d := o.d
	turn := int(d.cfg.Rand() * float64(len(free)))
	free = append(free[turn:len(free):len(free)], free[:turn]...)
	if len(free) > most {
		free = free[:most]
	}
	leases, err := d.cfg.Shards.Take(ctx, d.sched.nodeName(), free)
	if err != nil {
		if ctx.Err() == nil {
			d.outages.take.Failed(err, "shards", len(free))
		}
		return // the next heartbeat shows what became of it
	}
	d.outages.take.Worked()
	if len(leases) == 0 {
		return
	}
	s := d.sched
	s.mu.Lock()
	s.dir.owned++
	s.count.taken += uint64(len(leases))
	shards := make([]*shard, 0, len(leases))
	for _, l := range leases {
		if old := s.shards[l.Shard]; old != nil {
			s.lose(old)
		}
		sh := newShard(l)
		s.shards[l.Shard] = sh
		shards = append(shards, sh)
	}
	s.mu.Unlock()
	d.log.Info("shards taken", "shards", len(leases))
	d.recover(ctx, shards)
}

// beginHandOver stops the starts of the n shards with the fewest calls in flight.
func (o *owner) beginHandOver(n int) {
	s := o.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.now()
	var own []*shard
	for _, sh := range s.shards {
		if sh != nil && sh.active && !now.Before(sh.stay) {
			own = append(own, sh)
		}
	}
	sort.SliceStable(own, func(i, j int) bool { return len(own[i].inflight) < len(own[j].inflight) })
	for _, sh := range own[:min(n, len(own))] {
		sh.draining = true
		o.leaving[sh.id] = now
	}
}

// finishHandOver releases the shards whose calls have ended and keeps those that take too long.
func (o *owner) finishHandOver(ctx context.Context) {
	s := o.d.sched
	var leases []store.Lease
	s.mu.Lock()
	now := s.clock.now()
	for id, since := range o.leaving {
		sh := s.shards[id]
		switch {
		case sh == nil:
			delete(o.leaving, id)
		case len(sh.inflight) == 0:
			leases = append(leases, sh.lease())
			s.lose(sh)
			delete(o.leaving, id)
		case now.Sub(since) > handOver:
			delete(o.leaving, id)
			sh.draining = false
			sh.stay = now.Add(min(stayMost, stayFirst<<min(sh.stayed, 10)))
			sh.stayed++
			for _, u := range sh.units {
				if u.phase == idle {
					s.settle(u)
				}
			}
			s.poke()
		}
	}
	s.mu.Unlock()
	o.release(ctx, leases)
}

func (o *owner) release(ctx context.Context, leases []store.Lease) {
	if len(leases) == 0 {
		return
	}
	if err := o.d.cfg.Shards.Release(ctx, o.d.sched.nodeName(), leases); err != nil {
		o.d.log.Error("shards could not be released; they are taken again or expire", "shards", len(leases), "err", err)
		return
	}
	o.d.log.Log(ctx, slog.LevelInfo, "shards handed over", "shards", len(leases))
}

// leave gives everything back at the end of Run.
func (o *owner) leave(ctx context.Context) {
	s := o.d.sched
	var leases []store.Lease
	s.mu.Lock()
	node := s.node
	for _, sh := range s.shards {
		if sh == nil {
			continue
		}
		if len(sh.inflight) == 0 {
			leases = append(leases, sh.lease())
		}
		s.lose(sh)
	}
	s.mu.Unlock()
	o.release(ctx, leases)
	if err := o.d.cfg.Shards.Leave(ctx, node); err != nil {
		o.d.log.Error("leaving the cluster; the shards come free when the lease ends", "err", err)
	}
}
