package receipt

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// lead does what one of all nodes should, while this one does: requests that a crash left, reports that are to be
// told again, and questions.
func (s *Service) lead(ctx context.Context) {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if !s.cfg.Leads() {
			s.left = left{}
		} else {
			err := s.Look(ctx)
			switch {
			case err == nil:
				s.looking.Worked()
			case ctx.Err() == nil:
				s.looking.Failed(err)
			}
		}
		timer.Reset(poll)
	}
}

// Look does once what is due; what fails keeps nothing else from being done. The leader calls it from time to time.
func (s *Service) Look(ctx context.Context) error {
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	left := s.leftOver(ctx, now)
	_, refused, told := s.tellAgain(ctx, now)
	return errors.Join(left, refused, told, s.ask(ctx), s.forgetWords(ctx))
}

// CatchUp applies what is stored, whichever node took it and whoever leads: afterwards every report that was acknowledged before the
// call has been told to its message. What the store refuses for what is in it is put off as always; where it takes not even that, what is due
// behind it is left to the next look. Whoever sends calls it before
// an attempt that a report may make needless. It is safe for concurrent use: what two apply at once is applied once.
func (s *Service) CatchUp(ctx context.Context) error {
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	behind, every := comm.ID{}, func(all []store.Receipt) []store.Receipt { return all }
	for more := true; more; more = !behind.IsZero() {
		if behind, _, err = s.applyBehind(ctx, now+1, behind, every); err != nil {
			return err
		}
	}
	// Parked while their attempts were under way, they are due within a second; those that are told now and still wait, after it.
	const order = 10 * time.Microsecond // of those that were parked in one moment
	at := now.Add(store.NextLook(0, true) + order)
	for more := true; more; {
		if more, _, err = s.tellAgain(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// forgetWords forgets from time to time in which order persons said what; a request is given up long before.
func (s *Service) forgetWords(ctx context.Context) error {
	at := s.cfg.Now()
	if at.Sub(s.trimmed) < time.Hour {
		return nil
	}
	s.trimmed = at
	return s.cfg.Store.TrimWishes(ctx, comm.At(at.Add(-store.ParkedFor)))
}

// left is how far the leader is with what a crash left.
type left struct {
	began  comm.Micros // when this node began to lead, by the database's clock; 0: it has not looked yet
	behind comm.ID     // what was looked at last; zero: from the first one on
}

// leftOver applies requests that nobody applied for a while, and all that are older than this node's lead: the process that
// stored them may be gone, with the attempts that they settle. It goes on where it was, so that what rests hides nothing else.
func (s *Service) leftOver(ctx context.Context, now comm.Micros) error {
	if s.left.began == 0 {
		s.left.began = now
	}
	before := max(now.Add(-leftAfter), s.left.began)
	var refused error
	for range maxRounds {
		next, odd, err := s.applyBehind(ctx, before, s.left.behind, s.held.others)
		if err != nil {
			return err
		}
		if refused == nil {
			refused = odd
		}
		if s.left.behind = next; next.IsZero() {
			break
		}
	}
	return refused
}

// applyBehind applies the next stored requests that came before an instant, those that a filter leaves. It answers the last one that
// it looked at, zero at the end, and what it heard of requests that the store refuses.
func (s *Service) applyBehind(ctx context.Context, before comm.Micros, behind comm.ID, filter func([]store.Receipt) []store.Receipt) (last comm.ID, refused, err error) {
	all, err := s.cfg.Store.Received(ctx, before, behind, applyMost)
	if err != nil || len(all) == 0 {
		return last, nil, err
	}
	last = all[len(all)-1].ID
	if all = s.rested(filter(all)); len(all) > 0 {
		if refused = s.applyReceipts(ctx, all); s.stuck(ctx, refused) {
			return last, nil, refused
		}
	}
	return last, refused, nil
}

// maxRounds bounds what one kind of work does before the others have their turn.
const maxRounds = 20

// tellAgain tells parked reports that are due at an instant, and says whether there may be more.
// What the store refuses and does not even put off is no error of those behind it.
func (s *Service) tellAgain(ctx context.Context, at comm.Micros) (more bool, refused, err error) {
	for range maxRounds {
		due, err := s.cfg.Store.Parked(ctx, at, applyMost)
		if err != nil || len(due) == 0 {
			return false, nil, err
		}
		refused := s.applyParked(ctx, due)
		switch {
		case s.stuck(ctx, refused):
			return false, nil, refused
		case refused != nil || len(due) < applyMost:
			return false, refused, nil
		}
	}
	return true, nil, nil
}

// applyParked applies parked reports. One that the store refuses stands alone in the end and is put off, as if its message
// were not found: it costs the others nothing, and goes in time.
func (s *Service) applyParked(ctx context.Context, due []store.Report) error {
	err := s.resolve(ctx, due)
	if err == nil {
		err = s.apply(ctx, store.ReportBatch{Node: s.cfg.Node, Reports: due})
	}
	if err == nil || s.stuck(ctx, err) {
		return err
	}
	if half := len(due) / 2; half > 0 {
		return errors.Join(s.applyParked(ctx, due[:half]), s.applyParked(ctx, due[half:]))
	}
	return s.putOff(ctx, store.ReportBatch{Node: s.cfg.Node, Reports: due}, err)
}

// putOff parks reports that cannot be applied, whatever their message; the request that said so is done with.
func (s *Service) putOff(ctx context.Context, b store.ReportBatch, why error) error {
	for i := range b.Reports {
		b.Reports[i].Later = true
	}
	if err := s.apply(ctx, b); err != nil {
		return errors.Join(why, err)
	}
	if left, ok := s.refusals.Speak(s.cfg.Now()); ok {
		x := &b.Reports[0]
		s.cfg.Log.WarnContext(ctx, "a report cannot be applied now and is put off", "provider", x.Name, "config", x.Provider.String(), "ref", x.Ref, "err", why, "unsaid", left)
	}
	return nil
}

// stuck says of an error that it says nothing of what was to be applied: nothing can be applied now.
func (s *Service) stuck(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || store.Away(err) || comm.IsKind(err, comm.Unavailable))
}

// trouble is what is known of a request that the store refuses.
type trouble struct {
	tries int
	until time.Time // not tried before
}

// exhausted counts the tries of a request, lets it rest, and says whether it is given up: only what is old as well, since the
// store may refuse it because somebody holds its message.
func (s *Service) exhausted(x *store.Receipt, patience time.Duration) bool {
	const most = 10_000
	now := s.cfg.Now()
	s.troublesMu.Lock()
	defer s.troublesMu.Unlock()
	if len(s.troubles) > most {
		clear(s.troubles)
	}
	t := s.troubles[x.ID]
	t.tries++
	t.until = now.Add(min(time.Duration(t.tries)*restAfter, maxRest))
	s.troubles[x.ID] = t
	if t.tries < maxTries || comm.At(now).Sub(x.At) < patience {
		return false
	}
	delete(s.troubles, x.ID)
	return true
}

// rested leaves out requests that the store has refused a moment ago: they would only hold the others up.
func (s *Service) rested(all []store.Receipt) []store.Receipt {
	now := s.cfg.Now()
	s.troublesMu.Lock()
	defer s.troublesMu.Unlock()
	return slices.DeleteFunc(all, func(x store.Receipt) bool { return now.Before(s.troubles[x.ID].until) })
}
