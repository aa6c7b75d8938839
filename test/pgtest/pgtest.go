// Package pgtest gives tests a PostgreSQL.
//
// Database returns a fresh database of a server that the whole test binary shares:
// the one that COMMS_TEST_DATABASE_URL names, else a throw-away one. Tests may run
// in parallel, each with its own database, which is dropped at the test's end.
//
// It never skips: where there is no server and none can be started, the test fails
// with the line that installs one. It knows nothing of the product's schema.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/test/pgserver"
)

// Variable names a server to use instead of a throw-away one. Its role must be
// allowed to create databases; databases whose names do not begin with
// "commstest_" are left alone.
const Variable = "COMMS_TEST_DATABASE_URL"

const (
	namePrefix = "commstest_"
	// startLimit bounds one statement or the start of a server.
	startLimit = 2 * time.Minute
	// staleAfter is when a database left behind by a killed run is removed.
	staleAfter = 6 * time.Hour
)

// Database returns the URL of a fresh, empty database.
func Database(t testing.TB) string {
	t.Helper()
	return create(t, "template0")
}

// Prepared returns the URL of a copy of a database that prepare has filled, once
// per key and test binary. Prepare must have closed its connections when it
// returns. A copy costs far less than running migrations for every test.
func Prepared(t testing.TB, key string, prepare func(ctx context.Context, url string) error) string {
	t.Helper()
	entry, _ := templates.LoadOrStore(key, &template{})
	tpl := entry.(*template)
	tpl.once.Do(func() { tpl.name, tpl.err = makeTemplate(prepare) })
	if tpl.err != nil {
		t.Fatalf("prepare the database %q: %v", key, tpl.err)
	}
	return create(t, tpl.name)
}

// Private starts a server of the test's own, for tests that restart or kill it.
func Private(t testing.TB) *pgserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	s, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		t.Fatalf("start a PostgreSQL server: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startLimit)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop the PostgreSQL server: %v", err)
		}
	})
	return s
}

// template is a database that others are copied from.
type template struct {
	once sync.Once
	name string
	err  error
}

// One server and one set of templates per test binary: starting a server takes
// seconds. The server's guard ends it with the process.
var (
	templates sync.Map // key -> *template
	shared    = sync.OnceValues(startShared)
)

// server is where databases are made.
type server struct {
	url string           // of its maintenance database
	own *pgserver.Server // kept, because a forgotten server ends; nil for a given one
}

func startShared() (server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if given := os.Getenv(Variable); given != "" {
		return server{url: given}, removeStale(ctx, given)
	}
	own, err := pgserver.Start(ctx, pgserver.Options{})
	if err != nil {
		return server{}, err
	}
	return server{own.URL("postgres"), own}, nil
}

func create(t testing.TB, from string) string {
	t.Helper()
	srv, err := shared()
	if err != nil {
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
	base := srv.url
	name := newName(t.Name())
	if err := execute(base, "CREATE DATABASE "+quote(name)+" TEMPLATE "+quote(from)); err != nil {
		t.Fatalf("create a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := execute(base, "DROP DATABASE "+quote(name)+" WITH (FORCE)"); err != nil {
			t.Errorf("drop the database of the test: %v", err)
		}
	})
	return withDatabase(base, name)
}

func makeTemplate(prepare func(ctx context.Context, url string) error) (string, error) {
	srv, err := shared()
	if err != nil {
		return "", err
	}
	base := srv.url
	name := newName("template")
	if err := execute(base, "CREATE DATABASE "+quote(name)+" TEMPLATE template0"); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	if err := prepare(ctx, withDatabase(base, name)); err != nil {
		return "", err
	}
	// Nobody may connect any more, else copying fails while someone is connected.
	return name, execute(base, "ALTER DATABASE "+quote(name)+" ALLOW_CONNECTIONS false",
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '"+name+"'")
}

// execute runs statements one by one over a connection of their own.
func execute(base string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the statements' own errors say enough
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// newName is a name of at most 63 bytes: PostgreSQL cuts longer ones silently. It
// holds the time, so that removeStale knows old ones, and a part of the test's name
// for people who look into the server.
func newName(test string) string {
	readable := strings.Map(func(r rune) rune {
		if (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') {
			return r
		}
		return '_'
	}, strings.ToLower(test))
	readable = readable[:min(len(readable), 24)]
	return namePrefix + strconv.FormatInt(time.Now().Unix(), 10) + "_" + strings.ToLower(rand.Text()[:10]) + "_" + readable
}

// removeStale drops databases of runs that were killed before they could.
func removeStale(ctx context.Context, base string) error {
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		return fmt.Errorf("connect to the server of %s: %w", Variable, err)
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database d WHERE datname LIKE 'commstest\_%'
		AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.datname = d.datname)`)
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("list databases: %w", err)
	}
	for _, name := range names {
		made, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "_")
		seconds, err := strconv.ParseInt(made, 10, 64)
		if err != nil || time.Since(time.Unix(seconds, 0)) < staleAfter {
			continue
		}
		// Another test binary may be dropping the same one.
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+quote(name)); err != nil {
			return fmt.Errorf("drop the old database %s: %w", name, err)
		}
	}
	return nil
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// withDatabase is the URL of another database of the same server.
func withDatabase(base, name string) string {
	u, err := url.Parse(base)
	if err != nil {
		// The base was connected to before, so it can be parsed.
		panic("pgtest: the server's URL cannot be parsed")
	}
	u.Path = "/" + name
	return u.String()
}
