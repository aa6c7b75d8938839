package webhook

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

const (
	// freshFor is how long an endpoint is believed to be as it was read.
	freshFor = 5 * time.Second
	// believed is how long what is queued is posted without being read again: who erases a person removes what is stored of it.
	believed = 3 * time.Second
	// idleTargets is how long an endpoint is remembered that has nothing to get.
	idleTargets = 10 * time.Minute
)

// target is an endpoint with what it is to get. Its fields are guarded by Service.mu.
type target struct {
	endpoint comm.Endpoint
	shard    comm.Shard
	keys     secrets
	sealed   bool      // its secrets cannot be opened
	read     time.Time // when the endpoint was
	seen     int       // of Service.changes: those before the reading began
	changed  int       // the last one that was of it: what was read before is not believed
	used     time.Time
	queue    []store.Delivery     // due, the first one first
	stored   time.Time            // everything in the queue was stored still after this
	known    map[comm.ID]struct{} // queued, under way, or not recorded yet
	more     bool                 // the store has more that is due than the queue
	inflight int
	long     int       // of its calls, those that take long
	late     bool      // its last call took too long, or it is noted that it fails and it was not called yet
	until    time.Time // it wants to be left alone until then
	// failures in a row that this node saw, the first one's time, and since when it is noted that it fails; 0: it is not. What the store
	// has counts: others write it, and what was to be written may not have been.
	failures      int
	failed, since comm.Micros
	told          comm.Micros // until when it is left alone, as the store has it
	noted         time.Time   // when since and told were last written
	rest          time.Time   // until when no call starts, as of the last call's end
	rests         comm.Micros // the same by the database's clock; 0: for too short to be told
	breaker       pace.Breaker
}

// breakerOf opens after a few failures, and tries one call from time to time.
func breakerOf() pace.Breaker {
	return pace.NewBreaker(pace.BreakerConfig{MinCount: 5, Share: 0.8, Probes: 1, ProbeWait: time.Minute, OpenFor: restLeast, MaxOpen: 5 * time.Minute})
}

// load looks for what is due, from time to time and when woken, and starts calls.
func (s *Service) load(ctx, calls context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		began := s.cfg.Clock()
		s.forget(began)
		some, unknown := s.short()
		var err error
		if all := !began.Before(next); all || unknown {
			err = s.look(ctx)
			now := s.cfg.Clock()
			next = now.Add(max(s.cfg.Poll, restTimes*now.Sub(began)))
		} else {
			err = s.refill(ctx, some)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			s.loading.Failed(err)
		default:
			s.loading.Worked()
		}
		s.start(calls)
		timer.Reset(s.cfg.Poll)
	}
}

// restTimes is how many times as long as a look at everything took the next one is put off at least.
const restTimes = 3

// short lists endpoints that have room for more that is known to be there; unknown says that something was made for one that nobody knows yet.
func (s *Service) short() (out []store.DueEndpoint, unknown bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.targets {
		if t.more && len(t.queue) <= s.cfg.PerEndpoint && s.open(t) && s.room(t) {
			out = append(out, store.DueEndpoint{Shard: t.shard, App: t.endpoint.App, Endpoint: t.endpoint.ID})
		}
	}
	unknown, s.unknown = s.unknown, false
	return out, unknown
}

// refill reads more for some endpoints.
func (s *Service) refill(ctx context.Context, some []store.DueEndpoint) error {
	if err := s.refresh(ctx, some, s.cfg.Clock()); err != nil {
		return err
	}
	s.mu.Lock()
	now := s.now()
	s.mu.Unlock()
	return s.fillAll(ctx, some, now)
}

// fillFor is how long queues are filled before calls begin: the rest is filled afterwards.
const fillFor = time.Second

// fillsFailing is after how many endpoints whose deliveries cannot be read the others are not asked for either.
const fillsFailing = 8

// fillAll fills some queues. The rows of one endpoint that cannot be read keep no other one waiting.
func (s *Service) fillAll(ctx context.Context, some []store.DueEndpoint, now comm.Micros) error {
	var failed []error
	began := s.cfg.Clock()
	for i, e := range some {
		if s.cfg.Clock().Sub(began) > fillFor {
			s.fillLater(some[i:])
			break
		}
		if err := s.fill(ctx, e, now); err != nil {
			failed = append(failed, err)
		}
		if len(failed) >= fillsFailing || store.Away(errors.Join(failed...)) || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}

// fillLater marks endpoints of which there is more to read, and makes the loader go round.
func (s *Service) fillLater(some []store.DueEndpoint) {
	s.mu.Lock()
	for _, e := range some {
		if t := s.targets[e.Endpoint]; t != nil {
			t.more = true
		}
	}
	s.mu.Unlock()
	s.stir()
}

// look reads what is due of the shards that this node owns.
func (s *Service) look(ctx context.Context) error {
	_, leases := s.cfg.Owned()
	shards := make([]comm.Shard, len(leases))
	for i, l := range leases {
		shards[i] = l.Shard
	}
	s.leave(shards)
	if len(shards) == 0 {
		s.mu.Lock()
		s.waits = waits{}
		s.mu.Unlock()
		return nil
	}
	before := s.cfg.Clock()
	now, err := s.cfg.Now(ctx)
	if err != nil {
		return err
	}
	due, err := s.cfg.Store.DueEndpoints(ctx, shards)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ahead = now.Time().Sub(before)
	s.waits = waitsOf(due, now)
	s.mu.Unlock()
	if err := s.refresh(ctx, due, before); err != nil {
		return err
	}
	return s.fillAll(ctx, s.awake(due, now), now)
}

// awake leaves out what is not due yet, and endpoints that want to be left alone: nothing is read that would only lie there.
func (s *Service) awake(due []store.DueEndpoint, now comm.Micros) []store.DueEndpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	clock := s.cfg.Clock()
	return slices.DeleteFunc(due, func(e store.DueEndpoint) bool {
		t := s.targets[e.Endpoint]
		return e.Due > now || t != nil && t.resting(clock)
	})
}

// leave forgets what belongs to shards of other nodes, and endpoints that have had nothing to get for long.
func (s *Service) leave(shards []comm.Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock()
	before := len(s.targets)
	for id, t := range s.targets {
		ours := slices.Contains(shards, t.shard)
		if !ours {
			s.empty(t)
		}
		if len(t.known) == 0 && (!ours || now.Sub(t.used) > idleTargets && !now.Before(t.until)) {
			delete(s.targets, id)
		}
	}
	if len(s.targets) < before {
		s.order = slices.DeleteFunc(s.order, func(t *target) bool { return s.targets[t.endpoint.ID] != t })
	}
}

// refresh reads the endpoints that have something to get, unless they were read just now.
func (s *Service) refresh(ctx context.Context, due []store.DueEndpoint, now time.Time) error {
	var apps []comm.ID
	asked := map[comm.ID]bool{}
	s.mu.Lock()
	seen := s.changes
	for _, e := range due {
		if t := s.targets[e.Endpoint]; (t == nil || !t.recent(now)) && !asked[e.App] {
			asked[e.App] = true
			apps = append(apps, e.App)
		}
	}
	s.mu.Unlock()
	if len(apps) == 0 {
		return nil
	}
	list, err := s.cfg.Endpoints.EndpointsOf(ctx, apps)
	if err != nil {
		return err
	}
	troubles, err := s.troubles(ctx, apps)
	if err != nil {
		return err
	}
	var gone []store.DueEndpoint
	there := make(map[comm.ID]bool, len(list))
	s.mu.Lock()
	for i := range list {
		there[list[i].ID] = true
		s.know(&list[i], troubles[list[i].ID], now, seen)
	}
	for _, e := range due {
		if asked[e.App] && !there[e.Endpoint] {
			if t := s.targets[e.Endpoint]; t != nil {
				s.empty(t)
				t.endpoint.Active = false
			}
			gone = append(gone, e)
		}
	}
	s.mu.Unlock()
	for _, e := range gone {
		if _, err := s.cfg.Store.RemoveDeliveries(ctx, e.App, e.Endpoint, removeAtOnce); err != nil {
			return err
		}
	}
	return nil
}

// troubles reads since when endpoints fail, and until when they are left alone.
func (s *Service) troubles(ctx context.Context, apps []comm.ID) (of map[comm.ID]store.Trouble, err error) {
	list, err := s.cfg.Store.Troubles(ctx, apps)
	if err != nil {
		return nil, err
	}
	of = make(map[comm.ID]store.Trouble, len(list))
	for _, t := range list {
		of[t.Endpoint] = t
	}
	return of, nil
}

// know takes in what was read of an endpoint, and of its trouble; now is when the reading began, after so many changes.
func (s *Service) know(e *comm.Endpoint, trouble store.Trouble, now time.Time, seen int) {
	t := s.targets[e.ID]
	if t == nil {
		t = &target{shard: comm.ShardOf(e.App, comm.ID{}, 1), known: map[comm.ID]struct{}{}, breaker: breakerOf(), used: now, stored: now, more: true, late: trouble.Since != 0, changed: s.changes}
		t.until = s.resume(trouble.RestsUntil, now)
		s.targets[e.ID] = t
		s.order = append(s.order, t)
	}
	changed := t.read.IsZero() || t.endpoint.Version != e.Version
	if changed && !t.read.IsZero() {
		// Whatever was wrong with it, somebody has changed it since.
		t.breaker, t.until = breakerOf(), time.Time{}
		t.rest, t.rests = time.Time{}, 0
		t.failures, t.failed, t.late = 0, 0, false
	}
	if changed || t.noted.Before(now) {
		t.since, t.told = trouble.Since, trouble.RestsUntil
	}
	if changed || t.sealed || len(t.keys) > 1 {
		holds := *e
		holds.Replaced = comm.Holding(e.Replaced, s.now())
		keys, err := s.cfg.Secrets(&holds)
		t.keys = keys
		if was := t.sealed && !changed; err != nil && !was {
			s.cfg.Log.Warn("an endpoint's secret cannot be opened; its events wait", "endpoint", e.ID.String(), "error", err)
		}
		t.sealed = err != nil
	}
	if e.Unreadable != "" && changed {
		s.cfg.Log.Warn("a webhook endpoint cannot be read; its events wait until it can, or is changed", "app", e.App.String(), "endpoint", e.ID.String(), "why", e.Unreadable)
	}
	another := t.endpoint.CreatedAt != e.CreatedAt
	if t.endpoint, t.read, t.seen = *e, now, seen; another || !s.open(t) {
		s.empty(t)
	}
}

// removeAtOnce bounds a transaction that removes what an endpoint left: on SQLite, where everybody waits for it, it takes about 5 ms with long bodies.
const removeAtOnce = 50

// open says that calls of an endpoint may start, as far as it is concerned.
func (s *Service) open(t *target) bool {
	return t.endpoint.Active && t.endpoint.Unreadable == "" && !t.sealed
}
