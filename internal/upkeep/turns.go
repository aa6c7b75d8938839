package upkeep

import (
	"context"
	"slices"
	"time"
)

// hand is one side of the work. Retention is one and erasures are the other: each does a
// step, then the other one does if it wants to, however much either has to do. Of all
// erasures one wants to at a time, and they follow one another in the same way.
//
// Whoever waits longest at a gate is let through first: the runtime keeps those who wait to
// send in order, and hands the place of one who leaves to the first of them. The language
// does not promise that order; should a runtime give it up, TestHandsTakeTurns fails.
type hand struct {
	s     *Service
	gates []chan struct{}
}

// hands are the two sides.
func hands(s *Service) (retaining, erasing hand) {
	work, one := make(chan struct{}, 1), make(chan struct{}, 1)
	return hand{s, []chan struct{}{work}}, hand{s, []chan struct{}{one, work}}
}

// take waits for the hand's turn, which it then has until it gives it back. A turn is
// short, and ends with the process's context: waiting for it needs none.
func (h hand) take() {
	for _, g := range h.gates {
		g <- struct{}{}
	}
}

func (h hand) give() {
	for _, g := range slices.Backward(h.gates) {
		<-g
	}
}

// rest leaves the time after a step to others, lets the other hand do a step, and says when
// to stop. n is of how many messages a transaction was that slices may learn from, 0 for any other step.
func (h hand) rest(ctx context.Context, n int, took time.Duration) error {
	h.s.hurry(time.Now())
	h.s.slice.Took(n, took)
	if h.s.cfg.TransactionDone != nil {
		h.s.cfg.TransactionDone(took)
	}
	return h.pause(ctx, h.s.slice.Pause(took))
}

// pause leaves some time to others, lets the other hand do a step, and says when to stop.
func (h hand) pause(ctx context.Context, d time.Duration) error {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	h.s.latest = time.Now()
	h.give()
	h.take()
	if err := ctx.Err(); err != nil {
		return err
	}
	if !h.s.cfg.Leads() {
		return errNotLeading
	}
	return nil
}
