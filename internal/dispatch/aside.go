package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// A row that cannot be stored must not stop what can be. What the store refuses for
// a reason of its own (not because it is away) is halved; the halves stand in line
// beside the ordinary turns, and the row that is refused alone is set aside and
// tried again from time to time. Its message keeps its place among those in flight,
// so that nothing else is done to it, except that one whose start is aside ends when
// its time is over. What is on no other record (the outcome of a call) stays in
// memory until it is stored, the shard is lost, or the process ends: then the
// attempt is unknown.
//
// Whether a row or the store is at fault shows when something else is stored: then
// what was refused for the first time is tried again at once, and only what is refused
// once more waits longer and longer. Until then the waits do not grow, and if it took
// long, everything is tried. A short fault of the store, such as a lock held for longer
// than a statement may take, so costs no message more than that fault.

const (
	asideFirst = time.Second // until what was refused alone is tried again; doubled each time
	asideMost  = time.Hour
	maxAside   = 10_000 // that many rows aside are all that memory holds: nothing more is begun
	asideShare = 8      // turns from the line for each ordinary one, at most
	asideTries = 32     // rows aside that are tried again at once
	// faultyAfter is how many refusals in a row, nothing stored between them, are the
	// store's fault: more than it takes to find every bad row of a whole turn.
	faultyAfter = 4 * turnSize
	// Then the pause after each grows: 5 ms at first, because it may be bad rows after all that good ones wait behind.
	refusalPause = 10 * time.Microsecond // for each refusal in the row
	longestPause = 500 * time.Millisecond
	// faultLasts is how long a refusal must come after what was stored last to be perhaps the store's fault.
	faultLasts = 10 * time.Second
)

// asides are what the store refused, and late results, which are stored apart from turns as well.
type asides struct {
	line     fifo[*batch] // to be stored next to the ordinary turns
	waiting  []*batch     // one row each
	next     time.Time    // nothing of waiting is due before
	turns    int          // from the line since the last ordinary one
	refusals int          // in a row, of rows that were not aside before
	doubts   int          // the same of refusals that look like an outage
	stored   time.Time    // when something was, last
	doubt    bool         // something was refused long after that
	fresh    bool         // something aside was refused once only
}

// faulty says that the store refuses whatever it is given.
func (a *asides) faulty() bool { return a.refusals >= faultyAfter || a.outage() }

// rowsOwn says whether the store refused a turn for what is in it, so that storing parts of it may help.
func rowsOwn(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, store.ErrUncertain) && !store.Away(err) && !comm.IsKind(err, comm.Unavailable)
}

// refused sees to what the store refused for a reason of its own.
func (t *turner) refused(b *batch) {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	if !b.apart {
		t.limit = max(1, t.limit/2) // ordinary turns become as small as bad rows are frequent
	}
	fresh := b.tries == 0
	if fresh && !b.doubt {
		s.aside.refusals++
	}
	switch b.size() {
	case 0: // nobody knows of its starts: see innocent
	case 1:
		if fresh && !s.aside.outage() {
			t.d.log.Error("a change of one message cannot be stored; it is tried again from time to time", "message", b.id().String(), "err", b.err)
		}
		s.setAside(b)
	default:
		s.halve(b)
	}
	if s.aside.refusals >= faultyAfter {
		if fresh && s.aside.refusals == faultyAfter {
			t.d.log.Error("the store refuses everything", "err", b.err)
		}
		s.trouble(b.err)
		s.count.turnFailed = true
		t.resume = s.clock.now().Add(min(longestPause, time.Duration(s.aside.refusals)*refusalPause))
	}
	s.poke()
}

// halve puts both halves of a batch in line.
func (s *scheduler) halve(b *batch) {
	n := b.size() / 2
	f := min(n, len(b.finishes))
	j := min(n-f, len(b.starts))
	l := n - f - j
	one := &batch{apart: true, finishes: b.finishes[:f], starts: b.starts[:j], late: b.late[:l]}
	two := &batch{apart: true, finishes: b.finishes[f:], starts: b.starts[j:], late: b.late[l:]}
	if b.doubt { // a small one that is stored tells soonest that there is no outage
		s.aside.line.pushFirst(two)
		s.aside.line.pushFirst(one)
		return
	}
	s.aside.line.push(one)
	s.aside.line.push(two)
}

// setAside keeps a row for later. A start gives back what it had booked; one that
// would go on with a round does not, because the answer before it is on no record.
func (s *scheduler) setAside(b *batch) {
	if len(b.starts) > 0 {
		j := b.starts[0]
		s.refund(j)
		if j.failed != nil {
			j.noNext = true
			s.decideAgain(j)
			return
		}
		j.aside = b
	}
	b.mark()
	a, now := &s.aside, s.clock.now()
	if b.tries == 0 || b.refused.Before(a.stored) {
		b.tries++
	}
	a.doubt = a.doubt || now.Sub(a.stored) >= faultLasts
	a.fresh = a.fresh || b.tries == 1
	b.apart, b.refused, b.until = true, now, now.Add(min(asideMost, asideFirst<<min(b.tries-1, 12)))
	if b.lost() {
		b.until = time.Time{}
	}
	s.keep(b)
}

// keep holds a row until its time.
func (s *scheduler) keep(b *batch) {
	a := &s.aside
	if len(a.waiting) == 0 || b.until.Before(a.next) {
		a.next = b.until
	}
	a.waiting = append(a.waiting, b)
}

// mark tells the unit of a row that its message is aside.
func (b *batch) mark() {
	switch {
	case len(b.starts) > 0:
		b.starts[0].stuck(true)
	case len(b.finishes) > 0:
		b.finishes[0].job.stuck(true)
	}
}

// stuck says whether the message is among those of its unit that are aside. It is while
// its row is tried again as well, which may take long and be refused once more.
func (j *job) stuck(is bool) {
	if j.unit == nil || j.refused == is {
		return
	}
	if j.refused = is; is {
		j.unit.aside++
	} else {
		j.unit.aside--
	}
}

// storable is told that the store took something. What it refused for the first time
// just before, or all if it had taken nothing for long, it may have refused by its own
// fault: that is tried once more.
func (s *scheduler) storable() {
	a := &s.aside
	a.refusals, a.doubts, a.stored = 0, 0, s.clock.now()
	if a.doubt || a.fresh {
		s.hurry(a.doubt)
	}
}

// hurry makes rows due that are aside: those refused once, or all.
func (s *scheduler) hurry(all bool) {
	a, now := &s.aside, s.clock.now()
	a.next = now
	for _, b := range a.waiting {
		if all || b.tries == 1 {
			b.until = now
		}
	}
	a.doubt, a.fresh = a.doubt && !all, false
}

// lastTry puts every row that is aside in line once more: a node that ends forgets
// what it knows of them. Starts go back to their windows, where they end.
func (s *scheduler) lastTry() {
	a := &s.aside
	for _, b := range a.waiting {
		if len(b.starts) > 0 && !b.lost() {
			b.starts[0].aside = nil
			s.comeBack(b.starts[0])
			continue
		}
		a.line.push(b)
	}
	a.waiting = nil
	s.poke()
}

// untold is how many outcomes of calls are aside: their attempts will be unknown to the next owner.
func (s *scheduler) untold() (n int) {
	for _, b := range s.aside.waiting {
		n += len(b.finishes)
	}
	return n
}

// bringBack refills an empty line: late results, and a few of those whose time has come.
func (s *scheduler) bringBack() {
	a, now := &s.aside, s.clock.now()
	if a.line.len() > 0 {
		return
	}
	if n := min(turnSize, len(s.late)); n > 0 {
		a.line.push(&batch{apart: true, late: s.late[:n:n]})
		s.late = append([]store.LateResult(nil), s.late[n:]...)
	}
	if len(a.waiting) == 0 || now.Before(a.next) {
		return
	}
	room := asideTries
	if a.faulty() || a.doubts > 0 {
		room = 1
	}
	kept := a.waiting[:0]
	for _, b := range a.waiting {
		switch {
		case b.empty(): // its message ended
		case b.lost():
			a.line.push(b) // where it ends
		case room == 0 || now.Before(b.until):
			if len(kept) == 0 || b.until.Before(a.next) {
				a.next = b.until
			}
			kept = append(kept, b)
		case s.again(b):
			a.line.push(b)
			room--
		}
	}
	clear(a.waiting[len(kept):])
	a.waiting = kept
}

// again books anew what a start needs. A start that could not begin now goes back to its window.
func (s *scheduler) again(b *batch) bool {
	if len(b.starts) == 0 {
		return true
	}
	return s.rebook(b.starts[0])
}

func (s *scheduler) rebook(j *job) bool {
	now := s.clock.now()
	j.aside, j.retried = nil, true
	generation, fit := s.guard.current()
	if fit && !s.stopping && !j.shard.draining && s.slots.fair(j.class, j.unit.tenant.inflight[j.class]) {
		r := s.wayOf(j.unit, j.head.ID, j.shard.modes[j.head.ID], now)
		if r.to != nil && r.loads == nil && r.wait == (chain.Condition{}) {
			j.account, j.words, j.live, j.node, j.generation = r.to, r.words, r.live, s.node, generation
			j.elsewhere, j.forced = r.elsewhere, r.forced
			if s.seize(j, now, s.clock.dbAt(now)) {
				return true
			}
		}
	}
	s.comeBack(j)
	return false
}

// nextApart is what is to be stored next from the line; nil when there is nothing.
// Starts do not wait in it for long: a node that stops begins nothing, and while the
// store is at fault they wait in their windows, where they hold no slot.
func (s *scheduler) nextApart() *batch {
	for s.aside.line.len() > 0 {
		b := s.aside.line.pop()
		if s.stopping || s.aside.faulty() && b.tries == 0 {
			for _, j := range b.starts {
				s.putBack(j)
			}
			b.starts = nil
		}
		if b.write(s); !b.empty() {
			return b
		}
	}
	return nil
}
