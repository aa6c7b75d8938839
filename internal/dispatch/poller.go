package dispatch

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	pollCost    = 20               // a poll may cost a twentieth of the time
	lookBack    = 30 * time.Second // longer than any accept may take to become visible (F20)
	rereads     = 16               // units per poll whose recent rows are read again
	sweepEvery  = 10 * time.Second
	sweepSoon   = 500 * time.Millisecond // after an uncertain turn
	tidyEvery   = 30 * time.Second
	forgetAfter = 10 * time.Minute // an app nobody sends with leaves the cache
)

// poller is the safety net: it lists the store's units, reads recent rows again,
// sweeps up attempts without a call, gives up calls without an end and publishes holds.
type poller struct {
	d         *Dispatcher
	turn      int    // which shard's units are read again next
	node      string // that published what follows
	published map[comm.Unit]store.Hold
	swept     time.Time
	tidied    time.Time
	refused   time.Time // SetHolds failed then
	teller    string    // that told the troubles
	told      map[comm.ID]store.ProviderTrouble
	left      []store.ProviderTrouble // left to others, which is not told yet
	untold    time.Time               // telling them failed then
	counted   time.Time               // they were told last, with all figures
	settled   time.Time               // when it was looked last for what others left
	strainsBy string                  // that told what follows
	strains   map[comm.ID]store.ProviderStrain
	strainsAt time.Time // when it told them last, or tried to
}

func (p *poller) run(ctx context.Context) {
	p.published = map[comm.Unit]store.Hold{}
	now := p.d.sched.clock.now
	p.swept, p.tidied = now(), now()
	next := now()
	for ctx.Err() == nil {
		sleep(ctx, min(p.d.cfg.Poll, sweepSoon))
		// Before the poll: that finds the queue row of an attempt without a call, which
		// is there until the attempt ends, and has it picked and refused.
		p.sweep(ctx)
		began := now()
		if !began.Before(next) || p.d.pollAll.Swap(false) {
			p.poll(ctx)
			next = now().Add(max(p.d.cfg.Poll, pollCost*now().Sub(began)))
		}
		p.d.sched.mu.Lock()
		p.d.sched.overdue(callGrace)
		p.d.sched.lookAgain()
		p.d.sched.mu.Unlock()
		p.publish(ctx)
		p.tellTroubles(ctx)
		p.tellStrains(ctx)
		p.settleLeft(ctx)
		p.tidy(ctx)
	}
}

// poll lists the units of every shard and compares.
func (p *poller) poll(ctx context.Context) {
	const group = 8
	s := p.d.sched
	s.mu.Lock()
	var owned []*shard
	for _, sh := range s.shards {
		if sh != nil && sh.active && !sh.draining {
			owned = append(owned, sh)
		}
	}
	s.mu.Unlock()
	for len(owned) > 0 && ctx.Err() == nil {
		n := len(owned)
		if s.crowded() {
			n = min(n, group)
		}
		ids := make([]comm.Shard, 0, n)
		for _, sh := range owned[:n] {
			ids = append(ids, sh.id)
		}
		listed, err := p.d.cfg.Queue.Units(ctx, ids)
		s.mu.Lock()
		if err != nil {
			s.trouble(err)
			s.mu.Unlock()
			if ctx.Err() == nil {
				p.d.outages.units.Failed(err)
			}
			return
		}
		p.d.outages.units.Worked()
		for _, sh := range owned[:n] {
			s.found(sh, listed)
		}
		s.mu.Unlock()
		owned = owned[n:]
	}
	p.again()
	s.poke()
}

// crowded says that listings should be read in pieces.
func (s *scheduler) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.units > maxUnits/10
}

// again makes some units read their recent rows anew, and one of them all of its
// rows: what became visible behind the cursor without an announcement. While a unit
// is busy a listing says nothing of it, since rows in flight are listed too.
func (p *poller) again() {
	s := p.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	recent := s.clock.db().Add(-lookBack)
	left, whole := rereads, true
	for range comm.ShardCount {
		p.turn++
		sh := s.shards[p.turn%comm.ShardCount]
		if sh == nil || !sh.active {
			continue
		}
		for _, u := range sh.units {
			if u.reading || u.win.len() == 0 && u.inflight == 0 {
				continue
			}
			from := recent
			if whole {
				from, whole = 0, false
			}
			s.rewind(u, from)
			s.rearm(u)
			if left--; left == 0 {
				return
			}
		}
	}
}

// sweep finds messages that are SENDING under this node's own epoch although no
// call runs for them: starts whose commit was never learnt of.
func (p *poller) sweep(ctx context.Context) {
	s := p.d.sched
	s.mu.Lock()
	suspects := map[comm.ID]*job{}
	known := map[comm.ID]bool{}
	var leases []store.Lease
	for _, sh := range s.shards {
		if sh == nil || !sh.active {
			continue
		}
		maps.Copy(suspects, sh.suspects)
		for id := range sh.inflight {
			known[id] = true
		}
		leases = append(leases, sh.lease())
	}
	limit := len(known) + turnSize
	s.mu.Unlock()
	due := s.clock.now().Sub(p.swept) >= sweepEvery
	if len(leases) == 0 || len(suspects) == 0 && !due {
		return
	}
	found, err := p.d.cfg.Queue.Orphans(ctx, leases, limit)
	if err != nil {
		if ctx.Err() == nil {
			p.d.outages.orphans.Failed(err)
		}
		return
	}
	p.d.outages.orphans.Worked()
	if due {
		p.swept = s.clock.now()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sort(found, suspects, known, due)
	if len(found) < limit {
		s.innocent(suspects)
	}
	s.poke()
}

// sort acts on what a sweep found. A stray is rescued when it was one at the
// sweep before already: then no turn under way can explain it.
func (p *poller) sort(found []comm.State, suspects map[comm.ID]*job, known map[comm.ID]bool, due bool) {
	s := p.d.sched
	strays := map[comm.Shard]map[comm.ID]int{}
	for i := range found {
		st := &found[i]
		sh := s.shards[st.Shard%comm.ShardCount]
		if sh == nil || sh.lost || !sh.active || st.Epoch > sh.epoch {
			continue
		}
		if j := suspects[st.ID]; j != nil && sh.suspects[st.ID] == j {
			delete(suspects, st.ID)
			s.unsure(sh, j, st)
			continue
		}
		mine, before := known[st.ID] || sh.inflight[st.ID] != nil, sh.strays[st.ID] == st.Attempts
		switch {
		case mine && !before:
			continue
		case before && !mine:
			s.rescue(sh, st)
			continue
		}
		// Found for the first time; or again, while its queue row, which is there until
		// the attempt ends, was picked once more and is about to be refused.
		if strays[sh.id] == nil {
			strays[sh.id] = map[comm.ID]int{}
		}
		strays[sh.id][st.ID] = st.Attempts
	}
	if due {
		for _, sh := range s.shards {
			if sh != nil {
				sh.strays = strays[sh.id]
			}
		}
	}
}

// unsure settles a start whose turn was uncertain and whose message is SENDING.
func (s *scheduler) unsure(sh *shard, j *job, st *comm.State) {
	delete(sh.suspects, st.ID)
	switch {
	case j.failed != nil && st.Attempts == j.state.Attempts:
		j.noNext = j.noNext || j.doubts > 1 // the round ends, which may be stored
		s.decideAgain(j)                    // not stored
	case st.Epoch == sh.epoch:
		j.state, j.failed = *st, nil
		s.undo(j)
	default:
		s.drop(j) // another's attempt, left open at the take-over: nobody knows what came of it
	}
}

// innocent brings suspects back whose start was not stored.
func (s *scheduler) innocent(suspects map[comm.ID]*job) {
	var back []*job
	for id, j := range suspects {
		if j.shard.lost || j.shard.suspects[id] != j {
			continue
		}
		delete(j.shard.suspects, id)
		if j.failed != nil {
			s.drop(j) // neither open nor ours: settled by a report meanwhile
			continue
		}
		back = append(back, j)
	}
	s.inParts(back)
}

// rescue returns a message that certainly nobody calls for.
func (s *scheduler) rescue(sh *shard, st *comm.State) {
	f := facts{state: st, provider: st.Provider, providerID: st.ProviderID, now: s.clock.db()}
	dec := f.clean(f.released())
	if st.Epoch < sh.epoch {
		dec = s.rules.orphan(st, f.now, f.now < s.keyEnds(st))
	}
	j := &job{shard: sh, head: store.HeadOf(st)}
	sh.inflight[st.ID] = j
	s.finishes.push(&finish{job: j, orphan: true, item: orphanFinish(st, dec)})
	s.count.swept++
}

// tidy forgets apps that nobody sends with, and tries unreadable credentials again.
func (p *poller) tidy(ctx context.Context) {
	s := p.d.sched
	now := s.clock.now()
	if now.Sub(p.tidied) < tidyEvery {
		return
	}
	p.tidied = now
	var closed []interface{ Close() error }
	s.mu.Lock()
	s.forgetDebts()
	for id, e := range s.dir.entries {
		broken, busy := false, e.loading || len(e.waiting) > 0 || s.tenants[id] != nil
		for _, a := range e.accounts {
			broken = broken || a.broken != ""
			_, is := s.ill[a.config.ID] // who forgets it says that it works
			busy = busy || is
			busy = busy || a.calls.critical+a.calls.rest > 0
		}
		switch {
		case broken && !e.loading:
			s.reload(e)
		case !busy && !id.IsZero() && now.Sub(e.used) > forgetAfter:
			for _, a := range e.accounts {
				s.alarms.drop(&a.alarm)
				if a.sender != nil {
					closed = append(closed, a.sender)
				}
			}
			delete(s.dir.entries, id)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, c := range closed {
		errs = append(errs, c.Close())
	}
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		p.d.log.Warn("closing providers' sessions", "err", err)
	}
}
