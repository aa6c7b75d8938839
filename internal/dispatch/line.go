package dispatch

import (
	"time"

	"github.com/commserver/commserver/internal/chain"
)

// line is the line of an account. Those that it called in vain, because others took
// what was free, stand before all others.
type line struct{ vain, rest fifo[waiter] }

// waiter is a unit in a line; a unit that left the line has another turn number.
type waiter struct {
	unit *unit
	turn uint32
}

func (l *line) len() int { return l.vain.len() + l.rest.len() }

func (l *line) pop() waiter {
	if l.vain.len() > 0 {
		return l.vain.pop()
	}
	return l.rest.pop()
}

// hold takes a unit that cannot send out of the round, into the line of the account
// that it waits for, if any. Nothing is written for it. It keeps the place that it
// has: being looked at again, which happens to each from time to time, must not cost
// it, or where the line is longer than that time most of it would never be served.
func (s *scheduler) hold(u *unit, why chain.Condition, by *account) {
	now := s.clock.now()
	if u.hold.Reason != why.Reason || now.Sub(u.looked) > holdAge {
		u.heldSince = now // a look that found the same reason again does not make it new
	}
	u.phase, u.hold, u.holder, u.looked = held, why, by, now
	s.held[u] = struct{}{}
	after := recheck
	if why.Reason == chain.WaitMemory {
		after = rereadAfter
	}
	if by == nil && why.Until != 0 {
		after = min(recheck, max(time.Millisecond, why.Until.Sub(s.clock.dbAt(now))))
	}
	s.alarms.set(&u.alarm, s.clock.ticks(now.Add(after)))
	if by == nil || by != u.place {
		s.place(u, by)
	}
	if by != nil {
		s.relieve(by)
	}
}

// place gives a unit a new place instead of the one that it may have, or none.
func (s *scheduler) place(u *unit, by *account) {
	u.turn++
	u.place = by
	if by == nil {
		return
	}
	l := &by.lines[classOf(u.key.Lane)]
	if u.called == by {
		l.vain.push(waiter{u, u.turn})
		return
	}
	l.rest.push(waiter{u, u.turn})
}

// relieve has an account's line reviewed before the next pick, once however many
// of its places become free until then: each review calls as many units as there are places.
func (s *scheduler) relieve(a *account) {
	if !a.freed {
		a.freed = true
		s.freed = append(s.freed, a)
	}
	s.poke()
}

// offer reviews the lines of the accounts that were relieved.
func (s *scheduler) offer() {
	for _, a := range s.freed {
		a.freed = false
		s.review(a)
	}
	clear(s.freed)
	s.freed = s.freed[:0]
}

// review calls as many units of an account's line as it could serve, or sets the alarm for when it can.
func (s *scheduler) review(a *account) {
	now, db := s.clock.now(), s.clock.db()
	gone := 0
	for class := range a.lines {
		if c := a.condition(now, db, class, s.percent()); c.Reason == "" || c.Brief {
			a.shut[class] = false
		} else if !a.shut[class] {
			a.shut[class] = true
			s.scatter(a, class)
		}
	}
	for class := range a.lines {
		l := &a.lines[class]
		if l.len() == 0 {
			a.portion[class] = 0
			continue
		}
		c := a.condition(now, db, class, s.percent())
		if c.Reason != "" {
			if c.Until != 0 {
				// Not more often than every 10 ms: a full bucket's worth at once, not one token each.
				s.alarms.set(&a.alarm, s.clock.ticks(now.Add(max(10*time.Millisecond, c.Until.Sub(db)))))
			}
			continue
		}
		// Few places are of units that have nothing to send now; the next review goes on.
		const idlers = 64
		n, places := 0, a.wakeable(now, class, s.percent(), gone)
		for most := min(l.len(), places+idlers); most > 0 && n < places; most-- {
			if s.callNext(a, l) {
				n++
			}
		}
		a.portion[class] = max(1, places/max(1, n))
		gone += n
		if l.len() > 0 {
			s.alarms.set(&a.alarm, s.clock.ticks(now.Add(10*time.Millisecond)))
		}
	}
}

// callNext calls the next unit of an account's line and answers whether it is ready to start something.
func (s *scheduler) callNext(a *account, l *line) bool {
	w := l.pop()
	u := w.unit
	if u.turn != w.turn || u.dead {
		return false
	}
	if u.phase != held && u.phase != ready { // nothing to send now
		u.place, u.called = nil, a
		return false
	}
	x := u.tenant.chosen(u, a)
	if x.isCalled(a) { // one after the other
		l.rest.push(w)
		return false
	}
	u.place = nil
	if x != u {
		s.place(u, a) // it has the place that x, which keeps its own, would have got next
	}
	if x.phase == held {
		s.free(x)
	}
	x.called = a
	return x.phase == ready && !x.shard.draining
}
