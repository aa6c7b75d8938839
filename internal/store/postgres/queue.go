package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
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

// windowsSQL reads one range of the queue's key per unit. The ranges come in
// order, each as the index has it: a lateral join can only be a nested loop.
const windowsSQL = `
SELECT a.n, w.due, w.id, w.bytes
FROM unnest($1::smallint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::bigint[], $6::uuid[], $7::integer[])
  WITH ORDINALITY AS a (shard, app_id, channel, lane, due, id, most, n)
CROSS JOIN LATERAL (
  SELECT q.due, q.id, q.bytes FROM queue q
  WHERE q.shard = a.shard AND q.app_id = a.app_id AND q.channel = a.channel AND q.lane = a.lane AND (q.due, q.id) > (a.due, a.id)
  ORDER BY q.shard, q.app_id, q.channel, q.lane, q.due, q.id LIMIT a.most) w`

// Windows implements store.Queue.
func (s *Store) Windows(ctx context.Context, asks []store.Ask) (out [][]store.Head, err error) {
	if len(asks) == 0 {
		return nil, nil
	}
	n := len(asks)
	shard, app, channel, lane, due, id, most := int2s(n), uuids(n), int2s(n), int2s(n), int8s(n), uuids(n), int4s(n)
	for i := range asks {
		a := &asks[i]
		shard.i16(int16(a.Unit.Shard))
		app.id(a.Unit.App)
		channel.i16(int16(a.Unit.Channel))
		lane.i16(int16(a.Unit.Lane))
		due.i64(int64(a.After.Due))
		id.id(a.After.ID)
		most.i32(int32(a.Limit))
	}
	err = s.read(ctx, "read windows of the queue", func(c *pgx.Conn) error {
		out = make([][]store.Head, n)
		rows, err := c.Query(ctx, windowsSQL, shard, app, channel, lane, due, id, most)
		return each(rows, err, func(r *reader) {
			i := r.i64() - 1
			out[i] = append(out[i], store.Head{Due: r.micros(), ID: r.id(), Bytes: r.i64()})
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
