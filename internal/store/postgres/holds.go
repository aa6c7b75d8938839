package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

const (
	dropHoldsSQL = `
DELETE FROM holds h WHERE h.node = $1 AND NOT EXISTS (
  SELECT FROM unnest($2::uuid[], $3::smallint[], $4::smallint[], $5::smallint[]) AS x (app, channel, lane, shard)
  WHERE x.app = h.app_id AND x.channel = h.channel AND x.lane = h.lane AND x.shard = h.shard)`
	// putHoldsSQL writes only what changed: holds are repeated more often than they change.
	putHoldsSQL = `
INSERT INTO holds AS h (app_id, channel, lane, shard, node, reason, until)
SELECT x.app, x.channel, x.lane, x.shard, $1, x.reason, x.until
FROM unnest($2::uuid[], $3::smallint[], $4::smallint[], $5::smallint[], $6::text[], $7::bigint[]) AS x (app, channel, lane, shard, reason, until)
ON CONFLICT (app_id, channel, lane, shard) DO UPDATE SET node = excluded.node, reason = excluded.reason, until = excluded.until
WHERE (h.node, h.reason, h.until) IS DISTINCT FROM (excluded.node, excluded.reason, excluded.until)`
	holdSQL = `SELECT reason, until FROM holds WHERE app_id = $1 AND channel = $2 AND lane = $3 AND shard = $4`
)

// SetHolds implements store.Queue.
func (s *Store) SetHolds(ctx context.Context, node string, holds []store.Hold) error {
	latest := make(map[comm.Unit]store.Hold, len(holds))
	for _, h := range holds {
		latest[h.Unit] = h
	}
	sorted := make([]store.Hold, 0, len(latest))
	for _, h := range latest {
		sorted = append(sorted, h)
	}
	slices.SortFunc(sorted, func(a, b store.Hold) int {
		return cmp.Or(a.Unit.App.Compare(b.Unit.App), cmp.Compare(a.Unit.Channel, b.Unit.Channel), cmp.Compare(a.Unit.Lane, b.Unit.Lane), cmp.Compare(a.Unit.Shard, b.Unit.Shard))
	})
	n := len(sorted)
	app, channel, lane, shard, reason, until := uuids(n), int2s(n), int2s(n), int2s(n), texts(n), int8s(n)
	for _, h := range sorted {
		app.id(h.Unit.App)
		channel.i16(int16(h.Unit.Channel))
		lane.i16(int16(h.Unit.Lane))
		shard.i16(int16(h.Unit.Shard))
		reason.text(h.Reason)
		until.i64(int64(h.Until))
	}
	return s.exec(ctx, "store why units wait", func(b *pgx.Batch) {
		b.Queue(dropHoldsSQL, node, app, channel, lane, shard)
		if n > 0 {
			b.Queue(putHoldsSQL, node, app, channel, lane, shard, reason, until)
		}
	})
}

// Hold implements store.Messages.
func (s *Store) Hold(ctx context.Context, u comm.Unit) (h store.Hold, ok bool, err error) {
	err = s.read(ctx, "read why a unit waits", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, holdSQL, sqlstore.UUID(u.App), int16(u.Channel), int16(u.Lane), int16(u.Shard))
		return each(rows, err, func(r *reader) { h, ok = store.Hold{Unit: u, Reason: r.text(), Until: r.micros()}, true })
	})
	return h, ok, err
}
