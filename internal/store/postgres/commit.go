package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Codes of errors after which a transaction can simply be tried again, and of the fence.
const (
	serializationFailure = "40001"
	deadlockDetected     = "40P01"
	planChanged          = "0A000" // a kept plan met a table that a migration has changed
	lockNotAvailable     = "55P03" // not within lock_timeout
	statementCancelled   = "57014" // by statement_timeout, by its caller, or by an administrator
	turnRefused          = "ZS001" // by the fence: see refuse in the schema
	groupRefused         = "ZS002" // by acceptSQL: an app is over its rate
)

// tries bounds how often a transaction is repeated that lost against another one.
const tries = 6

// session is a connection that runs one transaction.
type session struct {
	*pgx.Conn
	// committing is set before anything is sent that may end in a commit.
	committing bool
}

// write runs fn, which is one transaction, and repeats it when it certainly had
// no effect for a reason that passes. The error wraps store.ErrUncertain when the
// connection was lost between the commit and its answer.
func (s *Store) write(ctx context.Context, pool *pgxpool.Pool, what string, fn func(c *session) error) error {
	for try := 1; ; try++ {
		again, err := once(ctx, pool, fn)
		if err == nil {
			return nil
		}
		if !again || try == tries || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

func once(ctx context.Context, pool *pgxpool.Pool, fn func(c *session) error) (again bool, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Release()
	c := &session{Conn: conn.Conn()}
	if err := fn(c); err != nil {
		return outcome(c, err)
	}
	return false, nil
}

// outcome tells what an error says about the transaction.
func outcome(c *session, err error) (again bool, _ error) {
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR":
		// The server rolled back. A FATAL error is different: it may come between the commit and its answer.
		return repeatable(refused), &store.RolledBack{Cause: err}
	case pgconn.SafeToRetry(err):
		return true, err // nothing was sent: the connection had died while it was idle
	case !c.committing || !c.IsClosed():
		return false, err
	}
	return false, fmt.Errorf("%w: %w", store.ErrUncertain, err)
}

func repeatable(e *pgconn.PgError) bool {
	return e.Code == serializationFailure || e.Code == deadlockDetected || e.Code == planChanged
}

// batch sends statements in one round trip as one transaction and hands their
// results to read. The implicit transaction ends with the pipeline, so that a
// client that stops afterwards holds nothing. The batch may be sent again, on any
// connection: pgx notes in its queries which prepared statement they are, which is
// another one on another connection, and gone after an error.
func (s *Store) batch(ctx context.Context, c *session, settings []setting, b *pgx.Batch, read func(r pgx.BatchResults) error) error {
	fresh := &pgx.Batch{}
	if s.pooled {
		fresh.Queue(localSettings(settings))
	}
	for _, q := range b.QueuedQueries {
		fresh.Queue(q.SQL, q.Arguments...)
	}
	c.committing = true
	r := c.SendBatch(ctx, fresh)
	var err error
	if s.pooled {
		_, err = r.Exec()
	}
	if err == nil {
		err = read(r)
	}
	// Close waits for the answer to the commit. After an error it repeats that error or finds a worse one.
	if closed := r.Close(); err == nil || c.IsClosed() {
		err = errors.Join(err, closed)
	}
	return err
}

// transaction runs fn between BEGIN and COMMIT on a connection: for changes that
// are computed here, from a row that fn has locked.
func (s *Store) transaction(ctx context.Context, what string, fn func(tx pgx.Tx) error) error {
	return s.transactionOn(ctx, s.control, hotSettings(), what, fn)
}

// transactionOn is transaction on a pool that has these settings.
func (s *Store) transactionOn(ctx context.Context, pool *pgxpool.Pool, settings []setting, what string, fn func(tx pgx.Tx) error) error {
	begin := "begin"
	if s.pooled {
		begin += "; " + localSettings(settings)
	}
	return s.write(ctx, pool, what, func(c *session) error {
		tx, err := c.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
		if err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
		c.committing = true
		return tx.Commit(ctx)
	})
}

// read runs fn, which only reads, and once more when the connection turns out to be dead.
func (s *Store) read(ctx context.Context, what string, fn func(c *pgx.Conn) error) error {
	for try := 1; ; try++ {
		lost, err := s.readOnce(ctx, fn)
		if err == nil {
			return nil
		}
		if !lost || try == 2 || ctx.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

func (s *Store) readOnce(ctx context.Context, fn func(c *pgx.Conn) error) (lost bool, err error) {
	conn, err := s.reads.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Release()
	if err := fn(conn.Conn()); err != nil {
		var refused *pgconn.PgError
		return conn.Conn().IsClosed() || errors.As(err, &refused) && repeatable(refused), err
	}
	return false, nil
}

// coldDB is how sqlstore reaches the database.
type coldDB struct{ s *Store }

// Read implements sqlstore.DB. Settings, by which orders name their indexes, belong to the connection, or behind a pooler to a transaction.
func (d coldDB) Read(ctx context.Context, fn func(sqlstore.Querier) error) error {
	if !d.s.pooled {
		return fn(d.s.cold)
	}
	tx, err := d.s.cold.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if _, err = tx.ExecContext(ctx, localSettings(readSettings())); err == nil {
		err = fn(tx)
	}
	_ = tx.Rollback() // it has written nothing
	return err
}

// Write implements sqlstore.DB.
func (d coldDB) Write(ctx context.Context, fn func(sqlstore.Querier) error) error {
	for try := 1; ; try++ {
		err := d.once(ctx, fn)
		var refused *pgconn.PgError
		if err == nil || !errors.As(err, &refused) || !repeatable(refused) || try == tries || ctx.Err() != nil {
			return err
		}
	}
}

func (d coldDB) once(ctx context.Context, fn func(sqlstore.Querier) error) error {
	tx, err := d.s.cold.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if d.s.pooled {
		_, err = tx.ExecContext(ctx, localSettings(readSettings()))
	}
	if err == nil {
		err = fn(tx)
	}
	if err != nil {
		_ = tx.Rollback() // the first error decides
		return err
	}
	err = tx.Commit()
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.SeverityUnlocalized == "ERROR", pgconn.SafeToRetry(err), errors.Is(err, sql.ErrTxDone), errors.Is(err, pgx.ErrTxCommitRollback):
		return fmt.Errorf("commit: %w", err)
	}
	return fmt.Errorf("%w: commit: %w", store.ErrUncertain, err)
}
