package dispatch

import (
	"maps"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// A provider that takes an idempotency key sends a message once, however often it gets it under that key. After an
// attempt of unknown outcome there the message owes it a repeat: the next attempt goes to the same
// configuration, before another one, which knows nothing of the key, may send a second copy (promise 6).
// That a repeat is owed stands with the message (comm.RepeatOwed), so that it outlives this process; a start that
// would lead elsewhere without knowing of it is refused by the store (RepeatFirst). How long the message has been waiting
// for that configuration is known in memory alone: whoever takes over begins anew.
//
// While the configuration cannot be called, the message waits for it, bounded by repeatPatience; others of its unit do
// not wait with it. Then it is called once in spite of its breaker, if it was not called since and the operator's rate and calls at once allow it within repeatPause; what its provider
// or its operator forbids (a throttle, a limit per day, credentials that cannot be read) is not done, and the message takes
// the chain. So it does when the configuration is no part of the chain any more, or its key is about to be forgotten.
// After that a repeat is a possible duplicate like any other.

const (
	// repeatPatience is how long a message waits for a clear answer of the provider that may have it.
	repeatPatience         = time.Minute
	repeatPatienceCritical = 15 * time.Second
	// repeatShare: never longer than a quarter of what is left of its time.
	repeatShare = 4
	// repeatPause is the longest wait between two repeats while that lasts, and for a place or the rate of one that is forced.
	repeatPause = 15 * time.Second
	// repeatLook is how often it is looked whether the configuration can be called again.
	repeatLook = 500 * time.Millisecond
	// maxParked is how many messages wait so beside their units; more hold their units.
	maxParked = 10_000
	// oldDebt is when a debt is forgotten whose message has not been met again: it was settled without an attempt.
	oldDebt = 10 * time.Minute
	// oldPanic is the same of an adapter's failure: more than the pauses between attempts, as a rule.
	oldPanic = 24 * time.Hour
)

// debt is the repeat that a message owes, or owed, to a configuration.
type debt struct {
	to       comm.ID
	open     bool        // it is owed now
	ends     comm.Micros // when the key is no longer certain to be known; 0 = there is none
	expires  comm.Micros // of the message; 0 = never
	until    comm.Micros // when another configuration may take the message; 0 = nobody has looked yet
	repeated bool        // the configuration was called again
	parked   bool        // the message waits beside its unit
}

// parked is a message that waits beside its unit.
type parked struct {
	shard *shard
	unit  comm.Unit
	head  store.Head
}

// keysOf is for how long, from a generation's first attempt on, a repeat at a type of provider is certain to be taken
// only once: what the type says, less the time that a call may take to arrive.
func keysOf(adapters []provider.Adapter) map[string]time.Duration {
	out := map[string]time.Duration{}
	for i := range adapters {
		a := &adapters[i]
		if life := a.RepeatFor - callTimeout(a); a.RepeatFor > 0 && life > 0 {
			out[strings.ToLower(a.Type)] = life
		}
	}
	return out
}

// keyEnds is when the provider of the message's last attempt is no longer certain to know its key; 0 = it takes none.
func (s *scheduler) keyEnds(st *comm.State) comm.Micros {
	life, found := s.keys[st.Provider]
	if !found {
		return 0
	}
	since := st.RoundSince
	if since == 0 {
		since = st.UpdatedAt
	}
	return since.Add(life)
}

// owe notes that a message owes a repeat to the configuration of its last attempt.
func (s *scheduler) owe(sh *shard, st *comm.State) {
	d := sh.debts[st.ID]
	if d == nil || d.to != st.ProviderID {
		d = &debt{to: st.ProviderID}
		sh.debts[st.ID] = d
	}
	d.open, d.ends, d.expires = true, s.keyEnds(st), st.ExpiresAt
}

// owesNothing notes that a message owes nothing. That it did is remembered: its patience is not given twice.
func (s *shard) owesNothing(id comm.ID) {
	if d := s.debts[id]; d != nil {
		d.open = false
	}
}

// owes says whether a message owes a repeat, and whether it waits for it beside its unit.
func (s *shard) owes(id comm.ID) (owed, parked bool) {
	d := s.debts[id]
	return d != nil && d.open, d != nil && d.parked
}

// patient says whether a message would still wait for that configuration.
func (s *shard) patient(id, config comm.ID, db comm.Micros) bool {
	d := s.debts[id]
	return d == nil || d.to != config || d.until == 0 || db < d.until
}

// called notes that the configuration was called for the message.
func (s *shard) called(id, config comm.ID) {
	if d := s.debts[id]; d != nil && d.to == config {
		d.repeated = true
	}
}

// patience is how long the message waits from now on.
func (d *debt) patience(lane comm.Lane, db comm.Micros) time.Duration {
	most := repeatPatience
	if lane == comm.Critical {
		most = repeatPatienceCritical
	}
	if d.expires != 0 {
		most = min(most, d.expires.Sub(db)/repeatShare)
	}
	return max(most, 0)
}

// way is where the first message of a unit goes: back to the configuration that it owes a repeat, or where the chain
// leads. One that is to wait beside its unit does so afterwards.
func (s *scheduler) way(u *unit, h store.Head, mode comm.Mode, now time.Time) route {
	r := s.wayOf(u, h.ID, mode, now)
	if r.park {
		u.win.pop()
		s.heads--
		s.park(u, h)
	}
	return r
}

func (s *scheduler) wayOf(u *unit, id comm.ID, mode comm.Mode, now time.Time) route {
	r := s.route(u, mode, nil, now)
	owed, _ := u.shard.owes(id)
	if !owed || r.loads != nil || r.wait.Reason == chain.WaitAppPaused || r.wait.Reason == chain.WaitQueuePaused {
		return r
	}
	return s.back(u, u.shard.debts[id], mode, r, now)
}

// back is the way of a message that owes a repeat; r is where the chain would lead it.
func (s *scheduler) back(u *unit, d *debt, mode comm.Mode, r route, now time.Time) route {
	db := s.clock.dbAt(now)
	a, wait := s.creditor(u, d, mode, now)
	switch {
	case a == nil:
		return r.instead("; the configuration that may have taken it is not used any more")
	case db >= d.ends:
		return r.instead("")
	case d.until == 0:
		d.until = db.Add(d.patience(u.key.Lane, db))
	}
	class := classOf(u.key.Lane)
	again := route{to: a, live: true, words: clip(a.label() + ", again: it may have taken the message already and takes it only once"), changed: r.changed, certain: r.certain}
	waits, room := db < d.until, len(s.parked) < maxParked
	lines := wait.Brief || wait.Reason == "" && a.lines[class].len() > 0
	switch free := r.to != nil && r.to != a; {
	case lines && free && waits && room:
		return route{park: true} // its unit need not stand in a line with it
	case lines && free && !waits:
		return r.past(a, d)
	case wait.Reason == "":
		return again
	case wait.Brief:
		return route{wait: wait, by: a}
	case r.to == nil && r.end == nil:
		return r // nobody else can have it either
	case waits && room:
		return route{park: true}
	case waits:
		return route{wait: wait}
	case wait.Reason != chain.WaitDown || d.repeated || a.spent(db, class, s.percent()):
		return r.past(a, d)
	case a.places(class, s.percent()) > 0 && a.second.Wait(now) == 0:
		again.forced = true
		return again
	case db < d.until.Add(repeatPause) && room:
		return route{park: true} // others are being forced
	}
	return r.past(a, d)
}

// past is the way of a message that has waited for its configuration for long enough.
func (r route) past(a *account, d *debt) route {
	if d.repeated {
		return r.instead("; " + a.label() + " may have taken it already and gave no clear answer when it was asked again")
	}
	return r.instead("; " + a.label() + " may have taken it already and cannot be asked again now")
}

// repeatedInVain says that the job's message was repeated, is not to wait for its provider any longer, and that the
// chain leads to another one now.
func (s *scheduler) repeatedInVain(j *job, patient bool, now time.Time) bool {
	if patient || !j.state.Flags.Has(comm.RepeatOwed) || !j.live || j.shard.lost {
		return false
	}
	r := s.route(j.unit, comm.Live, nil, now)
	return r.to != nil && r.live && r.to != j.account
}

// instead is the way past the configuration that a repeat is owed to.
func (r route) instead(why string) route {
	if r.elsewhere = true; r.to != nil && r.live {
		r.words = clip(r.words + why)
	}
	return r
}

// creditor is the account that a repeat is owed to, and why it cannot be called now; nil when the chain has it no more.
func (s *scheduler) creditor(u *unit, d *debt, mode comm.Mode, now time.Time) (*account, chain.Condition) {
	e, server := s.dir.entry(u.key.App), s.dir.entry(comm.ID{})
	c := s.chain(e, server, u, mode, nil, now)
	owner := server
	if c.Own {
		owner = e
	}
	for _, x := range c.Candidates {
		if x.Config.ID == d.to {
			return owner.accounts[d.to], x.Wait
		}
	}
	for _, x := range c.Excluded {
		if x.Config.ID == d.to && x.Config.Active {
			return owner.accounts[d.to], x.Wait
		}
	}
	return nil, chain.Condition{}
}

// repeatFirst takes the store's word that a message owes a repeat to another configuration than the start was for.
func (s *scheduler) repeatFirst(j *job, st *comm.State) {
	s.owe(j.shard, st)
	s.refund(j)
	s.comeBack(j)
}

// park lets a message wait beside its unit.
func (s *scheduler) park(u *unit, h store.Head) {
	u.shard.debts[h.ID].parked = true
	if len(s.parked) == 0 {
		s.unparkAt = s.clock.now().Add(repeatLook)
	}
	s.parked = append(s.parked, parked{u.shard, u.key, h})
}

// unpark brings those that wait beside their units back, to be looked at again.
func (s *scheduler) unpark() {
	if len(s.parked) == 0 || s.clock.now().Before(s.unparkAt) {
		return
	}
	all := s.parked
	s.parked = nil
	for _, p := range all {
		if d := p.shard.debts[p.head.ID]; d != nil && !p.shard.lost {
			d.parked = false
			s.push(p.unit, p.head)
		}
	}
}

// forgetDebts drops those of messages that were not met again, and what adapters failed on: a report settled them, or somebody cancelled them.
func (s *scheduler) forgetDebts() {
	now := s.clock.now()
	db := s.clock.dbAt(now)
	for _, sh := range s.shards {
		if sh == nil {
			continue
		}
		for id, d := range sh.debts {
			if !d.parked && sh.inflight[id] == nil && (db >= d.ends || d.until != 0 && db.Sub(d.until) > oldDebt) {
				delete(sh.debts, id)
			}
		}
		maps.DeleteFunc(sh.panics, func(id comm.ID, p panicked) bool { return sh.inflight[id] == nil && now.Sub(p.last) > oldPanic })
		maps.DeleteFunc(sh.moments, func(id comm.ID, m moments) bool { return sh.inflight[id] == nil && now.Sub(m.last) > oldMoment })
	}
}
