package backlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Bounds of clearing.
const (
	sliceHeads   = 64                   // messages of one transaction at most
	callTime     = time.Second          // how long one call goes on
	leastPause   = 2 * time.Millisecond // between two transactions, or as long as the last one took
	longestPause = 50 * time.Millisecond
)

// Step is where clearing an app stands: what was created until Until and lies behind After goes next.
type Step struct {
	Until comm.Micros
	Unit  comm.Unit
	After store.Head
}

// Cleared is what a call of Cancel did.
type Cleared struct {
	Cancelled int   // CANCELLED
	Uncertain int   // FAILED: an earlier attempt may have been sent
	Next      *Step // goes on there; nil when there is nothing left to do
	Stopped   error // why it ended early, at Next
}

// Cancel cancels what is QUEUED of the scope, which names an app, and was accepted before the first call, or before Scope.Before,
// for about a second, and answers where the next call goes on. An attempt under way is
// left alone: its message is not cancelled, and if it is queued again behind the place
// reached it is. What an app asked for again since then (RETRY) is left alone too. The first call, with
// from nil, is the order: it is noted in the audit log before anything is cancelled.
//
// Once the order is given, or something was cancelled, an error does not hide it: it is answered as Stopped, and
// whoever goes on from Next goes on with the same order. Any other call that fails has done nothing, and may be repeated.
func (s *Service) Cancel(ctx context.Context, scope Scope, from *Step) (*Cleared, error) {
	ordered := from == nil
	if ordered {
		now, err := s.store.Now(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.note(ctx, &scope); err != nil {
			return nil, err
		}
		from = &Step{Until: now}
		if scope.Before != 0 {
			from.Until = min(now, scope.Before-1)
		}
	}
	out, at := &Cleared{}, *from
	err := s.clear(ctx, &scope, &at, out)
	switch {
	case err == nil:
		return out, nil
	case ctx.Err() != nil, !ordered && out.Cancelled+out.Uncertain == 0:
		return nil, err
	}
	out.Next, out.Stopped = &at, err
	return out, nil
}

// clear goes on at a place for about a second, and notes how far it is.
func (s *Service) clear(ctx context.Context, scope *Scope, at *Step, out *Cleared) error {
	begun := time.Now()
	units, err := s.unitsOf(ctx, scope.App)
	if err != nil {
		return err
	}
	for _, u := range units {
		if before(u, at.Unit) || !scope.holds(u) {
			continue
		}
		if u != at.Unit {
			at.Unit, at.After = u, store.Head{}
		}
		for {
			more, err := s.slice(ctx, at, out)
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if time.Since(begun) > s.callTime {
				out.Next = at
				return nil
			}
		}
	}
	return nil
}

// before orders units as unitsOf lists them.
func before(a, b comm.Unit) bool {
	return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Lane, b.Lane)) < 0
}

// slice cancels the next few messages of a unit; more is false at its end.
func (s *Service) slice(ctx context.Context, at *Step, out *Cleared) (more bool, err error) {
	windows, err := s.store.Windows(ctx, []store.Ask{{Unit: at.Unit, After: at.After, Limit: sliceHeads}})
	if err != nil {
		return false, err
	}
	page := windows[0]
	// What is certainly younger than the order is passed over without a transaction: clearing comes to its end however fast an app sends on.
	young := func(h store.Head) bool { return h.ID.Time() > at.Until.Add(comm.IDSlack) }
	for heads := slices.DeleteFunc(slices.Clone(page), young); len(heads) > 0; {
		begun := time.Now()
		done, err := s.store.CancelQueued(ctx, at.Unit, heads, at.Until, store.ActorOf(ctx).Kind)
		if err == nil && done.Looked < 1 {
			err = errors.New("the store looked at none of the messages") // it would be asked for them for ever
		}
		if err != nil {
			return false, err
		}
		out.Cancelled += done.Cancelled
		out.Uncertain += done.Uncertain
		at.After, heads = heads[done.Looked-1], heads[done.Looked:]
		s.pause(ctx, min(max(time.Since(begun), leastPause), longestPause))
		if err := ctx.Err(); err != nil {
			return false, context.Cause(ctx)
		}
	}
	if len(page) > 0 {
		at.After = page[len(page)-1]
	}
	return len(page) == sliceHeads, context.Cause(ctx)
}

// note says in the audit log what is about to be cancelled.
func (s *Service) note(ctx context.Context, scope *Scope) error {
	detail := map[string]any{}
	if scope.Channel != 0 {
		detail["channel"] = map[string]any{"to": scope.Channel.String()}
	}
	if scope.Lane != nil {
		detail["lane"] = map[string]any{"to": scope.Lane.String()}
	}
	text, err := json.Marshal(detail) // in the order of the names
	if err != nil {
		return fmt.Errorf("encode an audit entry: %w", err)
	}
	return s.store.Note(ctx, []store.AuditEntry{{Actor: store.ActorOf(ctx), App: scope.App.ID, Action: comm.AuditQueueCancelled, Target: scope.App.ID.String(), Detail: string(text)}})
}

// Left counts what is in the queue of the scope, those under way too; more says that there are further ones.
func (s *Service) Left(ctx context.Context, scope Scope) (n int, more bool, err error) {
	all, err := s.unitsOf(ctx, scope.App)
	if err != nil {
		return 0, false, err
	}
	var units []comm.Unit
	for _, u := range all {
		if scope.holds(u) {
			units = append(units, u)
		}
	}
	if len(units) == 0 {
		return 0, false, nil
	}
	now, err := s.store.Now(ctx)
	if err != nil {
		return 0, false, err
	}
	depths, err := s.store.Depths(ctx, units, now, bounds(units, LeftMost, nil))
	for i := range depths {
		n += depths[i].Due + depths[i].Later
		more = more || depths[i].More
	}
	return n, more, err
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
