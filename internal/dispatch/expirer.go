package dispatch

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	expireEvery = time.Second           // how often the store is asked what is over
	expireSoon  = 20 * time.Millisecond // while there is more
)

// expirer ends messages whose time is over while they wait, whatever they wait
// for: a unit that cannot send is not asked for its heads, and one that is out of
// its share may not get to them for long. Nothing is read or written for a
// message that is not over.
type expirer struct {
	d     *Dispatcher
	last  *job // of the latest batch
	asked time.Time
}

func (x *expirer) run(ctx context.Context) {
	for wait := expireEvery; ctx.Err() == nil; wait = x.tick(ctx) {
		sleep(ctx, wait)
	}
}

// tick ends one batch and answers the wait for the next one.
func (x *expirer) tick(ctx context.Context) time.Duration {
	s := x.d.sched
	s.mu.Lock()
	shards := s.expirable()
	now := s.clock.now()
	// Ends that are stored late, or never, keep others waiting no longer than that.
	busy := x.last != nil && !x.last.shard.lost && x.last.shard.inflight[x.last.head.ID] == x.last && now.Sub(x.asked) < expireEvery
	limit := turnSize + len(s.aside.waiting) // some of which are listed again
	s.mu.Unlock()
	switch {
	case busy:
		return expireSoon // the batch before is not stored yet
	case len(shards) == 0:
		return expireEvery
	}
	over, err := x.d.cfg.Queue.Overdue(ctx, shards, s.rules.horizon.Microseconds(), limit)
	if err != nil {
		if ctx.Err() == nil {
			x.d.outages.overdue.Failed(err)
		}
		return expireEvery
	}
	x.d.outages.overdue.Worked()
	x.last, x.asked = nil, now
	again := false
	s.mu.Lock()
	for i := range over {
		if j := s.expire(&over[i]); j != nil {
			x.last = j
		} else {
			again = again || s.retrying(&over[i])
		}
	}
	s.mu.Unlock()
	if x.last != nil {
		s.poke()
		again = again || len(over) == limit
	}
	if again {
		return expireSoon
	}
	return expireEvery
}

// expirable is the shards whose messages may be ended now.
func (s *scheduler) expirable() (out []comm.Shard) {
	if s.stopping {
		return nil
	}
	for _, sh := range s.shards {
		if sh != nil && sh.active && !sh.lost && !sh.draining {
			out = append(out, sh.id)
		}
	}
	return out
}

// expire ends a message that the store calls over. It answers nil when there is
// nothing to do: a start of it is under way, which makes the same check. A start
// that was refused gives way to the end, which may be stored.
func (s *scheduler) expire(st *comm.State) *job {
	sh := s.shards[st.Shard%comm.ShardCount]
	if sh == nil || !sh.active || sh.lost || sh.draining || s.stopping {
		return nil
	}
	if j := sh.inflight[st.ID]; j != nil {
		if j.aside == nil {
			return nil
		}
		j.aside.starts, s.aside.next = nil, time.Time{} // which forgets the empty place
		s.drop(j)
	}
	unit := comm.Unit{Shard: st.Shard, App: st.App, Channel: st.Channel, Lane: st.Lane}
	j := &job{shard: sh, head: store.HeadOf(st)}
	sh.inflight[st.ID] = j
	s.finishes.push(&finish{job: j, orphan: true, item: store.Finish{App: st.App, ID: st.ID, Unit: unit, From: comm.Queued, Due: st.Due, Want: over(st)}})
	u := sh.units[unitKey{st.App, st.Channel, st.Lane}]
	if u == nil {
		return j
	}
	s.heads -= u.win.remove(j.head)
	if u.phase == held && (u.win.len() == 0 || u.hold.Reason == chain.WaitMemory) {
		s.free(u) // there may be more behind what the window held, or room for what came after a large one
	} else {
		s.rearm(u)
	}
	return j
}

// retrying says whether a refused start of the message is just being tried again.
func (s *scheduler) retrying(st *comm.State) bool {
	sh := s.shards[st.Shard%comm.ShardCount]
	return sh != nil && sh.inflight[st.ID] != nil && sh.inflight[st.ID].retried
}

// over is the end of a message whose time passed while it was QUEUED. It is pure.
func over(st *comm.State) store.Outcome {
	to, cause := comm.Check{Expired: true, Cancelled: st.Flags.Has(comm.CancelWanted), Unknown: st.Flags.Has(comm.UnknownInGeneration)}.End()
	if cause == comm.CauseExpired && st.ExpiresAt == 0 {
		cause = comm.CauseExhausted
	}
	o := store.Outcome{To: to, Cause: cause, Round: st.Round}
	if to == comm.Failed {
		o.ErrorCode, o.ErrorText = cause.String(), comm.EndText(cause)
		if cause == comm.CauseExhausted && st.ErrorText != "" {
			o.ErrorText = clip("retries are used up; last answer: " + st.ErrorText)
		}
		o.Detail = o.ErrorText
	}
	return o
}
