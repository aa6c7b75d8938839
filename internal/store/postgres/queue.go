package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// unitsSQL steps from the first row of a unit to the first row of the next one:
// its cost follows the units, not the rows.
const unitsSQL = `
WITH RECURSIVE u AS (
  SELECT n.* FROM unnest($1::smallint[]) AS l (shard) CROSS JOIN LATERAL (
    SELECT q.shard, q.app_id, q.channel, q.lane, q.due FROM queue q WHERE q.shard = l.shard
    ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT 1) n
  UNION ALL
  SELECT n.* FROM u CROSS JOIN LATERAL (
    SELECT q.shard, q.app_id, q.channel, q.lane, q.due FROM queue q
    WHERE q.shard = u.shard AND (q.app_id, q.channel, q.lane) > (u.app_id, u.channel, u.lane)
    ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT 1) n)
SELECT u.shard, u.app_id, u.channel, u.lane, u.due FROM u`

// Units implements store.Queue.
func (s *Store) Units(ctx context.Context, shards []comm.Shard) (out []store.Wake, err error) {
	if len(shards) == 0 {
		return nil, nil
	}
	err = s.read(ctx, "list units", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, unitsSQL, shardList(shards))
		return each(rows, err, func(r *reader) {
			u := comm.Unit{Shard: comm.Shard(r.i16()), App: r.id(), Channel: comm.Channel(r.i16()), Lane: comm.Lane(r.i16())}
			out = append(out, store.Wake{Unit: u, Due: r.micros()})
		})
	})
	return out, err
}

const windowSQL = `
SELECT q.due, q.id FROM queue q
WHERE q.shard = $1 AND q.app_id = $2 AND q.channel = $3 AND q.lane = $4 AND (q.due, q.id) > ($5, $6)
ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT $7`

// Window implements store.Queue.
func (s *Store) Window(ctx context.Context, u comm.Unit, after store.Head, limit int) (out []store.Head, err error) {
	err = s.read(ctx, "read a window of the queue", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, windowSQL, int16(u.Shard), sqlstore.UUID(u.App), int16(u.Channel), int16(u.Lane), int64(after.Due), sqlstore.UUID(after.ID), limit)
		return each(rows, err, func(r *reader) {
			out = append(out, store.Head{Due: r.micros(), ID: r.id()})
		})
	})
	return out, err
}

// orphansSQL reads the attempts under way in shards by an index of nothing else.
// The app is not named: whoever takes a shard over does not know its apps.
const orphansSQL = `
SELECT ` + stateOf + ` FROM unnest($1::smallint[], $2::bigint[]) AS l (shard, epoch)
JOIN state s ON s.status = 2 AND s.shard = l.shard AND s.epoch <= l.epoch
ORDER BY s.id LIMIT $3`

// Orphans implements store.Queue.
func (s *Store) Orphans(ctx context.Context, leases []store.Lease, limit int) (out []comm.State, err error) {
	shard, epoch := int2s(len(leases)), int8s(len(leases))
	for _, l := range leases {
		shard.i16(int16(l.Shard))
		epoch.i64(l.Epoch)
	}
	err = s.read(ctx, "list open attempts", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, orphansSQL, shard, epoch, limit)
		return each(rows, err, func(r *reader) {
			var st comm.State
			r.state(&st)
			out = append(out, st)
		})
	})
	return out, err
}
