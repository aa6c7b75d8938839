package upkeep

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	// openMost is how many open erasures are looked at together, and counted for Status.
	openMost = 1000
	// atOnce is how many erasures are worked on by turns, of each app one: an app that has as many open as
	// it may (openOfApp), or one of very many messages, does not keep those of others waiting.
	atOnce = 4
)

// desk is the erasures that are worked on here. It is safe for concurrent use.
type desk struct {
	working sync.WaitGroup

	mu      sync.Mutex
	busy    map[comm.ID]bool      // apps of which one is under way
	again   map[comm.ID]time.Time // erasures that wait for something until then
	served  map[comm.ID]int       // the turn in which an app had its last one
	turn    int
	failing map[comm.ID]bool // erasures that failed when they were last worked on

	after comm.ID // where the next look begins; of the one that looks
}

func newDesk() *desk {
	return &desk{busy: map[comm.ID]bool{}, again: map[comm.ID]time.Time{}, served: map[comm.ID]int{}, failing: map[comm.ID]bool{}}
}

// full says whether as many are under way as may be.
func (d *desk) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.busy) >= atOnce
}

// pick takes from the open ones what to work on next: the oldest of the app that has waited
// longest, of those that have none under way. Nil: there is no room, or nothing to do.
func (d *desk) pick(open []store.Erasure, now time.Time) (next *store.Erasure) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.busy) >= atOnce {
		return nil
	}
	for i := range open {
		e := &open[i]
		if d.busy[e.App] || now.Before(d.again[e.ID]) {
			continue
		}
		if next == nil || d.served[e.App] < d.served[next.App] {
			next = e
		}
	}
	if next != nil {
		d.turn++
		d.busy[next.App], d.served[next.App] = true, d.turn
	}
	return next
}

// ended notes that an erasure is not worked on any more: it is done, or to be looked at again after a while.
func (d *desk) ended(e *store.Erasure, after time.Duration, failed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.busy, e.App)
	delete(d.again, e.ID)
	delete(d.failing, e.ID)
	if after > 0 {
		d.again[e.ID] = time.Now().Add(after)
	}
	if failed {
		d.failing[e.ID] = true
	}
}

// idle forgets whatever was remembered of erasures: there are none.
func (d *desk) idle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.again)
	clear(d.failing)
	clear(d.served)
}

// fails says whether an erasure failed when it was last looked at.
func (d *desk) fails() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.failing) > 0
}

// beginErasures begins with open erasures for which there is room. Each look is at another
// part of them, so that one behind those of very many apps is seen although they have not ended.
func (s *Service) beginErasures(ctx context.Context) error {
	d := s.desk
	if d.full() {
		return nil
	}
	open, err := s.cfg.Store.OpenErasures(ctx, d.after, openMost)
	if err != nil {
		return fmt.Errorf("list erasures: %w", err)
	}
	if d.after.IsZero() && len(open) == 0 {
		d.idle()
	}
	if d.after = (comm.ID{}); len(open) == openMost {
		d.after = open[openMost-1].ID
	}
	now := time.Now()
	for e := d.pick(open, now); e != nil; e = d.pick(open, now) {
		d.working.Go(func() {
			s.work(ctx, e)
			s.stir() // there is room for another one
		})
	}
	return nil
}

// work does what can be done of one erasure now.
func (s *Service) work(ctx context.Context, e *store.Erasure) {
	s.erasing.take()
	defer s.erasing.give()
	waits, err := s.erasure(ctx, e)
	switch {
	case err == nil:
		s.desk.ended(e, waits, false)
		if waits > 0 {
			time.AfterFunc(waits, s.stir)
		}
		s.reportErasures(ctx, nil)
	case ctx.Err() != nil || errors.Is(err, errNotLeading):
		s.desk.ended(e, 0, false)
	default: // another one may work
		s.desk.ended(e, time.Minute, true)
		s.reportErasures(ctx, fmt.Errorf("erasure %s: %w", e.ID, err))
	}
}

// reportErasures logs that something fails, and when nothing does any more.
func (s *Service) reportErasures(ctx context.Context, err error) {
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.erasuresFail.Failed(err)
	case !s.desk.fails():
		s.erasuresFail.Worked()
	}
}
