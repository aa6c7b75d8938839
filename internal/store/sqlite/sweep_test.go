package sqlite

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// writes counts the turns of the writer that shared SQL takes.
type writes struct {
	sqlstore.DB
	n int
}

func (w *writes) Write(ctx context.Context, fn func(sqlstore.Querier) error) error {
	w.n++
	return w.DB.Write(ctx, fn)
}

// The sweep for what deleted endpoints left looks through many deliveries that stay: that is no work of the writer's, for whom everybody waits.
func TestTheSweepReadsBesideTheWriter(t *testing.T) {
	t.Parallel()
	s := opened(t)
	ctx := t.Context()
	counted := &writes{DB: s}
	c := sqlstore.NewCold(counted, sqlstore.SQLite())
	now := comm.At(time.Now())
	a := &comm.App{ID: comm.NewID(now), Slug: "a", Active: true, WebhookURL: "https://hooks.example.com/", RatePerMinute: 1, ShardSpread: 1, CreatedAt: now, UpdatedAt: now}
	if _, err := s.CreateApp(ctx, a, nil); err != nil {
		t.Fatal(err)
	}
	e, err := s.Endpoint(ctx, a.ID, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	add := func(i int, madeFor comm.Micros) {
		t.Helper()
		d := store.Delivery{EventRef: store.EventRef{App: a.ID, Message: comm.NewID(now), Sequence: 1}, Endpoint: a.ID, ID: comm.NewID(e.CreatedAt.Add(time.Duration(i) * time.Millisecond)),
			Status: comm.Sent, State: store.DeliveryDone, CreatedAt: now, MadeFor: madeFor, Body: fmt.Appendf(nil, "%d", i)}
		if err := s.AddDelivery(ctx, &d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		add(i, e.CreatedAt)
	}
	sweep := func(removed, wrote int) {
		t.Helper()
		counted.n = 0
		got, err := c.TrimEndpoints(ctx, store.EndpointKey{}, 10)
		if err != nil || got.Rows != removed || got.Next != (store.EndpointKey{App: a.ID, Endpoint: a.ID}) || counted.n != wrote || (got.Took > 0) != (wrote > 0) {
			t.Errorf("%+v %v with %d turns of the writer, want %d rows with %d", got, err, counted.n, removed, wrote)
		}
	}
	sweep(0, 0)
	for i := range 3 {
		add(40+i, e.CreatedAt-1)
	}
	sweep(3, 1)
	sweep(0, 0)
}
