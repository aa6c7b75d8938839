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
	// openMost is how many erasures are worked on in a pass, oldest first, and openOfApp how many of an app
	// may be open: each looks through every content, and others' wait behind it.
	openMost  = 1000
	openOfApp = 100
	// mentionsAtOnce is how many contents one reading looks through.
	mentionsAtOnce = 200
	// pageOf is how many messages a page of a search holds.
	pageOf = 100
	// readingRest is how many times as long as a reading the rest after it is.
	readingRest = 3
	// waitAgain is how long an erasure that waits for a call to end is left alone.
	waitAgain = 5 * time.Second
)

// Erase asks that everything about an address is removed, from one app or (zero) from all,
// and answers the job. The address is normalised already.
func (s *Service) Erase(ctx context.Context, app comm.ID, ch comm.Channel, text string) (*store.Erasure, error) {
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
	if err := s.room(ctx, app); err != nil {
		return nil, err
	}
	if err := s.cfg.Store.CreateErasure(ctx, e); err != nil {
		return nil, err
	}
	s.stir()
	return e, nil
}

// room refuses an erasure of an app that has too many open already. Those that are asked for at the same moment may be a few more.
func (s *Service) room(ctx context.Context, app comm.ID) error {
	open, err := s.cfg.Store.OpenErasures(ctx, openMost)
	if err != nil {
		return err
	}
	n := 0
	for i := range open {
		if open[i].App == app {
			n++
		}
	}
	if n < openOfApp {
		return nil
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

// erasures works on every open erasure as far as it can.
func (s *Service) erasures(ctx context.Context) error {
	open, err := s.cfg.Store.OpenErasures(ctx, openMost)
	if err != nil {
		return err
	}
	var errs []error
	for i := range open {
		e := &open[i]
		if time.Now().Before(s.again[e.ID]) {
			continue
		}
		if err := s.erasure(ctx, e); err != nil {
			if ctx.Err() != nil || errors.Is(err, errNotLeading) {
				return ctx.Err()
			}
			s.again[e.ID] = time.Now().Add(time.Minute)
			errs = append(errs, fmt.Errorf("erasure %s: %w", e.ID, err)) // another one may work
		}
	}
	return errors.Join(errs...)
}

// forgetting is an erasure at work.
type forgetting struct {
	*store.Erasure
	s       *Service
	address string
	by      store.Erasing
	fresh   bool // a hash was made that other nodes may not know yet
}

// erasure does what can be done of one job now.
func (s *Service) erasure(ctx context.Context, e *store.Erasure) error {
	if e.Sealed == nil {
		return errors.New("its address is gone")
	}
	text, err := s.sealer.Open(*e.Sealed, store.ErasedAddresses().Place(e.App, e.ID))
	if err != nil {
		return err
	}
	f := &forgetting{Erasure: e, s: s, address: string(text), by: store.Erasing{Actor: e.Actor, Mask: address.Mask(string(text))}}
	for e.FinishedAt == 0 {
		waits, err := f.stage(ctx)
		if err != nil {
			return err
		}
		if waits > 0 {
			s.again[e.ID] = time.Now().Add(waits)
			return nil
		}
	}
	delete(s.again, e.ID)
	s.cfg.Log.Info("a person was erased", "erasure", e.ID.String(), "messages", e.Erased, "cancelled", e.Cancelled, "masked", e.Masked)
	return nil
}

// stage does the present stage and moves on, or says how long to wait.
func (f *forgetting) stage(ctx context.Context) (waits time.Duration, err error) {
	switch f.Stage {
	case store.ErasureMarked:
		return 0, f.next(ctx, f.each(ctx, f.mark))
	case store.ErasureMessages:
		return 0, f.next(ctx, f.each(ctx, f.messages))
	case store.ErasureMentions:
		return 0, f.next(ctx, f.mentions(ctx))
	}
	now, err := f.s.cfg.Store.Now(ctx)
	if err != nil {
		return 0, err
	}
	if left := f.s.cfg.Settle - time.Duration(now-f.CreatedAt)*time.Microsecond; left > 0 {
		return left, nil
	}
	// Once more: what was accepted when the erasure was asked for may have been stored, or
	// become searchable, since; and a call that has ended may have put the address on the list.
	f.Waiting, f.fresh = 0, false
	erased := f.Erased
	if err := f.each(ctx, f.mark); err != nil {
		return 0, err
	}
	if err := f.each(ctx, f.messages); err != nil {
		return 0, err
	}
	f.Lane, f.Place = comm.ID{}, comm.FirstID(f.CreatedAt-comm.Micros(late.Microseconds()))
	if err := f.mentions(ctx); err != nil {
		return 0, err
	}
	switch {
	case f.Waiting > 0:
		return waitAgain, f.save(ctx)
	case f.fresh || f.Erased > erased: // the hash has to become known everywhere before the address goes; what was found late may not be the last
		return f.s.cfg.Settle, f.save(ctx)
	}
	if err := f.each(ctx, f.drop); err != nil {
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

// each calls do for every app that the erasure is about, beginning with the one it had come to.
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

// mark keeps the hash of the address where it is on the app's list.
func (f *forgetting) mark(ctx context.Context, app comm.ID) error {
	_, err := f.s.cfg.Store.Suppression(ctx, app, f.Channel, f.address)
	if comm.IsKind(err, comm.Missing) {
		return nil
	}
	if err != nil {
		return err
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
		found, err := f.s.cfg.Store.Search(ctx, app, filter)
		if err != nil {
			return err
		}
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
	_, result, err := f.s.cfg.Store.Cancel(ctx, st.App, st.ID, f.Actor)
	switch {
	case comm.IsKind(err, comm.Missing):
		return false, nil
	case err != nil:
		return false, err
	case result == comm.CancelFlight:
		f.Waiting++
		return false, nil
	case result == comm.CancelDone || result == comm.CancelMaybe:
		f.Cancelled++
	}
	return true, nil
}

// erase erases messages that are final, a slice at a time.
func (f *forgetting) erase(ctx context.Context, app comm.ID, ids []comm.ID) error {
	for len(ids) > 0 {
		some := ids[:min(len(ids), f.s.slice.Size())]
		ids = ids[len(some):]
		n, took, err := f.s.cfg.Store.Erase(ctx, app, some, f.by)
		if err != nil {
			return err
		}
		f.Erased += n
		if err := f.s.rest(ctx, len(some), took); err != nil {
			return err
		}
	}
	return nil
}

// mentions masks the address in the contents of other messages, from where it had come to.
func (f *forgetting) mentions(ctx context.Context) error {
	text, err := inJSON(f.address)
	if err != nil {
		return err
	}
	from, resumed := f.Place, f.Lane
	for after := (comm.ID{}); ; {
		lanes, err := f.s.cfg.Store.UpkeepLanes(ctx, after, pageOf)
		if err != nil {
			return err
		}
		for _, lane := range lanes {
			if lane.Compare(resumed) < 0 {
				continue
			}
			place := from
			if !resumed.IsZero() && lane != resumed {
				place = comm.ID{}
			}
			if err := f.lane(ctx, store.Mention{Lane: lane, App: f.App, After: place, Text: text, Limit: mentionsAtOnce}); err != nil {
				return err
			}
		}
		if len(lanes) < pageOf {
			return nil
		}
		after = lanes[len(lanes)-1]
	}
}

// lane looks through one lane. How far it is is noted with each change, and now and then.
func (f *forgetting) lane(ctx context.Context, m store.Mention) error {
	noted := time.Now()
	for {
		began := time.Now()
		found, next, err := f.s.cfg.Store.Mentions(ctx, m)
		if err != nil {
			return err
		}
		took := time.Since(began)
		changed, missed, err := f.mask(ctx, found)
		if err != nil {
			return err
		}
		if changed || time.Since(noted) > poll {
			f.Lane, f.Place, noted = m.Lane, m.After, time.Now()
			if err := f.save(ctx); err != nil {
				return err
			}
		}
		// Reading does not hold accepts up, but for the processor.
		if err := f.s.pause(ctx, readingRest*took); err != nil {
			return err
		}
		if missed {
			continue // something happened to one of them meanwhile
		}
		if m.After = next; next.IsZero() {
			return nil
		}
	}
}

// mask masks the address in contents, each in a transaction of its own.
func (f *forgetting) mask(ctx context.Context, found []store.Mentioned) (changed, missed bool, err error) {
	for i := range found {
		m := &found[i]
		if m.Recipient == f.address || m.ID.Time() > f.CreatedAt {
			continue // a message to the address is erased as a whole
		}
		x, mentions, err := rewritten(m, f.address)
		if err != nil || !mentions {
			continue // what cannot be read cannot be sent or shown either
		}
		n, err := f.s.cfg.Store.Rewrite(ctx, []store.Rewriting{x}, f.by)
		if err != nil {
			return changed, missed, err
		}
		f.Masked += n
		changed, missed = changed || n > 0, missed || n == 0
	}
	return changed, missed, nil
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
