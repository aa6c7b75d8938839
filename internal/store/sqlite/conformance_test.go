package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/internal/store/storetest"
)

func open(t *testing.T) store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "comm.db")})
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

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, open)
}

func TestMeanwhile(t *testing.T) {
	t.Parallel()
	storetest.RunMeanwhile(t, open, func(s store.Store) sqlstore.DB { return s.(*sqlite.Store) }, sqlstore.SQLite())
}
