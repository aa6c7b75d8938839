package dispatch

import (
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// A round that was refused, and whose next configuration has no place or no rate at this moment, does not end: the
// message goes back to its place in the queue, remembers in memory whom it has asked, and goes on as soon as somebody whom
// it has not asked can take it. So a login code waits for no back-off beside a provider that carries messages, and who
// refused a message is not asked again for it, however long the other one stays busy. Whoever takes a shard over begins the round anew.

// pausePatience is how long a round waits so; longer only where one that refused asked to be left alone for longer.
const pausePatience = 15 * time.Second

const (
	// pauseLook is how often it is looked whether such a message can go on beside its unit: what a rate lets through together comes in as long.
	pauseLook = 100 * time.Millisecond
	// maxPaused is how many messages wait so beside their units; more hold their units.
	maxPaused = 1000
)

// pause is the wait of a message in the midst of its round.
type pause struct {
	tried          []comm.ID // asked in this round
	asked          time.Duration
	counted, later bool        // as of its job
	until          comm.Micros // then the round is over, and begins anew
	over           bool        // it was: the next answer is followed by a back-off
	parked         bool        // the message waits beside its unit
}

// mayPause says whether the job's message may wait in the midst of its round: not when it has waited so for too long.
func (j *job) mayPause() bool {
	p := j.shard.pauses[j.head.ID]
	return p == nil || !p.over
}

// pause notes that the job's round waits after an answer of that rule, or that it has ended.
func (j *job) pause(waits bool, rule provider.Rule, db comm.Micros) {
	if !waits {
		delete(j.shard.pauses, j.head.ID)
		return
	}
	j.shard.pauses[j.head.ID] = &pause{tried: j.tried, asked: j.asked, counted: j.counted || rule.CountRound, later: j.later || rule.RetryLater, until: db.Add(max(pausePatience, j.asked))}
}

// resume lets a job that is picked go on with its message's round.
func (j *job) resume() {
	if p := j.shard.pauses[j.head.ID]; p != nil && !p.over {
		j.tried, j.asked, j.counted, j.later = append(j.tried, p.tried...), p.asked, p.counted, p.later
	}
}

// goOn is the way of a message whose round waits: past those that it has asked. r is where the chain leads those that begin. While
// others of its unit can go that way, it waits beside them; but the line of CRITICAL ones for a rate is soon over.
func (s *scheduler) goOn(u *unit, p *pause, mode comm.Mode, r route, now time.Time) route {
	n := s.route(u, mode, p.tried, now)
	class := classOf(u.key.Lane)
	lines := n.wait.Brief || n.to != nil && n.to.lines[class].len() > 0 && u.called != n.to
	others := r.to != nil && r.to != n.to && r.to != n.by
	switch {
	case n.loads != nil || n.wait.Reason == chain.WaitAppPaused || n.wait.Reason == chain.WaitQueuePaused:
		return n
	case s.clock.dbAt(now) >= p.until, n.to == nil && !n.wait.Brief:
		p.over = true // nobody is left but those that refused, or it takes too long
		return r
	case lines && others && len(s.parked) < maxPaused && (class != classCritical || n.wait.Reason != chain.WaitRate):
		return route{park: true}
	}
	return n
}
