package postgres

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store/sqlstore"
	"github.com/commserver/commserver/test/pgtest"
)

// openedBefore opens a database as it was before a step, which the prefix of its name says.
func openedBefore(t *testing.T, step string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: pgtest.Database(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	list, err := sqlstore.LoadMigrations(migrations, "migrations")
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(list, func(m sqlstore.Migration) bool { return strings.HasPrefix(m.Name, step) })
	m := sqlstore.Migrator{Dialect: sqlstore.PostgreSQL(), Begin: s.beginMigration, List: list[:at], Now: func() comm.Micros { return 1 }}
	if _, err := m.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// A step that changes a table which a long transaction reads holds up nobody else for long, and is made once that has ended.
func TestAMigrationStandsInNobodysWay(t *testing.T) {
	t.Parallel()
	s := openedBefore(t, "0020_")
	ctx := t.Context()
	reader, err := s.cold.BeginTx(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback() }()
	if _, err := reader.ExecContext(ctx, `SET LOCAL idle_in_transaction_session_timeout = 0; LOCK TABLE deliveries IN ACCESS SHARE MODE`); err != nil {
		t.Fatal(err)
	}
	migrated := make(chan error, 1)
	go func() { migrated <- s.Migrate(ctx) }()
	for waits, until := false, time.Now().Add(time.Minute); !waits; time.Sleep(5 * time.Millisecond) {
		if err := s.cold.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks l WHERE l.relation = 'deliveries'::regclass AND NOT l.granted)`).Scan(&waits); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(until) {
			t.Fatal("no step waits for the table")
		}
	}
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var n int
	if err := s.cold.QueryRowContext(short, `SELECT COUNT(*) FROM deliveries`).Scan(&n); err != nil {
		t.Errorf("others wait behind the step: %v", err)
	}
	select {
	case err := <-migrated:
		t.Fatalf("the step was made, or given up, while the table was read: %v", err)
	default:
	}
	if err := reader.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-migrated; err != nil {
		t.Fatal(err)
	}
	if _, err := s.cold.ExecContext(ctx, `SELECT made_for FROM deliveries`); err != nil {
		t.Error(err)
	}
}

// What apps had as their webhooks they have as endpoints.
func TestAWebhookBecomesAnEndpoint(t *testing.T) {
	t.Parallel()
	s := openedBefore(t, "0014_")
	insert := func(slug, address string, secret []byte) comm.ID {
		id := comm.NewID(1)
		if _, err := s.cold.ExecContext(t.Context(), `INSERT INTO apps (id, slug, name, active, sandbox, on_unknown, rate_per_minute, shard_spread, queue_paused, webhook_url, webhook_secret,
			allowed_from, created_at, updated_at) VALUES ($1, $2, '', 1, 1, 0, 1, 1, 0, $3, $4, '[]', 5, 6)`, hex.EncodeToString(id[:]), slug, address, secret); err != nil {
			t.Fatal(err)
		}
		return id
	}
	full, remembered, none := insert("full", "https://hooks.example.com/in", []byte{1}), insert("remembered", "", []byte{2}), insert("none", "", nil)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[comm.ID]string{full: "https://hooks.example.com/in", remembered: "", none: ""} {
		a, err := s.AppByID(t.Context(), id)
		if err != nil || a.WebhookURL != want || (a.WebhookSecret == nil) != (id == none) {
			t.Errorf("%+v, want %q, %v", a, want, err)
		}
	}
	if e, err := s.Endpoint(t.Context(), full, full); err != nil || e.Name != comm.DefaultEndpoint || !e.Active || e.CreatedAt != 5 || e.UpdatedAt != 6 {
		t.Errorf("%+v %v", e, err)
	}
}

// TestADatabaseOfANewerVersion: it is opened, and the operator is told once which steps are not known.
func TestADatabaseOfANewerVersion(t *testing.T) {
	t.Parallel()
	s := openedBefore(t, "0014_")
	if _, err := s.cold.ExecContext(t.Context(), `INSERT INTO schema_migrations (name, sum, applied_at) VALUES ('0099_future', 'x', 1)`); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, nil))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Newer(); !slices.Equal(got, []string{"0099_future"}) {
		t.Errorf("%q", got)
	}
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "0099_future") || !strings.Contains(got, "newer version") {
		t.Errorf("the log: %s", got)
	}
}
