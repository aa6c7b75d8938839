package webhook

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	// saveFor is how long what calls came to may take to be stored at the end.
	saveFor = 5 * time.Second
	// recordAtOnce bounds a transaction of recorded attempts, recordFor how long it may take; of one that was halved recordLeast is enough.
	recordAtOnce = 100
	recordFor    = 5 * time.Second
	recordLeast  = 500 * time.Millisecond
	// asideMost is how many results that the store refuses alone are kept beside the others, asideFor for how long, and asideRest is the
	// longest pause between two tries of one.
	asideMost = 64
	asideFor  = time.Hour
	asideRest = time.Minute
)

// outcome is a call that has ended with what is to be recorded of it.
type outcome struct {
	done
	attempt store.Attempted
}

// refused is an outcome that could not be stored alone.
type refused struct {
	outcome
	since, next time.Time
	pause       time.Duration
}

// saver stores what calls came to. One goroutine has it.
type saver struct {
	*Service
	ctx   context.Context
	stop  <-chan struct{}
	end   <-chan time.Time
	over  bool // nothing is tried again any more
	aside []refused
}

// save stores what calls came to, whatever waits at once, until results is closed.
func (s *Service) save(ctx context.Context, stop <-chan struct{}) {
	v := saver{Service: s, ctx: ctx, stop: stop}
	for {
		var again <-chan time.Time
		if len(v.aside) > 0 {
			again = time.After(v.aside[0].next.Sub(s.cfg.Clock()))
		}
		select {
		case first, ok := <-s.results:
			if !ok {
				v.last()
				return
			}
			v.record(v.batch(first), recordFor)
		case <-again:
		}
		v.again()
	}
}

// batch is a result with those that wait behind it, no more than there are places: while nothing can be stored, calls that go on ending
// must not make it longer.
func (v *saver) batch(first done) []outcome {
	all := []outcome{v.outcome(first)}
	for len(all) < min(recordAtOnce, v.cfg.Slots) {
		select {
		case r, ok := <-v.results:
			if !ok {
				return all
			}
			all = append(all, v.outcome(r))
		default:
			return all
		}
	}
	return all
}

// outcome decides what becomes of a delivery.
func (v *saver) outcome(r done) outcome {
	v.mu.Lock()
	now, current := v.now(), r.t.endpoint.Version == r.version
	v.mu.Unlock()
	state, due := v.policy.decide(&r.d, &r.a, now, current)
	n := r.d.Attempts + 1
	return outcome{r, store.Attempted{App: r.d.App, Endpoint: r.d.Endpoint, ID: r.d.ID, Attempt: n, Try: r.d.Tries + 1, Cut: r.a.fault == faultStopping, At: now, State: state, Due: due, Line: line(n, &r.a),
		Message: r.d.Message, Sequence: r.d.Sequence, Unsent: r.a.unsent()}}
}

// record stores some results. While the store is away it tries again, after the stop for no longer than it may take. What
// is refused, or waits for somebody who holds a row, is halved until what is at fault stands alone and is put aside.
func (v *saver) record(all []outcome, most time.Duration) {
	for {
		err, away := v.try(all, most)
		half := len(all) / 2
		switch {
		case err == nil:
			v.saving.Worked()
			v.recorded(all)
			return
		case v.over:
			return // they are made again
		case !away && half > 0:
			v.record(all[:half], max(most/2, recordLeast))
			v.record(all[half:], max(most/2, recordLeast))
			return
		case !away && len(v.aside) < asideMost:
			v.putAside(all[0], err)
			return
		}
		v.saving.Failed(err)
		if !v.wait() {
			return // they are made again
		}
		v.again()
	}
}

// try stores some results in one transaction. away says that it may work later, whatever is in them.
func (v *saver) try(all []outcome, most time.Duration) (err error, away bool) {
	ctx, cancel := context.WithTimeout(v.ctx, most)
	defer cancel()
	attempts := make([]store.Attempted, len(all))
	for i := range all {
		attempts[i] = all[i].attempt
	}
	err = v.cfg.Store.Record(ctx, attempts)
	return err, v.ctx.Err() != nil || ctx.Err() == nil && (store.Away(err) || comm.IsKind(err, comm.Unavailable))
}

// wait waits before another try; false says that there is none.
func (v *saver) wait() bool {
	if v.over {
		return false
	}
	select {
	case <-v.stop:
		v.stop, v.end = nil, time.After(saveFor)
	case <-v.end:
		v.over = true
	case <-time.After(v.cfg.Poll):
	}
	return !v.over
}

// recorded makes what was stored known.
func (v *saver) recorded(all []outcome) {
	for i := range all {
		v.judge(v.ctx, &all[i].done)
	}
	v.mu.Lock()
	for i := range all {
		v.settled(&all[i])
	}
	v.mu.Unlock()
	v.stir()
}

// settled forgets a delivery whose attempt is in the store; mu is held.
func (v *saver) settled(x *outcome) {
	delete(x.t.known, x.d.ID)
	v.ended.note(x.attempt.ID, x.attempt.Attempt)
	if x.attempt.State != store.DeliveryWaiting {
		v.cfg.Meter.Ended(x.attempt.State == store.DeliveryDone)
	}
}

// putAside keeps an outcome that the store refuses alone: meanwhile the delivery is not called again, and all others go on.
func (v *saver) putAside(x outcome, err error) {
	v.cfg.Log.Warn("what became of a webhook cannot be stored, and is tried again beside the others", "app", x.d.App.String(), "endpoint", x.d.Endpoint.String(),
		"delivery", x.d.ID.String(), "err", err)
	v.judge(v.ctx, &x.done) // of the endpoint it says something all the same
	now := v.cfg.Clock()
	v.aside = append(v.aside, refused{x, now, now.Add(time.Second), time.Second})
	v.sort()
}

func (v *saver) sort() {
	slices.SortStableFunc(v.aside, func(a, b refused) int { return a.next.Compare(b.next) })
}

// again tries the next of what was put aside, if it is its time. What cannot be stored for long is given up, and the delivery made again.
func (v *saver) again() {
	now := v.cfg.Clock()
	if len(v.aside) == 0 || now.Before(v.aside[0].next) {
		return
	}
	x := &v.aside[0]
	err, away := v.try([]outcome{x.outcome}, recordLeast) // it has shown that it stands alone, and the others wait meanwhile
	if err != nil && (away || now.Sub(x.since) < asideFor) {
		x.pause = min(2*x.pause, asideRest)
		x.next = v.cfg.Clock().Add(x.pause)
		v.sort()
		return
	}
	v.mu.Lock()
	if err == nil {
		v.settled(&x.outcome)
	} else {
		delete(x.t.known, x.d.ID)
	}
	v.mu.Unlock()
	if err != nil {
		v.cfg.Log.Error("what became of a webhook cannot be stored and is given up; it is made again", "app", x.d.App.String(), "endpoint", x.d.Endpoint.String(),
			"delivery", x.d.ID.String(), "err", err)
	}
	v.aside = v.aside[1:]
	v.stir()
}

// last tries once more to store what was put aside.
func (v *saver) last() {
	ctx, cancel := context.WithTimeout(v.ctx, saveFor)
	defer cancel()
	v.ctx = ctx
	for i := range v.aside {
		if v.over || ctx.Err() != nil {
			return // they are made again
		}
		_, _ = v.try([]outcome{v.aside[i].outcome}, recordLeast)
	}
}

// troubleAfter is how many calls in a row fail before it is noted that an endpoint does, and before one is switched off.
const troubleAfter = 3

// judge notes since when an endpoint fails and until when it is left alone, and switches off what is gone or has failed for all the time that events are tried. What was called
// before somebody changed the endpoint says nothing of it.
func (s *Service) judge(ctx context.Context, r *done) {
	if r.a.fault == faultStopping {
		return // we cut it off, not the endpoint
	}
	s.mu.Lock()
	t, e, now := r.t, r.t.endpoint, s.now()
	if e.Version != r.version {
		s.mu.Unlock()
		return
	}
	since := t.since
	if r.a.good() {
		t.failures = 0
	} else if t.failures++; t.failures == 1 {
		t.failed = now
	}
	why := ""
	switch {
	case r.a.good():
		since = 0
	case r.a.status == http.StatusGone:
		why = comm.EndpointGone
	case since == 0 && t.failures >= troubleAfter:
		since = t.failed
	case since != 0 && now.Sub(since) >= s.policy.all() && t.failures >= troubleAfter:
		why = comm.EndpointFailed
	}
	rests := t.rests
	if rests <= now {
		rests = 0
	}
	set := since != t.since || rests != t.told
	t.since, t.told = since, rests
	if why != "" {
		if !t.endpoint.Active {
			why = "" // somebody did so already
		}
		t.endpoint.Active = false
	}
	s.mu.Unlock()
	if set {
		s.note(ctx, t, store.Trouble{App: e.App, Endpoint: e.ID, Since: since, RestsUntil: rests})
	}
	if why == "" {
		return
	}
	s.cfg.Log.Warn("a webhook endpoint is switched off", "app", e.App.String(), "endpoint", e.ID.String(), "why", why)
	ctx, cancel := context.WithTimeout(ctx, recordLeast) // results of all others wait behind it; the next call says the same
	defer cancel()
	if err := s.cfg.Endpoints.SwitchOff(ctx, &e, why); err != nil && !errors.Is(err, context.Canceled) {
		s.cfg.Log.Warn("a webhook endpoint cannot be switched off", "endpoint", e.ID.String(), "error", err)
	}
}

// note stores an endpoint's trouble. If that does not work, what is read of it next says so, and it is noted again.
func (s *Service) note(ctx context.Context, t *target, x store.Trouble) {
	s.mu.Lock()
	t.noted = s.cfg.Clock().Add(idleTargets) // what is read meanwhile may be of before
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, recordLeast)
	defer cancel()
	err := s.cfg.Store.SetTrouble(ctx, x)
	s.mu.Lock()
	t.noted = s.cfg.Clock()
	s.mu.Unlock()
	if err != nil {
		s.cfg.Log.Warn("it cannot be noted whether an endpoint works", "endpoint", x.Endpoint.String(), "error", err)
	}
}
