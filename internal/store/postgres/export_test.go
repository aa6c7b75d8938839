package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Shared is what the SQL that both stores share goes through.
func (s *Store) Shared() sqlstore.DB { return coldDB{s} }

// SynchronousCommit answers what the setting is inside an accept's transaction.
func (s *Store) SynchronousCommit(ctx context.Context) (got string, err error) {
	err = s.write(ctx, s.accepts, "look", func(c *session) error {
		b := &pgx.Batch{}
		b.Queue(`SELECT current_setting('synchronous_commit')`)
		return s.batch(ctx, c, hotSettings(), b, func(r pgx.BatchResults) error { return r.QueryRow().Scan(&got) })
	})
	return got, err
}

// SetStuckAfter changes how old a transaction is whose shard may be taken by force.
func (s *Store) SetStuckAfter(d time.Duration) { s.stuckAfter = d }

// Pooled says whether the store believes that a pooler stands before the server.
func (s *Store) Pooled() bool { return s.pooled }

// FoldAnew folds as a node does that has just begun.
func FoldAnew(ctx context.Context, s *Store) (store.Folded, error) {
	s.folding.mu.Lock()
	s.folding.since, s.folding.swept, s.folding.aged = 0, 0, 0
	s.folding.mu.Unlock()
	return s.Fold(ctx)
}
