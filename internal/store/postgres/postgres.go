// Package postgres keeps everything in PostgreSQL, for one node or many.
//
// It promises the contract of package store: each hot method is one round trip
// and one durable transaction, the fence of a turn is part of its transaction,
// and an error after which nobody can tell whether something was stored is
// store.ErrUncertain. It needs no session: it works behind a pooler that hands a
// connection to another client after each transaction, except that
// announcements then need a direct connection (else nodes poll).
//
// It decides nothing that the contract does not name, creates no database and
// no role, and keeps no copy of rows in memory.
package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options say where the database is.
type Options struct {
	// URL is a postgres:// URL or a keyword/value string, as libpq reads them.
	URL string
	// DirectURL leads past a pooler to the server itself; only announcements use
	// it. Giving it says that URL leads to a pooler.
	DirectURL string
	// Pooled says that URL leads to a pooler even without a DirectURL. Open also
	// finds out by itself; this is for poolers that hide too well.
	Pooled bool
	Log    *slog.Logger
}

// Store is store.Store and store.Announcer on PostgreSQL. It is safe for concurrent use.
type Store struct {
	*sqlstore.Cold
	log    *slog.Logger
	pooled bool
	name   string // of this store in announcements

	// Accepts and turns have connections of their own so that neither waits for
	// the other nor for readers, and heartbeats wait for nobody.
	accepts, turns, control, reads *pgxpool.Pool
	cold                           *sql.DB // database/sql's face of reads
	base, listen                   *pgx.ConnConfig
	listenPooled                   bool

	// The statements of a turn that are put together from parts: what few turns need is in a variant of its own.
	start, startFailed, finish, finishMoves, finishElse string

	wakes      wakes
	hearing    outage.Report // listening for announcements
	limited    limited
	held       held
	folding    folding
	ahead      ahead
	stuckAfter time.Duration // see endHolders
	newer      []string      // see Newer
}

var (
	_ store.Store     = (*Store)(nil)
	_ store.Announcer = (*Store)(nil)
)

// The sizes of the pools. One connection for accepts is faster than two, because
// two make smaller groups; a second one for turns helps while a backlog fills whole groups.
const (
	acceptConns  = 1
	turnConns    = 2
	controlConns = 3
	readConns    = 8
)

// Open connects and looks at the server. It changes nothing in the database:
// call Migrate before anything else.
func Open(ctx context.Context, o Options) (*Store, error) {
	base, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("read the database URL: %w", err)
	}
	s := &Store{log: o.Log, name: rand.Text()[:nameLength], start: startSQL(false), startFailed: startSQL(true),
		finish: finishSQL(false, false), finishMoves: finishSQL(false, true), finishElse: finishSQL(true, true), ahead: ahead{seen: map[string]sighting{}},
		stuckAfter: stuckAfter}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.hearing.Log, s.hearing.Level = s.log, slog.LevelWarn
	s.hearing.Failing, s.hearing.Works = "listening for announcements was interrupted", "announcements are heard again"
	if base.ConnConfig.ConnectTimeout == 0 {
		base.ConnConfig.ConnectTimeout = connectTimeout
	}
	found, err := s.inspect(ctx, base.ConnConfig)
	if err != nil {
		return nil, err
	}
	s.pooled = o.Pooled || o.DirectURL != "" || found
	s.base = base.ConnConfig.Copy()
	s.listen, s.listenPooled = s.base.Copy(), s.pooled
	if o.DirectURL != "" {
		if s.listen, err = pgx.ParseConfig(o.DirectURL); err != nil {
			return nil, fmt.Errorf("read the direct database URL: %w", err)
		}
		s.listenPooled = false
	}
	if s.pooled {
		s.log.Info("the database connection goes through a pooler", "announcements", !s.listenPooled)
	}
	if err := s.openPools(ctx, base); err != nil {
		_ = s.Close()
		return nil, err
	}
	s.cold = stdlib.OpenDBFromPool(s.reads)
	s.Cold = sqlstore.NewCold(coldDB{s}, sqlstore.PostgreSQL())
	return s, nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	var err error
	if s.cold != nil {
		err = s.cold.Close()
	}
	for _, p := range []*pgxpool.Pool{s.accepts, s.turns, s.control, s.reads} {
		if p != nil {
			p.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// clock is the database's clock as the start of the running transaction, in microseconds.
const clock = `(extract(epoch FROM now()) * 1000000)::bigint`

// wallClock is the database's clock of the instant itself: what leases are compared with after waiting for a lock.
const wallClock = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`

// Now implements store.Store.
func (s *Store) Now(ctx context.Context) (now comm.Micros, err error) {
	err = s.read(ctx, "read the clock", func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT `+wallClock).Scan((*int64)(&now))
	})
	return now, err
}

// Ping implements store.Store: it writes a record to the log of transactions and
// waits for it as any commit does, without touching a table.
func (s *Store) Ping(ctx context.Context) error {
	return s.write(ctx, s.control, "write to the database", func(c *session) error {
		c.committing = true
		_, err := c.Exec(ctx, `SELECT pg_logical_emit_message(true, 'commserver', '')`)
		return err
	})
}

// Migrate implements store.Store.
func (s *Store) Migrate(ctx context.Context) error {
	list, err := sqlstore.LoadMigrations(migrations, "migrations")
	if err != nil {
		return err
	}
	now, err := s.Now(ctx)
	if err != nil {
		return err
	}
	m := sqlstore.Migrator{Dialect: sqlstore.PostgreSQL(), Begin: s.beginMigration, List: list, Now: func() comm.Micros { return now }}
	waiting := outage.Report{Log: s.log, Level: slog.LevelWarn, Failing: "a change of the database schema waits for a lock: another node changes it, or a transaction has been open for long (see pg_stat_activity)",
		Works: "the lock for a change of the database schema was free"}
	for pause := migrationPause; ; pause = min(2*pause, migrationPauseMost) {
		ran, err := m.Run(ctx)
		if len(ran) > 0 {
			s.log.Info("database schema changed", "steps", ran)
		}
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != lockNotAvailable {
			waiting.Worked()
			m.WarnOfNewer(s.log)
			s.newer = m.Newer
			return err
		}
		waiting.Failed(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// Newer implements store.Store.
func (s *Store) Newer() []string { return s.newer }

const (
	// migrationWait is how long a step waits for a lock: whoever wants to read or write the table meanwhile waits behind it.
	migrationWait = 2 * time.Second
	// migrationPause is how long those may go on before the step is tried again; twice as long each time, up to the most.
	migrationPause     = 2 * time.Second
	migrationPauseMost = 30 * time.Second
)

// beginMigration opens a transaction that may take long, but waits for no lock for long: an older version may run beside this one.
func (s *Store) beginMigration(ctx context.Context) (sqlstore.Tx, error) {
	tx, err := s.cold.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `SELECT set_config('statement_timeout', '0', true), set_config('idle_in_transaction_session_timeout', '0', true), set_config('lock_timeout', $1, true)`,
		milliseconds(migrationWait)); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}
