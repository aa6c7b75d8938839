package dispatch

import (
	"time"

	"github.com/commserver/commserver/internal/chain"
)

// hold parks a unit that cannot send. Nothing is written for it.
func (s *scheduler) hold(u *unit, why chain.Condition, by *account) {
	s.park(u, why, by)
	if by != nil {
		s.review(by)
	}
}

// queueUp parks a unit behind those that an account's places, though some may be free, are for.
func (s *scheduler) queueUp(u *unit, by *account) {
	s.park(u, chain.Condition{Reason: chain.WaitBusy, Brief: true}, by)
	s.relieve(by)
}

// park takes a unit out of the round, into the line of the account that it waits for, if any.
func (s *scheduler) park(u *unit, why chain.Condition, by *account) {
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
	if by != nil {
		u.turn++
		by.waiters[classOf(u.key.Lane)].push(waiter{u, u.turn})
	}
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

// review wakes as many units of an account's line as it could serve, or sets the alarm for when it can.
func (s *scheduler) review(a *account) {
	now, db := s.clock.now(), s.clock.db()
	for class := range a.waiters {
		if a.waiters[class].len() == 0 {
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
		n, places := 0, a.wakeable(now, class, s.percent())
		for n < places && a.waiters[class].len() > 0 {
			if w := a.waiters[class].pop(); w.unit.turn == w.turn && w.unit.phase == held && !w.unit.dead {
				s.free(w.unit)
				w.unit.called = a
				n++
			}
		}
		a.portion[class] = places / max(1, n)
		if a.waiters[class].len() > 0 {
			s.alarms.set(&a.alarm, s.clock.ticks(now.Add(10*time.Millisecond)))
		}
	}
	s.poke()
}
