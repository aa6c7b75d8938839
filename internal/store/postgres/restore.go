package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Restore writes a backup into an empty database, in one transaction: whatever happens before its commit leaves the database as empty as
// it was. A server that starts meanwhile waits at the lock of migrations, and finds everything there.
func Restore(ctx context.Context, url string, r *store.Restoring) (err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("read the database URL: %w", err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing is prepared: a pooler may stand between
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close() }()
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to restore: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := restoreIn(ctx, conn, tx, r); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit what was restored: %w", err)
	}
	return nil
}

// Check says, without a database, whether Restore would take a backup with this head and these rows of tables: its schema is one that this binary
// knows, and so are its tables, each with its columns.
func Check(h *store.BackupHead, rows map[string]int64) error {
	if _, err := steps(h); err != nil {
		return err
	}
	for _, table := range slices.Sorted(maps.Keys(rows)) {
		if !slices.Contains(copied(), table) || h.Columns[table] == "" {
			return foreignTable(table)
		}
	}
	return nil
}

// steps are those that make the schema as it was when the backup was made.
func steps(h *store.BackupHead) ([]sqlstore.Migration, error) {
	all, err := sqlstore.LoadMigrations(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return sqlstore.StepsOf(all, h)
}

func foreignTable(name string) error {
	return fmt.Errorf("the backup has a table %q of other columns than this version knows", name)
}

func restoreIn(ctx context.Context, conn *sql.Conn, tx *sql.Tx, r *store.Restoring) error {
	if err := prepare(ctx, tx, r.From.Head()); err != nil {
		return err
	}
	var got map[string]int64
	// The connection below database/sql is in the same transaction.
	err := conn.Raw(func(c any) (err error) {
		under, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the PostgreSQL driver's connection is a %T", c)
		}
		got, err = pourInto(ctx, under.Conn(), r)
		return err
	})
	if err != nil {
		return err
	}
	want, err := r.From.End()
	if err != nil {
		return err
	}
	if err := sqlstore.SameRows(want, got); err != nil {
		return err
	}
	finish := []string{pastTransactions, `ALTER TABLE audit_head ENABLE TRIGGER audit_head_kept`}
	if sqlstore.HasStep(r.From.Head(), stepOfLately) {
		finish = append(finish, pastStampings)
	}
	for _, text := range finish {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("finish what was restored: %w", err)
		}
	}
	at, err := now(ctx, tx)
	if err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	return sqlstore.Hold(ctx, tx, r, at)
}

// prepare makes the schema as it was when the backup was made; a server that starts brings it forward.
func prepare(ctx context.Context, tx *sql.Tx, h *store.BackupHead) error {
	if _, err := tx.ExecContext(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL synchronous_commit = on`); err != nil {
		return fmt.Errorf("begin to restore: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlstore.PostgreSQL().Lock); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	var tables int
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relnamespace = current_schema()::regnamespace`).Scan(&tables); err != nil {
		return fmt.Errorf("look whether the database is empty: %w", err)
	}
	if tables > 0 {
		return errNotEmpty
	}
	list, err := steps(h)
	if err != nil {
		return err
	}
	m := sqlstore.Migrator{Dialect: sqlstore.PostgreSQL(), List: list, Now: func() comm.Micros { return h.TakenAt },
		Begin: func(context.Context) (sqlstore.Tx, error) { return within{tx}, nil }}
	if _, err := m.Run(ctx); err != nil {
		return err
	}
	// Migrations put rows into some tables.
	for _, text := range []string{`ALTER TABLE audit_head DISABLE TRIGGER audit_head_kept`, `DELETE FROM audit_head`, `DELETE FROM config_version`, `DELETE FROM shards`} {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("make room for what is restored: %w", err)
		}
	}
	return nil
}

// within is the transaction of a restore as its migrations see it: it ends with the restore.
type within struct{ *sql.Tx }

// Commit does nothing.
func (within) Commit() error { return nil }

// Rollback does nothing.
func (within) Rollback() error { return nil }

// pourInto fills the tables, and answers how many rows each has got.
func pourInto(ctx context.Context, conn *pgx.Conn, r *store.Restoring) (map[string]int64, error) {
	have, err := columnsOf(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read the columns of the schema: %w", err)
	}
	out := map[string]int64{}
	var read int64
	for {
		name, part, err := r.From.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		at := slices.Index(copied(), name)
		if at < 0 || have[name] == "" || have[name] != r.From.Head().Columns[name] {
			return nil, foreignTable(name)
		}
		table := copied()[at]
		from := &reading{from: part, tell: r.Progress, n: &read}
		done, err := conn.PgConn().CopyFrom(ctx, from, `COPY `+table+` FROM STDIN (FORMAT binary)`)
		if err != nil {
			return nil, fmt.Errorf("restore table %s: %w", table, damaged(err, from.failed))
		}
		out[table] = done.RowsAffected()
	}
}

// damaged is the error of the backup's file, where that was why the database refused a table.
func damaged(err, file error) error {
	if _, said := errors.AsType[*pgconn.PgError](err); said && file != nil {
		return file
	}
	return err
}

// reading tells how much went through it, and remembers why it ended.
type reading struct {
	from   io.Reader
	tell   func(int64)
	n      *int64
	failed error
}

// Read implements io.Reader.
func (x *reading) Read(b []byte) (int, error) {
	n, err := x.from.Read(b)
	if *x.n += int64(n); x.tell != nil && n > 0 {
		x.tell(*x.n)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		x.failed = err
	}
	return n, err
}
