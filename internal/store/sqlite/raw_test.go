package sqlite

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	lite "zombiezen.com/go/sqlite"
)

// rawConn is a connection of its own to a new database.
func rawConn(t *testing.T) *raw {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raw.db")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := openRaw(uri(path), anyFile, "journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestRawValuesComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	r := rawConn(t)
	echo := &query{`SELECT ?, ?`}
	for name, v := range map[string]value{
		"zero": int64(0), "least": int64(math.MinInt64), "greatest": int64(math.MaxInt64), "empty text": "", "text": "ünï\x00code 🌍",
		"empty blob": []byte{}, "blob": []byte{0, 255, 1}, "null": nil, "long text": strings.Repeat("x", 100_000), "long blob": bytes.Repeat([]byte{7}, 1<<20),
	} {
		row, err := r.one(echo, v, "after")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if row[1] != "after" {
			t.Errorf("%s: the neighbour became %v", name, row[1])
		}
		if want, ok := v.([]byte); ok {
			if got, ok := row[0].([]byte); !ok || !bytes.Equal(got, want) {
				t.Errorf("%s: %T", name, row[0])
			}
		} else if row[0] != v {
			t.Errorf("%s: %v", name, row[0])
		}
	}
}

func TestRawCopiesOutliveTheStatement(t *testing.T) {
	t.Parallel()
	r := rawConn(t)
	echo := &query{`SELECT ?, ?`}
	first, err := r.one(echo, "first", []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	text, blob := text(first[0]), blob(first[1])
	if _, err := r.one(echo, "again", []byte("two")); err != nil {
		t.Fatal(err)
	}
	if text != "first" || string(blob) != "one" {
		t.Fatalf("%q %q", text, blob)
	}
}

func TestRawErrors(t *testing.T) {
	t.Parallel()
	r := rawConn(t)
	if _, err := r.run(&query{`CREATE TABLE t (x INTEGER PRIMARY KEY)`}); err != nil {
		t.Fatal(err)
	}
	insert := &query{`INSERT INTO t VALUES (?)`}
	for i, want := range []int{0, 19 | 6<<8, 0} { // SQLITE_CONSTRAINT_PRIMARYKEY, and the statement works again
		_, err := r.run(insert, int64(i/2))
		if got := lite.ErrCode(err); int(got) != want {
			t.Errorf("insert %d: %v", i, err)
		}
	}
	if _, err := r.run(insert, 3.5); err == nil {
		t.Error("a float is bound")
	}
	if _, err := r.run(&query{`SELECT x FROM nowhere`}); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v", err)
	}
	boom := errors.New("boom")
	if err := r.each(&query{`SELECT 1 UNION ALL SELECT 2`}, nil, func([]value) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if n, err := r.run(&query{`DELETE FROM t WHERE x < 5`}); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
	if _, err := openRaw(uri(filepath.Join(t.TempDir(), "missing.db")), anyFile); primary(err) != 14 { // SQLITE_CANTOPEN
		t.Errorf("%v", err)
	}
}

func TestReadersCannotWrite(t *testing.T) {
	t.Parallel()
	s := opened(t)
	err := s.readers.with(context.Background(), func(r *raw) error {
		_, err := r.run(&query{`DELETE FROM settings`})
		return err
	})
	if primary(err) != 8 { // SQLITE_READONLY
		t.Fatalf("%v", err)
	}
}

// anyFile takes whatever file was opened.
func anyFile() error { return nil }
