package registry

import (
	"context"
	"errors"
	"fmt"
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
	case s.deleted <- struct{}{}:
	default: // Run has not come to the last one yet
	}
	return nil
}

// sweepEvery is how often Run looks for messages of deleted apps: a request that
// another node had let in may still have been accepted, and a call that was under way may have failed.
const sweepEvery = 30 * time.Second

// Run cancels what deleted apps left waiting, until ctx ends. Several nodes may run it at once.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("messages of deleted apps are not cancelled yet; they are not sent either", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.deleted:
		case <-tick.C:
		}
	}
}

// Sweep cancels what deleted apps have waiting now, and asks that what is under way is not repeated.
func (s *Service) Sweep(ctx context.Context) error {
	const page = 100
	for after := (comm.ID{}); ; {
		ids, err := s.cfg.Apps.DeletedApps(ctx, after, page)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.cancelOpen(ctx, id); err != nil {
				return fmt.Errorf("cancel the messages of a deleted app: %w", err)
			}
		}
		if len(ids) < page {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// cancelOpen cancels the app's messages that are not final, a slice at a time.
func (s *Service) cancelOpen(ctx context.Context, app comm.ID) error {
	const slice = 64
	for _, status := range []comm.Status{comm.Queued, comm.Sending} {
		for f := (store.Filter{Status: status, Limit: slice}); ; {
			list, err := s.cfg.Messages.List(ctx, app, f)
			if err != nil {
				return err
			}
			if err := s.cancelAll(ctx, list); err != nil {
				return err
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
