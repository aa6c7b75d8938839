package sqlstore

import (
	"context"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// OldDeliveriesSQL names deliveries that were made before $1, at most $2; those that wait only if they were made before $3.
const OldDeliveriesSQL = `SELECT app_id, endpoint_id, id FROM deliveries WHERE created_at < $1 AND (state <> 1 OR created_at < $3) ORDER BY created_at LIMIT $2`

// TrimDeliveries implements store.Deliveries.
func (c *Cold) TrimDeliveries(ctx context.Context, before, waiting comm.Micros, limit int) (removed int, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		removed = 0
		some, err := collect(ctx, q, func(r Row, d *store.Delivery) error { return r.Scan((*ID)(&d.App), (*ID)(&d.Endpoint), (*ID)(&d.ID)) },
			OldDeliveriesSQL, int64(before), int64(limit), int64(waiting))
		if err != nil {
			return err
		}
		for _, d := range some {
			n, err := affected(ctx, q, `DELETE FROM deliveries WHERE app_id = $1 AND endpoint_id = $2 AND id = $3`, c.d.ID(d.App), c.d.ID(d.Endpoint), c.d.ID(d.ID))
			if err != nil {
				return err
			}
			removed += int(n)
		}
		return nil
	})
	if err != nil {
		return 0, wrap(err, "remove old deliveries")
	}
	return removed, nil
}

// RemoveDeliveries implements store.Deliveries.
func (c *Cold) RemoveDeliveries(ctx context.Context, app, endpoint comm.ID, limit int) (removed int, err error) {
	since, err := c.endpointSince(ctx, app, endpoint)
	if err != nil {
		return 0, err
	}
	got, err := c.removeLeft(ctx, app, endpoint, since, limit)
	return got.Rows, err
}

// removeLeft is RemoveDeliveries of an endpoint that is there since an instant; 0: it is not. What is to go is looked for by a reader: where one thing is
// written at a time, nobody waits while the many rows are passed over that stay.
func (c *Cold) removeLeft(ctx context.Context, app, endpoint comm.ID, since comm.Micros, limit int) (out store.Trimmed, err error) {
	some, err := list(ctx, c.db, "look what an endpoint left", func(r Row, id *comm.ID) error { return r.Scan((*ID)(id)) }, LeftSQL(since),
		append([]any{c.d.ID(app), c.d.ID(endpoint), int64(limit)}, c.leftUntil(since)...)...)
	if err != nil {
		return out, err
	}
	gone := since == 0 && len(some) < limit
	if len(some) == 0 && !gone {
		return out, nil
	}
	var began time.Time
	err = c.db.Write(ctx, func(q Querier) (err error) {
		began = time.Now()
		if out.Rows, err = c.dropForeign(ctx, q, app, endpoint, some); err == nil && gone {
			_, err = q.ExecContext(ctx, `DELETE FROM endpoint_troubles WHERE app_id = $1 AND endpoint_id = $2 AND NOT EXISTS (`+thereSQL+`)`, c.d.ID(app), c.d.ID(endpoint))
		}
		return err
	})
	if err != nil {
		return store.Trimmed{}, wrap(err, "remove an endpoint's deliveries")
	}
	out.Took = time.Since(began)
	return out, nil
}

// DropForeign implements store.Deliveries.
func (c *Cold) DropForeign(ctx context.Context, app, endpoint comm.ID, ids []comm.ID) (removed int, err error) {
	ids = slices.SortedFunc(slices.Values(ids), comm.ID.Compare) // rows are locked in the order in which Record does
	err = c.db.Write(ctx, func(q Querier) (err error) {
		removed, err = c.dropForeign(ctx, q, app, endpoint, ids)
		return err
	})
	if err != nil {
		return 0, wrap(err, "remove deliveries of an endpoint that is gone")
	}
	return removed, nil
}

// DropForeignSQL removes a delivery, $3, if it was not made for the endpoint that has the id $2 of the app $1 now.
const DropForeignSQL = `DELETE FROM deliveries AS d WHERE d.app_id = $1 AND d.endpoint_id = $2 AND d.id = $3 AND ` + foreignSQL

func (c *Cold) dropForeign(ctx context.Context, q Querier, app, endpoint comm.ID, ids []comm.ID) (removed int, err error) {
	for _, id := range ids {
		n, err := affected(ctx, q, DropForeignSQL, c.d.ID(app), c.d.ID(endpoint), c.d.ID(id))
		if err != nil {
			return 0, err
		}
		removed += int(n)
	}
	return removed, nil
}

// thereSQL finds an endpoint that things are posted to, perhaps while it is off.
const thereSQL = `SELECT e.created_at FROM endpoints e JOIN apps a ON a.id = e.app_id AND a.deleted_at = 0 WHERE e.app_id = $1 AND e.id = $2 AND e.url <> ''`

// endpointSince is when an endpoint that is there was created; 0: there is none.
func (c *Cold) endpointSince(ctx context.Context, app, endpoint comm.ID) (comm.Micros, error) {
	some, err := list(ctx, c.db, "look for an endpoint", func(r Row, at *comm.Micros) error { return r.Scan(at) }, thereSQL, c.d.ID(app), c.d.ID(endpoint))
	if err != nil || len(some) == 0 {
		return 0, err
	}
	return max(some[0], 1), nil
}

// foreignSQL is that a delivery d was not made for an endpoint that has the id $2 of the app $1 now.
const foreignSQL = `NOT EXISTS (` + thereSQL + ` AND d.made_for IN (0, e.created_at))`

// LeftSQL names what is left of an endpoint that is gone: $1 the app, $2 the endpoint, $3 how many; where another one has its id since an instant, $4 is the
// first delivery that cannot be of the one before: both instants are of the database's clock.
func LeftSQL(since comm.Micros) string {
	until := ""
	if since != 0 {
		until = ` AND d.id < $4`
	}
	return `SELECT d.id FROM deliveries d WHERE d.app_id = $1 AND d.endpoint_id = $2` + until + ` AND ` + foreignSQL + ` ORDER BY d.id LIMIT $3`
}

func (c *Cold) leftUntil(since comm.Micros) []any {
	if since == 0 {
		return nil
	}
	return []any{c.d.ID(comm.FirstID(since.Add(comm.IDSlack)))}
}

// NextEndpointSQL is the first endpoint from one on that has deliveries, whatever their states: $1 the app, $2 the endpoint.
const NextEndpointSQL = `SELECT app_id, endpoint_id FROM deliveries WHERE (app_id, endpoint_id) >= ($1, $2) ORDER BY app_id, endpoint_id, id LIMIT 1`

// TrimEndpoints implements store.Deliveries.
func (c *Cold) TrimEndpoints(ctx context.Context, after store.EndpointKey, limit int) (out store.Trimmed, err error) {
	from := after
	if following(&from.Endpoint) {
		following(&from.App)
	}
	some, err := list(ctx, c.db, "look whose deliveries there are", func(r Row, k *store.EndpointKey) error { return r.Scan((*ID)(&k.App), (*ID)(&k.Endpoint)) },
		NextEndpointSQL, c.d.ID(from.App), c.d.ID(from.Endpoint))
	if err != nil {
		return out, err
	}
	if len(some) == 0 {
		err = c.db.Write(ctx, func(q Querier) error {
			_, err := q.ExecContext(ctx, `DELETE FROM endpoint_troubles WHERE NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.app_id = endpoint_troubles.app_id AND e.id = endpoint_troubles.endpoint_id)`)
			return err
		})
		return out, wrap(err, "forget since when endpoints that are gone failed")
	}
	at := some[0]
	since, err := c.endpointSince(ctx, at.App, at.Endpoint)
	if err != nil || since != 0 && at.Endpoint != at.App { // no other id is one endpoint's after another's
		return store.Trimmed{Next: at}, err
	}
	if out, err = c.removeLeft(ctx, at.App, at.Endpoint, since, limit); err != nil {
		return out, err
	}
	if out.Next = at; out.Rows == limit {
		out.Next = after // there may be more of it
	}
	return out, nil
}
