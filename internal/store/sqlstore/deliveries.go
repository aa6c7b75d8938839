package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// DeliveryColumns are the columns of table deliveries in the order in which the stores write them.
const DeliveryColumns = `app_id, endpoint_id, id, shard, message_id, sequence, status, position, state, due, attempts, tries, created_at, ended_at, made_for, event_at, log, body`

// deliveryHead are those that lists show. The log stands before the body in a row, and DeliveryLog bounds it.
const deliveryHead = `app_id, endpoint_id, id, shard, message_id, sequence, status, position, state, due, attempts, tries, created_at, ended_at, made_for, event_at, log`

func scanHead(r Row, d *store.Delivery) error { return r.Scan(append(headOf(d), &d.Log)...) }

func headOf(d *store.Delivery) []any {
	return []any{(*ID)(&d.App), (*ID)(&d.Endpoint), (*ID)(&d.ID), small[comm.Shard]{&d.Shard}, (*ID)(&d.Message), &d.Sequence, small[comm.Status]{&d.Status}, &d.Position,
		small[store.DeliveryState]{&d.State}, &d.Due,
		&d.Attempts, &d.Tries, &d.CreatedAt, &d.EndedAt, &d.MadeFor, &d.EventAt}
}

func scanDelivery(r Row, d *store.Delivery) error {
	return r.Scan(append(headOf(d), &d.Log, &d.Body)...)
}

// DueEndpointsSQL steps from one endpoint with waiting deliveries to the next: $1 the shard, $2 the least endpoint that may follow. With ">"
// SQLite would pass over all the rows of the one before.
const DueEndpointsSQL = `SELECT shard, app_id, endpoint_id, due FROM deliveries WHERE state = 1 AND (shard, endpoint_id) >= ($1, $2) ORDER BY shard, endpoint_id, due LIMIT 1`

// DueDeliveriesSQL reads an endpoint's waiting deliveries: $1 the shard, $2 the endpoint, $3 until when they are due, $4 how many.
const DueDeliveriesSQL = `SELECT ` + DeliveryColumns + ` FROM deliveries WHERE state = 1 AND shard = $1 AND endpoint_id = $2 AND due <= $3 ORDER BY due, id LIMIT $4`

// DueEndpoints implements store.Deliveries.
func (c *Cold) DueEndpoints(ctx context.Context, shards []comm.Shard) (out []store.DueEndpoint, err error) {
	var at store.DueEndpoint
	for {
		some, err := list(ctx, c.db, "look for deliveries that are due", func(r Row, e *store.DueEndpoint) error {
			return r.Scan(small[comm.Shard]{&e.Shard}, (*ID)(&e.App), (*ID)(&e.Endpoint), &e.Due)
		}, DueEndpointsSQL, int64(at.Shard), c.d.ID(at.Endpoint))
		if err != nil || len(some) == 0 || some[0].Shard >= comm.ShardCount { // behind the last there is none
			return out, err
		}
		if at = some[0]; slices.Contains(shards, at.Shard) {
			out = append(out, at)
		}
		following(&at.Endpoint)
	}
}

// DueDeliveries implements store.Deliveries.
func (c *Cold) DueDeliveries(ctx context.Context, e store.DueEndpoint, by comm.Micros, limit int) ([]store.Delivery, error) {
	return list(ctx, c.db, "read deliveries that are due", scanDelivery, DueDeliveriesSQL, int64(e.Shard), c.d.ID(e.Endpoint), int64(by), int64(limit))
}

// RecordSQL notes an attempt: $4 its number, $5 when, $6 the state, $7 the due, $8 its line, $9 the most that a log may have, $10 which try it was, $11
// 1 if it counts as one.
// What another attempt or a replay has decided since stays, but for a success. After a replay there are fewer tries than the call saw.
const RecordSQL = `UPDATE deliveries SET attempts = attempts + 1, tries = tries + CASE WHEN tries + 1 >= $10 AND $11 = 1 THEN 1 ELSE 0 END,
	state = CASE WHEN attempts + 1 = $4 AND tries + 1 = $10 OR $6 = 2 THEN $6 ELSE state END,
	due = CASE WHEN attempts + 1 = $4 AND tries + 1 = $10 THEN $7 ELSE due END,
	ended_at = CASE WHEN (attempts + 1 = $4 AND tries + 1 = $10 OR $6 = 2) AND $6 <> 1 THEN $5 ELSE ended_at END,
	log = CASE WHEN length(log) > $9 THEN $8 ELSE log || $8 END
	WHERE app_id = $1 AND endpoint_id = $2 AND id = $3`

// Record implements store.Deliveries.
func (c *Cold) Record(ctx context.Context, attempts []store.Attempted) error {
	attempts = slices.SortedFunc(slices.Values(attempts), func(a, b store.Attempted) int {
		return cmp.Or(a.App.Compare(b.App), a.Endpoint.Compare(b.Endpoint), a.ID.Compare(b.ID))
	})
	err := c.db.Write(ctx, func(q Querier) error {
		for i := range attempts {
			a := &attempts[i]
			n, err := affected(ctx, q, RecordSQL, c.d.ID(a.App), c.d.ID(a.Endpoint), c.d.ID(a.ID), int64(a.Attempt), int64(a.At), int64(a.State), int64(a.Due), a.Line,
				int64(store.DeliveryLog), int64(a.Try), flag(!a.Cut))
			if err == nil && n == 0 && !a.Unsent && !a.Message.IsZero() {
				err = c.dropReplaced(ctx, q, a)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "record deliveries")
}

// TroublesSQL is the statement of Troubles.
func TroublesSQL(d Dialect) string {
	return `SELECT app_id, endpoint_id, since, rests_until FROM endpoint_troubles WHERE app_id ` + d.Among
}

// dropReplaced removes the delivery with another body that retell has put in the place of one that was being posted, so that no event
// is posted with two bodies.
func (c *Cold) dropReplaced(ctx context.Context, q Querier, a *store.Attempted) error {
	all, err := collect(ctx, q, scanDelivery, RetoldSQL(c.d), c.d.ID(a.App), c.d.ID(a.Message))
	if err != nil {
		return err
	}
	for i := range all {
		if d := &all[i]; d.Endpoint == a.Endpoint && d.Sequence == a.Sequence && d.Attempts == 0 {
			if err := c.dropDelivery(ctx, q, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Cold) dropDelivery(ctx context.Context, q Querier, d *store.Delivery) error {
	_, err := q.ExecContext(ctx, `DELETE FROM deliveries WHERE app_id = $1 AND endpoint_id = $2 AND id = $3`, c.d.ID(d.App), c.d.ID(d.Endpoint), c.d.ID(d.ID))
	return err
}

// Troubles implements store.Deliveries.
func (c *Cold) Troubles(ctx context.Context, apps []comm.ID) ([]store.Trouble, error) {
	return list(ctx, c.db, "read which endpoints fail", func(r Row, t *store.Trouble) error {
		return r.Scan((*ID)(&t.App), (*ID)(&t.Endpoint), &t.Since, &t.RestsUntil)
	}, TroublesSQL(c.d), c.d.IDs(apps))
}

// SetTrouble implements store.Deliveries.
func (c *Cold) SetTrouble(ctx context.Context, t store.Trouble) error {
	err := c.db.Write(ctx, func(q Querier) error {
		if t.Since == 0 && t.RestsUntil == 0 {
			_, err := q.ExecContext(ctx, `DELETE FROM endpoint_troubles WHERE app_id = $1 AND endpoint_id = $2`, c.d.ID(t.App), c.d.ID(t.Endpoint))
			return err
		}
		_, err := q.ExecContext(ctx, `INSERT INTO endpoint_troubles (app_id, endpoint_id, since, rests_until) VALUES ($1, $2, $3, $4) ON CONFLICT (app_id, endpoint_id) DO UPDATE
			SET since = CASE WHEN excluded.since = 0 OR endpoint_troubles.since = 0 THEN excluded.since ELSE endpoint_troubles.since END, rests_until = excluded.rests_until`,
			c.d.ID(t.App), c.d.ID(t.Endpoint), int64(t.Since), int64(t.RestsUntil))
		return err
	})
	return wrap(err, "note whether an endpoint fails")
}

// ofItSQL is that a delivery is of the endpoint that has the id $2 of the app $1 now.
const ofItSQL = `made_for IN (0, (SELECT e.created_at FROM endpoints e WHERE e.app_id = $1 AND e.id = $2))`

// ofMessage is the deliveries of a message of the app $1; n is its parameter. On PostgreSQL a comparison of whole rows leaves no other index.
func (d Dialect) ofMessage(n int) string {
	if d.OneLane {
		return fmt.Sprintf(`(SELECT * FROM deliveries INDEXED BY deliveries_message WHERE message_id = $%d AND app_id = $1 AND sequence > 0) d`, n)
	}
	return fmt.Sprintf(`(SELECT * FROM deliveries WHERE (message_id, app_id) >= ($%d, $1) AND (message_id, app_id) <= ($%d, $1) AND sequence > 0 OFFSET 0) d`, n, n)
}

// deliveriesOf is the statement of a filter: an endpoint's deliveries, newest first, and what binds its parameters.
func (c *Cold) deliveriesOf(columns string, app, endpoint comm.ID, f store.DeliveryFilter) (text string, args []any) {
	args = []any{c.d.ID(app), c.d.ID(endpoint)}
	var where strings.Builder
	place := func(v any) int {
		args = append(args, v)
		return len(args)
	}
	from, order := `deliveries`, ` ORDER BY id DESC`
	if f.State != 0 {
		fmt.Fprintf(&where, ` AND state = %d`, f.State) // a number in the text, so that the indexes of some states apply
	}
	switch {
	case !f.Message.IsZero():
		from = c.d.ofMessage(place(c.d.ID(f.Message)))
	case f.State == store.DeliveryDone:
		from, order = from+c.d.By(`deliveries_done`), order+` NULLS LAST` // as these indexes have it, and the key has not
	case f.State != 0:
		where.WriteString(` AND state <> 2`) // SQLite wants to read the index's own condition
		from, order = from+c.d.By(`deliveries_open`), order+` NULLS LAST`
	}
	if f.CreatedAfter != 0 {
		fmt.Fprintf(&where, ` AND id >= $%d`, place(c.d.ID(comm.FirstID(f.CreatedAfter))))
	}
	if f.CreatedBefore != 0 {
		fmt.Fprintf(&where, ` AND id < $%d`, place(c.d.ID(comm.FirstID(f.CreatedBefore))))
	}
	if !f.Before.IsZero() {
		fmt.Fprintf(&where, ` AND id < $%d`, place(c.d.ID(f.Before)))
	}
	args = append(args, int64(f.Limit))
	return `SELECT ` + columns + ` FROM ` + from + ` WHERE app_id = $1 AND endpoint_id = $2 AND ` + ofItSQL + where.String() + order + fmt.Sprintf(` LIMIT $%d`, len(args)), args
}

// DeliveriesSQL is the statement of DeliveryList for a filter.
func DeliveriesSQL(d Dialect, f store.DeliveryFilter) string {
	text, _ := (&Cold{d: d}).deliveriesOf(deliveryHead, comm.ID{}, comm.ID{}, f)
	return text
}

// DeliveryList implements store.Deliveries.
func (c *Cold) DeliveryList(ctx context.Context, app, endpoint comm.ID, f store.DeliveryFilter) ([]store.Delivery, error) {
	text, args := c.deliveriesOf(deliveryHead, app, endpoint, f)
	return list(ctx, c.db, "list deliveries", scanHead, text, args...)
}

// Delivery implements store.Deliveries.
func (c *Cold) Delivery(ctx context.Context, app, endpoint, id comm.ID) (d store.Delivery, err error) {
	some, err := list(ctx, c.db, "read a delivery", scanDelivery, `SELECT `+DeliveryColumns+` FROM deliveries WHERE app_id = $1 AND endpoint_id = $2 AND id = $3 AND `+ofItSQL,
		c.d.ID(app), c.d.ID(endpoint), c.d.ID(id))
	if err == nil && len(some) == 0 {
		err = comm.E("not_found")
	}
	if err != nil {
		return d, err
	}
	return some[0], nil
}

// againSQL makes a delivery wait for its first try. One that was never posted is due as it is, but where retell has put it off: that stays.
func (c *Cold) againSQL() string {
	return `UPDATE deliveries SET state = 1, due = CASE WHEN attempts = 0 AND state = 1 THEN due ELSE ` + c.d.Now + ` END, tries = 0, ended_at = 0 WHERE app_id = $1 AND endpoint_id = $2 AND id = $3 AND ` + ofItSQL
}

// Replay implements store.Deliveries.
func (c *Cold) Replay(ctx context.Context, app, endpoint, id comm.ID) error {
	err := c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, c.againSQL(), c.d.ID(app), c.d.ID(endpoint), c.d.ID(id))
		if err == nil && n == 0 {
			err = comm.E("not_found")
		}
		return err
	})
	return wrap(err, "replay a delivery")
}

// ReplaySome implements store.Deliveries.
func (c *Cold) ReplaySome(ctx context.Context, app, endpoint comm.ID, f store.DeliveryFilter) (replayed int, next comm.ID, err error) {
	text, args := c.deliveriesOf(`id, state`, app, endpoint, f)
	err = c.db.Write(ctx, func(q Querier) error {
		replayed, next = 0, comm.ID{}
		some, err := collect(ctx, q, func(r Row, d *store.Delivery) error { return r.Scan((*ID)(&d.ID), &d.State) }, text, args...)
		if err != nil {
			return err
		}
		if len(some) == f.Limit {
			next = some[len(some)-1].ID
		}
		slices.Reverse(some) // rows are locked in the order in which Record does
		for _, d := range some {
			if d.State == store.DeliveryWaiting {
				continue
			}
			if _, err := q.ExecContext(ctx, c.againSQL()+` AND state <> 1`, c.d.ID(app), c.d.ID(endpoint), c.d.ID(d.ID)); err != nil {
				return err
			}
			replayed++
		}
		return nil
	})
	if err != nil {
		return 0, comm.ID{}, wrap(err, "replay deliveries")
	}
	return replayed, next, nil
}

// AddDelivery implements store.Deliveries.
func (c *Cold) AddDelivery(ctx context.Context, d *store.Delivery) error {
	err := c.db.Write(ctx, func(q Querier) error {
		_, err := q.ExecContext(ctx, `INSERT INTO deliveries (`+DeliveryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
			c.d.ID(d.App), c.d.ID(d.Endpoint), c.d.ID(d.ID), int64(d.Shard), c.d.ID(d.Message), int64(d.Sequence), int64(d.Status), d.Position, int64(d.State), int64(d.Due),
			int64(d.Attempts), int64(d.Tries), int64(d.CreatedAt), int64(d.EndedAt), int64(d.MadeFor), int64(d.EventAt), d.Log, d.Body)
		return err
	})
	return wrap(err, "store a delivery")
}

// following makes an id the next one; over says that there is none, and the first one again.
func following(id *comm.ID) (over bool) {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			return false
		}
	}
	return true
}

// dropTold removes the deliveries of messages whose content is not to be told any more: their bodies hold parts of it.
func (c *Cold) dropTold(ctx context.Context, q Querier, app comm.ID, ids []comm.ID) error {
	if err := c.untold(ctx, q, app); err != nil {
		return err
	}
	_, err := q.ExecContext(ctx, ToldSQL(c.d), c.d.IDs(ids), c.d.ID(app))
	return err
}

// untold waits for deliveries of the app that are being made, and lets nobody make any until the transaction ends.
func (c *Cold) untold(ctx context.Context, q Querier, app comm.ID) error {
	if c.d.Untold == "" {
		return nil
	}
	_, err := q.ExecContext(ctx, c.d.Untold, int64(HomeOf(app)))
	return err
}

// retell takes a person who is erased out of the deliveries of a message that only names the person. What was posted is not changed but
// removed, since an event has one body. A call of one that no call was recorded of may be under way: what takes its place has another id,
// which whoever posts does not know, and waits until that call cannot be under way any more and should be recorded, which removes it
// (dropReplaced). An event is posted with two bodies only if what that call came to is not stored by then: its process died, or the store did not answer for
// so long (it fails over), or refused that record (webhook puts it aside).
func (c *Cold) retell(ctx context.Context, q Querier, app, message comm.ID, now comm.Micros, e store.Erasing) error {
	if e.Told == nil {
		return nil
	}
	if err := c.untold(ctx, q, app); err != nil {
		return err
	}
	all, err := collect(ctx, q, scanDelivery, RetoldSQL(c.d), c.d.ID(app), c.d.ID(message))
	if err != nil {
		return err
	}
	for i := range all {
		d := &all[i]
		body, holds := e.Told(d.Body)
		if !holds {
			continue
		}
		if body != nil && d.State == store.DeliveryWaiting && d.Attempts == 0 {
			n, err := affected(ctx, q, `UPDATE deliveries SET id = $4, body = $5, due = $6 WHERE app_id = $1 AND endpoint_id = $2 AND id = $3 AND state = 1 AND attempts = 0`,
				c.d.ID(app), c.d.ID(d.Endpoint), c.d.ID(d.ID), c.d.ID(comm.NewID(d.CreatedAt)), body, int64(max(d.Due, now.Add(e.Settle))))
			if err != nil {
				return err
			}
			if n > 0 {
				continue
			}
		}
		if _, err := q.ExecContext(ctx, `DELETE FROM deliveries WHERE app_id = $1 AND endpoint_id = $2 AND id = $3`, c.d.ID(app), c.d.ID(d.Endpoint), c.d.ID(d.ID)); err != nil {
			return err
		}
	}
	return nil
}

// RetoldSQL reads the deliveries of a message in the order in which Record changes rows.
func RetoldSQL(d Dialect) string {
	return `SELECT ` + DeliveryColumns + ` FROM ` + d.ofMessage(2) + ` ORDER BY endpoint_id, id`
}

// ToldSQL is the statement of dropTold. On PostgreSQL rows are found by their messages first, which
// a comparison of whole rows leaves no other index for, and removed by their keys.
func ToldSQL(d Dialect) string {
	if d.OneLane {
		return d.deleteAmong(`deliveries`, `message_id`) + ` AND deliveries.sequence > 0`
	}
	return `DELETE FROM deliveries USING (SELECT m.* FROM ` + setOfIDs + ` CROSS JOIN LATERAL (SELECT t.app_id, t.endpoint_id, t.id FROM deliveries t
		WHERE (t.message_id, t.app_id) >= (x.one, x.app) AND (t.message_id, t.app_id) <= (x.one, x.app) AND t.sequence > 0 OFFSET 0) m OFFSET 0) g
		WHERE deliveries.app_id = ANY (ARRAY[g.app_id]) AND deliveries.endpoint_id = g.endpoint_id AND deliveries.id = g.id`
}

// TrimFeed implements store.Feed.
func (c *Cold) TrimFeed(ctx context.Context, after comm.ID, before comm.Micros, limit int) (removed int, next comm.ID, err error) {
	apps, err := list(ctx, c.db, "list apps", func(r Row, id *comm.ID) error { return r.Scan((*ID)(id)) }, `SELECT id FROM apps WHERE id > $1 ORDER BY id LIMIT 1`, c.d.ID(after))
	if err != nil || len(apps) == 0 {
		return 0, comm.ID{}, err
	}
	app := apps[0]
	rows, err := list(ctx, c.db, "look how old the feed is", func(r Row, p *store.Run) error { return r.Scan(&p.Last, &p.At) },
		`SELECT last, at FROM feed WHERE app_id = $1 ORDER BY app_id, last LIMIT $2`, c.d.ID(app), int64(limit+1))
	if err != nil || len(rows) < 2 {
		return 0, app, err
	}
	var last int64
	for _, x := range rows[:len(rows)-1] { // the next position is counted from the last row of all
		if x.At >= before {
			break
		}
		last = x.Last
	}
	if last == 0 {
		return 0, app, nil
	}
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `DELETE FROM feed WHERE app_id = $1 AND last <= $2`, c.d.ID(app), last)
		removed = int(n)
		return err
	})
	if err != nil {
		return 0, comm.ID{}, wrap(err, "remove the old part of a feed")
	}
	if removed == limit {
		app = after // there may be more of it
	}
	return removed, app, nil
}
