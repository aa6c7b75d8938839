package sqlite

import (
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const inMemory = 2 // what PRAGMA temp_store answers for MEMORY

var qTempStore = &query{`PRAGMA temp_store`}

func rawKeepsInMemory(t *testing.T, name string, r *raw) {
	t.Helper()
	if row, err := r.one(qTempStore); err != nil || num(row[0]) != inMemory {
		t.Errorf("%s: temp_store is %v; %v", name, row, err)
	}
}

func sharedKeepsInMemory(t *testing.T, name string, c *sql.Conn) {
	t.Helper()
	var at int
	if err := c.QueryRowContext(t.Context(), qTempStore.text).Scan(&at); err != nil || at != inMemory {
		t.Errorf("%s: temp_store is %d; %v", name, at, err)
	}
}

// A container whose root cannot be written has no place for temporary files: no connection makes one.
func TestNoConnectionMakesTemporaryFiles(t *testing.T) {
	t.Parallel()
	s := opened(t)
	if err := s.w.hot(t.Context(), 1, func(r *raw) error { rawKeepsInMemory(t, "the writer", r); return nil }); err != nil {
		t.Fatal(err)
	}
	sharedKeepsInMemory(t, "the writer's for shared SQL", s.w.conn)
	for range readerCount { // each is lent once before the first comes back
		if err := s.readers.with(t.Context(), func(r *raw) error { rawKeepsInMemory(t, "a reader", r); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for range readerCount {
		c, err := s.cold.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // so that the next one is another
		sharedKeepsInMemory(t, "one for reading shared SQL", c)
	}
	for _, begins := range []string{immediate, deferred} { // a restore's, and a backup's
		db, err := openShared(filepath.Join(t.TempDir(), "other.db"), begins)
		if err != nil {
			t.Fatal(err)
		}
		c, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		sharedKeepsInMemory(t, "one that is opened for a while", c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What opens a connection stands once for each way to open one, so that none is opened without what all have.
func TestConnectionsAreOpenedInOnePlace(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	for _, call := range []string{"sql.Open(", "sql.OpenDB(", "lite.OpenConn("} {
		if n := strings.Count(all.String(), call); n != 1 {
			t.Errorf("%s stands %d times", call, n)
		}
	}
}
