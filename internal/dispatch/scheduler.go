package dispatch

import (
	"log/slog"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

const (
	maxHeads    = 200_000          // in all windows: about 5 MB
	maxUnits    = 100_000          // in memory; more are read when others are done
	lowWater    = windowSize / 4   // a window is refilled below it
	recheck     = 30 * time.Second // a held unit is looked at again, whatever happens
	staleConfig = 5 * time.Second  // how long a changed configuration may be used while it is read again
)

// scheduler knows the units of the owned shards and decides what starts next.
// Everything in it is guarded by mu; no method does I/O while it holds mu.
type scheduler struct {
	clock  *clock
	guard  *guard
	log    *slog.Logger
	meters Meter
	rules  policy
	fall   chain.Fallback
	logger *account
	keys   map[string]time.Duration // see keysOf; by lower-case type

	mu       sync.Mutex
	node     string
	shards   [comm.ShardCount]*shard
	tenants  map[comm.ID]*tenant
	rings    [2]fifo[*tenant]
	slots    slots
	cargo    cargo
	dues     agenda // database clock, microseconds
	alarms   agenda // node clock, ticks
	units    int
	heads    int
	stopping bool
	// accepting: this process accepted something since the last turn began, so
	// that turns compete with accepts for the database.
	accepting bool
	reporting bool // providers may have reported something that is not applied
	held      map[*unit]struct{}
	ill       ills
	strained  map[comm.ID]strain
	regrets   map[comm.Unit]*regret
	parked    []parked // messages that wait to be repeated
	unparkAt  time.Time
	freed     []*account // with places that their lines have not been offered
	count     counters

	dir      directory
	reads    reads
	hearing  hearing
	results  []*job // answered, to be decided
	finishes fifo[*finish]
	aside    asides
	late     []store.LateResult
	detached map[comm.ID]*job // calls whose shard was lost while they ran
	wake     chan struct{}    // the turner has something to do
}

func (s *scheduler) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// unitOf finds or makes a unit; nil when memory for units is full.
func (s *scheduler) unitOf(sh *shard, k comm.Unit) *unit {
	key := unitKey{k.App, k.Channel, k.Lane}
	if u := sh.units[key]; u != nil {
		return u
	}
	if s.units >= maxUnits || k.Lane >= comm.LaneCount {
		return nil
	}
	t := s.tenants[k.App]
	if t == nil {
		t = &tenant{id: k.App}
		s.tenants[k.App] = t
	}
	u := &unit{key: k, shard: sh, tenant: t}
	u.alarm.unit = u
	sh.units[key] = u
	t.units = append(t.units, u)
	s.units++
	return u
}

// remove forgets a unit.
func (s *scheduler) remove(u *unit) {
	if u.dead {
		return
	}
	u.dead = true
	s.disarm(u)
	s.heads -= u.win.len()
	s.units--
	delete(u.shard.units, unitKey{u.key.App, u.key.Channel, u.key.Lane})
	t := u.tenant
	for i, x := range t.units {
		if x == u {
			t.units[i] = t.units[len(t.units)-1]
			t.units = t.units[:len(t.units)-1]
			break
		}
	}
	s.tidy(t)
}

func (s *scheduler) tidy(t *tenant) {
	if len(t.units) == 0 && t.inflight == [2]int{} && !t.inRing[0] && !t.inRing[1] && s.tenants[t.id] == t {
		delete(s.tenants, t.id)
	}
}

// disarm takes a unit out of agendas and lines.
func (s *scheduler) disarm(u *unit) {
	switch u.phase {
	case waiting:
		s.dues.drop(&u.alarm)
	case held:
		s.alarms.drop(&u.alarm)
		u.holder, u.looked = nil, s.clock.now()
		delete(s.held, u)
	case idle, ready, loading:
	}
	u.phase = idle
}

// settle puts an idle unit where it belongs now.
func (s *scheduler) settle(u *unit) {
	if u.dead {
		return
	}
	now := s.clock.db()
	if u.win.behind || u.win.more && u.win.len() < lowWater && (u.win.len() > 0 || u.first <= now) {
		s.read(u)
	}
	switch {
	case u.win.len() > 0 && u.win.front().Due <= now:
		u.phase = ready
		u.tenant.lines[u.key.Lane].push(u)
		s.enlist(u.tenant, classOf(u.key.Lane))
	case u.win.len() > 0:
		s.wait(u, u.win.front().Due)
	case u.reading:
		u.phase = loading
	case u.win.more:
		s.wait(u, u.first)
	case u.inflight > 0:
		u.phase = idle
	default:
		s.remove(u)
	}
}

func (s *scheduler) wait(u *unit, due comm.Micros) {
	u.phase = waiting
	s.dues.set(&u.alarm, int64(due))
}

// rearm looks at a unit again after something about it changed.
func (s *scheduler) rearm(u *unit) {
	switch u.phase {
	case ready, held:
		if u.win.behind {
			s.read(u)
		}
	case idle, waiting, loading:
		if u.phase == loading && u.reading && u.win.len() == 0 {
			return
		}
		s.disarm(u)
		s.settle(u)
	}
}

// free lets a held or loading unit try again.
func (s *scheduler) free(u *unit) {
	if !u.dead && (u.phase == held || u.phase == loading) {
		s.disarm(u)
		s.settle(u)
	}
}

func (s *scheduler) enlist(t *tenant, class int) {
	if !t.inRing[class] && !t.blocked[class] && t.hasReady(class) {
		t.inRing[class] = true
		s.rings[class].push(t)
	}
}

func (s *scheduler) percent() int { return 100 * s.slots.reserve / max(1, s.slots.max) }

// advance moves every unit and account whose time has come.
func (s *scheduler) advance() {
	db := int64(s.clock.db())
	for a := s.dues.due(db); a != nil; a = s.dues.due(db) {
		a.unit.phase = idle
		s.settle(a.unit)
	}
	s.unpark()
	now := s.clock.ticks(s.clock.now())
	for a := s.alarms.due(now); a != nil; a = s.alarms.due(now) {
		switch {
		case a.account != nil && a == &a.account.silence:
			s.listen(a.account)
		case a.account != nil:
			s.relieve(a.account)
		case a.unit.phase == held:
			s.free(a.unit)
		default:
			s.rearm(a.unit)
		}
	}
}

// pause is how long the turner may sleep when there is nothing to do.
func (s *scheduler) pause() time.Duration {
	d := time.Second
	if at, ok := s.dues.next(); ok {
		d = min(d, time.Duration(at-int64(s.clock.db()))*time.Microsecond)
	}
	if at, ok := s.alarms.next(); ok {
		d = min(d, time.Duration(at-s.clock.ticks(s.clock.now())))
	}
	if len(s.parked) > 0 {
		d = min(d, s.unparkAt.Sub(s.clock.now()))
	}
	return max(d, 50*time.Microsecond)
}

// push adds a message that was just stored. ok is false when the shard is not ours.
func (s *scheduler) push(k comm.Unit, h store.Head) (ok bool) {
	sh := s.shards[k.Shard%comm.ShardCount]
	if sh == nil || sh.lost {
		return false
	}
	if sh.inflight[h.ID] != nil {
		return true
	}
	if !sh.active {
		sh.early = append(sh.early, store.Wake{Unit: k, Due: h.Due})
		return true
	}
	u := s.unitOf(sh, k)
	switch {
	case u == nil:
		return true // the safety poll finds it when there is room
	case s.heads >= maxHeads:
		s.rewind(u, h.Due)
	default:
		s.miss(u, h)
		s.heads += u.win.insert(h)
		if u.win.len() == 0 {
			u.first = min(orLast(u.first), h.Due)
		}
	}
	s.rearm(u)
	return true
}

// miss keeps a head that the window leaves to the next read, because that may be under way
// already and not see it. Of very many it is enough that the cursor does not go past them.
func (s *scheduler) miss(u *unit, h store.Head) {
	switch {
	case !u.reading || !u.win.more || !u.win.cursor.Before(h):
	case len(u.missed) < turnSize:
		u.missed = append(u.missed, h)
	default:
		u.moves++
	}
}

// notice says that a unit may have rows from due on.
func (s *scheduler) notice(w store.Wake) (ok bool) {
	sh := s.shards[w.Unit.Shard%comm.ShardCount]
	if sh == nil || sh.lost {
		return false
	}
	if !sh.active {
		sh.early = append(sh.early, w)
		return true
	}
	if u := s.unitOf(sh, w.Unit); u != nil {
		s.rewind(u, w.Due)
		s.rearm(u)
	}
	return true
}

// rewind makes the unit's next read begin at due.
func (s *scheduler) rewind(u *unit, due comm.Micros) {
	if !u.win.more || u.win.len() == 0 && u.first > due {
		u.first = due
	}
	u.win.rewind(due)
	u.moves++
}

func orLast(m comm.Micros) comm.Micros {
	if m == 0 {
		return 1<<63 - 1
	}
	return m
}

// answer takes the result of a call. The caller calls it once per job.
func (s *scheduler) answer(j *job, r result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.answered {
		// The watchdog gave this call up; what it says now is evidence.
		if r.answer == nil && r.called {
			s.late = append(s.late, store.LateResult{App: j.state.App, ID: j.state.ID, Attempt: j.state.Attempts, Accepted: true,
				Outcome: s.rules.decide(facts{state: &j.state, provider: j.account.name, providerID: j.account.config.ID, reports: j.account.reports, result: r, now: s.clock.db()}).want})
			s.poke()
		}
		return
	}
	j.answered, j.result = true, r
	s.results = append(s.results, j)
	s.poke()
}

// overdue gives up calls that ignore their deadline: the outcome is unknown and the slot is free again.
func (s *scheduler) overdue(grace time.Duration) {
	now := s.clock.now()
	give := func(j *job) {
		if j.deadline.IsZero() || j.answered || now.Sub(j.deadline) < grace {
			return
		}
		j.answered = true
		j.result = result{called: true, answer: &provider.Error{Class: provider.Ambiguous, Code: "deadline", Text: "the provider did not answer in time"}}
		s.results = append(s.results, j)
		s.poke()
	}
	for _, sh := range s.shards {
		if sh != nil {
			for _, j := range sh.inflight {
				give(j)
			}
		}
	}
	for _, j := range s.detached {
		give(j)
	}
}
