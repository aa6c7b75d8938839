package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// landed acts on what the store said of a turn.
func (t *turner) landed(ctx context.Context, b *batch) {
	d := t.d
	t.underway--
	var lost *store.LostShards
	switch {
	case b.err == nil:
		t.backoff = 0
		if !b.apart {
			t.limit = min(turnSize, 2*t.limit)
		}
		calls := t.apply(b)
		t.called, t.launched = len(calls), d.sched.clock.now()
		for _, j := range calls {
			d.launch(j)
		}
	case errors.As(b.err, &lost):
		d.log.Warn("shards are owned by another node now", "shards", len(lost.Shards))
		d.sched.mu.Lock()
		for _, id := range lost.Shards {
			if sh := d.sched.shards[id%comm.ShardCount]; sh != nil {
				d.sched.count.lost++
				d.sched.lose(sh)
			}
		}
		d.sched.mu.Unlock()
		t.undo(b)
		if len(lost.Shards) == 0 {
			t.slower()
		}
	case rowsOwn(ctx, b.err):
		t.refused(b)
	case doubtful(ctx, b.err):
		t.doubted(b)
	default:
		uncertain := errors.Is(b.err, store.ErrUncertain)
		level := slog.LevelError
		if ctx.Err() != nil {
			level = slog.LevelDebug
		}
		d.log.Log(ctx, level, "turn could not be stored", "items", b.size(), "uncertain", uncertain, "err", b.err)
		if uncertain {
			t.unknown(b)
		}
		t.undo(b)
		t.slower()
		d.sched.mu.Lock()
		d.sched.trouble(b.err)
		d.sched.count.turnFailed = true
		d.sched.mu.Unlock()
	}
}

func (t *turner) slower() {
	t.backoff = min(max(2*t.backoff, firstErr), lastErr)
	t.limit = max(1, t.limit/2)
	t.resume = t.d.sched.clock.now().Add(t.backoff)
}

// unknown prepares a batch of which nobody knows whether it was stored for being undone
// or tried again. The finishes are repeated until it is known (they apply once), and the
// starts leave it and wait for the sweep: none of them is called.
func (t *turner) unknown(b *batch) {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range b.finishes {
		x.uncertain = true
	}
	alone := b.size() == 1
	for _, j := range b.starts {
		if j.booked {
			j.booked = false
			j.account.days.lost(s.clock.now().Add(t.d.cfg.Lease))
		}
		if j.shard.lost {
			s.putBack(j)
			continue
		}
		s.refund(j)
		if j.doubts++; alone {
			j.alone = b
		}
		j.shard.suspects[j.head.ID] = j
	}
	b.starts = nil
	s.poke()
}

// undo puts everything back that the turn did not store.
func (t *turner) undo(b *batch) {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range b.finishes {
		if b.tries > 0 { // it was aside, and says nothing new of its row
			b.until = s.clock.now().Add(t.backoff)
			s.keep(b)
			continue
		}
		s.finishes.push(x)
	}
	s.late = slices.Concat(b.late, s.late)
	for _, j := range b.starts {
		s.putBack(j)
	}
	s.poke()
}

// putBack returns a start that was not stored to where it came from, with what it had booked.
func (s *scheduler) putBack(j *job) {
	s.refund(j)
	switch {
	case j.shard.lost:
		s.drop(j)
	case j.failed != nil:
		s.decideAgain(j)
	default:
		s.comeBack(j)
	}
}

// decideAgain decides an answer once more: the start that should have followed it was not stored.
func (s *scheduler) decideAgain(j *job) {
	j.account, j.failed = j.last, nil
	j.tried = j.tried[:len(j.tried)-1]
	s.results = append(s.results, j)
}

// comeBack returns a picked head to its window.
func (s *scheduler) comeBack(j *job) {
	delete(j.shard.inflight, j.head.ID)
	j.stuck(false)
	j.unit.inflight--
	if j.unit.dead {
		return
	}
	s.heads += j.unit.win.insert(j.head)
	if j.unit.win.more && j.unit.win.cursor.Before(j.head) {
		s.rewind(j.unit, j.head.Due)
	}
	if j.unit.phase == idle || j.unit.phase == waiting {
		s.disarm(j.unit)
		s.settle(j.unit)
	}
}

// apply acts on a stored turn and answers the jobs to call.
func (t *turner) apply(b *batch) (calls []*job) {
	s, res := t.d.sched, &b.result
	s.clock.observe(res.Now, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble(nil)
	s.storable()
	s.count.turns++
	for i, x := range b.finishes {
		ok := i < len(res.Finished) && res.Finished[i]
		switch {
		case ok:
			s.count.finished++
			s.stored(x)
		case x.uncertain:
			s.stored(x) // by the turn whose answer was lost
		default:
			s.file(x)
			x.job.shard.settled(x.item.ID)
			s.landed(x.job)
		}
	}
	calls = make([]*job, 0, len(b.starts))
	for i, j := range b.starts {
		if i >= len(res.Started) {
			s.notFound(j)
			continue
		}
		if s.begun(j, &res.Started[i]) {
			calls = append(calls, j)
		}
	}
	return calls
}

// begun takes the verdict on one start. It answers true when the provider is to be called.
func (s *scheduler) begun(j *job, st *store.Started) bool {
	switch st.Verdict {
	case store.Go:
		s.count.started++
		j.state, j.payload, j.files = st.State, st.Payload, st.Files
		if j.booked {
			j.booked = false
			j.account.days.began(j.state.UpdatedAt.Day())
		}
		if j.elsewhere || j.failed != nil {
			j.shard.owesNothing(j.head.ID)
		}
		j.answered, j.failed, j.doubts, j.alone = false, nil, 0, nil
		j.stuck(false)
		delete(j.shard.heard, j.head.ID)
		now := s.clock.now()
		j.deadline = now.Add(j.account.timeout)
		s.connect(j, now)
		if !j.live && j.state.Mode == comm.Live {
			s.doubt(j)
			return false
		}
		return true
	case store.ModeChanged:
		s.modeChanged(j)
	case store.RepeatFirst:
		s.repeatFirst(j, &st.State)
	case store.Doubted:
		s.inDoubt(j)
	case store.Ended:
		s.meterEnded(&st.State)
		j.usedUp()
		s.drop(j)
		j.shard.settled(j.head.ID)
	default:
		s.notFound(j)
	}
	return false
}

// modeChanged reads the app again before the message is tried again.
func (s *scheduler) modeChanged(j *job) {
	e := s.dir.entry(j.unit.key.App)
	e.force = true
	if j.failed != nil {
		s.refund(j)
		j.noNext = true
		s.decideAgain(j)
		s.reload(e)
		return
	}
	e.asking.modes = append(e.asking.modes, suspect{j.shard, j.head.ID})
	s.refund(j)
	s.comeBack(j)
	s.reload(e)
}
