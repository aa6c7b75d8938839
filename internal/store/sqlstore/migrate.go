package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"

	"github.com/commserver/commserver/internal/comm"
)

// Migration is one forward step of the schema.
type Migration struct {
	Name string // "0001_core"
	SQL  string
	Sum  string // hex SHA-256 of SQL
}

// LoadMigrations reads every *.sql file of a folder in the order of the names.
func LoadMigrations(fsys fs.FS, dir string) ([]Migration, error) {
	names, err := fs.Glob(fsys, path.Join(dir, "*.sql"))
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	slices.Sort(names)
	out := make([]Migration, 0, len(names))
	for _, name := range names {
		b, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("read migration: %w", err)
		}
		sum := sha256.Sum256(b)
		base := path.Base(name)
		out = append(out, Migration{Name: base[:len(base)-len(".sql")], SQL: string(b), Sum: hex.EncodeToString(sum[:])})
	}
	return out, nil
}

// Tx is a transaction, such as a *sql.Tx.
type Tx interface {
	Querier
	Commit() error
	Rollback() error
}

// Migrator brings a schema forward. Any number of processes may run one at the
// same time: each step is a transaction that waits for the others and looks again.
type Migrator struct {
	Dialect Dialect
	// Begin opens a transaction that can write.
	Begin func(ctx context.Context) (Tx, error)
	// List is every step this binary knows, in order.
	List []Migration
	// Now stamps the record of a step.
	Now func() comm.Micros
	// Before, when set, is called once, outside any transaction, before the first
	// step that a database which already has some needs. An error stops everything.
	Before func(ctx context.Context, first Migration) error
	// Newer is set by Run: the names, in order, of the steps that the database has and List has not.
	Newer []string
}

// Run applies what is missing and answers the names of the steps that it ran.
// Steps that the database has and this binary does not know are left alone, and
// named in Newer: an older binary may run beside a newer one. A known step whose text has changed is an error.
func (m *Migrator) Run(ctx context.Context) (ran []string, err error) {
	before := m.Before
	for {
		name, err := m.step(ctx, &before)
		if err != nil || name == "" {
			return ran, err
		}
		if name != looked {
			ran = append(ran, name)
		}
	}
}

// looked is answered by a step that only called Before.
const looked = "?"

func (m *Migrator) step(ctx context.Context, before *func(context.Context, Migration) error) (name string, err error) {
	tx, err := m.Begin(ctx)
	if err != nil {
		return "", fmt.Errorf("begin migration: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	done, err := m.applied(ctx, tx)
	if err != nil {
		return "", err
	}
	next, err := m.next(done)
	if err != nil || next == nil {
		m.Newer = m.unknown(done)
		return "", err
	}
	f := *before
	*before = nil // of a database that began empty there is nothing to keep, whatever the next steps find
	if f != nil && len(done) > 0 {
		_ = tx.Rollback()
		if err := f(ctx, *next); err != nil {
			return "", fmt.Errorf("prepare migration %s: %w", next.Name, err)
		}
		return looked, nil
	}
	if _, err := tx.ExecContext(ctx, next.SQL); err != nil {
		return "", fmt.Errorf("migration %s: %w", next.Name, err)
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO schema_migrations (name, sum, applied_at) VALUES ($1, $2, $3)`, next.Name, next.Sum, int64(m.Now())); err != nil {
		return "", fmt.Errorf("record migration %s: %w", next.Name, err)
	}
	if err := tx.Commit(); err != nil {
		return "", fmt.Errorf("commit migration %s: %w", next.Name, err)
	}
	return next.Name, nil
}

// applied takes the lock and reads the steps that the database has, name to sum.
func (m *Migrator) applied(ctx context.Context, tx Tx) (map[string]string, error) {
	if m.Dialect.Lock != "" {
		if _, err := tx.ExecContext(ctx, m.Dialect.Lock); err != nil {
			return nil, fmt.Errorf("lock migrations: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY NOT NULL, sum text NOT NULL, applied_at bigint NOT NULL)`); err != nil {
		return nil, fmt.Errorf("create table of migrations: %w", err)
	}
	rows, err := tx.QueryContext(ctx, `SELECT name, sum FROM schema_migrations`)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	defer func() { _ = rows.Close() }()
	done := map[string]string{}
	for rows.Next() {
		var name, sum string
		if err := rows.Scan(&name, &sum); err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
		done[name] = sum
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return done, nil
}

// next is the first step that is missing.
func (m *Migrator) next(done map[string]string) (*Migration, error) {
	for i := range m.List {
		switch sum, ok := done[m.List[i].Name]; {
		case !ok:
			return &m.List[i], nil
		case sum != m.List[i].Sum:
			return nil, fmt.Errorf("migration %s was applied with another text: this database belongs to another build", m.List[i].Name)
		}
	}
	return nil, nil
}

// unknown are the steps of a newer version.
func (m *Migrator) unknown(done map[string]string) []string {
	known := map[string]bool{}
	for i := range m.List {
		known[m.List[i].Name] = true
	}
	var names []string
	for name := range done {
		if !known[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// WarnOfNewer tells the operator that a newer version has updated the database, if Run has seen so.
func (m *Migrator) WarnOfNewer(log *slog.Logger) {
	if len(m.Newer) > 0 {
		log.Warn("a newer version has updated the database: this one goes on beside it for the time of a roll-out and knows nothing of what it has added; to stay with this version, restore the backup from before the update (docs/operate/upgrade.md)",
			"unknownSteps", m.Newer)
	}
}
