package sqlstore

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Files implements store.Files.
func (c *Cold) Files(ctx context.Context, app, id comm.ID) ([]comm.Attachment, error) {
	scan := func(r Row, f *comm.Attachment) error { return r.Scan(&f.Filename, &f.ContentType, &f.Content) }
	return list(ctx, c.db, "read files", scan, `SELECT f.filename, f.content_type, f.content FROM files f WHERE f.app_id = $1 AND f.id = $2 ORDER BY f.n`, c.d.ID(app), c.d.ID(id))
}

// FileHeadsSQL is the statement of FileHeads: $1 the app, $2 the message. No database reads a value for its length.
const FileHeadsSQL = `SELECT f.filename, f.content_type, length(f.content) FROM files f WHERE f.app_id = $1 AND f.id = $2 ORDER BY f.n`

// FileHeads implements store.Files.
func (c *Cold) FileHeads(ctx context.Context, app, id comm.ID) ([]store.FileHead, error) {
	scan := func(r Row, f *store.FileHead) error { return r.Scan(&f.Filename, &f.ContentType, &f.Bytes) }
	return list(ctx, c.db, "read which files there are", scan, FileHeadsSQL, c.d.ID(app), c.d.ID(id))
}
