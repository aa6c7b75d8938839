package postgres

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	// unitsAfterSQL steps as unitsSQL does, through all shards from a unit on.
	unitsAfterSQL = `
WITH RECURSIVE u AS (
  (SELECT q.shard, q.app_id, q.channel, q.lane FROM queue q
    WHERE (q.shard, q.app_id, q.channel, q.lane) > ($1::smallint, $2::uuid, $3::smallint, $4::smallint)
    ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT 1)
  UNION ALL
  SELECT n.* FROM u CROSS JOIN LATERAL (
    SELECT q.shard, q.app_id, q.channel, q.lane FROM queue q
    WHERE (q.shard, q.app_id, q.channel, q.lane) > (u.shard, u.app_id, u.channel, u.lane)
    ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT 1) n)
SELECT u.shard, u.app_id, u.channel, u.lane FROM u LIMIT $5`

	// unitsOfSQL steps likewise through the units of app $2 in each of some shards.
	unitsOfSQL = `
WITH RECURSIVE u AS (
  SELECT n.* FROM unnest($1::smallint[]) AS l (shard) CROSS JOIN LATERAL (
    SELECT q.shard, q.channel, q.lane FROM queue q WHERE q.shard = l.shard AND q.app_id = $2
    ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT 1) n
  UNION ALL
  SELECT n.* FROM u CROSS JOIN LATERAL (
    SELECT q.shard, q.channel, q.lane FROM queue q WHERE q.shard = u.shard AND q.app_id = $2 AND (q.channel, q.lane) > (u.channel, u.lane)
    ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT 1) n)
SELECT u.shard, u.channel, u.lane FROM u`

	ofUnit      = `q.shard = a.shard AND q.app_id = a.app_id AND q.channel = a.channel AND q.lane = a.lane`
	inUnitOrder = ` ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT `
	// depthsSQL reads two bounded ranges of each unit, and the first message that will be due.
	depthsSQL = `
SELECT a.n, d.n, d.bytes, d.oldest, l.n, l.bytes, h.reason, h.until, s.due, s.scheduled_at, s.expires_at, s.attempts
FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::smallint[], $6::bigint[]) WITH ORDINALITY AS a (shard, app_id, channel, lane, most, n)
CROSS JOIN LATERAL (SELECT count(*) AS n, coalesce(sum(x.bytes), 0)::bigint AS bytes, coalesce(min(x.due), 0) AS oldest FROM (
  SELECT q.bytes, q.due FROM queue q WHERE ` + ofUnit + ` AND q.due <= $5::bigint` + inUnitOrder + `a.most) x) d
CROSS JOIN LATERAL (SELECT count(*) AS n, coalesce(sum(x.bytes), 0)::bigint AS bytes FROM (
  SELECT q.bytes FROM queue q WHERE ` + ofUnit + ` AND q.due > $5::bigint` + inUnitOrder + `a.most) x) l
LEFT JOIN LATERAL (SELECT h.reason, h.until FROM holds h
  WHERE h.app_id = a.app_id AND h.channel = a.channel AND h.lane = a.lane AND h.shard = a.shard OFFSET 0) h ON true
LEFT JOIN LATERAL (SELECT q.id FROM queue q WHERE ` + ofUnit + ` AND q.due > $5::bigint` + inUnitOrder + `1) f ON true
LEFT JOIN LATERAL (SELECT s.due, s.scheduled_at, s.expires_at, s.attempts FROM state s WHERE s.app_id = a.app_id AND s.id = f.id OFFSET 0) s ON true`

	queueRowsSQL  = `SELECT count(*) FROM (SELECT FROM queue q LIMIT $1::bigint) x`
	laneDepthsSQL = `SELECT x.channel, x.lane, count(*) FILTER (WHERE x.due <= $1::bigint), count(*) FILTER (WHERE x.due > $1::bigint)
FROM (SELECT q.channel, q.lane, q.due FROM queue q LIMIT $2::bigint) x GROUP BY x.channel, x.lane`
	unitDepthsSQL = `SELECT x.shard, x.app_id, x.channel, x.lane, count(*) FILTER (WHERE x.due <= $1::bigint), count(*) FILTER (WHERE x.due > $1::bigint)
FROM (SELECT q.shard, q.app_id, q.channel, q.lane, q.due FROM queue q LIMIT $2::bigint) x GROUP BY x.shard, x.app_id, x.channel, x.lane`
	underWaySQL = `SELECT s.shard, s.app_id, s.channel, s.lane, s.id, s.provider, s.provider_id FROM state s WHERE s.status = 2`
	// lockQueuedSQL locks those of some messages that are queued. Each is looked up, in the order given.
	lockQueuedSQL = `
SELECT ` + stateOf + `, ` + wallClock + ` FROM unnest($2::uuid[]) AS l (id) CROSS JOIN LATERAL (
  SELECT * FROM state s WHERE s.app_id = $1 AND s.id = l.id AND s.status + 0 = 1 AND s.created_at <= $3 OFFSET 0 FOR UPDATE) s`
)

// UnitsAfter implements store.Backlog.
func (s *Store) UnitsAfter(ctx context.Context, after comm.Unit, limit int) (out []comm.Unit, err error) {
	err = s.read(ctx, "list units", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, unitsAfterSQL, int16(after.Shard), sqlstore.UUID(after.App), int16(after.Channel), int16(after.Lane), limit)
		return each(rows, err, func(r *reader) {
			out = append(out, comm.Unit{Shard: comm.Shard(r.i16()), App: r.id(), Channel: comm.Channel(r.i16()), Lane: comm.Lane(r.i16())})
		})
	})
	return out, err
}

// UnitsOf implements store.Backlog.
func (s *Store) UnitsOf(ctx context.Context, app comm.ID, shards []comm.Shard) (out []comm.Unit, err error) {
	err = s.read(ctx, "list units of an app", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, unitsOfSQL, shardList(shards), sqlstore.UUID(app))
		return each(rows, err, func(r *reader) {
			out = append(out, comm.Unit{Shard: comm.Shard(r.i16()), App: app, Channel: comm.Channel(r.i16()), Lane: comm.Lane(r.i16())})
		})
	})
	slices.SortFunc(out, func(a, b comm.Unit) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Lane, b.Lane))
	})
	return out, err
}

// Depths implements store.Backlog.
func (s *Store) Depths(ctx context.Context, units []comm.Unit, now comm.Micros, most []int) (out []store.Depth, err error) {
	if len(units) == 0 {
		return nil, nil
	}
	n := len(units)
	shard, app, channel, lane, bounds := int2s(n), uuids(n), int2s(n), int2s(n), int8s(n)
	for i, u := range units {
		shard.i16(int16(u.Shard))
		app.id(u.App)
		channel.i16(int16(u.Channel))
		lane.i16(int16(u.Lane))
		bounds.i64(int64(most[i]) + 1)
	}
	err = s.read(ctx, "count what waits", func(c *pgx.Conn) error {
		out = make([]store.Depth, n)
		rows, err := c.Query(ctx, depthsSQL, shard, app, channel, lane, int64(now), bounds)
		return each(rows, err, func(r *reader) {
			i := r.i64() - 1
			due, dueBytes, oldest, later, laterBytes := int(r.i64()), r.i64(), r.micros(), int(r.i64()), r.i64()
			d := store.Depth{Unit: units[i], Due: min(due, most[i]), Later: min(later, most[i]), Bytes: dueBytes + laterBytes, OldestDue: oldest, More: max(due, later) > most[i]}
			if reason, until := r.text(), r.micros(); reason != "" {
				d.Hold = store.Hold{Unit: units[i], Reason: reason, Until: until}
			}
			d.Next = comm.State{Due: r.micros(), ScheduledAt: r.micros(), ExpiresAt: r.micros(), Attempts: r.i32()}
			out[i] = d
		})
	})
	return out, err
}

// QueueRows implements store.Backlog.
func (s *Store) QueueRows(ctx context.Context, most int) (n int, err error) {
	err = s.read(ctx, "count the queue", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, queueRowsSQL, most)
		return each(rows, err, func(r *reader) { n = int(r.i64()) })
	})
	return n, err
}

// LaneDepths implements store.Backlog.
func (s *Store) LaneDepths(ctx context.Context, now comm.Micros, most int) (out []store.LaneDepth, more bool, err error) {
	err = s.read(ctx, "count the queue by lanes", func(c *pgx.Conn) error {
		out = nil
		rows, err := c.Query(ctx, laneDepthsSQL, int64(now), int64(most)+1)
		return each(rows, err, func(r *reader) {
			out = append(out, store.LaneDepth{Channel: comm.Channel(r.i16()), Lane: comm.Lane(r.i16()), Due: int(r.i64()), Later: int(r.i64())})
		})
	})
	return out, err == nil && store.Counted(out) > most, err
}

// UnitDepths implements store.Backlog.
func (s *Store) UnitDepths(ctx context.Context, now comm.Micros, most int) (out []store.UnitDepth, more bool, err error) {
	counted := 0
	err = s.read(ctx, "count the queue by units", func(c *pgx.Conn) error {
		out, counted = nil, 0
		rows, err := c.Query(ctx, unitDepthsSQL, int64(now), int64(most)+1)
		return each(rows, err, func(r *reader) {
			u := comm.Unit{Shard: comm.Shard(r.i16()), App: r.id(), Channel: comm.Channel(r.i16()), Lane: comm.Lane(r.i16())}
			d := store.UnitDepth{Unit: u, Due: int(r.i64()), Later: int(r.i64())}
			out, counted = append(out, d), counted+d.Due+d.Later
		})
	})
	return out, err == nil && counted > most, err
}

// UnderWay implements store.Backlog.
func (s *Store) UnderWay(ctx context.Context) (out []store.UnderWay, err error) {
	err = s.read(ctx, "list attempts under way", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, underWaySQL)
		return each(rows, err, func(r *reader) {
			u := comm.Unit{Shard: comm.Shard(r.i16()), App: r.id(), Channel: comm.Channel(r.i16()), Lane: comm.Lane(r.i16())}
			out = append(out, store.UnderWay{Unit: u, ID: r.id(), Provider: r.text(), ProviderID: r.id()})
		})
	})
	return out, err
}

// CancelQueued implements store.Backlog.
func (s *Store) CancelQueued(ctx context.Context, u comm.Unit, heads []store.Head, until comm.Micros, actor string) (store.CancelledSlice, error) {
	return s.endQueued(ctx, u, heads, until, actor, func(st *comm.State) bool { return sqlstore.Waited(st, until) })
}

// EndDoubtful implements store.Backlog.
func (s *Store) EndDoubtful(ctx context.Context, u comm.Unit, heads []store.Head, policy bool, actor string) (store.CancelledSlice, error) {
	return s.endQueued(ctx, u, heads, math.MaxInt64, actor, func(st *comm.State) bool { return sqlstore.Doubtful(st, policy) })
}

// endQueued cancels those that are queued, were created until an instant, and are meant.
func (s *Store) endQueued(ctx context.Context, u comm.Unit, heads []store.Head, until comm.Micros, actor string, meant func(*comm.State) bool) (done store.CancelledSlice, err error) {
	ids := uuids(len(heads))
	for i := range heads {
		ids.id(heads[i].ID)
	}
	err = s.transaction(ctx, "cancel what is queued", func(tx pgx.Tx) error {
		done = store.CancelledSlice{Looked: len(heads)}
		b := &pgx.Batch{}
		rows, err := tx.Query(ctx, lockQueuedSQL, sqlstore.UUID(u.App), ids, int64(until))
		err = each(rows, err, func(r *reader) {
			var st comm.State
			r.state(&st)
			now := r.micros()
			if !meant(&st) {
				return
			}
			c, result := sqlstore.Cancel(&st, actor, now)
			queueChange(b, &c)
			done.Add(result)
		})
		if err != nil {
			return err
		}
		return sendAll(ctx, tx, b)
	})
	return done, err
}
