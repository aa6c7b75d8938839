package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	turnSize   = 500                    // finishes, and starts, of one turn at most
	turnPace   = 5 * time.Millisecond   // between the starts of small turns under load (performance.md D3)
	busyTurn   = 8                      // a turn of this many items is load
	gatherFrom = 64                     // calls launched at once that are worth waiting for
	gather     = 500 * time.Microsecond // that long
	firstErr   = 50 * time.Millisecond
	lastErr    = 2 * time.Second
)

// turner is the loop that writes: what has ended and what is to start go into
// one transaction after the other, without lingering. Only a stored start is called.
type turner struct {
	d       *Dispatcher
	began   time.Time // of the last turn
	size    int       // of the last turn
	called  int       // calls launched by the last turn
	limit   int       // items per turn: halved by errors, so that one that cannot be stored stands alone
	backoff time.Duration
}

// batch is one turn with the jobs behind its items.
type batch struct {
	turn     store.Turn
	finishes []*finish
	starts   []*job
}

func (b *batch) empty() bool { return len(b.finishes)+len(b.starts) == 0 }

// run goes on until stop is closed and everything that ended is stored, or ctx ends.
func (t *turner) run(ctx context.Context, stop <-chan struct{}) {
	t.limit = turnSize
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		t.keepPace(ctx)
		t.fileLate(ctx)
		b := t.collect()
		if !b.empty() {
			t.commit(ctx, b)
			continue
		}
		t.size = 0
		s := t.d.sched
		s.mu.Lock()
		pause, rest := s.pause(), len(s.results)+s.finishes.len()
		s.mu.Unlock()
		if rest > 0 {
			continue
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case <-timer.C:
		case <-stop:
			s.mu.Lock()
			done := len(s.results)+s.finishes.len() == 0
			s.mu.Unlock()
			if done {
				t.fileLate(ctx)
				return
			}
		}
	}
}

// keepPace holds small turns apart while accepts want the database too, so that
// groups grow; on an idle server, with large groups, and where only a provider's
// few sessions make turns small, nothing waits.
func (t *turner) keepPace(ctx context.Context) {
	now := t.d.sched.clock.now
	if t.backoff > 0 {
		sleep(ctx, t.backoff)
	} else if wait := turnPace - now().Sub(t.began); wait > 0 && t.size >= busyTurn && t.size < turnSize/2 && t.competes() {
		sleep(ctx, wait)
	}
	if t.called >= gatherFrom {
		// Instant providers answer all at once: a moment's patience makes one full turn of a tiny one and a full one.
		s := t.d.sched
		s.mu.Lock()
		few := len(s.results) < t.called/2
		s.mu.Unlock()
		if few {
			sleep(ctx, gather)
		}
	}
	t.called = 0
	t.began = now()
}

// competes says whether anything was accepted here since the last turn began.
func (t *turner) competes() bool {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	accepting := s.accepting
	s.accepting = false
	return accepting
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// collect decides what has been answered and picks what may start.
func (t *turner) collect() *batch {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &batch{turn: store.Turn{Node: s.node}}
	s.advance()
	b.starts = s.settleResults(t.limit, b.starts)
	if room := t.limit - len(b.starts); room > 0 && s.finishes.len() < 2*turnSize && len(s.results) < 2*turnSize && (t.backoff == 0 || s.finishes.len() == 0) {
		b.starts = s.pick(room, b.starts)
	}
	starts := b.starts[:0]
	for _, j := range b.starts {
		if j.end == nil {
			starts = append(starts, j)
			continue
		}
		s.finishes.push(&finish{job: j, orphan: true, item: store.Finish{App: j.unit.key.App, ID: j.head.ID, Unit: j.unit.key, From: comm.Queued, Due: j.head.Due, Want: *j.end}})
	}
	b.starts = starts
	for n := s.finishes.len(); n > 0 && len(b.finishes) < t.limit; n-- {
		x := s.finishes.pop()
		if x.job.shard.lost {
			s.file(x)
			continue
		}
		b.finishes = append(b.finishes, x)
	}
	b.write(s)
	return b
}

// write fills the store's form of the turn.
func (b *batch) write(s *scheduler) {
	var seen [comm.ShardCount]bool
	lease := func(sh *shard) {
		if !seen[sh.id] {
			seen[sh.id] = true
			b.turn.Leases = append(b.turn.Leases, sh.lease())
		}
	}
	for _, x := range b.finishes {
		lease(x.job.shard)
		b.turn.Finishes = append(b.turn.Finishes, x.item)
	}
	for i, j := range b.starts {
		if j.shard.lost {
			b.starts[i] = nil
			s.drop(j)
			continue
		}
		lease(j.shard)
		st := store.Start{Unit: j.unit.key, Head: j.head, Provider: j.account.name, ProviderID: j.account.config.ID, Live: j.live}
		if j.failed != nil {
			st.Attempt, st.Epoch, st.Failed, st.Head.Due = j.state.Attempts, j.state.Epoch, j.failed, j.state.Due
		}
		b.turn.Starts = append(b.turn.Starts, st)
	}
	kept := b.starts[:0]
	for _, j := range b.starts {
		if j != nil {
			kept = append(kept, j)
		}
	}
	b.starts = kept
}

// commit stores a turn and acts on what the store says.
func (t *turner) commit(ctx context.Context, b *batch) {
	d := t.d
	t.size = len(b.finishes) + len(b.starts)
	limited, cancel := context.WithTimeout(ctx, d.cfg.Lease)
	res, err := d.cfg.Queue.Turn(limited, b.turn)
	cancel()
	var lost *store.LostShards
	switch {
	case err == nil:
		t.backoff, t.limit = 0, min(turnSize, 2*t.limit)
		calls := t.apply(b, res)
		t.called = len(calls)
		for _, j := range calls {
			d.launch(j)
		}
	case errors.As(err, &lost):
		d.log.Warn("shards are owned by another node now", "shards", len(lost.Shards))
		d.sched.mu.Lock()
		for _, id := range lost.Shards {
			if sh := d.sched.shards[id%comm.ShardCount]; sh != nil {
				d.sched.lose(sh)
			}
		}
		d.sched.mu.Unlock()
		t.undo(b, false)
		if len(lost.Shards) == 0 {
			t.slower()
		}
	default:
		uncertain := errors.Is(err, store.ErrUncertain)
		level := slog.LevelError
		if ctx.Err() != nil {
			level = slog.LevelDebug
		}
		d.log.Log(ctx, level, "turn could not be stored", "items", t.size, "uncertain", uncertain, "err", err)
		t.undo(b, uncertain)
		t.slower()
		d.sched.mu.Lock()
		d.sched.trouble(err)
		d.sched.count.turnFailed = true
		d.sched.mu.Unlock()
	}
}

func (t *turner) slower() {
	t.backoff = min(max(2*t.backoff, firstErr), lastErr)
	t.limit = max(1, t.limit/2)
}

// undo puts everything back that the turn did not store. After an uncertain
// one the finishes are repeated until it is known (they apply once), and the
// starts wait for the sweep: none of them is called.
func (t *turner) undo(b *batch, uncertain bool) {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range b.finishes {
		x.uncertain = x.uncertain || uncertain
		s.finishes.push(x)
	}
	for _, j := range b.starts {
		switch {
		case j.shard.lost:
			s.drop(j)
		case uncertain:
			s.refund(j)
			j.shard.suspects[j.head.ID] = j
		case j.failed != nil:
			s.refund(j)
			s.results = append(s.results, j) // decided again, without the call that did not happen
			j.account, j.failed = j.last, nil
			j.tried = j.tried[:len(j.tried)-1]
		default:
			s.refund(j)
			s.comeBack(j)
		}
	}
	s.poke()
}

// comeBack returns a picked head to its window.
func (s *scheduler) comeBack(j *job) {
	delete(j.shard.inflight, j.head.ID)
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
func (t *turner) apply(b *batch, res store.TurnResult) (calls []*job) {
	s := t.d.sched
	s.clock.observe(res.Now, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble(nil)
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
			x.job.shard.forget(x.item.ID)
			s.landed(x.job)
		}
	}
	calls = make([]*job, 0, len(b.starts))
	for i, j := range b.starts {
		if i >= len(res.Started) {
			s.elsewhere(j)
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
		j.answered, j.failed = false, nil
		j.deadline = s.clock.now().Add(j.account.timeout)
		if !j.live && j.state.Mode == comm.Live {
			s.doubt(j)
			return false
		}
		return true
	case store.ModeChanged:
		s.modeChanged(j)
	case store.Ended:
		s.drop(j)
	default:
		s.elsewhere(j)
	}
	return false
}

// modeChanged reads the app again before the message is tried again.
func (s *scheduler) modeChanged(j *job) {
	e := s.dir.entry(j.unit.key.App)
	e.force = true
	if j.failed != nil {
		s.refund(j)
		j.account, j.failed, j.noNext = j.last, nil, true
		j.tried = j.tried[:len(j.tried)-1]
		s.results = append(s.results, j)
		s.reload(e)
		return
	}
	e.asking.modes = append(e.asking.modes, suspect{j.shard, j.head.ID})
	s.refund(j)
	s.comeBack(j)
	s.reload(e)
}

// fileLate files evidence. What cannot be filed is tried again with the next turn.
func (t *turner) fileLate(ctx context.Context) {
	s := t.d.sched
	s.mu.Lock()
	late, node := s.late, s.node
	if n := turnSize; len(late) > n {
		late = late[:n]
	}
	s.mu.Unlock()
	if len(late) == 0 {
		return
	}
	err := t.d.cfg.Queue.Late(ctx, node, late)
	if err != nil {
		if ctx.Err() == nil {
			t.d.log.Error("late results could not be filed", "results", len(late), "err", err)
			t.slower()
		}
		return
	}
	t.backoff = 0
	s.mu.Lock()
	s.late = append([]store.LateResult(nil), s.late[len(late):]...)
	s.mu.Unlock()
}
