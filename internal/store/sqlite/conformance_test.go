package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
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

// prepared opens copies of one migrated file: migrating a new one costs more than most cases do.
func prepared(t *testing.T) storetest.Opener {
	t.Helper()
	path := filepath.Join(t.TempDir(), "empty.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	empty, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) store.Store {
		t.Helper()
		path := filepath.Join(t.TempDir(), "comm.db")
		if err := os.WriteFile(path, empty, 0o600); err != nil {
			t.Fatal(err)
		}
		return openFile(t, path)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, prepared(t))
}

func TestMeanwhile(t *testing.T) {
	t.Parallel()
	storetest.RunMeanwhile(t, open, func(s store.Store) sqlstore.DB { return s.(*sqlite.Store) }, sqlstore.SQLite())
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	storetest.RunDamaged(t, prepared(t), func(s store.Store) sqlstore.DB { return s.(*sqlite.Store) }, sqlstore.SQLite())
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	storetest.RunForgotten(t, prepared(t), func(s store.Store) sqlstore.DB { return s.(*sqlite.Store) }, sqlstore.SQLite())
}

func TestBackups(t *testing.T) {
	t.Parallel()
	storetest.RunBackups(t, open, func(t *testing.T) (func(*store.Restoring) error, func() store.Store) {
		path := filepath.Join(t.TempDir(), "restored.db")
		return func(r *store.Restoring) error { return sqlite.Restore(t.Context(), path, r) }, func() store.Store { return openFile(t, path) }
	})
}
