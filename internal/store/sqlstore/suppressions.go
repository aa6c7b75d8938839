package sqlstore

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Suppress implements store.Suppressions.
func (c *Cold) Suppress(ctx context.Context, s store.Suppression) (added bool, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `INSERT INTO suppressions (app_id, channel, address, reason, created_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (app_id, channel, address) DO NOTHING`, c.d.ID(s.App), int64(s.Channel), s.Address, s.Reason, int64(s.CreatedAt))
		added = n > 0
		return err
	})
	return added && err == nil, wrap(err, "suppress")
}

// Unsuppress implements store.Suppressions.
func (c *Cold) Unsuppress(ctx context.Context, app comm.ID, ch comm.Channel, address string) (removed bool, err error) {
	err = c.db.Write(ctx, func(q Querier) error {
		n, err := affected(ctx, q, `DELETE FROM suppressions WHERE app_id = $1 AND channel = $2 AND address = $3`,
			c.d.ID(app), int64(ch), address)
		removed = n > 0
		return err
	})
	return removed && err == nil, wrap(err, "remove suppression")
}

// Suppressed implements store.Suppressions.
func (c *Cold) Suppressed(ctx context.Context, app comm.ID, ch comm.Channel, address string) (bool, error) {
	var n int
	err := c.db.Read(ctx, func(q Querier) error {
		return q.QueryRowContext(ctx, `SELECT count(*) FROM suppressions WHERE app_id = $1 AND channel = $2 AND address = $3`,
			c.d.ID(app), int64(ch), address).Scan(&n)
	})
	if err != nil {
		return false, fmt.Errorf("look up suppression: %w", err)
	}
	return n > 0, nil
}
