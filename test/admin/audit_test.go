// Package admin tests what administration promises across processes and against
// somebody who writes past the server: that the audit log tells of it, on both
// databases, and that what one node changes holds on the others in time.
package admin

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/internal/store/storetest"
	"github.com/commserver/commserver/test/pgtest"
)

// verified is the first entry that does not hold, by the walk of the product.
func verified(t *testing.T) func(s store.Store) (int64, error) {
	ring := newRing(t)
	return func(s store.Store) (int64, error) {
		v, err := registry.New(registry.Config{Audit: s, Ring: ring}).VerifyAudit(t.Context(), 0)
		return v.BrokenAt, err
	}
}

func newRing(t *testing.T) *seal.Ring {
	t.Helper()
	text, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestTamperingOnSQLite(t *testing.T) {
	t.Parallel()
	storetest.Tamper(t, func(t *testing.T) *storetest.Tampered {
		path := filepath.Join(t.TempDir(), "comm.db")
		open := func() *sqlite.Store {
			s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := open()
		x := &storetest.Tampered{Store: s}
		x.Exec = func(statement string) error { // the file is one process's: it is written while the server is down
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			defer func() { s = open(); x.Store = s }()
			db, err := sql.Open("sqlite", path)
			if err != nil {
				return err
			}
			defer db.Close()
			_, err = db.ExecContext(t.Context(), statement)
			return err
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return x
	}, []string{`DROP TRIGGER audit_update`, `DROP TRIGGER audit_delete`}, verified(t))
}

func TestTamperingOnPostgreSQL(t *testing.T) {
	t.Parallel()
	storetest.Tamper(t, func(t *testing.T) *storetest.Tampered {
		url := pgtest.Database(t)
		exec := func(statement string) error {
			c, err := pgx.Connect(t.Context(), url)
			if err != nil {
				return err
			}
			defer c.Close(t.Context())
			_, err = c.Exec(t.Context(), statement)
			return err
		}
		return &storetest.Tampered{Store: node(t, url), Exec: exec}
	}, []string{`DROP TRIGGER audit_append_only ON audit`}, verified(t))
}

// node is another store on the database, as another node has it.
func node(t *testing.T, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url})
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
