package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// steps are this build's migrations and more.
func steps(t *testing.T, more ...string) []sqlstore.Migration {
	t.Helper()
	list, err := sqlstore.LoadMigrations(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range more {
		list = append(list, sqlstore.Migration{Name: "9" + strings.Repeat("0", i) + "_test", SQL: text, Sum: text})
	}
	return list
}

// schema lists what the file at path has.
func schema(t *testing.T, path string) (names []string) {
	t.Helper()
	db, err := sql.Open("sqlite", uri(path))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	var sound string
	if err := db.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&sound); err != nil || sound != "ok" {
		t.Fatalf("integrity of %s: %q %v", path, sound, err)
	}
	rows, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_schema ORDER BY name`)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestAnInterruptedMigrationLeavesNothingHalf(t *testing.T) {
	t.Parallel()
	s := opened(t)
	sub := submission()
	if _, err := s.Accept(t.Context(), []store.Submission{sub}); err != nil {
		t.Fatal(err)
	}
	list := steps(t, `CREATE TABLE fine (x INTEGER)`, `CREATE TABLE half (x INTEGER); UPDATE state SET lane = 9; INSERT INTO nowhere VALUES (1)`)
	if err := s.migrate(t.Context(), list); err == nil || !strings.Contains(err.Error(), list[len(list)-1].Name) {
		t.Fatalf("%v", err)
	}
	m, err := s.Message(t.Context(), sub.App, sub.ID)
	if err != nil || m.Lane != sub.Lane {
		t.Fatalf("%+v %v", m, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	names := schema(t, s.path)
	if !slices.Contains(names, "fine") || slices.Contains(names, "half") {
		t.Fatalf("%v", names)
	}
	// The next start does what is left once its text is right.
	again, err := Open(t.Context(), Options{Path: s.path})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	list[len(list)-1].SQL = `CREATE TABLE half (x INTEGER)`
	if err := again.migrate(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

func TestACopyIsMadeBeforeAMigration(t *testing.T) {
	t.Parallel()
	s := opened(t)
	if copies, _ := filepath.Glob(s.path + ".before-*"); len(copies) != 0 {
		t.Fatalf("a new database was copied: %v", copies)
	}
	sub := submission()
	if _, err := s.Accept(t.Context(), []store.Submission{sub}); err != nil {
		t.Fatal(err)
	}
	list := steps(t, `ALTER TABLE state ADD COLUMN more INTEGER NOT NULL DEFAULT 0`, `CREATE TABLE other (x INTEGER)`)
	copied := s.path + ".before-" + list[len(list)-2].Name
	if err := os.WriteFile(copied+".part", []byte("of an interrupted copy"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second has nothing to do
		if err := s.migrate(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	if copies, _ := filepath.Glob(s.path + ".before-*"); !slices.Equal(copies, []string{copied}) {
		t.Fatalf("%v", copies)
	}
	if slices.Contains(schema(t, copied), "other") {
		t.Fatal("the copy was made after the migration")
	}
	if st, err := os.Stat(copied); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", st.Mode(), err)
	}
	// The copy is a database that serves.
	old, err := Open(t.Context(), Options{Path: copied})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	if err := old.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Message(t.Context(), sub.App, sub.ID); err != nil {
		t.Fatal(err)
	}
}

// What was searchable is so after the words got another order.
func TestWordsSurviveTheirNewOrder(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "old.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	list := steps(t)
	at := slices.IndexFunc(list, func(m sqlstore.Migration) bool { return strings.HasPrefix(m.Name, "0010_") })
	if err := s.migrate(t.Context(), list[:at]); err != nil {
		t.Fatal(err)
	}
	sql := func(text string) { // accepting lists what it writes in a table that came later
		t.Helper()
		if err := s.Write(t.Context(), func(q sqlstore.Querier) error { _, err := q.ExecContext(t.Context(), text); return err }); err != nil {
			t.Fatal(err)
		}
	}
	sql(`CREATE TABLE outbox (at INTEGER, items BLOB)`)
	subs := []store.Submission{submission(), submission(), submission()}
	subs[2].App = subs[0].App
	if _, err := s.Accept(t.Context(), subs); err != nil {
		t.Fatal(err)
	}
	err = s.w.hot(t.Context(), len(subs), func(r *raw) error {
		for i := range subs {
			for kind, value := range []string{"ama@example.org", "all"} {
				if _, err := r.run(qTermInsert, subs[i].App[:], int64(kind), value, subs[i].ID[:]); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sql(`DROP TABLE outbox`)
	if err := s.migrate(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	f := store.Filter{Recipient: "ama@example.org", Terms: []store.Term{{Kind: store.TagTerm, Value: "all"}}, Limit: 10}
	for i, want := range map[int]int{0: 2, 1: 1} {
		if found, err := s.Search(t.Context(), subs[i].App, f); err != nil || len(found.Messages) != want {
			t.Errorf("%d messages of app %d, want %d, %v", len(found.Messages), i, want, err)
		}
	}
	if _, err := s.Accept(t.Context(), []store.Submission{submission()}); err != nil {
		t.Fatal(err)
	}
}

// What apps had as their webhooks they have as endpoints, with the secret where it can be opened.
func TestAWebhookBecomesAnEndpoint(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "old.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	list := steps(t)
	at := slices.IndexFunc(list, func(m sqlstore.Migration) bool { return strings.HasPrefix(m.Name, "0014_") })
	if err := s.migrate(t.Context(), list[:at]); err != nil {
		t.Fatal(err)
	}
	insert := func(slug, address string, secret []byte) comm.ID {
		id := comm.NewID(1)
		if err := s.Write(t.Context(), func(q sqlstore.Querier) error {
			_, err := q.ExecContext(t.Context(), `INSERT INTO apps (id, slug, name, active, sandbox, on_unknown, rate_per_minute, shard_spread, queue_paused, webhook_url, webhook_secret,
				allowed_from, created_at, updated_at) VALUES ($1, $2, '', 1, 1, 0, 1, 1, 0, $3, $4, '[]', 5, 6)`, id[:], slug, address, secret)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return id
	}
	secret := seal.Sealed{KeyID: "k", Box: []byte{0, 1, 255}}
	full, remembered, none := insert("full", "https://hooks.example.com/in", secret.Pack()), insert("remembered", "", secret.Pack()), insert("none", "", nil)
	if err := s.migrate(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[comm.ID]string{full: "https://hooks.example.com/in", remembered: "", none: ""} {
		a, err := s.AppByID(t.Context(), id)
		if err != nil || a.WebhookURL != want || (a.WebhookSecret == nil) != (id == none) {
			t.Errorf("%+v, want %q, %v", a, want, err)
		}
	}
	e, err := s.Endpoint(t.Context(), full, full)
	if err != nil || e.Name != comm.DefaultEndpoint || !e.Active || e.CreatedAt != 5 || e.UpdatedAt != 6 {
		t.Errorf("%+v %v", e, err)
	}
	values, err := s.SealedAfter(t.Context(), store.WebhookSecrets(), comm.ID{}, comm.ID{}, 10)
	if err != nil || len(values) != 2 {
		t.Fatalf("%+v %v", values, err)
	}
	for _, v := range values {
		old := seal.Place{App: v.App.String(), Record: v.App.String(), Field: "webhookSecret"} // where the secret was sealed to
		if at := store.WebhookSecrets().Place(v.App, v.ID); at != old || v.Value.KeyID != "k" {
			t.Errorf("%+v is at %+v, and was sealed to %+v", v, at, old)
		}
	}
}

func TestMigrateManyTimesAtOnce(t *testing.T) {
	t.Parallel()
	s := opened(t)
	list := steps(t, `CREATE TABLE once (x INTEGER)`)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for i := range errs {
		wg.Go(func() { errs[i] = s.migrate(t.Context(), list) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestAChangedMigrationIsRefused(t *testing.T) {
	t.Parallel()
	s := opened(t)
	list := steps(t)
	list[0].Sum = "another"
	if err := s.migrate(t.Context(), list); err == nil || !strings.Contains(err.Error(), "another text") {
		t.Fatalf("%v", err)
	}
	// A newer binary's step is no reason to stop: both run during an upgrade.
	if err := s.migrate(t.Context(), steps(t, `CREATE TABLE newer (x INTEGER)`)); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := filepath.Join(dir, "other.db")
	db, err := sql.Open("sqlite", uri(other))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE songs (title TEXT)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database at all. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, want string }{
		"another program's": {other, "another program"}, "a text": {text, "not a database"}, "no folder": {filepath.Join(dir, "no", "such.db"), "no such"},
	} {
		if s, err := Open(context.Background(), Options{Path: c.path}); err == nil {
			_ = s.Close()
			t.Errorf("%s is opened", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b, err := os.ReadFile(text); err != nil || !strings.HasPrefix(string(b), "no database") {
		t.Errorf("the text was changed: %v", err)
	}
	odd := filepath.Join(dir, "100% odd? #name.db")
	s, err := Open(t.Context(), Options{Path: odd})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(odd); err != nil {
		t.Error(err)
	}
}

func TestOldLibrariesAreRefused(t *testing.T) {
	t.Parallel()
	for version, ok := range map[string]bool{"3.51.3": true, "3.53.4": true, "4.0.0": true, "3.51.2": false, "3.8.11": false, "3": false, "": false} {
		if err := newEnough(version); (err == nil) != ok {
			t.Errorf("%q: %v", version, err)
		}
	}
}

// TestADatabaseOfANewerVersion: it is opened, and the operator is told once which steps are not known.
func TestADatabaseOfANewerVersion(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.db")
	for _, future := range [][]string{{`CREATE TABLE future (x)`, `CREATE TABLE further (x)`}, nil} {
		var log bytes.Buffer
		s, err := Open(t.Context(), Options{Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.migrate(t.Context(), steps(t, future...)), s.Close()); err != nil {
			t.Fatal(err)
		}
		if future != nil {
			if len(s.Newer()) > 0 || strings.Contains(log.String(), "WARN") {
				t.Errorf("%q are its own: %s", s.Newer(), log.String())
			}
			continue
		}
		if got := s.Newer(); !slices.Equal(got, []string{"90_test", "9_test"}) {
			t.Errorf("%q", got)
		}
		if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "90_test") || !strings.Contains(got, "newer version") {
			t.Errorf("the log: %s", got)
		}
	}
}
