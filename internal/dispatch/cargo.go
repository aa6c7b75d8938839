package dispatch

import (
	"runtime"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/store"
)

// lightLoad is the size from which messages are counted: of smaller ones, slots bound how many there are.
const lightLoad = 64 << 10

// cargo is the memory that messages under way may take: their content and files,
// from the turn that reads them until the sender needs them no more, or until their
// round is over. A message that alone is larger than all of it goes when nothing
// else is under way.
type cargo struct {
	max, reserve int64 // reserve is for CRITICAL only
	used         int64
	line         fifo[waiter] // units held for want of it
	dropped      int64        // bytes that became garbage since the last collection
	collecting   bool
}

// fits says whether n more bytes may be read for a message of the class. As with
// slots, an app may take a multiple of what is left free: the messages that wait
// for its slow server must not stop those of others.
func (c *cargo) fits(class int, t *tenant, n int64) bool {
	room := c.max - c.used - n
	if class != classCritical {
		room -= c.reserve
	}
	own := t.cargo[class]
	return n < lightLoad || c.used == 0 || room >= 0 && (own == 0 || own+n <= fairShare*room)
}

// laden parks the unit if its next message is too large for now: small ones of other units go on.
func (s *scheduler) laden(u *unit, h store.Head, class int) bool {
	if s.cargo.fits(class, u.tenant, h.Bytes) {
		return false
	}
	s.hold(u, chain.Condition{Reason: chain.WaitMemory, Brief: true}, nil)
	u.turn++
	s.cargo.line.push(waiter{u, u.turn})
	return true
}

// load books what a job takes. What it has booked already it keeps for the next
// attempt of its round, which reads the message anew.
func (s *scheduler) load(j *job) {
	switch {
	case j.cargo > 0:
		s.discard(j.cargo)
	case j.head.Bytes >= lightLoad:
		s.book(j, j.head.Bytes)
	}
}

// book changes what a job has booked, for itself and for its app.
func (s *scheduler) book(j *job, n int64) {
	s.cargo.used += n - j.cargo
	j.unit.tenant.cargo[j.class] += n - j.cargo
	j.cargo = n
}

// unload gives back what a job took, and lets those who waited for it try.
func (s *scheduler) unload(j *job) {
	if j.cargo == 0 {
		return
	}
	s.discard(j.cargo)
	s.book(j, 0)
	for s.cargo.line.len() > 0 && s.cargo.used < s.cargo.max {
		if w := s.cargo.line.pop(); w.unit.turn == w.turn && w.unit.phase == held && !w.unit.dead {
			s.free(w.unit)
		}
	}
	s.poke()
}

// discard counts bytes that nobody needs any more, and collects after half a
// budget's worth: the collector, set to let a small heap grow several times over,
// would let the files of large messages do the same.
func (s *scheduler) discard(n int64) {
	c := &s.cargo
	if c.dropped += n; c.collecting || c.dropped < c.max/2 {
		return
	}
	c.collecting = true
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for ; c.dropped >= c.max/2; s.mu.Lock() {
			c.dropped = 0
			s.mu.Unlock()
			runtime.GC()
		}
		c.collecting = false
	}()
}

// released is told that the sender of that attempt's call needs the content no more.
func (s *scheduler) released(j *job, attempt int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.state.Attempts == attempt {
		s.unload(j)
	}
}
