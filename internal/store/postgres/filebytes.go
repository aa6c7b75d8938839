package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/store"
)

// fileBytesSQL asks for lengths, which are kept beside the values: those are not read.
const fileBytesSQL = `
SELECT x.ord, f.bytes FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS x (app, id, ord)
CROSS JOIN LATERAL (SELECT sum(octet_length(f.content))::bigint AS bytes FROM files f WHERE f.app_id = x.app AND f.id = x.id) f
WHERE f.bytes IS NOT NULL`

// FileBytes implements store.Queue.
func (s *Store) FileBytes(ctx context.Context, messages []store.Ref) (out []int64, err error) {
	app, id := uuids(len(messages)), uuids(len(messages))
	for i := range messages {
		app.id(messages[i].App)
		id.id(messages[i].ID)
	}
	err = s.read(ctx, "read sizes of files", func(c *pgx.Conn) error {
		out = make([]int64, len(messages))
		rows, err := c.Query(ctx, fileBytesSQL, app, id)
		return each(rows, err, func(r *reader) { n := r.i64(); out[n-1] = r.i64() })
	})
	return out, err
}
