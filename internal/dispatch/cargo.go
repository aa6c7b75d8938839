package dispatch

import (
	"time"

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
	berth        berth
	loads        uint64 // how many messages were booked so far
	dropped      int64  // bytes that became garbage since the last collection
	collecting   bool
	collect      func() // what collects; nil in simulations, whose virtual time would do little else
}

// berth is room kept for the message that has waited longest for it: without it, a
// stream of smaller ones, each of which still fits, would pass a very large one for
// ever. What is kept is only what those have given back that were under way before:
// others go on with what was free, however long the calls under way take.
type berth struct {
	unit  *unit
	bytes int64
	saved int64
	since uint64 // cargo.loads when it began
}

const (
	// berthAfter is how long a large message lets others pass.
	berthAfter = 2 * time.Second
	// berthKept is how long its room is kept while its account is busy: it is next in that line, after a call's time.
	berthKept = 10 * time.Second
	// rereadAfter is how often a unit without room looks whether its first message still waits: a cancel tells nobody.
	rereadAfter = 5 * time.Second
)

// lapsed says that nobody holds the berth: what held it has nothing more to send or waits for something else
// than a moment until its account has a place.
func (b *berth) lapsed(now time.Time) bool {
	switch {
	case b.unit == nil || b.unit.dead:
		return true
	case b.unit.phase == held && b.unit.hold.Reason != chain.WaitMemory:
		return !b.unit.hold.Brief || now.Sub(b.unit.heldSince) >= berthKept
	case b.unit.phase == held:
		return false
	}
	return b.unit.phase != ready && b.unit.phase != loading
}

// kept is the room that is kept from the unit for another one.
func (b *berth) kept(u *unit, now time.Time) int64 {
	if b.lapsed(now) || b.unit == u || now.Sub(b.unit.cramped) < berthAfter {
		return 0
	}
	return min(b.bytes, b.saved)
}

// settled forgets that the unit's first message found no room: it has started, or room is not what it lacks.
func (c *cargo) settled(u *unit) {
	u.cramped = time.Time{}
	if c.berth.unit == u {
		c.berth = berth{}
	}
}

// missed notes that there was no room for the unit's message of that size.
func (c *cargo) missed(u *unit, n int64, now time.Time) {
	b := &c.berth
	if u.cramped.IsZero() {
		u.cramped, u.reread = now, now
	}
	switch {
	case b.unit == u:
		b.bytes = n
	case b.lapsed(now) || u.cramped.Before(b.unit.cramped):
		*b = berth{unit: u, bytes: n, since: c.loads}
	}
}

// returned counts what a job gives back towards the berth.
func (c *cargo) returned(j *job, n int64) {
	if j.loaded <= c.berth.since {
		c.berth.saved += n
	}
}

// room is what would be left for the unit's class with n more bytes; less than nothing: they have to wait.
func (c *cargo) room(class int, u *unit, n int64, now time.Time) int64 {
	if n < lightLoad || c.used == 0 {
		return c.max
	}
	left := c.max - c.used - n
	if class != classCritical {
		left -= c.reserve + c.berth.kept(u, now)
	}
	return left
}

// fits says whether n more bytes may be read for a message of the unit. As with
// slots, an app may take a multiple of what is left free: the messages that wait
// for its slow server must not stop those of others.
func (c *cargo) fits(class int, u *unit, n int64, now time.Time) bool {
	room, own := c.room(class, u, n, now), u.tenant.cargo[class]
	return n < lightLoad || c.used == 0 || room >= 0 && (own == 0 || own+n <= fairShare*room)
}

// laden parks the unit if its next message is too large for now: small ones of other units go on.
func (s *scheduler) laden(u *unit, h store.Head, class int) bool {
	now := s.clock.now()
	room, fits := s.cargo.room(class, u, h.Bytes, now) >= 0, s.cargo.fits(class, u, h.Bytes, now)
	switch {
	case class == classCritical:
	case !room:
		s.cargo.missed(u, h.Bytes, now)
	case !fits: // its own app's share is what it lacks
		s.cargo.settled(u)
	}
	if fits {
		return false // and keeps its claim until it has started: its account may refuse it yet
	}
	if now.Sub(u.reread) >= rereadAfter && !u.cramped.IsZero() {
		u.reread = now
		s.reread(u)
		return true
	}
	s.hold(u, chain.Condition{Reason: chain.WaitMemory, Brief: true}, nil)
	s.cargo.line.push(waiter{u, u.turn})
	return true
}

// reread forgets the window of a unit that is being served; it is read anew when the unit settles.
func (s *scheduler) reread(u *unit) {
	first := u.win.front().Due
	s.heads -= u.win.len()
	u.win.heads, u.win.at = nil, 0
	s.rewind(u, first)
	u.first = min(u.first, first)
}

// load books what a job takes. What it has booked already it keeps for the next
// attempt of its round, which reads the message anew.
func (s *scheduler) load(j *job) {
	switch {
	case j.cargo > 0:
		s.discard(j.cargo)
	case j.head.Bytes >= lightLoad:
		s.cargo.loads++
		j.loaded = s.cargo.loads
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
	s.cargo.returned(j, j.cargo)
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
	if c.dropped += n; c.collecting || c.collect == nil || c.dropped < c.max/2 {
		return
	}
	c.collecting = true
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for ; c.dropped >= c.max/2; s.mu.Lock() {
			c.dropped = 0
			s.mu.Unlock()
			c.collect()
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
