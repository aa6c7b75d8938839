package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	// latelySQL reads rows of the feed as outboxRowsSQL does those of the outbox, from the newest transaction on: $1 are those that the look before found open, $2 is the first
	// one that it knew nothing of, $3 how many rows. What a copy of another server brought along may have numbers that no transaction has reached yet.
	latelySQL = `
WITH f AS (
  (SELECT f.xid, f.app_id, f.last, f.items FROM feed f WHERE f.xid = ANY ($1::bigint[]) LIMIT $3::bigint)
  UNION ALL
  (SELECT f.xid, f.app_id, f.last, f.items FROM feed f WHERE f.xid >= $2::bigint AND f.xid < pg_snapshot_xmax(pg_current_snapshot())::text::bigint ORDER BY f.xid DESC LIMIT $3::bigint))
SELECT s.snapshot, f.app_id, f.last, f.items FROM (SELECT pg_current_snapshot()::text AS snapshot) s LEFT JOIN f ON true ORDER BY f.xid DESC, f.app_id, f.last DESC`
	// latelyOfSQL reads those of an app behind a position.
	latelyOfSQL = `SELECT last, items FROM feed WHERE app_id = $1 AND last > $2 ORDER BY app_id DESC, last DESC LIMIT $3`
	glimpsesSQL = `
SELECT k.channel, k.mode, e.* FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS x (app, id, n)
CROSS JOIN LATERAL (SELECT ` + eventColumns + ` FROM events WHERE app_id = x.app AND message_id = x.id AND sequence = x.n OFFSET 0) e
CROSS JOIN LATERAL (SELECT s.channel, s.mode FROM state s WHERE s.app_id = x.app AND s.id = x.id OFFSET 0) k`
	recipientsSQL = `
SELECT c.id, CASE WHEN c.shown <> '' THEN c.shown ELSE c.recipient END FROM unnest($1::uuid[], $2::uuid[]) AS x (app, id)
CROSS JOIN LATERAL (SELECT c.id, c.shown, c.recipient FROM content c WHERE c.app_id = x.app AND c.id = x.id OFFSET 0) c`
)

// Newest implements store.Lately. Seen is as that of the outbox, or of an app Seen.From its last position.
func (s *Store) Newest(ctx context.Context, app comm.ID, seen store.Seen, limit int) (out store.Newest, err error) {
	read := func(seen store.Seen) error { return s.newestOfAll(ctx, &out, seen, limit) }
	if !app.IsZero() {
		read = func(seen store.Seen) error { return s.newestOf(ctx, &out, app, seen, limit) }
	}
	if err = read(seen); err == nil && out.Seen.From < seen.From {
		err = read(store.Seen{}) // it was set back
	}
	return out, err
}

func (s *Store) newestOfAll(ctx context.Context, out *store.Newest, seen store.Seen, limit int) error {
	open := int8s(len(seen.Open))
	for _, x := range seen.Open {
		open.i64(x)
	}
	return s.read(ctx, "read what happened last", func(c *pgx.Conn) error {
		*out = store.Newest{}
		n := 0
		var bad error
		rows, err := c.Query(ctx, latelySQL, open, max(seen.From, 1), int64(limit)) // 0 is no transaction
		err = each(rows, err, func(r *reader) {
			at, err := bounds(r.text())
			bad = errors.Join(bad, err)
			if out.Seen = at; r.columns[r.at] == nil {
				return
			}
			n++
			id, last := r.id(), r.i64()
			out.Events = append(out.Events, sqlstore.NewestFirst(sqlstore.Places(id, last, r.next()))...)
		})
		out.More = n >= limit
		return errors.Join(err, bad)
	})
}

func (s *Store) newestOf(ctx context.Context, out *store.Newest, app comm.ID, seen store.Seen, limit int) error {
	return s.read(ctx, "read what happened last in an app", func(c *pgx.Conn) error {
		*out = store.Newest{}
		b := &pgx.Batch{}
		list := uuids(1)
		list.id(app)
		b.Queue(headsSQL, list)
		b.Queue(latelyOfSQL, sqlstore.UUID(app), seen.From, int64(limit))
		r := c.SendBatch(ctx, b)
		defer func() { _ = r.Close() }() // whatever it says was said by the reads
		rows, err := r.Query()
		if err := each(rows, err, func(r *reader) {
			r.next()
			out.Seen.From = r.i64()
		}); err != nil {
			return err
		}
		n := 0
		rows, err = r.Query()
		err = each(rows, err, func(r *reader) {
			n++
			last := r.i64()
			out.Events = append(out.Events, sqlstore.NewestFirst(sqlstore.Places(app, last, r.next()))...)
			out.Seen.From = max(out.Seen.From, last) // the second statement may see more
		})
		out.More = n == limit
		return err
	})
}

// Glimpses implements store.Lately.
func (s *Store) Glimpses(ctx context.Context, events []store.EventRef) (out []store.Glimpse, err error) {
	app, id, n := uuids(len(events)), uuids(len(events)), int4s(len(events))
	for _, e := range events {
		app.id(e.App)
		id.id(e.Message)
		n.i32(int32(e.Sequence))
	}
	err = s.read(ctx, "read events", func(c *pgx.Conn) error {
		out = make([]store.Glimpse, 0, len(events))
		rows, err := c.Query(ctx, glimpsesSQL, app, id, n)
		return each(rows, err, func(r *reader) {
			g := store.Glimpse{Channel: comm.Channel(r.i16()), Mode: comm.Mode(r.i16())}
			r.event(&g.Event)
			out = append(out, g)
		})
	})
	return out, err
}

// Recipients implements store.Lately.
func (s *Store) Recipients(ctx context.Context, messages []store.EventRef) (out map[comm.ID]string, err error) {
	app, id := uuids(len(messages)), uuids(len(messages))
	for _, m := range messages {
		app.id(m.App)
		id.id(m.Message)
	}
	err = s.read(ctx, "read recipients", func(c *pgx.Conn) error {
		out = make(map[comm.ID]string, len(messages))
		rows, err := c.Query(ctx, recipientsSQL, app, id)
		return each(rows, err, func(r *reader) {
			id := r.id()
			out[id] = r.text()
		})
	})
	return out, err
}
