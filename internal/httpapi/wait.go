package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Bounds of waiting for a capture.
const (
	waitsAtOnce = 256 // of this process
	waitsOfApp  = 32
	defaultWait = 30 // seconds
	maxWait     = 50 // seconds: the answer must be out before its connection's time is
	waitReach   = time.Minute
	waitPages   = 8 // of the search in one look, or for one page of captures: some thousands of the newest messages to the recipient
	waitFirst   = 50 * time.Millisecond
	waitMost    = 500 * time.Millisecond
)

// waitForCapture is GET /api/v1/sandbox/messages/wait: the newest message to an address
// that the sandbox took, at once if there is one, else as soon as it is there.
func (a *API) waitForCapture(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "to", "channel", "createdAfter", "timeout")
	if err != nil {
		return err
	}
	f, seconds, err := a.waited(q)
	if err != nil {
		return err
	}
	if !a.waits.Take(caller.App.ID) {
		e := comm.E("unavailable", "Too many requests wait for captures; try again in a second.")
		e.RetryAfter = 1
		return e
	}
	defer a.waits.Leave(caller.App.ID)
	id, err := a.firstCapture(r.Context(), caller.App.ID, f, time.Now().Add(time.Duration(seconds)*time.Second))
	switch {
	case err != nil:
		return err
	case id.IsZero():
		unit := "seconds"
		if seconds == 1 {
			unit = "second"
		}
		return comm.E("nothing_captured", "The sandbox took no message to this address in %d %s of waiting.", seconds, unit)
	}
	m, held, err := a.readWhole(r.Context(), caller.App.ID, id)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	a.answer(w, held, newCapture(m))
	return nil
}

// waited reads what to wait for, and for how many seconds.
func (a *API) waited(q query) (f store.Filter, seconds int, err error) {
	to, ok := q["to"]
	if !ok {
		return f, 0, badQuery("to", "is needed: the recipient to wait for")
	}
	if f, _, err = q.filter(comm.ID{}, ""); err != nil {
		return f, 0, err
	}
	f.Limit, f.Captured = 1, true
	if _, ok := q["createdAfter"]; !ok {
		f.CreatedAfter = a.now() - comm.Micros(waitReach/time.Microsecond)
	}
	if f.Recipient, err = a.cfg.Intake.Recipient(f.Channel, to); err != nil {
		return f, 0, err
	}
	seconds = defaultWait
	if s, ok := q["timeout"]; ok {
		if seconds, err = strconv.Atoi(s); err != nil || seconds < 0 || seconds > maxWait {
			return f, 0, badQuery("timeout", "must be 0 to "+strconv.Itoa(maxWait)+" seconds")
		}
	}
	return f, seconds, nil
}

// firstCapture looks for what the sandbox took until there is something; it answers zero
// when there is nothing until then. Each look is bounded, with growing pauses between them.
func (a *API) firstCapture(ctx context.Context, app comm.ID, f store.Filter, until time.Time) (id comm.ID, err error) {
	for pause := waitFirst; ; pause = min(2*pause, waitMost) {
		if id, err = a.newestCapture(ctx, app, f); err != nil || !id.IsZero() {
			return id, err
		}
		rest := time.Until(until)
		if rest <= 0 {
			return id, nil
		}
		select {
		case <-ctx.Done():
			return id, ctx.Err()
		case <-a.cfg.Leaving:
			e := comm.E("unavailable", "The server is stopping; ask again.")
			e.RetryAfter = 1
			return id, e
		case <-time.After(min(pause, rest)):
		}
	}
}

// newestCapture is one look: the search goes on behind what it has looked at, such as messages that wait.
func (a *API) newestCapture(ctx context.Context, app comm.ID, f store.Filter) (id comm.ID, err error) {
	for range waitPages {
		found, err := a.cfg.Messages.Search(ctx, app, f)
		if err != nil {
			return id, err
		}
		if len(found.Messages) > 0 {
			return found.Messages[0].State.ID, nil
		}
		if f.Before = found.Before; f.Before.IsZero() {
			break
		}
	}
	return id, nil
}

// captured says whether the sandbox took the message.
func captured(s *comm.State) bool { return s.Provider == chain.Sandbox && s.SentAt != 0 }
