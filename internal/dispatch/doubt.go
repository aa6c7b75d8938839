package dispatch

import (
	"context"
	"errors"
	"slices"

	"github.com/commserver/commserver/internal/store"
)

// What the store refuses as if it were away may be one row's own: it needs more memory
// or room than there is, a trigger says so, or it ends the session. Which it is shows
// when something else is stored. So such a turn is taken apart like any that is refused
// for what is in it, in depth first, and counts: after so many in a row, nothing stored
// between them, it is an outage. Then everything goes back to where it came from, and
// one small turn is tried after each pause; a row that is refused alone is set aside
// even then, so that it is not the same one each time, and a stored heartbeat lets a few
// more be tried without pauses, in case there are only many such rows.
//
// After a lost connection nobody knows what was stored. Finishes are taken apart all the
// same, because they apply once. Starts wait for the sweep, which looks them up; those
// that were not stored are tried again in parts that are smaller each time, until the one
// that ends its session stands alone and is set aside.

const (
	doubtAfter  = 32  // refusals that look like an outage are one; more than it takes to get from a turn to a row
	doubtRelief = 16  // more of them after a heartbeat
	doubtAside  = 500 // rows that are set aside during an outage, at most
	partShift   = 2   // parts are a quarter of what was refused
)

// doubtful says whether the store refused a turn as if it were away, but perhaps for what is in it.
func doubtful(ctx context.Context, err error) bool { return ctx.Err() == nil && store.Doubtful(err) }

// outage says that nothing was stored for so long that the rows are not at fault.
func (a *asides) outage() bool { return a.doubts >= doubtAfter }

// relent lets a few more turns be tried, because the store has taken a heartbeat.
func (a *asides) relent() {
	if a.outage() {
		a.doubts = doubtAfter - doubtRelief
	}
}

// doubted sees to what the store refused as if it were away.
func (t *turner) doubted(b *batch) {
	s, uncertain := t.d.sched, errors.Is(b.err, store.ErrUncertain)
	items := b.size()
	if b.doubt = true; uncertain {
		t.unknown(b)
	}
	s.mu.Lock()
	known := s.aside.outage()
	if b.tries == 0 || s.aside.doubts >= doubtAfter-doubtRelief { // few rows aside say nothing new
		s.aside.doubts++
	}
	outage, full := s.aside.outage(), len(s.aside.waiting) >= doubtAside
	if outage {
		s.trouble(b.err)
		s.count.turnFailed = true
	}
	s.mu.Unlock()
	switch {
	case known && b.tries == 0 && (b.size() > 1 || full):
		t.undo(b)
	case b.size() > 0 && b.size() < items:
		t.apart(b)
	default:
		t.refused(b)
	}
	if outage {
		t.slower()
	}
	if outage || uncertain {
		t.d.log.Error("turn could not be stored", "items", items, "uncertain", uncertain, "err", b.err)
	}
}

// apart puts in line what is left of a batch whose starts wait for the sweep. It was not refused alone: among the rows that
// are aside it would stand behind hundreds that were.
func (t *turner) apart(b *batch) {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	if !b.apart {
		t.limit = max(1, t.limit/2)
	}
	s.aside.line.pushFirst(&batch{apart: true, finishes: b.finishes, late: b.late})
	s.poke()
}

// inParts tries starts again that were not stored when the store lost its connection, in
// smaller turns each time. One that was alone is set aside: for its first loss only during
// an outage, when others have to be tried.
func (s *scheduler) inParts(jobs []*job) {
	slices.SortFunc(jobs, func(a, b *job) int { return compareHeads(a.head, b.head) })
	parts := map[int]*batch{}
	for _, j := range jobs {
		b := j.alone
		if j.alone = nil; b != nil && (j.doubts > 1 || s.aside.outage() && len(s.aside.waiting) < doubtAside) {
			if b.tries == 0 && !s.aside.outage() {
				s.log.Error("a change of one message cannot be stored; it is tried again from time to time", "message", j.head.ID.String(), "err", b.err)
			}
			b.starts = []*job{j}
			s.setAside(b)
			continue
		}
		if s.aside.faulty() {
			s.comeBack(j)
			continue
		}
		if !s.rebook(j) {
			continue
		}
		p := parts[j.doubts]
		if p == nil || p.size() >= max(1, turnSize>>(partShift*j.doubts)) {
			p = &batch{apart: true}
			parts[j.doubts] = p
			s.aside.line.push(p)
		}
		p.starts = append(p.starts, j)
	}
}
