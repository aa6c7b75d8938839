package dispatch

import (
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// days is how much of its UTC day a configuration has used: what the store has
// counted, and what this node knows beyond that. Where one node alone uses the
// configuration the sum is never less than the truth, so that the limit is
// exact; nodes that share one split what was left when each last read the
// store, and may together begin a little more than the limit between two reads.
// The scheduler's lock guards it.
type days struct {
	day     int64
	stored  int       // as the store last said
	begun   int       // by this node, perhaps not in stored yet
	pending int       // on their way into the store, for whatever day
	moves   int       // changes of the above
	asked   int       // moves when the read under way began
	since   int       // begun since then
	unsure  time.Time // until then a turn whose answer was lost may still be stored
}

// turn goes on to a later day.
func (d *days) turn(day int64) {
	if day > d.day {
		d.day, d.stored, d.begun, d.since = day, 0, 0, 0
	}
}

// take books a start that is on its way into the store.
func (d *days) take(day int64) {
	d.turn(day)
	d.pending++
	d.moves++
}

// back returns what take booked: the start was certainly not stored.
func (d *days) back() {
	d.pending--
	d.moves++
}

// began books the stored start of an attempt; it stays, whether or not a call follows.
func (d *days) began(day int64) {
	d.back()
	d.turn(day)
	if day == d.day {
		d.begun++
		d.since++
	}
}

// lost books a start of which nobody knows until then whether it is stored.
func (d *days) lost(until time.Time) {
	d.began(d.day)
	d.unsure = until
}

// ask is told that a read of the store begins.
func (d *days) ask() { d.asked, d.since = d.moves, 0 }

// answer takes what the store counted on a day. alone says that no other node uses the configuration.
func (d *days) answer(day int64, used int, alone bool, now time.Time) {
	d.turn(day)
	if day < d.day {
		used = 0
	}
	switch {
	case d.moves == d.asked && d.pending == 0 && !now.Before(d.unsure):
		d.stored, d.begun, d.unsure = used, 0, time.Time{}
	case alone:
		d.stored, d.begun = max(used, d.stored+d.begun), 0
	default:
		// What began during the read may be in it or not: it counts as if it were not.
		d.stored, d.begun = max(used, d.stored), d.since
	}
}

// spent says whether the day's limit is used up for calls of the class, as far as it is this node's. Reserve percent of it are kept for CRITICAL.
func (a *account) spent(db comm.Micros, class, reserve int) bool {
	if a.config.Limits.RatePerDay <= 0 {
		return false
	}
	limit, d := a.config.Limits.DayFor(class == classCritical, reserve), a.days
	left, mine := limit, d.pending
	if d.day >= db.Day() {
		left, mine = limit-d.stored, d.pending+d.begun
	}
	part := left / a.share
	if a.rank < left%a.share {
		part++
	}
	return mine >= part
}

// daily says whether a configuration of the entry has a limit per day.
func (e *entry) daily() bool {
	for i := range e.configs {
		if e.configs[i].Limits.RatePerDay > 0 {
			return true
		}
	}
	return false
}

// daysKnown says whether what earlier owners of this node's shards began is counted.
func (e *entry) daysKnown(owned int64) bool { return e.owned == owned || !e.daily() }

// used hands what the store counted to the accounts of an entry.
func (s *scheduler) used(e *entry, list []store.DayUse) {
	now := s.clock.now()
	for _, a := range e.accounts {
		if a.config.Limits.RatePerDay <= 0 {
			continue
		}
		u := store.DayUse{Day: s.clock.dbAt(now).Day()}
		for _, x := range list {
			if x.Provider == a.config.ID {
				u = x
			}
		}
		a.days.answer(u.Day, u.Used, a.share == 1, now)
		s.relieve(a)
	}
}

// recount reads again what other nodes, or lost turns, may have changed.
func (s *scheduler) recount() {
	now := s.clock.now()
	for _, e := range s.dir.entries {
		for _, a := range e.accounts {
			settled := !a.days.unsure.IsZero() && !now.Before(a.days.unsure)
			if a.config.Limits.RatePerDay > 0 && (a.share > 1 || settled) {
				s.reload(e)
				break
			}
		}
	}
}
