package sqlite

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"

	"github.com/commserver/commserver/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate implements store.Store. Before a database that has something is
// changed, a copy of it is left at <path>.before-<migration>.
func (s *Store) Migrate(ctx context.Context) error {
	list, err := sqlstore.LoadMigrations(migrations, "migrations")
	if err != nil {
		return err
	}
	if err := s.migrate(ctx, list); err != nil {
		return readable(err, s.path)
	}
	s.index.start(s)
	return nil
}

func (s *Store) migrate(ctx context.Context, list []sqlstore.Migration) error {
	return s.w.do(ctx, &op{alone: func(conn conn) error {
		m := sqlstore.Migrator{
			Dialect: sqlstore.SQLite(), List: list, Now: s.now,
			Begin: func(ctx context.Context) (sqlstore.Tx, error) { return conn.BeginTx(ctx, nil) },
			Before: func(ctx context.Context, first sqlstore.Migration) error {
				return s.copyTo(ctx, conn, s.path+".before-"+first.Name)
			},
		}
		ran, err := m.Run(context.WithoutCancel(ctx))
		if len(ran) > 0 {
			s.log.Info("database migrated", "steps", ran)
		}
		if err != nil {
			return err
		}
		m.WarnOfNewer(s.log)
		s.newer = m.Newer
		return s.forget(ctx, conn)
	}})
}

// Newer implements store.Store.
func (s *Store) Newer() []string { return s.newer }

// copyTo writes a consistent copy of the database, complete and flushed before it gets its name.
func (s *Store) copyTo(ctx context.Context, conn sqlstore.Querier, path string) error {
	part := path + ".part"
	if err := os.Remove(part); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("remove an unfinished copy: %w", err)
	}
	if _, err := conn.ExecContext(ctx, `VACUUM INTO ?`, part); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	for _, step := range []func() error{
		func() error { return os.Chmod(part, 0o600) },
		func() error { return flush(part) },
		func() error { return os.Rename(part, path) },
		func() error { return flush(filepath.Dir(path)) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("copy the database: %w", err)
		}
	}
	s.log.Info("database copied before its migration", "copy", path)
	return nil
}

// forget removes what an earlier process said of itself: since the file is
// locked it is dead, whatever its lease says. Its shards are free then.
func (s *Store) forget(ctx context.Context, q sqlstore.Querier) error {
	if s.forgot {
		return nil
	}
	for _, text := range []string{`DELETE FROM nodes`, `DELETE FROM holds`} {
		if _, err := q.ExecContext(context.WithoutCancel(ctx), text); err != nil {
			return fmt.Errorf("forget the last process: %w", err)
		}
	}
	s.forgot = true
	return nil
}
