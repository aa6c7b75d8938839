package webhook

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// LogConfig is what a Log needs.
type LogConfig struct {
	Store store.Deliveries
	// Endpoint reads an app's endpoint; not_found otherwise.
	Endpoint func(ctx context.Context, app, id comm.ID) (*comm.Endpoint, error)
	// TestBody writes the event that a test tells.
	TestBody func(id comm.ID, now comm.Micros) ([]byte, error)
	// Now is the database's clock.
	Now func(context.Context) (comm.Micros, error)
	// Stir is called when something became due. It must not block.
	Stir func()
}

// Log is what was and is to be posted to an app's endpoints, and posts it again. It is safe for concurrent use.
type Log struct{ cfg LogConfig }

// NewLog makes a Log.
func NewLog(cfg LogConfig) *Log { return &Log{cfg} }

// List reads a page of an endpoint's deliveries, newest first; not_found without the endpoint.
func (l *Log) List(ctx context.Context, app, endpoint comm.ID, f store.DeliveryFilter) ([]store.Delivery, error) {
	if _, err := l.cfg.Endpoint(ctx, app, endpoint); err != nil {
		return nil, err
	}
	page, err := l.cfg.Store.DeliveryList(ctx, app, endpoint, f)
	if err != nil {
		return nil, err
	}
	return page, l.rested(ctx, app, endpoint, page)
}

// rested puts off what waits for an endpoint that is left alone, as it is told.
func (l *Log) rested(ctx context.Context, app, endpoint comm.ID, page []store.Delivery) error {
	if !slices.ContainsFunc(page, isWaiting) {
		return nil
	}
	troubles, err := l.cfg.Store.Troubles(ctx, []comm.ID{app})
	if err != nil {
		return err
	}
	for i := range troubles {
		for k := range page {
			if d := &page[k]; troubles[i].Endpoint == endpoint && isWaiting(*d) {
				d.Due = troubles[i].Next(d.Due)
			}
		}
	}
	return nil
}

func isWaiting(d store.Delivery) bool { return d.State == store.DeliveryWaiting }

// One reads a delivery with its body and its log; not_found without it or its endpoint.
func (l *Log) One(ctx context.Context, app, endpoint, id comm.ID) (store.Delivery, error) {
	if _, err := l.cfg.Endpoint(ctx, app, endpoint); err != nil {
		return store.Delivery{}, err
	}
	return l.read(ctx, app, endpoint, id)
}

// read reads a delivery of an endpoint that is there.
func (l *Log) read(ctx context.Context, app, endpoint, id comm.ID) (store.Delivery, error) {
	d, err := l.cfg.Store.Delivery(ctx, app, endpoint, id)
	if err != nil {
		return store.Delivery{}, err
	}
	page := []store.Delivery{d}
	err = l.rested(ctx, app, endpoint, page)
	return page[0], err
}

// Failing is an endpoint whose calls fail, as Trouble says, and what waits for it.
type Failing struct {
	Since    comm.Micros
	Waiting  int         // events; waitingCounted: these, or more
	Attempts int         // calls that were made for those that were counted
	Next     comm.Micros // when the first of all is tried next; 0: nothing waits
}

// WaitingCounted bounds what is counted of what waits for an endpoint.
const WaitingCounted = 100

// Failing says which of an app's endpoints fail. What it costs does not follow what waits.
func (l *Log) Failing(ctx context.Context, app comm.ID) (map[comm.ID]Failing, error) {
	troubles, err := l.cfg.Store.Troubles(ctx, []comm.ID{app})
	if err != nil {
		return nil, err
	}
	out := make(map[comm.ID]Failing, len(troubles))
	for _, t := range troubles {
		if t.Since == 0 {
			continue
		}
		waiting, err := l.cfg.Store.DeliveryList(ctx, app, t.Endpoint, store.DeliveryFilter{State: store.DeliveryWaiting, Limit: WaitingCounted})
		if err != nil {
			return nil, err
		}
		f := Failing{Since: t.Since, Waiting: len(waiting)}
		for i := range waiting {
			f.Attempts += waiting[i].Attempts
		}
		first, err := l.cfg.Store.DueDeliveries(ctx, store.DueEndpoint{Shard: comm.ShardOf(app, comm.ID{}, 1), App: app, Endpoint: t.Endpoint}, math.MaxInt64, 1)
		if err != nil {
			return nil, err
		}
		if len(waiting) > 0 && len(first) > 0 { // where nothing is listed, what is due is of another endpoint that had the id
			f.Next = t.Next(first[0].Due)
		}
		out[t.Endpoint] = f
	}
	return out, nil
}

// Replay makes a delivery due now, with the same body under the same id, and answers it.
func (l *Log) Replay(ctx context.Context, app, endpoint, id comm.ID) (store.Delivery, error) {
	if _, err := l.active(ctx, app, endpoint); err != nil {
		return store.Delivery{}, err
	}
	if err := l.cfg.Store.Replay(ctx, app, endpoint, id); err != nil {
		return store.Delivery{}, err
	}
	l.cfg.Stir()
	return l.read(ctx, app, endpoint, id)
}

// What one call of ReplayRange makes due at most, how much in one transaction, and for how long it goes on.
const (
	replayMost  = 10_000
	replaySlice = 100
	replayFor   = 10 * time.Second
)

// Range is what ReplayRange makes due again.
type Range struct {
	From, To comm.Micros // when it was made: from the one on, before the other one
	State    store.DeliveryState
	Before   comm.ID // only what was made earlier than this one: where a call before ended; zero begins at the newest
}

// ReplayRange makes due again what was made within a time and is in a state, the newest first. next is where another call goes on: zero when all
// of it was looked at. With an error it is as far as it came.
func (l *Log) ReplayRange(ctx context.Context, app, endpoint comm.ID, r Range) (replayed int, next comm.ID, err error) {
	if _, err := l.active(ctx, app, endpoint); err != nil {
		return 0, r.Before, err
	}
	f := store.DeliveryFilter{State: r.State, CreatedAfter: r.From, CreatedBefore: r.To, Before: r.Before, Limit: replaySlice}
	for began := time.Now(); ; {
		n, next, err := l.cfg.Store.ReplaySome(ctx, app, endpoint, f)
		if err != nil {
			return replayed, f.Before, err
		}
		if replayed += n; n > 0 {
			l.cfg.Stir()
		}
		if f.Before = next; next.IsZero() || replayed >= replayMost || time.Since(began) > replayFor {
			return replayed, next, nil
		}
	}
}

// Test posts an event about a message that does not exist, and answers its delivery.
func (l *Log) Test(ctx context.Context, app, endpoint comm.ID) (store.Delivery, error) {
	e, err := l.active(ctx, app, endpoint)
	if err != nil {
		return store.Delivery{}, err
	}
	now, err := l.cfg.Now(ctx)
	if err != nil {
		return store.Delivery{}, err
	}
	id := comm.NewID(now)
	body, err := l.cfg.TestBody(id, now)
	if err != nil {
		return store.Delivery{}, err
	}
	d := store.Delivery{EventRef: store.EventRef{App: app, Message: id, Sequence: 1}, Endpoint: endpoint, ID: comm.NewID(now), Shard: comm.ShardOf(app, comm.ID{}, 1),
		State: store.DeliveryWaiting, Due: now, CreatedAt: now, MadeFor: e.CreatedAt, EventAt: now, Body: body}
	if err := l.cfg.Store.AddDelivery(ctx, &d); err != nil {
		return store.Delivery{}, err
	}
	l.cfg.Stir()
	page := []store.Delivery{d}
	_ = l.rested(ctx, app, endpoint, page) // it is made: an error would have it made again, for an instant that cannot be told
	return page[0], nil
}

// active reads an endpoint that things are posted to.
func (l *Log) active(ctx context.Context, app, id comm.ID) (*comm.Endpoint, error) {
	e, err := l.cfg.Endpoint(ctx, app, id)
	if err == nil && !e.Active {
		return nil, comm.E("invalid_state", "The webhook endpoint is switched off: set isActive to true first.")
	}
	return e, err
}
