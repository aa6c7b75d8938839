package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func TestDatabasesAreFreshAndApart(t *testing.T) {
	t.Parallel()
	for i := range 8 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			url := Database(t)
			if n := query(t, url, "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'"); n != "0" {
				t.Fatalf("a fresh database has %s tables", n)
			}
			if err := execute(url, "CREATE TABLE mine ()"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	t.Parallel()
	var name string
	// Not parallel, so that it has ended when Run returns.
	t.Run("inner", func(t *testing.T) {
		url := Database(t)
		name = query(t, url, "SELECT current_database()")
		// A connection that the test forgot must not keep its database alive.
		if _, err := pgx.Connect(context.Background(), url); err != nil {
			t.Fatal(err)
		}
	})
	if !strings.HasPrefix(name, namePrefix) {
		t.Fatalf("the database is called %q", name)
	}
	if n := query(t, Database(t), "SELECT count(*)::text FROM pg_database WHERE datname = '"+name+"'"); n != "0" {
		t.Errorf("the database %s outlives its test", name)
	}
}

func TestPreparedIsFilledOnceAndCopied(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	fill := func(ctx context.Context, url string) error {
		calls.Add(1)
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE TABLE filled AS SELECT 'yes' AS v")
		return errors.Join(err, conn.Close(ctx))
	}
	t.Run("copies", func(t *testing.T) {
		for i := range 6 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				url := Prepared(t, "filled", fill)
				if v := query(t, url, "DELETE FROM filled RETURNING v"); v != "yes" {
					t.Errorf("the copy holds %q", v)
				}
			})
		}
	})
	if n := calls.Load(); n != 1 {
		t.Errorf("the template was filled %d times", n)
	}
}

func TestStaleDatabasesAreRemoved(t *testing.T) {
	t.Parallel()
	srv, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	base := srv.url
	old, other := namePrefix+"1000000000_x_old", "keepthis_1000000000_x"
	young := query(t, Database(t), "SELECT current_database()")
	if err := execute(base, "CREATE DATABASE "+old, "CREATE DATABASE "+other); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := execute(base, "DROP DATABASE "+other); err != nil {
			t.Error(err)
		}
	})
	if err := removeStale(t.Context(), base); err != nil {
		t.Fatal(err)
	}
	left := query(t, base, "SELECT string_agg(datname, ' ') FROM pg_database")
	if strings.Contains(left, old) || !strings.Contains(left, other) || !strings.Contains(left, young) {
		t.Errorf("left are %s", left)
	}
}

func TestNamesFitPostgreSQL(t *testing.T) {
	t.Parallel()
	name := newName("TestÄ/with \"quotes\" and a very long name indeed " + strings.Repeat("x", 100))
	if len(name) > 63 || strings.ToLower(name) != name || strings.ContainsAny(name, " \"/Ä") {
		t.Errorf("name = %q", name)
	}
}
