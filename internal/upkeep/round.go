package upkeep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// The names of tasks, as Status shows them.
const (
	TaskContent  = "content"
	TaskMessages = "messages"
	TaskApps     = "deleted_apps"
	TaskReturned = "returned_suppressions"
	TaskWebhooks = "webhook_deliveries"
	TaskFeed     = "feed"
	TaskSessions = "sessions"
)

// Round does once whatever is to be done now; what fails keeps nothing else from being done.
// Run calls it from time to time.
func (s *Service) Round(ctx context.Context) error {
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	s.began.Store(int64(now))
	defer s.began.Store(0)
	s.retaining.take()
	defer s.retaining.give()
	var errs []error
	for _, t := range []struct {
		name string
		run  func(ctx context.Context, t *store.Task) error
	}{
		{TaskContent, func(ctx context.Context, t *store.Task) error { return s.walk(ctx, store.Purge, s.cfg.Content, t) }},
		{TaskMessages, func(ctx context.Context, t *store.Task) error { return s.walk(ctx, store.Remove, s.cfg.Messages, t) }},
		{TaskApps, s.deletedApps},
		{TaskReturned, s.returned},
		{TaskWebhooks, s.deliveries},
		{TaskFeed, s.feed},
		{TaskSessions, s.sessions},
	} {
		if ctx.Err() != nil || !s.cfg.Leads() {
			break
		}
		if err := s.task(ctx, t.name, t.run); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", t.name, err))
		}
	}
	return errors.Join(errs...)
}

// task runs one task and notes what it did, also when it ended early.
func (s *Service) task(ctx context.Context, name string, run func(context.Context, *store.Task) error) error {
	began, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	t := store.Task{Name: name, StartedAt: began}
	failed := run(ctx, &t)
	if errors.Is(failed, context.Canceled) && ctx.Err() == nil {
		t.Failed = "another node took over"
	} else if failed != nil {
		t.Failed = "the database refused a step; the log says why"
	}
	t.Total = t.Done
	// What was done is noted although the process stops: it is short.
	ctx = context.WithoutCancel(ctx)
	if t.FinishedAt, err = s.cfg.Store.Now(ctx); err == nil {
		err = s.cfg.Store.SaveTask(ctx, t)
	}
	if errors.Is(failed, errNotLeading) {
		failed = nil
	}
	return errors.Join(failed, err)
}

// account adds a transaction to a task.
func account(t *store.Task, done int, took time.Duration) {
	t.Done += done
	t.Busy += took.Microseconds()
}

// walk takes content, or whole messages, that are older than kept.
func (s *Service) walk(ctx context.Context, kind store.WalkKind, kept time.Duration, t *store.Task) error {
	w := store.Walk{Kind: kind, Now: t.StartedAt, Rest: s.cfg.Content.Microseconds(), Until: comm.FirstID(t.StartedAt.Add(-kept - comm.IDSlack))}
	for {
		w.Limit = s.slice.Size()
		got, err := s.cfg.Store.WalkLater(ctx, w)
		if err != nil {
			return err
		}
		if got.Seen == 0 {
			break
		}
		account(t, got.Done, got.Took)
		if err := s.retaining.rest(ctx, got.Seen, got.Took); err != nil {
			return err
		}
	}
	const page = 100
	for after := (comm.ID{}); ; {
		lanes, err := s.cfg.Store.UpkeepLanes(ctx, after, page)
		if err != nil {
			return err
		}
		for _, lane := range lanes {
			if err := s.lane(ctx, w, lane, t); err != nil {
				return err
			}
		}
		if len(lanes) < page {
			t.Reached = w.Until.Time()
			return nil
		}
		after = lanes[len(lanes)-1]
	}
}

// lane walks one lane to its end.
func (s *Service) lane(ctx context.Context, w store.Walk, lane comm.ID, t *store.Task) error {
	for w.Lane = lane; ; {
		w.Limit = s.slice.Size()
		got, err := s.cfg.Store.Walk(ctx, w)
		if err != nil || got.Seen == 0 {
			return err
		}
		t.Reached = got.Reached.Time()
		account(t, got.Done, got.Took)
		if err := s.retaining.rest(ctx, got.Seen, got.Took); err != nil {
			return err
		}
	}
}

// deletedApps removes what deleted apps left.
func (s *Service) deletedApps(ctx context.Context, t *store.Task) error {
	const page = 100
	before := t.StartedAt - comm.Micros(s.cfg.Grace.Microseconds())
	for after := (comm.ID{}); ; {
		ids, err := s.cfg.Store.DeletedApps(ctx, after, page)
		if err != nil {
			return err
		}
		for _, id := range ids {
			for {
				got, err := s.cfg.Store.RemoveApp(ctx, id, before, s.slice.Size())
				if err != nil {
					return err
				}
				account(t, got.Rows, got.Took)
				if got.Gone || got.Rows == 0 {
					break
				}
				if err := s.retaining.rest(ctx, got.Rows, got.Took); err != nil {
					return err
				}
			}
		}
		if len(ids) < page {
			t.Reached = before
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// tried is longer than a delivery is tried (promise 11).
const tried = 4 * 24 * time.Hour

// deliveries removes those that were made as long ago as content is kept: their bodies hold parts of it. One that is
// still tried stays until that is over.
func (s *Service) deliveries(ctx context.Context, t *store.Task) error {
	before := t.StartedAt - comm.Micros(s.cfg.Content.Microseconds())
	for {
		began := time.Now()
		n, err := s.cfg.Store.TrimDeliveries(ctx, before, min(before, t.StartedAt-comm.Micros(tried.Microseconds())), s.slice.Size())
		if err != nil {
			return err
		}
		if n == 0 {
			t.Reached = before
			return s.orphans(ctx, t)
		}
		took := time.Since(began)
		account(t, n, took)
		if err := s.retaining.rest(ctx, n, took); err != nil {
			return err
		}
	}
}

// orphans removes what endpoints left that were deleted: what waited went at once, what was posted is found by going through them all.
func (s *Service) orphans(ctx context.Context, t *store.Task) error {
	if t.StartedAt < s.swept+trimEvery {
		return nil
	}
	for after := (store.EndpointKey{}); ; {
		began := time.Now()
		got, err := s.cfg.Store.TrimEndpoints(ctx, after, s.slice.Size())
		if err != nil {
			return err
		}
		reading := time.Since(began) - got.Took // and waiting for its turn
		if got.Rows > 0 {
			account(t, got.Rows, got.Took)
			if err := s.retaining.rest(ctx, got.Rows, got.Took); err != nil {
				return err
			}
		}
		if err := s.retaining.pause(ctx, readingRest*reading); err != nil {
			return err
		}
		if got.Rows == 0 && got.Next == (store.EndpointKey{}) {
			s.swept = t.StartedAt
			return nil
		}
		after = got.Next
	}
}

// trimEvery is how often feeds and deleted endpoints are looked at: each app's is, and what goes is a day of many hundred.
const trimEvery = comm.Micros(time.Hour / time.Microsecond)

// feed removes what is older in feeds than messages are kept.
func (s *Service) feed(ctx context.Context, t *store.Task) error {
	before := t.StartedAt - comm.Micros(s.cfg.Messages.Microseconds())
	if before < s.trimmed+trimEvery {
		t.Reached = s.trimmed
		return nil
	}
	for after := (comm.ID{}); ; {
		began := time.Now()
		n, next, err := s.cfg.Store.TrimFeed(ctx, after, before, s.slice.Size())
		if err != nil {
			return err
		}
		if n > 0 {
			took := time.Since(began)
			account(t, n, took)
			if err := s.retaining.rest(ctx, n, took); err != nil {
				return err
			}
		} else if next.IsZero() {
			t.Reached, s.trimmed = before, before
			return nil
		}
		after = next
	}
}

// sessions removes those that nobody can use any more.
func (s *Service) sessions(ctx context.Context, t *store.Task) error {
	for {
		began := time.Now()
		n, err := s.cfg.Store.TrimSessions(ctx, t.StartedAt-comm.Micros(comm.SessionIdle.Microseconds()), t.StartedAt, pageOf)
		if err != nil {
			return err
		}
		if n == 0 {
			t.Reached = t.StartedAt
			return nil
		}
		took := time.Since(began)
		account(t, n, took)
		if err := s.retaining.rest(ctx, n, took); err != nil {
			return err
		}
	}
}

// returned takes addresses off the lists again that were put back for a message of which
// nothing is kept any more.
func (s *Service) returned(ctx context.Context, t *store.Task) error {
	before := t.StartedAt - comm.Micros(s.cfg.Content.Microseconds())
	for {
		// Each that is looked at is not among them any more, whatever becomes of it.
		list, err := s.cfg.Store.Returned(ctx, before, pageOf)
		if err != nil || len(list) == 0 {
			t.Reached = before
			return err
		}
		for i := range list {
			began := time.Now()
			done, err := s.putAway(ctx, &list[i], t.StartedAt, before)
			if err != nil {
				return err
			}
			took := time.Since(began)
			account(t, done, took)
			if err := s.retaining.rest(ctx, 0, took); err != nil {
				return err
			}
		}
	}
}

// putAway takes an address off its list that was put back before an instant, unless it has no hash to stay as, or notes
// that it is needed still: it is looked at again as if it had been put back now.
func (s *Service) putAway(ctx context.Context, x *store.Suppression, now, before comm.Micros) (done int, err error) {
	hash := s.cfg.Book.Hash(x.App, x.Channel, x.Address)
	waits, err := s.waits(ctx, x.App, x.Channel, x.Address)
	if err == nil && waits {
		err = s.cfg.Store.ReturnSuppression(ctx, x.App, x.Channel, x.Address, hash, now)
	} else {
		done = 1
	}
	if err != nil {
		return 0, err
	}
	return done, s.cfg.Store.DropSuppression(ctx, x.App, x.Channel, x.Address, hash, before)
}

// waits says whether a message to the address is not final.
func (s *Service) waits(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error) {
	for _, status := range comm.Statuses() {
		if status.Final() {
			continue
		}
		for f := (store.Filter{Recipient: address, Channel: ch, Status: status, Limit: 1}); ; {
			found, err := s.cfg.Store.Search(ctx, app, f)
			if err != nil || len(found.Messages) > 0 {
				return true, err
			}
			if f.Before = found.Before; f.Before.IsZero() {
				break
			}
		}
	}
	return false, nil
}

// Report is what Status answers.
type Report struct {
	Tasks         []store.Task
	RunningSince  comm.Micros // of this node's round; 0 when none is under way here
	Content       time.Duration
	Messages      time.Duration
	OpenErasures  int         // at most openMost are counted
	OldestErasure comm.Micros // 0 = none is open
}

// Status says what was done, on whatever node.
func (s *Service) Status(ctx context.Context) (Report, error) {
	r := Report{Content: s.cfg.Content, Messages: s.cfg.Messages, RunningSince: comm.Micros(s.began.Load())}
	var err error
	if r.Tasks, err = s.cfg.Store.Tasks(ctx); err != nil {
		return r, err
	}
	open, err := s.cfg.Store.OpenErasures(ctx, comm.ID{}, openMost)
	if err != nil {
		return r, err
	}
	r.OpenErasures = len(open)
	if len(open) > 0 {
		r.OldestErasure = open[0].CreatedAt
	}
	return r, nil
}
