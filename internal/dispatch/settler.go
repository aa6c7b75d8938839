package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// settleResults decides up to n answered jobs: each becomes a finish, or the
// start of the round's next attempt, which is appended to starts.
func (s *scheduler) settleResults(n int, starts []*job) []*job {
	now := s.clock.now()
	n = min(n, len(s.results))
	for _, j := range s.results[:n] {
		if s.conclude(j, now) {
			starts = append(starts, j)
		}
	}
	rest := copy(s.results, s.results[n:])
	clear(s.results[rest:])
	s.results = s.results[:rest]
	return starts
}

// conclude decides one job. It answers true when the round goes on with another provider.
func (s *scheduler) conclude(j *job, now time.Time) (again bool) {
	called := j.result.called
	if j.holds && called {
		before := j.account.breaker.State(now)
		counts := j.account.breaker.Counts(j.ticket)
		fresh := j.account.learn(now, j.ticket, j.state.ID, &j.result)
		s.putOff(j, now)
		if counts {
			s.passOver(j, fresh, now)
		}
		s.tellHealth(j, before, j.account.breaker.State(now))
		s.examine(j.account, now)
		s.strain(j.account, now)
		if j.result.class() == provider.Accepted {
			s.carry(j.account, now)
		}
		j.shard.called(j.head.ID, j.account.config.ID)
		s.release(j)
	} else {
		s.refund(j)
	}
	db := s.clock.dbAt(now)
	f := facts{state: &j.state, provider: j.account.name, providerID: j.account.config.ID, reports: j.account.reports, result: j.result, live: j.live, counted: j.counted, later: j.later, now: db,
		repeats: j.live && db < s.keyEnds(&j.state), patient: j.shard.patient(j.head.ID, j.account.config.ID, db)}
	if j.result.panicked {
		f.panics = j.shard.panics[j.head.ID].times + 1
		j.shard.panics[j.head.ID] = panicked{f.panics, now}
	}
	rule := j.result.class().Rule()
	if rule.Throttle {
		f.until = db.Add(max(j.account.throttled.Sub(now), time.Millisecond))
	}
	var next route
	if called && rule.FailOver && j.live && !j.shard.lost {
		j.tried = append(j.tried, j.account.config.ID)
		next = s.route(j.unit, comm.Live, j.tried, now)
		possible := next.to != nil && next.live
		f.next = possible && !j.noNext && !s.stopping
		// A node that stops begins nothing: the provider that could take it is tried after the hand-over.
		// Nor does anybody know yet who could, as long as a changed chain is being read.
		f.later = f.later || next.later || next.loads != nil || possible && !f.next
		j.own = j.own || f.own()
		if next.wait.Brief {
			f.soon = j.moment()
		}
		if next.until != 0 && next.until < f.until {
			f.until = next.until
		}
	}
	if called && rule.Unknown {
		f.next = s.repeatedInVain(j, f.patient, now)
	}
	d := s.rules.decide(f)
	if d.failover {
		failed := j.account
		said := j.words
		j.account, j.words, j.elsewhere, j.forced = next.to, next.words, false, false
		if s.seize(j, now, db) {
			j.counted = j.counted || rule.CountRound
			j.later = j.later || rule.RetryLater
			j.failed, j.last = &d.want, failed
			s.meters.FailedOver(failed.name)
			return true
		}
		j.account, j.words, f.next, f.later, f.soon = failed, said, false, true, j.moment()
		d = s.rules.decide(f)
	}
	if called {
		j.waits(d.soon, now)
	}
	s.unload(j) // the round is over
	x := &finish{job: j, called: called, accepted: called && j.result.answer == nil, item: store.Finish{App: j.state.App, ID: j.state.ID, Unit: j.unit.key,
		From: comm.Sending, Attempt: j.state.Attempts, Epoch: j.state.Epoch, Due: j.state.Due, Want: d.want, IfCancelled: d.ifCancelled, Suppress: d.suppress}}
	if j.shard.lost {
		delete(s.detached, j.head.ID)
		s.file(x)
		return false
	}
	s.finishes.push(x)
	return false
}

// When the next configuration of a round is only at its limit for a moment, the round is begun again after that moment, without a
// back-off: what stands before it has failed or asked for time, and its breaker or its throttle soon keeps the message from it, which then stands in
// the line of the one that carries messages. Three times at most, so that nobody is asked without end while that one stays busy; and
// not where an answer was about this message, which would be the same again.
const (
	firstMoment  = 100 * time.Millisecond
	momentGrowth = 3
	maxMoments   = 3
	oldMoment    = time.Hour
)

// moments are how often a message has waited so in its round, and since when.
type moments struct {
	times int
	last  time.Time
}

// moment is how long the job's message may wait for a configuration that is busy for a moment; 0: not at all.
func (j *job) moment() time.Duration {
	n := j.shard.moments[j.head.ID].times
	if j.own || n >= maxMoments {
		return 0
	}
	d := firstMoment
	for range n {
		d *= momentGrowth
	}
	return d
}

// waits notes whether the message waits so now, or its round is over.
func (j *job) waits(so bool, now time.Time) {
	if so {
		j.shard.moments[j.head.ID] = moments{j.shard.moments[j.head.ID].times + 1, now}
	} else {
		delete(j.shard.moments, j.head.ID)
	}
}

// own says whether the answer was about this message or its recipient, and nothing that the provider's state will tell of others.
func (f facts) own() bool {
	a := f.result.answer
	return f.asked() > 0 || a != nil && a.Healthy || f.result.class() == provider.PermanentHere
}

// tellHealth writes a line when a configuration's breaker opens or closes: an
// operator at night must see which account died and why without asking for debug.
func (s *scheduler) tellHealth(j *job, before, after pace.State) {
	if before == after || j.account == s.logger {
		return
	}
	attrs := j.account.names()
	switch after {
	case pace.Open:
		attrs = append(attrs, slog.String("class", j.result.class().String()))
		if j.result.answer != nil {
			attrs = append(attrs, slog.String("code", j.result.answer.Code))
		}
		s.log.LogAttrs(context.Background(), slog.LevelWarn, "provider is down: its breaker opened", attrs...)
	case pace.Closed:
		s.log.LogAttrs(context.Background(), slog.LevelInfo, "provider is back: its breaker closed", attrs...)
	}
}

// file keeps a result whose shard was lost: evidence, if a call was made.
func (s *scheduler) file(x *finish) {
	const most = 10_000
	if x.called && !x.orphan && len(s.late) < most {
		s.late = append(s.late, x.late())
	}
}

// stored is told that a finish was applied (or, uncertain before, had been).
func (s *scheduler) stored(x *finish) {
	s.meter(x)
	j := x.job
	sh := j.shard
	j.usedUp()
	if x.item.Want.To == comm.Queued && !sh.lost {
		delete(sh.inflight, x.item.ID)
		sh.owesNothing(x.item.ID)
		if j.unit != nil && x.item.Want.Set.Has(comm.RepeatOwed) {
			s.owe(sh, &j.state)
		}
		s.landed(j)
		s.push(x.item.Unit, store.Head{Due: x.item.Want.Due, ID: x.item.ID, Bytes: j.head.Bytes})
		return
	}
	sh.settled(x.item.ID)
	s.landed(j)
}

// usedUp notes that the queue's row that the job was picked from is gone. A read that is under way may bring it all the same, and a start from it would be
// refused. Of very many some are, which does no harm.
func (j *job) usedUp() {
	const most = 4 * windowSize
	if u := j.unit; u != nil && u.reading && len(u.left) < most {
		if u.left == nil {
			u.left = map[comm.ID]comm.Micros{}
		}
		u.left[j.head.ID] = j.head.Due
	}
}

// landed ends a job's claim on its unit.
func (s *scheduler) landed(j *job) {
	if j.unit == nil {
		return // an orphan's
	}
	j.stuck(false)
	j.unit.inflight--
	if j.unit.phase == idle && !j.unit.dead && !j.shard.draining {
		s.settle(j.unit)
	}
}

// drop forgets a job that never began or whose message is elsewhere.
func (s *scheduler) drop(j *job) {
	s.refund(j)
	if s.detached[j.head.ID] == j { // its start was under way when the shard was lost
		delete(s.detached, j.head.ID)
	}
	j.shard.forget(j.head.ID)
	j.shard.owesNothing(j.head.ID) // unless the store says at the next start that it does
	s.landed(j)
}

// regret remembers that rows of a unit turned out to be elsewhere: either they
// are (then the store has removed them), or they were only not due yet on the
// database's clock. The poller looks again, less and less often.
type regret struct {
	due     comm.Micros
	at      time.Time
	wait    time.Duration
	pending bool
}

// notFound drops a job whose message was not in the expected state.
func (s *scheduler) notFound(j *job) {
	const first, most = 200 * time.Millisecond, 30 * time.Second
	if j.failed == nil && !j.shard.lost {
		r := s.regrets[j.unit.key]
		if r == nil {
			r = &regret{}
			s.regrets[j.unit.key] = r
		}
		if !r.pending {
			r.wait = min(max(2*r.wait, first), most)
			r.due, r.at, r.pending = j.head.Due, s.clock.now().Add(r.wait), true
		}
		r.due = min(r.due, j.head.Due)
	}
	s.drop(j)
}

// lookAgain acts on regrets whose time has come.
func (s *scheduler) lookAgain() {
	now := s.clock.now()
	for u, r := range s.regrets {
		switch {
		case r.pending && !now.Before(r.at):
			r.pending = false
			s.notice(store.Wake{Unit: u, Due: r.due})
			s.poke()
		case !r.pending && now.Sub(r.at) > time.Minute:
			delete(s.regrets, u)
		}
	}
}
