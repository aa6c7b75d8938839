package postgres_test

import (
	"context"
	"testing"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/internal/store/storetest"
	"github.com/commserver/commserver/test/pgtest"
)

// migrated is the URL of a migrated database of the test's own.
func migrated(t testing.TB) string {
	t.Helper()
	return pgtest.Prepared(t, "commserver", func(ctx context.Context, url string) error {
		s, err := postgres.Open(ctx, postgres.Options{URL: url})
		if err != nil {
			return err
		}
		if err := s.Migrate(ctx); err != nil {
			return err
		}
		return s.Close()
	})
}

// opened is a store on the database; it is closed when the test ends.
func opened(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	for _, mode := range []struct {
		name   string
		pooled bool
	}{{"direct", false}, {"as behind a pooler", true}} {
		t.Run(mode.name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				return opened(t, postgres.Options{URL: migrated(t), Pooled: mode.pooled})
			})
		})
	}
}

func TestMeanwhile(t *testing.T) {
	t.Parallel()
	storetest.RunMeanwhile(t, func(t *testing.T) store.Store { return opened(t, postgres.Options{URL: migrated(t)}) },
		func(s store.Store) sqlstore.DB { return s.(*postgres.Store).Shared() }, sqlstore.PostgreSQL())
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, func(t *testing.T) store.Store { return opened(t, postgres.Options{URL: migrated(t)}) },
		func(s store.Store) sqlstore.DB { return s.(*postgres.Store).Shared() }, sqlstore.PostgreSQL())
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	storetest.RunForgotten(t, func(t *testing.T) store.Store { return opened(t, postgres.Options{URL: migrated(t)}) },
		func(s store.Store) sqlstore.DB { return s.(*postgres.Store).Shared() }, sqlstore.PostgreSQL())
}

func TestBackups(t *testing.T) {
	t.Parallel()
	storetest.RunBackups(t, func(t *testing.T) store.Store { return opened(t, postgres.Options{URL: migrated(t)}) }, func(t *testing.T) (func(*store.Restoring) error, func() store.Store) {
		url := pgtest.Database(t)
		return func(r *store.Restoring) error { return postgres.Restore(t.Context(), url, r) }, func() store.Store {
			s := opened(t, postgres.Options{URL: url})
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			n := 0
			err := s.Shared().Read(t.Context(), func(q sqlstore.Querier) error {
				return q.QueryRowContext(t.Context(), `SELECT count(*) FROM feed WHERE xid <> 0 AND items <> 'restored'`).Scan(&n)
			})
			if err != nil || n != 0 {
				t.Errorf("%d rows of the feed name transactions of another server; %v", n, err)
			}
			return s
		}
	})
}
