package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// A row that cannot be stored must not stop what can be: a turn that the store
// refuses for a reason of its own (not because it is away) is repeated item by
// item, and the item that fails alone is set aside and tried again from time to
// time. Its message keeps its place among those in flight, so that nothing else is
// done to it; what is on no other record (the outcome of a call) stays in memory
// until it is stored, the shard is lost, or the process ends: then the attempt is
// unknown.

const (
	asideFirst = 30 * time.Second // until what failed alone is tried again; doubled each time
	asideMost  = time.Hour
	// maxAside is how many items may be aside. More are no poisoned rows: the store has a fault.
	maxAside = 256
)

// item is a part of a turn: one of the two is set.
type item struct {
	finish *finish
	start  *job
}

func (x item) job() *job {
	if x.finish != nil {
		return x.finish.job
	}
	return x.start
}

func (x item) id() comm.ID {
	if x.finish != nil {
		return x.finish.item.ID
	}
	return x.start.head.ID
}

// asides are the items that are stored alone, and those that could not be.
type asides struct {
	alone   fifo[item]
	waiting []waitingItem
	fails   map[comm.ID]int // of messages with an item aside or tried again
}

type waitingItem struct {
	item
	until time.Time
}

// rowsOwn says whether the store refused a turn for what is in it, so that storing its items one by one may help.
func rowsOwn(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !errors.Is(err, store.ErrUncertain) && !store.Away(err) && !comm.IsKind(err, comm.Unavailable)
}

// isolate sees to a turn that the store refused for a reason of its own. It answers
// false when there is nothing to isolate: the store itself is at fault.
func (t *turner) isolate(ctx context.Context, b *batch) bool {
	s := t.d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	if !rowsOwn(ctx, b.err) || len(s.aside.waiting) >= maxAside {
		return false
	}
	items := make([]item, 0, b.size())
	for _, x := range b.finishes {
		items = append(items, item{finish: x})
	}
	for _, j := range b.starts {
		items = append(items, item{start: j})
	}
	for _, x := range items {
		if len(items) == 1 {
			s.setAside(x)
			t.d.log.Error("a change of one message cannot be stored; it is tried again from time to time", "message", x.id().String(), "times", s.aside.fails[x.id()], "err", b.err)
		} else {
			s.aside.alone.push(x)
		}
	}
	s.poke()
	return true
}

// setAside keeps an item for later. A start gives back what it had booked.
func (s *scheduler) setAside(x item) {
	if j := x.start; j != nil {
		s.refund(j)
	}
	if s.aside.fails == nil {
		s.aside.fails = map[comm.ID]int{}
	}
	n := s.aside.fails[x.id()]
	s.aside.fails[x.id()] = n + 1
	s.aside.waiting = append(s.aside.waiting, waitingItem{x, s.clock.now().Add(min(asideMost, asideFirst<<min(n, 10)))})
}

// bringBack returns what has been aside for long enough.
func (s *scheduler) bringBack() {
	now, kept := s.clock.now(), s.aside.waiting[:0]
	for _, x := range s.aside.waiting {
		switch lost := x.job().shard.lost; {
		case now.Before(x.until) && !lost:
			kept = append(kept, x)
		case lost:
			s.forgo(x.item)
		case x.finish != nil:
			s.aside.alone.push(x.item)
		default:
			s.putBack(x.start)
		}
	}
	clear(s.aside.waiting[len(kept):])
	s.aside.waiting = kept
}

// oneAlone is the next item that is to be stored alone; nil when there is none.
func (s *scheduler) oneAlone() *batch {
	for s.aside.alone.len() > 0 {
		x := s.aside.alone.pop()
		if x.job().shard.lost {
			s.forgo(x)
			continue
		}
		b := &batch{turn: store.Turn{Node: s.node}}
		if x.finish != nil {
			b.finishes = []*finish{x.finish}
		} else {
			b.starts = []*job{x.start}
		}
		b.write(s)
		return b
	}
	return nil
}

// forgo ends an item whose shard was lost.
func (s *scheduler) forgo(x item) {
	delete(s.aside.fails, x.id())
	if x.finish != nil {
		s.file(x.finish)
	} else {
		s.drop(x.start)
	}
}

// healed forgets how often the items of a stored turn had failed.
func (s *scheduler) healed(b *batch) {
	if len(s.aside.fails) == 0 {
		return
	}
	for _, x := range b.finishes {
		delete(s.aside.fails, x.item.ID)
	}
	for _, j := range b.starts {
		delete(s.aside.fails, j.head.ID)
	}
}
