package dispatch

import (
	"context"
	"runtime"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	lightLoad = 64 << 10 // a message below it is not counted: slots bound them
	weighSize = 1000     // messages of one look-up
)

// cargo is the memory that messages under way may take: their content and files,
// from the turn that reads them until the sender needs them no more. A message
// that alone is larger than all of it goes when nothing else is under way.
type cargo struct {
	max, reserve int64 // reserve is for CRITICAL only
	used         int64
	line         fifo[waiter] // units held for want of it
	unweighed    fifo[*unit]  // units whose next message may have files
	weigh        chan struct{}
	dropped      int64 // bytes given back since the last collection
}

// fits says whether n more bytes may be read for a message of the class.
func (c *cargo) fits(class int, n int64) bool {
	most := c.max
	if class != classCritical {
		most -= c.reserve
	}
	return n < lightLoad || c.used == 0 || c.used+n <= most
}

// look wakes the weigher.
func (c *cargo) look() {
	select {
	case c.weigh <- struct{}{}:
	default:
	}
}

// heap says whether so much was dropped that it is worth collecting: the
// collector, set to let a small heap grow several times over, would let the
// files of large messages do the same.
func (c *cargo) heap() bool { return c.dropped >= c.max/2 }

// burden is what a head is expected to take: its files and what the unit's messages took lately.
func (u *unit) burden(h store.Head) int64 { return u.shard.heavy[h.ID] + u.typical }

// laden parks the unit if its next message is too large for now, or if it is not
// known how large it is: small ones of other units go on.
func (s *scheduler) laden(u *unit, h store.Head, class int) bool {
	if _, known := u.shard.heavy[h.ID]; !known && !h.Light && u.key.Channel == comm.Email {
		u.phase = loading
		if !u.weighing {
			u.weighing = true
			s.cargo.unweighed.push(u)
			s.cargo.look()
		}
		return true
	}
	if s.cargo.fits(class, u.burden(h)) {
		return false
	}
	s.hold(u, chain.Condition{Reason: chain.WaitMemory, Brief: true}, nil)
	u.turn++
	s.cargo.line.push(waiter{u, u.turn})
	return true
}

// load books what a job is expected to take.
func (s *scheduler) load(j *job) {
	if n := j.unit.burden(j.head); n >= lightLoad {
		j.cargo = n
		s.cargo.used += n
	}
}

// unload gives back what a job took, and lets those who waited for it try.
func (s *scheduler) unload(j *job) {
	if j.cargo == 0 {
		return
	}
	s.cargo.used -= j.cargo
	s.cargo.dropped += j.cargo
	j.cargo = 0
	if s.cargo.heap() {
		s.cargo.look()
	}
	for s.cargo.line.len() > 0 && s.cargo.used < s.cargo.max {
		if w := s.cargo.line.pop(); w.unit.turn == w.turn && w.unit.phase == held && !w.unit.dead {
			s.free(w.unit)
		}
	}
	s.poke()
}

// released is told that the sender of that attempt's call needs the content no more.
func (s *scheduler) released(j *job, attempt int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.state.Attempts == attempt {
		s.unload(j)
	}
}

// weighed corrects what a job was expected to take by what was read for it, and
// what the unit's next messages are expected to take.
func (s *scheduler) weighed(j *job) {
	payload, all := int64(len(j.payload)), bytesOf(j)
	u := j.unit
	if u.typical -= u.typical / 8; payload >= lightLoad {
		u.typical = max(payload, u.typical)
	} else if u.typical < lightLoad {
		u.typical = 0
	}
	if all < lightLoad {
		all = 0
	}
	s.cargo.used += all - j.cargo
	j.cargo = all
}

func bytesOf(j *job) int64 {
	n := int64(len(j.payload))
	for i := range j.files {
		n += int64(len(j.files[i].Content))
	}
	return n
}

// weigher asks the store how large the files of messages are, before any of them is read.
type weigher struct{ d *Dispatcher }

func (w *weigher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.d.sched.cargo.weigh:
		}
		w.collect()
		for w.round(ctx) {
		}
	}
}

// collect frees what large messages have left behind.
func (w *weigher) collect() {
	s := w.d.sched
	s.mu.Lock()
	due := s.cargo.heap()
	if due {
		s.cargo.dropped = 0
	}
	s.mu.Unlock()
	if due {
		runtime.GC()
	}
}

// round weighs the heads of some units. It answers whether there are more.
func (w *weigher) round(ctx context.Context) (more bool) {
	s := w.d.sched
	s.mu.Lock()
	var units []*unit
	var refs []store.Ref
	for s.cargo.unweighed.len() > 0 && len(refs) < weighSize {
		u := s.cargo.unweighed.pop()
		units = append(units, u)
		for _, h := range u.win.heads[u.win.at:] {
			if _, known := u.shard.heavy[h.ID]; !h.Light && !known && len(refs) < weighSize {
				refs = append(refs, store.Ref{App: u.key.App, ID: h.ID})
			}
		}
	}
	s.mu.Unlock()
	var sizes []int64
	var err error
	if len(refs) > 0 {
		if sizes, err = w.d.cfg.Queue.FileBytes(ctx, refs); err != nil && ctx.Err() == nil {
			w.d.log.Error("sizes of attachments cannot be read", "messages", len(refs), "err", err)
			sleep(ctx, readRetry)
		}
	}
	found := make(map[comm.ID]int64, len(sizes))
	for i, n := range sizes {
		found[refs[i].ID] = n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range units {
		u.weighing = false
		if u.dead {
			continue
		}
		u.learn(found)
		if u.phase == loading {
			s.free(u)
		}
	}
	s.poke()
	return s.cargo.unweighed.len() > 0 && ctx.Err() == nil
}

// learn notes which heads have files and which have none.
func (u *unit) learn(found map[comm.ID]int64) {
	heads := u.win.heads[u.win.at:]
	for i := range heads {
		if n, ok := found[heads[i].ID]; ok && n == 0 {
			heads[i].Light = true
		} else if ok {
			u.shard.heavy[heads[i].ID] = n
		}
	}
}
