package auth

import (
	"context"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// A call under way is looked after once in lookEvery, by what is known of its key and
// app that is no older than lookAge: together less than the five seconds in which
// every node notices.
const (
	lookEvery = time.Second
	lookAge   = 3 * time.Second
)

// Holds says whether an admitted caller would still be admitted: nil, or the error that
// ends its call. While that cannot be found out the call goes on.
func (a *Authenticator) Holds(ctx context.Context, c *Caller) error {
	if c.by != nil {
		if err := c.by.Holds(ctx); err != nil {
			return err
		}
	}
	app, err := a.again(ctx, c)
	switch {
	case err != nil && !comm.IsKind(err, comm.Missing):
		return nil
	case c.Admin && err != nil:
		return comm.E("not_found", "The app was deleted while this call was under way: the call was stopped. What it had stored before is gone with the app.")
	case c.Admin:
		return nil
	case err != nil || !app.Active || !c.Key.Usable(comm.At(a.cfg.Now())):
		return comm.E("unauthenticated", "The API key or the app ended while this call was under way: the call was stopped. What it had stored before stays stored.")
	}
	return nil
}

// again reads the caller's app as it is now; the error is not_found when the app, or the key, is no more.
func (a *Authenticator) again(ctx context.Context, c *Caller) (*comm.App, error) {
	if c.Admin {
		return a.cfg.Apps.AppByID(ctx, c.App.ID)
	}
	now, err := a.cache.get(ctx, c.Key.Hash, lookAge)
	if err == nil && (now == nil || !now.Key.Usable(comm.At(a.cfg.Now()))) {
		err = comm.E("not_found")
	}
	if err != nil {
		return nil, err
	}
	return now.App, nil
}

// While is a context that ends when the caller does: its key was revoked or expired, or
// its app was deleted or made inactive, on whatever node. The cause is then what Holds
// answers, and ended is called once, before stop returns if it is called at all.
func (a *Authenticator) While(ctx context.Context, c *Caller, ended func()) (_ context.Context, stop func()) {
	w := &watch{auth: a, caller: c, ended: ended}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(time.Hour, w.look)
	w.timer.Reset(w.every())
	return w.ctx, w.stop
}

// watch looks after one call.
type watch struct {
	auth   *Authenticator
	caller *Caller
	ended  func()
	ctx    context.Context // of the call
	cancel context.CancelCauseFunc
	timer  *time.Timer

	mu      sync.Mutex
	stopped bool
}

// every is how often to look: the administrator's app is not remembered, each look asks the database.
func (w *watch) every() time.Duration {
	if w.caller.Admin {
		return lookAge
	}
	return lookEvery
}

func (w *watch) look() {
	err := w.auth.Holds(w.ctx, w.caller)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.stopped || w.ctx.Err() != nil:
	case err == nil:
		w.timer.Reset(w.every())
	default:
		w.cancel(err)
		w.ended()
	}
}

func (w *watch) stop() {
	w.timer.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.cancel(nil)
}
