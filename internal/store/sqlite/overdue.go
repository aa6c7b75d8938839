package sqlite

import (
	"context"
	"fmt"
	"slices"

	"github.com/commserver/commserver/internal/comm"
)

var (
	qExpired = &query{`SELECT app_id, id, ` + stateColumns + ` FROM state s INDEXED BY state_expiring
		WHERE s.status = 1 AND s.expires_at > 0 AND s.shard = ? AND s.expires_at <= ? ORDER BY s.expires_at LIMIT ?`}
	qExhausted = &query{`SELECT app_id, id, ` + stateColumns + ` FROM state s INDEXED BY state_retried
		WHERE s.status = 1 AND s.expires_at = 0 AND s.round_since > 0 AND s.shard = ? AND s.round_since < ? ORDER BY s.round_since LIMIT ?`}
)

// Overdue implements store.Queue: two seeks per shard.
func (s *Store) Overdue(ctx context.Context, shards []comm.Shard, horizon int64, limit int) (out []comm.State, err error) {
	shards = slices.Compact(slices.Sorted(slices.Values(shards)))
	err = s.readers.with(ctx, func(r *raw) error {
		out = nil
		now := int64(s.now())
		for _, shard := range shards {
			for _, x := range []struct {
				q     *query
				until int64
			}{{qExpired, now}, {qExhausted, now - horizon}} {
				if len(out) >= limit {
					return nil
				}
				err := r.each(x.q, []value{int64(shard), x.until, int64(limit - len(out))}, func(v []value) error {
					out = append(out, stateRow(idOf(v[0]), idOf(v[1]), v[2:]))
					return nil
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list overdue messages: %w", err)
	}
	return out, nil
}
