package dispatch

import (
	"slices"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// maxSteps bounds one pick, so that the lock is never held for long; the next pick goes on.
const maxSteps = 4096

// quantum is how many messages an app may start in one turn of the round.
const quantum = 64

// pick takes up to n messages that may start now: CRITICAL of every app first,
// then the apps in turn. The work is bounded by what is picked and what is moved
// out of the way, not by how many units exist.
func (s *scheduler) pick(n int, out []*job) []*job {
	generation, fit := s.guard.current()
	if s.stopping || !fit {
		return out
	}
	s.offer()
	most := len(out) + n
	steps := 0
	for class := range s.rings {
		ring := &s.rings[class]
		for ; len(out) < most && ring.len() > 0 && s.slots.room(class) > 0; steps++ {
			if steps > maxSteps {
				s.poke()
				return out
			}
			t := ring.pop()
			t.inRing[class] = false
			share := min(quantum, max(1, min(most-len(out), s.slots.room(class))/(ring.len()+1)))
			out = s.serve(t, class, share, generation, &steps, out)
			s.enlist(t, class)
			s.tidy(t)
		}
	}
	return out
}

// startable says whether about n messages that are no CRITICAL ones could start now.
func (s *scheduler) startable(n int) bool {
	ring, room := &s.rings[classRest], s.slots.room(classRest)
	if room < n {
		return false
	}
	for _, t := range ring.items[ring.at:] {
		n -= min(t.heads(n), s.slots.allowance(classRest, t.inflight[classRest]))
		if n <= 0 {
			return true
		}
	}
	return false
}

// serve lets one app start up to n messages.
func (s *scheduler) serve(t *tenant, class, n int, generation uint64, steps *int, out []*job) []*job {
	for most := len(out) + n; len(out) < most && *steps <= maxSteps; *steps++ {
		if !s.slots.fair(class, t.inflight[class]) {
			if s.slots.room(class) > 0 {
				t.blocked[class] = true // comes back when one of its calls ends
			}
			return out
		}
		u := t.next(class)
		if u == nil {
			return out
		}
		u.phase = idle
		// The clock is read anew: settle judges by a later instant than the pick began
		// with, and a head that became due in between must not be offered for ever.
		var cut bool
		out, cut = s.drain(u, min(most-len(out), max(1, n/4)), generation, s.clock.now(), out)
		if !u.waitsForMemory() {
			u.called = nil // one that waits for memory keeps its call: it would hardly get both at once
		}
		if u.phase == idle && !(u.shard.draining && !u.dead) {
			s.settle(u)
		}
		if cut {
			return out
		}
	}
	return out
}

// drain starts up to n messages of one unit. It is cut short after the unit's
// portion of an account that others wait for.
func (s *scheduler) drain(u *unit, n int, generation uint64, now time.Time, out []*job) (_ []*job, cut bool) {
	if u.shard.draining {
		return out, false
	}
	before := len(out)
	class, db := classOf(u.key.Lane), s.clock.dbAt(now)
	var r route
	for ; n > 0 && u.win.len() > 0 && u.win.front().Due <= db; n-- {
		if r.to != nil && r.to.portion[class] > 0 && len(out)-before >= r.to.portion[class] {
			return out, true
		}
		head := u.win.front()
		owes, apart := u.shard.owes(head.ID)
		if u.shard.inflight[head.ID] != nil || apart {
			u.win.pop()
			s.heads--
			continue
		}
		mode := u.shard.modes[head.ID]
		if r.to == nil && r.end == nil || mode != 0 || owes || r.to != nil && r.to.condition(now, db, class, s.percent()).Reason != "" {
			if len(out) > before {
				u.called = nil // not in vain
			}
			if r = s.way(u, head, mode, now); r.park {
				continue
			}
			if r.waits(s, u) {
				return out, false
			}
		}
		if r.to != nil && r.to.lines[class].len() > 0 && u.called != r.to && !r.forced {
			s.hold(u, r.to.scarce(), r.to) // what is free is for those in the line
			return out, false
		}
		if r.end == nil && s.laden(u, head, class) {
			u.called = r.to // it had its turn there, and will be the next when it has room
			return out, false
		}
		j := &job{unit: u, shard: u.shard, head: head, class: class, account: r.to, words: r.words, live: r.live, end: r.end, elsewhere: r.elsewhere, forced: r.forced,
			node: s.node, generation: generation}
		if r.end != nil && !r.certain && mode == 0 && head.ID.Time() <= r.changed {
			// Accepted before the app last changed: perhaps in the sandbox. The logger's start finds out.
			j.account, j.end, j.words = s.logger, nil, ""
		}
		if j.end == nil && !s.seize(j, now, db) {
			r = route{} // the breaker refused after all: look again
			continue
		}
		s.cargo.settled(u)
		u.win.pop()
		s.heads--
		u.shard.inflight[head.ID] = j
		u.inflight++
		u.tenant.count(u.key.Lane)
		out = append(out, j)
		if mode != 0 || owes {
			r = route{}
		}
	}
	return out, false
}

// seize books slots for a job, and memory unless it has it from an attempt before.
func (s *scheduler) seize(j *job, now time.Time, db comm.Micros) bool {
	if j.cargo == 0 && !s.cargo.fits(j.class, j.unit, j.head.Bytes, now) {
		return false
	}
	ticket, ok := j.account.take(now, db, j.class, j.forced)
	if !ok {
		return false
	}
	s.load(j)
	j.ticket, j.holds, j.booked = ticket, true, true
	s.slots.add(j.class, 1)
	j.unit.tenant.inflight[j.class]++
	return true
}

// release gives slots back, but not memory, and lets those who waited for them try.
func (s *scheduler) release(j *job) {
	if !j.holds {
		return
	}
	j.holds = false
	s.slots.add(j.class, -1)
	t := j.unit.tenant
	t.inflight[j.class]--
	if t.blocked[j.class] {
		t.blocked[j.class] = false
		s.enlist(t, j.class)
	}
	s.tidy(t)
	j.account.done(j.class)
	s.relieve(j.account.calls.latest)
}

// refund gives slots and memory back for a call that was never made.
func (s *scheduler) refund(j *job) {
	if !j.holds {
		return
	}
	if j.booked {
		j.booked = false
		j.account.days.back()
	}
	j.account.refund(s.clock.now(), j.ticket)
	s.release(j)
	s.unload(j)
}

// route is where a unit's next message goes.
type route struct {
	to      *account
	live    bool
	words   string         // of the event that tells of the start
	end     *store.Outcome // nothing to send with: the message ends
	certain bool           // end holds whatever the message's mode
	changed comm.Micros    // when the app last changed
	later   bool           // some configuration is left out now that will come back
	until   comm.Micros    // when the first of them does
	wait    chain.Condition
	by      *account // what the wait is for
	loads   *entry   // must be read first

	// Of a message that owes a repeat:
	park      bool // it waits beside its unit
	forced    bool // to is called in spite of its breaker
	elsewhere bool // not where the repeat is owed
}

// waits parks the unit if the route leads nowhere now.
func (r *route) waits(s *scheduler, u *unit) bool {
	switch {
	case r.loads != nil:
		u.phase = loading
		r.loads.waiting = append(r.loads.waiting, u)
		return true
	case r.wait.Reason != "":
		s.hold(u, r.wait, r.by)
		return true
	}
	return false
}

// route asks the chain. tried are the configurations that this round has called.
func (s *scheduler) route(u *unit, mode comm.Mode, tried []comm.ID, now time.Time) route {
	e := s.dir.entry(u.key.App)
	if !s.usable(e, now) {
		return route{loads: e}
	}
	if e.missing {
		return route{wait: chain.Condition{Reason: chain.WaitAppPaused}}
	}
	if why := chain.Stopped(&e.app); why != "" {
		return route{wait: chain.Condition{Reason: why}}
	}
	server := s.dir.entry(comm.ID{})
	if !s.usable(server, now) {
		return route{loads: server}
	}
	c := s.chain(e, server, u, mode, tried, now)
	r := route{changed: e.app.UpdatedAt, certain: mode == comm.Live}
	owner := server
	if c.Own {
		owner = e
	}
	for _, x := range c.Excluded {
		if x.Wait.Reason != "" {
			r.later = true
			if x.Wait.Until != 0 && (r.until == 0 || x.Wait.Until < r.until) {
				r.until = x.Wait.Until
			}
		}
	}
	switch {
	case c.Logger:
		r.to = s.logger
	case c.NoProvider && e.version != s.dir.version:
		return route{loads: e} // no message ends on stale knowledge
	case c.NoProvider && server.version != s.dir.version:
		return route{loads: server}
	case c.NoProvider:
		r.end = &store.Outcome{To: comm.Failed, Cause: comm.CauseNoProvider, ErrorCode: comm.CauseNoProvider.String(), ErrorText: c.Why, Detail: c.Why}
	case len(c.Candidates) > 0 && c.Candidates[0].Wait.Reason == "":
		r.to, r.live, r.words = owner.accounts[c.Candidates[0].Config.ID], true, words(&c, owner.accounts)
	case len(c.Candidates) > 0:
		r.wait, r.by, r.later = c.Candidates[0].Wait, owner.accounts[c.Candidates[0].Config.ID], true
	default:
		r.wait = c.Wait
		if first := c.First(); first != nil {
			r.by = owner.accounts[first.ID]
		}
	}
	return r
}

func (s *scheduler) chain(e, server *entry, u *unit, mode comm.Mode, tried []comm.ID, now time.Time) chain.Chain {
	db, class, percent := s.clock.dbAt(now), classOf(u.key.Lane), s.percent()
	in := chain.Input{App: &e.app, Mode: mode, Channel: u.key.Channel, Own: e.configs, Server: server.configs, Fallback: s.fall, CannotSend: s.dir.unable,
		Condition: func(c *comm.ProviderConfig) chain.Condition {
			a := e.accounts[c.ID]
			if a == nil {
				a = server.accounts[c.ID]
			}
			return a.condition(now, db, class, percent)
		}}
	if len(tried) > 0 {
		in.Tried = func(id comm.ID) bool { return slices.Contains(tried, id) }
	}
	return chain.Pick(in)
}
