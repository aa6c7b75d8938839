package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/plant"
)

// clock estimates the database's clock, the only one that due times know, from
// the node's: never ahead of it as long as both run at one rate, because each
// sample counts from the moment when its answer had arrived.
type clock struct {
	now    func() time.Time
	start  time.Time    // of this process's count of time, see ticks
	offset atomic.Int64 // microseconds, database - node
}

// ticks is an instant of this process in nanoseconds since it began to count: by the
// monotonic clock, so that setting the node's clock moves nothing that waits.
func (c *clock) ticks(t time.Time) int64 { return int64(t.Sub(c.start)) }

// db is the database's clock as far as this node can tell.
func (c *clock) db() comm.Micros { return c.dbAt(c.now()) }

func (c *clock) dbAt(t time.Time) comm.Micros {
	return comm.Micros(t.UnixMicro() + c.offset.Load())
}

// A heartbeat lets the estimate sink by drift, which is more than two clocks
// part between two of them; a sample lower by step means that a clock was set.
const (
	drift = 100 // microseconds
	step  = 50_000
)

// observe takes a sample that arrived just now. All samples sharpen the
// estimate; heartbeats also let it follow clocks that part or are set.
func (c *clock) observe(db comm.Micros, beat bool) {
	if db == 0 {
		return
	}
	sample := int64(db) - c.now().UnixMicro()
	for {
		old := c.offset.Load()
		next := max(sample, old)
		if beat {
			next = max(sample, old-drift)
			if sample < old-step {
				next = sample
			}
		}
		if c.offset.CompareAndSwap(old, next) {
			return
		}
	}
}

// elapsed is the time from a to b, whichever of the monotonic and the wall
// clock moved more: the monotonic one stands still while a machine is suspended.
func elapsed(a, b time.Time) time.Duration {
	return max(b.Sub(a), b.Round(0).Sub(a.Round(0)))
}

// guard answers whether a provider call may start: only under the lease
// generation that the attempt was started in, and only while the last good
// heartbeat began less than lease minus margin ago. It is safe for concurrent use.
type guard struct {
	now func() time.Time
	fit time.Duration // lease - margin

	mu         sync.Mutex
	generation uint64
	beat       time.Time // when the last good heartbeat began
}

// margin is how much earlier than the database this node believes its lease to have ended.
func margin(lease time.Duration) time.Duration { return lease / 5 }

func newGuard(now func() time.Time, lease time.Duration) *guard {
	return &guard{now: now, fit: lease - margin(lease)}
}

// current is the generation if a call may start now.
func (g *guard) current() (generation uint64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.generation, g.fresh()
}

// allows says whether a call whose start was stored under that generation may begin.
func (g *guard) allows(generation uint64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return generation == g.generation && g.fresh()
}

func (g *guard) fresh() bool {
	return !g.beat.IsZero() && (plant.Active(plant.NoFence) || elapsed(g.beat, g.now()) < g.fit)
}

// renewed notes a good heartbeat that began at.
func (g *guard) renewed(at time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.beat = at
}

// lapsed says whether the lease must be taken for lost.
func (g *guard) lapsed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.beat.IsZero() && !g.fresh()
}

// lost ends the generation: nothing started under it may be called any more.
func (g *guard) lost() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.generation++
	g.beat = time.Time{}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
