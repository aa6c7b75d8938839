package upkeep

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

const (
	// openOfApp is how many erasures of an app, or of the server, may be open: they follow one another, and each looks
	// through every content. Nobody's wait behind them (atOnce).
	openOfApp = 100
	// pageOf is how many messages a page of a search holds.
	pageOf = 100
	// waitAgain is how long an erasure that waits for a call to end is left alone.
	waitAgain = 5 * time.Second
)

// Erase asks that everything about an address is removed, from one app or (zero) from all,
// and answers the job. The address is normalised already.
func (s *Service) Erase(ctx context.Context, app comm.ID, ch comm.Channel, text string) (*store.Erasure, error) {
	if err := s.room(ctx, app); err != nil {
		return nil, err
	}
	return s.ask(ctx, app, ch, text)
}

func (s *Service) ask(ctx context.Context, app comm.ID, ch comm.Channel, text string) (*store.Erasure, error) {
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	e := &store.Erasure{App: app, ID: comm.NewID(now), Channel: ch, Actor: store.ActorOf(ctx).Kind, Stage: store.ErasureMarked, CreatedAt: now, UpdatedAt: now}
	sealed, err := s.sealer.Seal([]byte(text), store.ErasedAddresses().Place(e.App, e.ID))
	if err != nil {
		return nil, fmt.Errorf("seal the address of an erasure: %w", err)
	}
	e.Sealed = &sealed
	if err := s.cfg.Store.CreateErasure(ctx, e); err != nil {
		return nil, err
	}
	s.stir()
	return e, nil
}

// room refuses an erasure of an app that has too many open already. Those that are asked for at the same moment may be a few more.
func (s *Service) room(ctx context.Context, app comm.ID) error {
	n, err := s.cfg.Store.OpenErasuresOf(ctx, app, openOfApp)
	if err != nil || n < openOfApp {
		return err
	}
	e := comm.E("unavailable", "%d erasures are under way already, which is the most at once; ask again when some have ended.", n)
	e.RetryAfter = 60
	return e
}

// Erasure reads a job of the app (zero: of the server); not_found otherwise.
func (s *Service) Erasure(ctx context.Context, app, id comm.ID) (*store.Erasure, error) {
	return s.cfg.Store.Erasure(ctx, app, id)
}

// AnyErasure reads a job whosever it is, for the administrator; not_found otherwise.
func (s *Service) AnyErasure(ctx context.Context, id comm.ID) (*store.Erasure, error) {
	return s.cfg.Store.AnyErasure(ctx, id)
}

// forgetting is an erasure at work.
type forgetting struct {
	*store.Erasure
	s       *Service
	address string
	by      store.Erasing
	fresh   bool // a hash was made that other nodes may not know yet
}

// erasure does what can be done of one job now, and says how long to leave it alone then; 0 when it is done.
func (s *Service) erasure(ctx context.Context, e *store.Erasure) (waits time.Duration, err error) {
	if e.Sealed == nil {
		return 0, errors.New("its address is gone")
	}
	text, err := s.sealer.Open(*e.Sealed, store.ErasedAddresses().Place(e.App, e.ID))
	if err != nil {
		return 0, err
	}
	f := &forgetting{Erasure: e, s: s, address: string(text), by: store.Erasing{Actor: e.Actor, Mask: address.Mask(string(text)), Told: told(string(text)), Settle: s.cfg.Settle + s.cfg.Recording}}
	for e.FinishedAt == 0 {
		if waits, err = f.stage(ctx); err != nil || waits > 0 {
			return waits, err
		}
	}
	s.cfg.Log.Info("a person was erased", "erasure", e.ID.String(), "messages", e.Erased, "cancelled", e.Cancelled, "masked", e.Masked)
	return 0, nil
}

// stage does the present stage and moves on, or says how long to wait.
func (f *forgetting) stage(ctx context.Context) (waits time.Duration, err error) {
	switch f.Stage {
	case store.ErasureMarked:
		return 0, f.next(ctx, f.each(ctx, f.paced(f.mark)))
	case store.ErasureMessages:
		return 0, f.next(ctx, f.each(ctx, f.messages))
	case store.ErasureMentions:
		return 0, f.next(ctx, f.mentions(ctx))
	}
	now, err := f.s.cfg.Store.Now(ctx)
	if err != nil {
		return 0, err
	}
	// Since the stages before were done, not since the erasure was asked for: it may have waited for its turn, and the hash is as old as the first stage.
	if left := f.s.cfg.Settle - time.Duration(now-f.UpdatedAt)*time.Microsecond; left > 0 {
		return left, nil
	}
	// Once more: what was accepted when the erasure was asked for may have been stored, or
	// become searchable, since; and a call that has ended may have put the address on the list.
	f.Waiting, f.fresh = 0, false
	erased := f.Erased
	if err := f.each(ctx, f.paced(f.mark)); err != nil {
		return 0, err
	}
	if err := f.each(ctx, f.messages); err != nil {
		return 0, err
	}
	f.Lane, f.Place = comm.ID{}, comm.FirstID(f.CreatedAt.Add(-comm.IDSlack))
	if err := f.mentions(ctx); err != nil {
		return 0, err
	}
	switch {
	case f.Waiting > 0:
		return waitAgain, f.save(ctx)
	case f.fresh || f.Erased > erased: // the hash has to become known everywhere before the address goes; what was found late may not be the last
		return f.s.cfg.Settle, f.save(ctx)
	}
	if err := f.each(ctx, f.paced(f.drop)); err != nil {
		return 0, err
	}
	f.Stage = store.ErasureDone
	if f.FinishedAt, err = f.s.cfg.Store.Now(ctx); err != nil {
		return 0, err
	}
	return 0, f.save(ctx)
}

// next ends a stage that went well.
func (f *forgetting) next(ctx context.Context, err error) error {
	if err != nil {
		return err
	}
	f.Stage++
	f.Lane, f.Place = comm.ID{}, comm.ID{}
	return f.save(ctx)
}

// save notes how far the job is.
func (f *forgetting) save(ctx context.Context) error {
	now, err := f.s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	f.UpdatedAt = now
	return f.s.cfg.Store.SaveErasure(ctx, f.Erasure)
}

// each calls do for every app that the erasure is about.
func (f *forgetting) each(ctx context.Context, do func(ctx context.Context, app comm.ID) error) error {
	if !f.App.IsZero() {
		return do(ctx, f.App)
	}
	for after := (comm.ID{}); ; {
		apps, err := f.s.cfg.Store.AppList(ctx, after, pageOf)
		if err != nil {
			return err
		}
		for i := range apps {
			if err := do(ctx, apps[i].ID); err != nil {
				return err
			}
		}
		if len(apps) < pageOf {
			break
		}
		after = apps[len(apps)-1].ID
	}
	for after := (comm.ID{}); ; {
		ids, err := f.s.cfg.Store.DeletedApps(ctx, after, pageOf)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := do(ctx, id); err != nil {
				return err
			}
		}
		if len(ids) < pageOf {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// paced is do with the rest that belongs after it, for what does not rest by itself.
func (f *forgetting) paced(do func(ctx context.Context, app comm.ID) error) func(ctx context.Context, app comm.ID) error {
	return func(ctx context.Context, app comm.ID) error {
		began := time.Now()
		if err := do(ctx, app); err != nil {
			return err
		}
		return f.s.erasing.pause(ctx, readingRest*time.Since(began)) // it is reading, nearly always
	}
}

// mark keeps the hash of the address where it is on the app's list. A call that was under way may have put it there just now.
func (f *forgetting) mark(ctx context.Context, app comm.ID) error {
	listed, err := f.s.cfg.Store.Suppression(ctx, app, f.Channel, f.address)
	if comm.IsKind(err, comm.Missing) {
		return nil
	}
	if err != nil {
		return err
	}
	if byApp := listed.Source == comm.SuppressByAPI || listed.Source == comm.SuppressByImport; byApp && listed.CreatedAt > f.CreatedAt {
		return nil // as with messages: what the app brings after the erasure was asked for is new
	}
	if _, err := f.s.cfg.Store.ErasedSuppression(ctx, app, f.Channel, f.hash(app)); err != nil {
		if !comm.IsKind(err, comm.Missing) {
			return err
		}
		f.fresh = true
	}
	err = f.s.cfg.Store.EraseSuppression(ctx, app, f.Channel, f.address, f.hash(app))
	f.s.cfg.Book.Forget(app)
	return err
}

func (f *forgetting) hash(app comm.ID) []byte { return f.s.cfg.Book.Hash(app, f.Channel, f.address) }

// messages ends and erases the app's messages to the address that were accepted before
// the erasure was asked for.
func (f *forgetting) messages(ctx context.Context, app comm.ID) error {
	for filter := (store.Filter{Recipient: f.address, Limit: pageOf}); ; {
		began := time.Now()
		found, err := f.s.cfg.Store.Search(ctx, app, filter)
		if err != nil {
			return err
		}
		took := time.Since(began)
		var ids []comm.ID
		for i := range found.Messages {
			st := &found.Messages[i].State
			if st.CreatedAt > f.CreatedAt || st.Channel != f.Channel {
				continue
			}
			final, err := f.end(ctx, st)
			if err != nil {
				return err
			}
			if final {
				ids = append(ids, st.ID)
			}
		}
		if err := f.erase(ctx, app, ids); err != nil {
			return err
		}
		if err := f.s.erasing.pause(ctx, readingRest*took); err != nil {
			return err
		}
		if filter.Before = found.Before; filter.Before.IsZero() {
			return nil
		}
	}
}

// end cancels a message that has not ended. Of one whose call is under way the wish is kept.
func (f *forgetting) end(ctx context.Context, st *comm.State) (final bool, err error) {
	if st.Status.Final() {
		return true, nil
	}
	began := time.Now()
	_, result, err := f.s.cfg.Store.Cancel(ctx, st.App, st.ID, f.Actor)
	switch {
	case comm.IsKind(err, comm.Missing):
		return false, nil
	case err != nil:
		return false, err
	case result == comm.CancelFlight:
		f.Waiting++
	case result == comm.CancelDone || result == comm.CancelMaybe:
		f.Cancelled++
	}
	return result != comm.CancelFlight, f.s.erasing.pause(ctx, readingRest*time.Since(began))
}

// erase erases messages that are final, a slice at a time.
func (f *forgetting) erase(ctx context.Context, app comm.ID, ids []comm.ID) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), f.s.slice.Size())]
		got, err := f.s.cfg.Store.Erase(ctx, app, some, f.by)
		if err != nil {
			return err
		}
		f.Erased += got.Done
		ids = ids[got.Looked:]
		if err := f.s.erasing.rest(ctx, got.Looked, got.Took); err != nil {
			return err
		}
	}
	return nil
}

// drop takes the address itself off the app's list, where its hash is kept, and out of the index.
// Where the app has written to it since, it stays as one that was put back.
func (f *forgetting) drop(ctx context.Context, app comm.ID) error {
	if err := f.s.cfg.Store.Unindex(ctx, app, f.address); err != nil {
		return err
	}
	_, err := f.s.cfg.Store.Suppression(ctx, app, f.Channel, f.address)
	if comm.IsKind(err, comm.Missing) {
		return nil
	}
	if err != nil {
		return err
	}
	waits, err := f.s.waits(ctx, app, f.Channel, f.address)
	if err != nil {
		return err
	}
	if waits {
		return f.s.cfg.Book.Return(ctx, app, f.Channel, f.address)
	}
	return f.s.cfg.Store.DropSuppression(ctx, app, f.Channel, f.address, f.hash(app), f.CreatedAt)
}
