package postgres

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// An accept locks rows of its apps (rates, sms_use, idempotency keys) and waits for whoever has
// locked them: another node's accept as a rule, until its commit, or somebody who
// keeps a transaction open, such as an operator at a prompt. The group waits for so long; then
// each app is asked by itself, so that what one of them has to wait for holds nobody else up,
// and those that wait in vain are refused for now.
const (
	// acceptWait is longer than the server takes to find that two wait for each other (deadlock_timeout, 1 s).
	acceptWait = 2 * time.Second
	// apartWait is what an app is waited for at least whose group waited in vain. One that had to be given up is waited for a
	// restPart of its last rest: others lose no more by it, and a row that many nodes want, one after the other, is got in the end.
	apartWait, restPart = 100 * time.Millisecond, 8
	// apartMost is how long apps in a row may wait in vain before the others are not asked: a whole table is locked.
	apartMost = 500 * time.Millisecond
	// An app that waits in vain is not asked for again for so long, twice as long each time.
	firstRest, lastRest = time.Second, 8 * time.Second
	// suspected is for how long an app is asked for apart afterwards: what it waited for may be one key, and come again.
	suspected = time.Minute
)

// waitSQL sets how long the transaction waits for each lock, in milliseconds.
const waitSQL = `SELECT set_config('lock_timeout', $1, true)`

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// waitedInVain says that a transaction was rolled back because it waited too long for a lock.
func waitedInVain(ctx context.Context, err error) bool { return undoneBy(ctx, err, lockNotAvailable) }

// stopped says that a transaction was rolled back because a statement took too long, or somebody cancelled it who is
// not its caller. It may have waited for locks all the time, each for less than acceptWait, or for anything else: nothing
// is known against its apps.
func stopped(ctx context.Context, err error) bool { return undoneBy(ctx, err, statementCancelled) }

func undoneBy(ctx context.Context, err error, code string) bool {
	undone, ok := errors.AsType[*store.RolledBack](err)
	if !ok || ctx.Err() != nil {
		return false
	}
	refused, ok := errors.AsType[*pgconn.PgError](undone)
	return ok && refused.Code == code
}

// acceptTry stores a part of a group in one transaction that waits so long for each lock; 0: as long as the connection does.
type acceptTry func(part []int, wait time.Duration) (again []int, err error)

// unlessHeld stores a group by try. What has to wait for too long is answered Busy, and nothing of it is stored. When done says
// that others of the same call are stored already, or some of the group are, there is no error any more: see lateFault.
func (s *Store) unlessHeld(ctx context.Context, subs []store.Submission, group []int, done bool, out []store.Accepted, try acceptTry) (again []int, err error) {
	free, apart := s.held.sort(subs, group, out, time.Now())
	if len(free) > 0 {
		again, err = try(free, 0)
		switch {
		case err == nil:
			done = true
		case waitedInVain(ctx, err), stopped(ctx, err):
			again, apart = nil, append(apart, byApp(subs, free)...)
		case done:
			again, apart = nil, append(apart, s.lateFault(ctx, err, subs, free, out)...)
		default:
			return nil, err
		}
	}
	var inVain time.Duration
	for n := 0; n < len(apart); n++ {
		part := apart[n]
		app, began := subs[part[0]].App, time.Now()
		if inVain >= apartMost {
			mark(part, out, store.Busy)
			continue
		}
		more, err := try(part, s.held.patience(app))
		switch {
		case err == nil:
			again, done, inVain = append(again, more...), true, 0
			s.held.release(app)
		case waitedInVain(ctx, err):
			inVain += time.Since(began)
			mark(part, out, store.Busy)
			if s.held.hold(app, time.Now()) {
				s.log.Warn("messages of an app are refused for now: what they count in is locked in the database", "app", app.String(), "error", err)
			}
		case stopped(ctx, err):
			inVain += time.Since(began)
			mark(part, out, store.Busy)
			s.log.Warn("messages of an app are refused for now: storing them took too long, or was cancelled in the database", "app", app.String(), "error", err)
		case done:
			inVain += time.Since(began)
			apart = append(apart, s.lateFault(ctx, err, subs, part, out)...)
		default:
			return nil, err
		}
	}
	return again, nil
}

// lateFault settles a part that failed after others were stored, whose answers an error of the whole call would cost. It
// answers what to try by itself: one row may be at fault, and costs its neighbours nothing. An outage meets all of them.
func (s *Store) lateFault(ctx context.Context, err error, subs []store.Submission, part []int, out []store.Accepted) (apart [][]int) {
	switch {
	case errors.Is(err, store.ErrUncertain):
		mark(part, out, store.Uncertain)
	case len(part) > 1 && ctx.Err() == nil && (!store.Away(err) || store.Doubtful(err)):
		if apart = byApp(subs, part); len(apart) == 1 {
			apart = [][]int{part[:len(part)/2], part[len(part)/2:]}
		}
		return apart
	default:
		mark(part, out, store.Busy)
	}
	s.log.Warn("messages of an app are refused for now: others were stored, and these could not be", "app", subs[part[0]].App.String(), "messages", len(part), "error", err)
	return nil
}

func mark(part []int, out []store.Accepted, as store.AcceptResult) {
	for _, i := range part {
		out[i] = store.Accepted{Result: as}
	}
}

// byApp takes a group apart, in the order in which its apps occur.
func byApp(subs []store.Submission, group []int) (parts [][]int) {
	place := map[comm.ID]int{}
	for _, i := range group {
		n, there := place[subs[i].App]
		if !there {
			n = len(parts)
			place[subs[i].App], parts = n, append(parts, nil)
		}
		parts[n] = append(parts[n], i)
	}
	return parts
}

// held remembers which apps had to be given up. It is safe for concurrent use.
type held struct {
	mu   sync.Mutex
	apps map[comm.ID]waited
}

// waited is what is known of an app that was waited for in vain.
type waited struct {
	failed  time.Time // the last time
	rest    time.Duration
	resting bool // it is not asked for until rest has passed; else it could be stored since
}

// sort answers what can be stored together, and app by app what is to be tried apart; what rests is Busy.
func (h *held) sort(subs []store.Submission, group []int, out []store.Accepted, now time.Time) (free []int, apart [][]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	maps.DeleteFunc(h.apps, func(_ comm.ID, w waited) bool { return now.Sub(w.failed) > suspected })
	if len(h.apps) == 0 {
		return group, nil
	}
	var due []int
	for _, i := range group {
		switch w, there := h.apps[subs[i].App]; {
		case !there:
			free = append(free, i)
		case w.resting && now.Sub(w.failed) < w.rest:
			out[i] = store.Accepted{Result: store.Busy}
		default:
			due = append(due, i)
		}
	}
	return free, byApp(subs, due)
}

// hold lets an app rest; first says that nothing was known against it.
func (h *held) hold(app comm.ID, now time.Time) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.apps == nil {
		h.apps = map[comm.ID]waited{}
	}
	w, there := h.apps[app]
	h.apps[app] = waited{failed: now, rest: min(max(2*w.rest, firstRest), lastRest), resting: true}
	return !there
}

// release ends an app's rest.
func (h *held) release(app comm.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w, there := h.apps[app]; there {
		w.resting = false
		h.apps[app] = w
	}
}

// patience is how long an app is waited for apart.
func (h *held) patience(app comm.ID) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(apartWait, h.apps[app].rest/restPart)
}
