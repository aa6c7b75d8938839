package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// notCopied are tables that tell of nodes, which a restored database does not have, the one that the migrations of a restore fill, and SQLite's own.
var notCopied = [...]string{"nodes", "holds", "schema_migrations", "stats_shares"}

// copied are the tables that a backup holds: each is a part in PostgreSQL's binary form.
func copied() []string {
	var out []string
	for _, t := range sqlstore.Tables() {
		if !slices.Contains(notCopied[:], t.Name) {
			out = append(out, t.Name)
		}
	}
	return out
}

const (
	backupHeadSQL = `SELECT ` + wallClock + `, coalesce((SELECT value FROM settings WHERE name = '` + store.CanarySetting + `'), ''), coalesce((SELECT max(last) FROM feed), 0)`
	// columnsSQL is each table's columns, in their order, with their types.
	columnsSQL = `SELECT c.relname::text, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname = ANY ($1::text[]) GROUP BY c.relname`
	stepsSQL = `SELECT name, sum FROM schema_migrations ORDER BY name`
	// asOfOneInstant begins the transaction of a backup, which may take long and waits for no lock for long.
	asOfOneInstant = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL lock_timeout = '30s'`
)

// Backup implements store.Backups: every table by COPY in one snapshot, on a connection of its own.
func (s *Store) Backup(ctx context.Context, to store.BackupTo) error {
	conn, err := pgx.ConnectConfig(ctx, s.base.Copy())
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.PgConn().Exec(ctx, asOfOneInstant).ReadAll(); err != nil {
		return fmt.Errorf("begin a backup: %w", err)
	}
	h, err := headOf(ctx, conn)
	if err != nil {
		return fmt.Errorf("begin a backup: %w", err)
	}
	if err := to.Head(h); err != nil {
		return err
	}
	for _, table := range copied() {
		if h.Columns[table] == "" {
			continue // of a later version
		}
		err := to.Part(table, func(w io.Writer) (map[string]int64, error) {
			done, err := conn.PgConn().CopyTo(ctx, w, `COPY `+table+` TO STDOUT (FORMAT binary)`)
			return map[string]int64{table: done.RowsAffected()}, err
		})
		if err != nil {
			return fmt.Errorf("copy table %s: %w", table, err)
		}
	}
	return nil
}

// headOf reads what the transaction sees. Where the connection goes through a pooler, nothing is prepared.
func headOf(ctx context.Context, conn *pgx.Conn) (h store.BackupHead, err error) {
	h = store.BackupHead{Store: "postgresql", Columns: map[string]string{}}
	if err := conn.QueryRow(ctx, backupHeadSQL, pgx.QueryExecModeSimpleProtocol).Scan((*int64)(&h.TakenAt), &h.Canary, &h.Feed); err != nil {
		return h, err
	}
	rows, err := conn.Query(ctx, stepsSQL, pgx.QueryExecModeSimpleProtocol)
	if err == nil {
		h.Schema, err = pgx.CollectRows(rows, pgx.RowToStructByPos[store.SchemaStep])
	}
	if err != nil {
		return h, err
	}
	h.Columns, err = columnsOf(ctx, conn)
	return h, err
}

func columnsOf(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	out := map[string]string{}
	rows, err := conn.Query(ctx, columnsSQL, pgx.QueryExecModeExec, copied())
	if err != nil {
		return nil, err
	}
	var table, columns string
	_, err = pgx.ForEachRow(rows, []any{&table, &columns}, func() error {
		out[table] = columns
		return nil
	})
	return out, err
}

var errNotEmpty = errors.New("the database is not empty: restore into an empty one (createdb)")

// pastTransactions numbers what waits for its place in the feed anew, in the order that it had: transactions of another server say
// nothing here, and a number that this one has not reached yet would wait for ever.
const pastTransactions = `UPDATE outbox o SET xid = least(r.n, ` + sqlstore.CurrentXID + `) FROM (SELECT ctid AS place, dense_rank() OVER (ORDER BY xid) AS n
FROM outbox WHERE xid >= 0) r WHERE o.ctid = r.place`

// pastStampings forgets which transactions of another server stamped events, where the step was made that notes it.
const (
	pastStampings = `UPDATE feed SET xid = 0 WHERE xid <> 0`
	stepOfLately  = "0028_lately"
)

// now is the instant of a restore, on the database's clock.
func now(ctx context.Context, q sqlstore.Querier) (at comm.Micros, err error) {
	err = q.QueryRowContext(ctx, `SELECT `+wallClock).Scan((*int64)(&at))
	return at, err
}
