package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
)

// overdueSQL reads two ranges per shard, each by an index of nothing but messages
// that may end while they wait.
const overdueSQL = `
WITH t AS MATERIALIZED (SELECT ` + clock + ` AS now)
SELECT ` + stateOf + ` FROM unnest($1::smallint[]) AS l (shard) CROSS JOIN LATERAL (
  (SELECT x.* FROM state x WHERE x.status = 1 AND x.expires_at > 0 AND x.shard = l.shard AND x.expires_at <= (SELECT now FROM t)
    ORDER BY x.expires_at LIMIT $3)
  UNION ALL
  (SELECT x.* FROM state x WHERE x.status = 1 AND x.expires_at = 0 AND x.round_since > 0 AND x.shard = l.shard AND x.round_since < (SELECT now FROM t) - $2
    ORDER BY x.round_since LIMIT $3)) s
LIMIT $3`

// Overdue implements store.Queue.
func (s *Store) Overdue(ctx context.Context, shards []comm.Shard, horizon int64, limit int) (out []comm.State, err error) {
	if len(shards) == 0 {
		return nil, nil
	}
	err = s.read(ctx, "list overdue messages", func(c *pgx.Conn) error {
		out = out[:0]
		rows, err := c.Query(ctx, overdueSQL, shardList(shards), horizon, limit)
		return each(rows, err, func(r *reader) {
			var st comm.State
			r.state(&st)
			out = append(out, st)
		})
	})
	return out, err
}
