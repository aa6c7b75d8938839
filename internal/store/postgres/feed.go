package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	headsSQL = `SELECT x.n, (SELECT f.last FROM feed f WHERE f.app_id = x.app ORDER BY f.app_id DESC, f.last DESC LIMIT 1) FROM unnest($1::uuid[]) WITH ORDINALITY AS x (app, n)`
	// usedUpSQL removes rows of the outbox, each named by its place and its transaction.
	usedUpSQL = `
WITH gone AS (DELETE FROM outbox WHERE ctid = ANY ($1::text[]::tid[]) AND xid + 0 = ANY ($2::bigint[]) RETURNING 1)
SELECT CASE WHEN (SELECT count(*) FROM gone) <> cardinality($1) THEN refuse('ZS003', 'events have been stamped already', '') END`
	// splitSQL takes the first bytes out of a row of the outbox. The new version has another place, and the same transaction.
	splitSQL = `
WITH cut AS (UPDATE outbox SET items = substring(items FROM $3::integer) WHERE ctid = $1::text::tid AND xid + 0 = $2 RETURNING ctid::text AS place)
SELECT (SELECT place FROM cut), CASE WHEN NOT EXISTS (SELECT 1 FROM cut) THEN refuse('ZS003', 'events have been stamped already', '') END`
	feedInsertSQL = `INSERT INTO feed (app_id, last, at, items) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bytea[])`
	madeSQL       = `
INSERT INTO deliveries (` + sqlstore.DeliveryColumns + `)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::smallint[], $5::uuid[], $6::integer[], $7::smallint[], $8::bigint[], $9::smallint[], $10::bigint[],
  $11::integer[], $12::integer[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::text[], $18::bytea[])`
	feedRowsSQL = `SELECT last, items FROM feed WHERE app_id = $1 AND last > $2 ORDER BY app_id, last LIMIT $3`
	storiesSQL  = `
SELECT ` + stateOf + `, CASE WHEN c.shown <> '' THEN c.shown ELSE c.recipient END, c.payload FROM unnest($1::uuid[], $2::uuid[]) AS x (app, id)
CROSS JOIN LATERAL (SELECT * FROM state s WHERE s.app_id = x.app AND s.id = x.id OFFSET 0) s
CROSS JOIN LATERAL (SELECT c.shown, c.recipient, c.payload FROM content c WHERE c.app_id = x.app AND c.id = x.id OFFSET 0) c`
	logsSQL = `
SELECT e.* FROM unnest($1::uuid[], $2::uuid[]) AS x (app, id)
CROSS JOIN LATERAL (SELECT ` + eventColumns + ` FROM events WHERE app_id = x.app AND message_id = x.id ORDER BY app_id, message_id, sequence OFFSET 0) e`
	// toldLockSQL waits for erasures of these shards, and lets others stamp meanwhile. The statement after it sees what they have done.
	toldLockSQL = `SELECT pg_advisory_xact_lock_shared(` + sqlstore.ToldLock + `, s) FROM unnest($1::integer[]) s`
	// erasedSQL refuses what tells of a message that was erased since its log was read.
	erasedSQL = `
SELECT CASE WHEN EXISTS (SELECT 1 FROM unnest($1::uuid[], $2::uuid[], $3::integer[]) AS x (app, id, seen)
  CROSS JOIN LATERAL (SELECT 1 FROM events e WHERE e.app_id = x.app AND e.message_id = x.id AND e.sequence > x.seen AND e.type = $4 OFFSET 0) e)
  THEN refuse('ZS004', 'erased meanwhile', '') END`
	// stampedAlready and erasedSince are the codes of usedUpSQL's refusal and erasedSQL's.
	stampedAlready, erasedSince = "ZS003", "ZS004"
)

// Heads implements store.Feed.
func (s *Store) Heads(ctx context.Context, apps []comm.ID) (out []int64, err error) {
	list := uuids(len(apps))
	for _, app := range apps {
		list.id(app)
	}
	err = s.read(ctx, "read the ends of feeds", func(c *pgx.Conn) error {
		out = make([]int64, len(apps))
		rows, err := c.Query(ctx, headsSQL, list)
		return each(rows, err, func(r *reader) { out[r.i64()-1] = r.i64() })
	})
	return out, err
}

// Stories implements store.Feed.
func (s *Store) Stories(ctx context.Context, refs []store.EventRef) (out []comm.Message, err error) {
	app, id := uuids(len(refs)), uuids(len(refs))
	for _, x := range refs {
		app.id(x.App)
		id.id(x.Message)
	}
	err = s.read(ctx, "read messages with their logs", func(c *pgx.Conn) error {
		out = make([]comm.Message, 0, len(refs))
		place := make(map[comm.ID]int, len(refs))
		b := &pgx.Batch{}
		b.Queue(storiesSQL, app, id)
		b.Queue(logsSQL, app, id)
		r := c.SendBatch(ctx, b)
		defer func() { _ = r.Close() }() // whatever it says was said by the reads
		rows, err := r.Query()
		if err := each(rows, err, func(r *reader) {
			var m comm.Message
			readMessage(r, &m)
			place[m.State.ID] = len(out)
			out = append(out, m)
		}); err != nil {
			return err
		}
		rows, err = r.Query()
		return each(rows, err, func(r *reader) {
			var e comm.Event
			r.event(&e)
			// Events that were written between the two statements belong to a later picture.
			if i, ok := place[e.Message]; ok && e.Sequence <= out[i].Sequence {
				out[i].Events = append(out[i].Events, e)
			}
		})
	})
	return out, err
}

// Stamp implements store.Feed.
func (s *Store) Stamp(ctx context.Context, st store.Stamping) (left store.RowKey, err error) {
	shard, epoch := int2s(len(st.Leases)), int8s(len(st.Leases))
	for _, l := range st.Leases {
		shard.i16(int16(l.Shard))
		epoch.i64(l.Epoch)
	}
	place, xid := texts(len(st.Rows)), int8s(len(st.Rows))
	whole := st.Rows
	if st.Split > 0 {
		whole, left = st.Rows[:len(st.Rows)-1], st.Rows[len(st.Rows)-1]
	}
	for _, k := range whole {
		place.text(k.Place)
		xid.i64(k.Transaction)
	}
	app, last, at, items := uuids(len(st.Runs)), int8s(len(st.Runs)), int8s(len(st.Runs)), byteas(len(st.Runs))
	for i := range st.Runs {
		x := &st.Runs[i]
		var b []byte
		for _, e := range x.Events {
			b = sqlstore.AppendPlace(b, e.Message, e.Sequence)
		}
		app.id(x.App)
		last.i64(x.Last)
		at.i64(int64(x.At))
		items.bytes(b)
	}
	b := &pgx.Batch{}
	if len(st.Told) > 0 {
		queueTold(b, st.Told)
	}
	b.Queue(fence(), st.Node, shard, epoch)
	b.Queue(usedUpSQL, place, xid)
	split := -1 // where its answer comes
	if st.Split > 0 {
		split = b.Len()
		b.Queue(splitSQL, left.Place, left.Transaction, int64(st.Split*sqlstore.RefSize+1))
	}
	b.Queue(feedInsertSQL, app, last, at, items)
	if len(st.Made) > 0 {
		b.Queue(madeSQL, deliveryArgs(st.Made)...)
	}
	err = s.write(ctx, s.control, "stamp events", func(c *session) error {
		return s.batch(ctx, c, hotSettings(), b, func(r pgx.BatchResults) error {
			for i := range b.Len() {
				if i == split {
					if err := r.QueryRow().Scan(&left.Place, nil); err != nil {
						return err
					}
				} else if _, err := r.Exec(); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch refused.Code {
		case turnRefused:
			return left, lostShards(refused.Detail)
		case stampedAlready:
			return left, store.ErrStamped
		case erasedSince:
			return left, store.ErrErased
		}
	}
	return left, err
}

// queueTold makes sure that nothing is told of what was erased, or is being erased.
func queueTold(b *pgx.Batch, told []store.EventRef) {
	shard := int4s(0)
	app, id, seen := uuids(len(told)), uuids(len(told)), int4s(len(told))
	locked := [comm.ShardCount]bool{}
	for _, x := range told {
		app.id(x.App)
		id.id(x.Message)
		seen.i32(int32(x.Sequence))
		locked[sqlstore.HomeOf(x.App)] = true
	}
	for s, yes := range locked {
		if yes {
			shard.i32(int32(s))
		}
	}
	b.Queue(toldLockSQL, shard)
	b.Queue(erasedSQL, app, id, seen, int16(comm.CauseErased))
}

// deliveryArgs makes the arrays of madeSQL.
func deliveryArgs(all []store.Delivery) []any {
	n := len(all)
	app, endpoint, id, shard, message, sequence := uuids(n), uuids(n), uuids(n), int2s(n), uuids(n), int4s(n)
	status, position, state, due, attempts, tries := int2s(n), int8s(n), int2s(n), int8s(n), int4s(n), int4s(n)
	created, ended, madeFor, eventAt, log, body := int8s(n), int8s(n), int8s(n), int8s(n), texts(n), byteas(n)
	for i := range all {
		d := &all[i]
		app.id(d.App)
		endpoint.id(d.Endpoint)
		id.id(d.ID)
		shard.i16(int16(d.Shard))
		message.id(d.Message)
		sequence.i32(int32(d.Sequence))
		status.i16(int16(d.Status))
		position.i64(d.Position)
		state.i16(int16(d.State))
		due.i64(int64(d.Due))
		attempts.i32(int32(d.Attempts))
		tries.i32(int32(d.Tries))
		created.i64(int64(d.CreatedAt))
		ended.i64(int64(d.EndedAt))
		madeFor.i64(int64(d.MadeFor))
		eventAt.i64(int64(d.EventAt))
		log.text(d.Log)
		body.bytes(d.Body)
	}
	return []any{app, endpoint, id, shard, message, sequence, status, position, state, due, attempts, tries, created, ended, madeFor, eventAt, log, body}
}

// Places implements store.Feed.
func (s *Store) Places(ctx context.Context, app comm.ID, after int64, limit int) (out []store.Place, err error) {
	err = s.read(ctx, "read the feed", func(c *pgx.Conn) error {
		out = nil
		rows, err := c.Query(ctx, feedRowsSQL, sqlstore.UUID(app), after, limit)
		return each(rows, err, func(r *reader) {
			last := r.i64()
			out = sqlstore.Behind(out, sqlstore.Places(app, last, r.next()), after)
		})
	})
	return out[:min(len(out), limit)], err
}
