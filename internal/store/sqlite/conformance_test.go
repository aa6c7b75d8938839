package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlite/sqlitetest"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/internal/store/storetest"
)

func open(t *testing.T) store.Store {
	t.Helper()
	return openFile(t, filepath.Join(t.TempDir(), "comm.db"))
}

// openFile is a migrated store on the file, which is made if it is not there.
func openFile(t *testing.T, path string) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// prepared opens copies of one migrated file.
func prepared(t *testing.T) store.Store {
	t.Helper()
	return openFile(t, sqlitetest.Path(t))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, prepared)
}

func TestMeanwhile(t *testing.T) {
	t.Parallel()
	storetest.RunMeanwhile(t, open, func(s store.Store) sqlstore.DB { return s.(*sqlite.Store) }, sqlstore.SQLite())
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, prepared, func(s store.Store) sqlstore.DB { return s.(*sqlite.Store) }, sqlstore.SQLite())
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	storetest.RunForgotten(t, prepared, func(s store.Store) sqlstore.DB { return s.(*sqlite.Store) }, sqlstore.SQLite())
}

func TestBackups(t *testing.T) {
	t.Parallel()
	storetest.RunBackups(t, open, func(t *testing.T) (func(*store.Restoring) error, func() store.Store) {
		path := filepath.Join(t.TempDir(), "restored.db")
		return func(r *store.Restoring) error { return sqlite.Restore(t.Context(), path, r) }, func() store.Store { return openFile(t, path) }
	})
}
