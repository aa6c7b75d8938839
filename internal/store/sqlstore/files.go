package sqlstore

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// Files implements store.Files.
func (c *Cold) Files(ctx context.Context, app, id comm.ID) ([]comm.Attachment, error) {
	scan := func(r Row, f *comm.Attachment) error { return r.Scan(&f.Filename, &f.ContentType, &f.Content) }
	return list(ctx, c.db, "read files", scan, `SELECT f.filename, f.content_type, f.content FROM files f WHERE f.app_id = $1 AND f.id = $2 ORDER BY f.n`, c.d.ID(app), c.d.ID(id))
}
