package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// DeleteApp ends an app: its keys open nothing from now on, nothing of it can be
// read, no attempt of it starts, and its slug is free. confirm must be its slug.
//
// What waits is cancelled by Run, in slices: it cannot be sent meanwhile. A call
// that is under way ends and is recorded; it is not repeated. The rows stay until
// they are removed (store.Apps.DeletedApps lists whose): a report about a message
// of the app still finds it by its ids.
func (s *Service) DeleteApp(ctx context.Context, app *comm.App, confirm string) error {
	if confirm != app.Slug {
		return comm.E("invalid_query", "Deleting an app cannot be undone: send confirm with its slug.").Field("confirm", "must be the app's slug")
	}
	if err := s.cfg.Apps.DeleteApp(ctx, app.ID, s.now()); err != nil {
		return err
	}
	s.cfg.Changed(app.ID)
	s.cfg.Log.Warn("app deleted", "app", app.ID, "slug", app.Slug)
	select {
	case s.deleted <- app.ID:
	default: // Run is behind: its next look at all of them finds this one
	}
	return nil
}

// sweepEvery is how often Run looks for messages of deleted apps: a request that
// another node had let in may still have been accepted, and a call that was under way may have failed.
const sweepEvery = 30 * time.Second

// deletedAhead is how many deleted apps wait for Run at most, each to be looked at alone.
const deletedAhead = 256

// Run cancels what deleted apps left waiting, until ctx ends. Several nodes may run it at once.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for err := s.Sweep(ctx); ; {
		if err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("messages of deleted apps are not cancelled yet; they are not sent either", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case id := <-s.deleted:
			err = s.cancelOpen(ctx, id)
		case <-tick.C:
			err = s.Sweep(ctx)
		}
	}
}

// Sweep cancels what deleted apps have waiting now, and asks that what is under way is not repeated. It looks at who has something in the
// queue: apps that were deleted and have nothing left may be many, and stay for weeks.
func (s *Service) Sweep(ctx context.Context) error {
	const page = 200
	for after := (comm.Unit{}); ; {
		units, err := s.cfg.Messages.UnitsAfter(ctx, after, page)
		if err != nil {
			return err
		}
		gone := map[comm.ID]bool{}
		for _, u := range units {
			gone[u.App] = true
		}
		there, err := s.cfg.Apps.AppsByID(ctx, slices.Collect(maps.Keys(gone)))
		if err != nil {
			return err
		}
		for i := range there {
			delete(gone, there[i].ID)
		}
		for id := range gone {
			if err := s.cancelOpen(ctx, id); err != nil {
				return err
			}
		}
		if len(units) < page {
			return nil
		}
		after = units[len(units)-1]
	}
}

// cancelOpen cancels the app's messages that are not final, a slice at a time.
func (s *Service) cancelOpen(ctx context.Context, app comm.ID) error {
	const slice = 64
	for _, status := range []comm.Status{comm.Queued, comm.Sending} {
		for f := (store.Filter{Status: status, Limit: slice}); ; {
			list, err := s.cfg.Messages.List(ctx, app, f)
			if err == nil {
				err = s.cancelAll(ctx, list)
			}
			if err != nil {
				return fmt.Errorf("cancel the messages of a deleted app: %w", err)
			}
			if len(list) < slice {
				break
			}
			f.Before = list[len(list)-1].State.ID
		}
	}
	return nil
}

// cancelAll cancels messages a few at a time: those that wait together share a commit, and others get their turn between.
func (s *Service) cancelAll(ctx context.Context, list []comm.Message) error {
	const atOnce = 4
	for len(list) > 0 {
		now := list[:min(atOnce, len(list))]
		list = list[len(now):]
		errs := make([]error, len(now))
		var wg sync.WaitGroup
		for i := range now {
			if st := &now[i].State; !st.Flags.Has(comm.CancelWanted) {
				wg.Go(func() { _, _, errs[i] = s.cfg.Messages.Cancel(ctx, st.App, st.ID, comm.ActorAdmin) })
			}
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}
