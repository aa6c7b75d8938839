package dispatch

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	turnSize   = 256                    // finishes, and starts, of one turn at most
	turnsAhead = 2                      // turns under way at once; the second only with a whole group
	wholeGroup = turnSize / 2           // that many items are one
	turnPace   = 5 * time.Millisecond   // between the starts of small turns under load (performance.md D3)
	busyTurn   = 8                      // a turn of this many items is load
	gatherFrom = 64                     // calls launched at once that are worth waiting for
	gather     = 500 * time.Microsecond // that long
	firstErr   = 50 * time.Millisecond
	lastErr    = 2 * time.Second
)

// turner is the loop that writes: what has ended and what is to start go into
// one transaction after the other, without lingering. Only a stored start is
// called. While one turn is being stored, the next is put together and sent
// after it, if it is a whole group: the store reads for one beside writing the
// other, and its groups stay large. All but the store's work happens in run's
// goroutine.
type turner struct {
	d        *Dispatcher
	began    time.Time // of the last turn
	size     int       // of the last turn
	full     bool      // the last turn was a whole group
	called   int       // calls launched by the last stored turn
	launched time.Time // when
	limit    int       // items per turn: halved by errors
	backoff  time.Duration
	resume   time.Time   // nothing is stored before, after an error
	underway int         // turns that are being stored
	done     chan *batch // those that are
}

// batch is one turn with the jobs behind its items, or late results, and what the
// store said of it.
type batch struct {
	turn     store.Turn
	finishes []*finish
	starts   []*job
	late     []store.LateResult // never together with the others
	result   store.TurnResult
	err      error

	apart   bool      // no ordinary turn, see asides
	doubt   bool      // it was refused as if by an outage
	tries   int       // how often its one row was refused, something else being stored in between
	refused time.Time // alone, last
	until   time.Time // aside until then
}

func (b *batch) empty() bool { return b.size() == 0 }

func (b *batch) size() int { return len(b.finishes) + len(b.starts) + len(b.late) }

// id is the message of a batch of one row.
func (b *batch) id() comm.ID {
	switch {
	case len(b.finishes) > 0:
		return b.finishes[0].item.ID
	case len(b.starts) > 0:
		return b.starts[0].head.ID
	}
	return b.late[0].ID
}

// lost says whether the shard of a batch of one row was lost.
func (b *batch) lost() bool {
	return len(b.finishes) > 0 && b.finishes[0].job.shard.lost || len(b.starts) > 0 && b.starts[0].shard.lost
}

// run goes on until stop is closed and everything that ended is stored, or ctx ends.
func (t *turner) run(ctx context.Context, stop <-chan struct{}) {
	t.limit, t.done = turnSize, make(chan *batch, turnsAhead)
	timer := time.NewTimer(0)
	defer timer.Stop()
	s := t.d.sched
	for ctx.Err() == nil {
		pause := t.wait()
		if pause <= 0 {
			if b := t.collect(); !b.empty() {
				t.send(ctx, b)
				continue
			}
			t.size, t.full = 0, false
			pause = t.rest()
		}
		ended := stop
		if t.busy() {
			ended = nil
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
		case b := <-t.done:
			t.landed(ctx, b)
		case <-s.wake:
		case <-timer.C:
		case <-ended:
			return
		}
	}
	for t.underway > 0 {
		t.landed(ctx, <-t.done)
	}
}

// busy says whether anything that ended is not stored yet.
func (t *turner) busy() bool {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.underway > 0 || s.unstored()
}

// unstored says whether anything waits for the next turn.
func (s *scheduler) unstored() bool {
	return len(s.results)+s.finishes.len()+s.aside.line.len()+len(s.late) > 0
}

// rest is how long nothing has to be done unless something happens.
func (t *turner) rest() time.Duration {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unstored() {
		return time.Microsecond
	}
	return s.pause()
}

// wait is how long no turn may begin; 0 when one may now.
func (t *turner) wait() time.Duration {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock.now()
	since := now.Sub(t.began)
	switch {
	case now.Before(t.resume):
		return t.resume.Sub(now)
	case t.underway >= turnsAhead, t.underway > 0 && !t.whole():
		return time.Second // the end of a turn, or an answer, comes first
	case t.full:
		// Groups are large.
	case t.size >= busyTurn && s.accepting && since < turnPace:
		// Accepts want the database too: turns that are held apart grow. On an idle
		// server, and where only a provider's few sessions make turns small, nothing waits.
		return turnPace - since
	}
	if since := now.Sub(t.launched); t.called >= gatherFrom && since < gather && len(s.results) < t.called/2 {
		// Instant providers answer all at once: a moment's patience makes one full turn of a tiny one and a full one.
		return gather - since
	}
	return 0
}

// whole says whether there is a whole group to store beside the turn under way.
func (t *turner) whole() bool {
	s := t.d.sched
	if t.limit < turnSize || s.aside.line.len() > 0 {
		return false // after an error, one after the other
	}
	return len(s.results)+s.finishes.len() >= wholeGroup || s.startable(wholeGroup)
}

// send gives a turn to the store.
func (t *turner) send(ctx context.Context, b *batch) {
	s := t.d.sched
	s.mu.Lock()
	s.accepting = false
	s.mu.Unlock()
	t.began, t.size, t.full, t.called = s.clock.now(), b.size(), max(len(b.finishes), len(b.starts)) >= wholeGroup, 0
	t.underway++
	go func() {
		limited, cancel := context.WithTimeout(ctx, t.d.cfg.Lease)
		defer cancel()
		if len(b.late) > 0 {
			b.err = t.d.cfg.Queue.Late(limited, b.turn.Node, b.late)
		} else {
			b.result, b.err = t.d.cfg.Queue.Turn(limited, b.turn)
		}
		t.done <- b
	}()
}

// collect is the next turn: from the line of what is stored apart, or what has been
// answered and what may start. Neither waits for the other for long.
func (t *turner) collect() *batch {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bringBack()
	if s.aside.turns < min(asideShare, 2*t.limit) { // of small turns little comes into the line
		if b := s.nextApart(); b != nil {
			s.aside.turns++
			return b
		}
	}
	s.aside.turns = 0
	b := t.ordinary()
	if b.empty() {
		if x := s.nextApart(); x != nil {
			return x
		}
	}
	return b
}

// ordinary decides what has been answered and picks what may start.
func (t *turner) ordinary() *batch {
	s, b := t.d.sched, &batch{}
	s.advance()
	b.starts = s.settleResults(t.limit, b.starts)
	if room := t.limit - len(b.starts); room > 0 && s.finishes.len() < 2*turnSize && len(s.results) < 2*turnSize && (t.backoff == 0 || s.finishes.len() == 0) && len(s.aside.waiting) < maxAside {
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
	for s.finishes.len() > 0 && len(b.finishes) < t.limit {
		b.finishes = append(b.finishes, s.finishes.pop())
	}
	b.write(s)
	return b
}

// write fills the store's form of the turn; what is of lost shards leaves it.
func (b *batch) write(s *scheduler) {
	b.turn = store.Turn{Node: s.node}
	var seen [comm.ShardCount]bool
	lease := func(sh *shard) {
		if !seen[sh.id] {
			seen[sh.id] = true
			b.turn.Leases = append(b.turn.Leases, sh.lease())
		}
	}
	finishes := b.finishes[:0]
	for _, x := range b.finishes {
		if x.job.shard.lost {
			s.file(x)
			continue
		}
		finishes = append(finishes, x)
		lease(x.job.shard)
		b.turn.Finishes = append(b.turn.Finishes, x.item)
	}
	b.finishes = finishes
	starts := b.starts[:0]
	for _, j := range b.starts {
		if j.shard.lost {
			s.drop(j)
			continue
		}
		starts = append(starts, j)
		lease(j.shard)
		st := store.Start{Unit: j.unit.key, Head: j.head, Provider: j.account.name, ProviderID: j.account.config.ID, Detail: j.words, Live: j.live, Elsewhere: j.elsewhere,
			Daily: j.account.config.Limits.RatePerDay > 0, Owner: j.account.config.App, Careful: s.careful(j)}
		if j.failed != nil {
			st.Attempt, st.Epoch, st.Failed, st.Head.Due = j.state.Attempts, j.state.Epoch, j.failed, j.state.Due
		}
		b.turn.Starts = append(b.turn.Starts, st)
	}
	b.starts = starts
}
