// Package sqlitetest gives tests databases that are migrated already: to migrate an
// empty one costs more than most tests do, most of all under the race detector.
package sqlitetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/store/sqlite"
)

// Path is a file of the test's own: a migrated database in which nothing is.
func Path(t testing.TB) string {
	t.Helper()
	content, err := empty()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "comm.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// empty is the content of such a file, made once in each process.
var empty = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "commserver-empty-")
	if err != nil {
		return nil, fmt.Errorf("migrate a database for tests: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "comm.db")
	ctx := context.Background() // of no single test: others use it as well
	s, err := sqlite.Open(ctx, sqlite.Options{Path: path})
	if err != nil {
		return nil, fmt.Errorf("migrate a database for tests: %w", err)
	}
	if err := errors.Join(s.Migrate(ctx), s.Close()); err != nil {
		return nil, fmt.Errorf("migrate a database for tests: %w", err)
	}
	return os.ReadFile(path)
})
