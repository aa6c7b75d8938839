package backlog

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
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
}

// Cancel cancels what is QUEUED of the scope, which names an app, and was created before the first call,
// for about a second, and answers where the next call goes on. An attempt under way is
// left alone: its message is not cancelled, and if it is queued again behind the place
// reached it is. The first call, with from nil, is noted in the audit log before anything is cancelled.
func (s *Service) Cancel(ctx context.Context, scope Scope, from *Step) (*Cleared, error) {
	begun := time.Now()
	if from == nil {
		now, err := s.store.Now(ctx)
		if err != nil {
			return nil, err
		}
		if err := s.note(ctx, &scope); err != nil {
			return nil, err
		}
		from = &Step{Until: now}
	}
	units, err := s.unitsOf(ctx, scope.App)
	if err != nil {
		return nil, err
	}
	out := &Cleared{}
	at := *from
	for _, u := range units {
		if before(u, at.Unit) || !scope.holds(u) {
			continue
		}
		if u != at.Unit {
			at.Unit, at.After = u, store.Head{}
		}
		for {
			more, err := s.slice(ctx, &at, out)
			if err != nil {
				return nil, err
			}
			if !more {
				break
			}
			if time.Since(begun) > callTime {
				out.Next = &at
				return out, nil
			}
		}
	}
	return out, nil
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
	for heads := windows[0]; len(heads) > 0; {
		begun := time.Now()
		done, err := s.store.CancelQueued(ctx, at.Unit, heads, at.Until, store.ActorOf(ctx).Kind)
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
	return len(windows[0]) == sliceHeads, nil
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
	depths, err := s.store.Depths(ctx, units, now, CountMost)
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
