package storetest

import (
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// deliveriesOfOneBefore: the endpoint named default has its app's id each time that it is made, by whatever way. What was made for the one before is not shown, not
// replayed and not kept; what is made for this one is, and what a version made that said nothing of it.
func deliveriesOfOneBefore(w *world) {
	for _, way := range []struct{ deleted, created bool }{{true, true}, {true, false}, {false, false}, {false, true}} {
		a := w.app(true).ID
		set := func(url string) {
			w.Helper()
			app, err := w.s.AppByID(w.ctx, a)
			w.must(err)
			app.WebhookURL = url
			w.must(w.s.UpdateApp(w.ctx, app, w.now()))
		}
		set("https://hooks.example.com/1")
		w.madeAnew(a, func() { set("https://hooks.example.com/moved") }, func() {
			if way.deleted {
				w.must(w.s.DeleteEndpoint(w.ctx, a, a))
			} else {
				set("")
			}
			if way.created {
				w.must(w.s.CreateEndpoint(w.ctx, endpoint(a, comm.DefaultEndpoint, w.now())))
			} else {
				set("https://hooks.example.com/2")
			}
		})
	}
}

// madeAnew has deliveries made for an app's webhook, before and after it moves to another address and is made anew.
func (w *world) madeAnew(app comm.ID, move, anew func()) {
	w.Helper()
	now := func() *comm.Endpoint {
		w.Helper()
		e, err := w.s.Endpoint(w.ctx, app, app)
		w.must(err)
		return e
	}
	made := func(n int) (all []store.Delivery) {
		e := now()
		for i := range n {
			all = append(all, w.delivery(app, app, func(d *store.Delivery) { d.MadeFor, d.State = e.CreatedAt, store.DeliveryState(1+i%3) }))
		}
		return all
	}
	old := made(6)
	move() // it stays the same one
	for _, d := range old {
		w.stored(d)
	}
	unsaid := w.delivery(app, app)
	w.must(w.s.SetTrouble(w.ctx, store.Trouble{App: app, Endpoint: app, Since: 7}))
	anew()
	young := made(3)
	list, err := w.s.DeliveryList(w.ctx, app, app, store.DeliveryFilter{Limit: 100})
	w.must(err)
	if len(list) != len(young)+1 || list[len(list)-1].ID != unsaid.ID {
		w.Fatalf("%d are shown: %+v", len(list), list)
	}
	for i, d := range old {
		_, err := w.s.Delivery(w.ctx, app, app, d.ID)
		w.wantCode(err, "not_found")
		w.wantCode(w.s.Replay(w.ctx, app, app, d.ID), "not_found")
		if list, err := w.s.DeliveryList(w.ctx, app, app, store.DeliveryFilter{Limit: 100, Message: d.Message}); err != nil || len(list) != 0 {
			w.Fatalf("%d is shown: %+v %v", i, list, err)
		}
	}
	if n, _, err := w.s.ReplaySome(w.ctx, app, app, store.DeliveryFilter{Limit: 100, State: store.DeliveryExhausted}); err != nil || n != 1 {
		w.Fatalf("%d were replayed, %v", n, err)
	}
	if since, err := w.s.Troubles(w.ctx, []comm.ID{app}); err != nil || len(since) != 0 {
		w.Fatalf("%+v %v", since, err)
	}
	// Half of it by who delivers, the rest by the upkeep, in slices.
	if n, err := w.s.RemoveDeliveries(w.ctx, app, app, 2); err != nil || n != 2 {
		w.Fatalf("%d were removed, %v", n, err)
	}
	removed := 0
	for after, steps := (store.EndpointKey{}), 0; ; steps++ {
		got, err := w.s.TrimEndpoints(w.ctx, after, 2)
		w.must(err)
		if removed += got.Rows; got.Rows == 0 && got.Next == (store.EndpointKey{}) {
			break
		}
		if after = got.Next; steps > 30 {
			w.Fatalf("%d steps", steps)
		}
	}
	e := store.DueEndpoint{Shard: unsaid.Shard, App: app, Endpoint: app}
	due, err := w.s.DueDeliveries(w.ctx, e, w.now()+hour, 100)
	w.must(err)
	if removed != len(old)-2 || len(due) != 3 { // the one that waits, the one that was replayed, the one that does not say
		w.Fatalf("%d were removed, %d are due", removed, len(due))
	}
	for _, d := range append(young, unsaid) {
		if got := w.stored(d); got.MadeFor != d.MadeFor {
			w.Fatalf("%+v", got)
		}
		w.must(w.s.Replay(w.ctx, app, app, d.ID))
	}
}

// deliveriesBefore: much that is done and much that waits is left of the webhook that was set before. What stands in the way of the next one's goes as
// it is read, and nothing else; the upkeep finds the rest, and what is not foreign stays whoever says its id.
func deliveriesBefore(w *world) {
	const done, waiting, page = 60, 50, 20
	a := w.app(true).ID
	w.must(w.s.CreateEndpoint(w.ctx, endpoint(a, comm.DefaultEndpoint, 1)))
	for range done {
		w.delivery(a, a, func(d *store.Delivery) { d.MadeFor, d.State = 1, store.DeliveryDone })
	}
	for range waiting {
		w.delivery(a, a, func(d *store.Delivery) { d.MadeFor, d.Due = 1, 5 })
	}
	w.must(w.s.DeleteEndpoint(w.ctx, a, a))
	w.must(w.s.CreateEndpoint(w.ctx, endpoint(a, comm.DefaultEndpoint, w.now())))
	e, err := w.s.Endpoint(w.ctx, a, a)
	w.must(err)
	mine, unsaid := w.delivery(a, a, func(d *store.Delivery) { d.MadeFor = e.CreatedAt }), w.delivery(a, a)
	var due []store.Delivery
	for reads := 1; ; reads++ {
		due, err = w.s.DueDeliveries(w.ctx, store.DueEndpoint{Shard: mine.Shard, App: a, Endpoint: a}, w.now()+hour, page)
		w.must(err)
		var ids []comm.ID
		foreign := 0
		for _, d := range due {
			if ids = append(ids, d.ID); d.MadeFor == 1 {
				foreign++
			}
		}
		if n, err := w.s.DropForeign(w.ctx, a, a, ids); err != nil || n != foreign {
			w.Fatalf("%d of %d were removed, %v", n, foreign, err)
		}
		if foreign == 0 {
			break
		}
		if reads > waiting/page+1 {
			w.Fatalf("%d of the one before after %d readings", foreign, reads)
		}
	}
	if len(due) != 2 {
		w.Fatalf("%d are due", len(due))
	}
	other := w.app(true).ID
	if n, err := w.s.DropForeign(w.ctx, other, a, []comm.ID{mine.ID}); err != nil || n != 0 {
		w.Fatalf("%d of another app, %v", n, err)
	}
	if n, err := w.s.RemoveDeliveries(w.ctx, a, a, 1000); err != nil || n != done {
		w.Fatalf("%d of %d that were done were left, %v", n, done, err)
	}
	w.stored(mine)
	w.stored(unsaid)
	gone := w.delivery(a, comm.NewID(3), func(d *store.Delivery) { d.MadeFor = 3 })
	if n, err := w.s.DropForeign(w.ctx, a, gone.Endpoint, []comm.ID{gone.ID}); err != nil || n != 1 {
		w.Fatalf("%d of an endpoint that is gone, %v", n, err)
	}
}
