// Package sqlite is the store on an embedded SQLite file: one process, one
// writer, nothing to set up.
//
// It promises what package store promises, with every commit flushed to stable
// storage (WAL, synchronous=FULL) before it is answered, and that no second
// process can use the file while it is open. Whatever writes at the same time
// shares one transaction. It decides nothing about messages: the pure functions
// of sqlstore and comm do.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Options are how to open a database.
type Options struct {
	Path string           // of the database file; its folder must exist
	Log  *slog.Logger     // nil: nothing is logged
	Now  func() time.Time // the database's clock; nil: time.Now
}

const (
	// leastVersion is the oldest SQLite that may touch the file, as in sqlite3_libversion_number:
	// 3.51.3 mends a write-ahead log that could lose a commit after a reset.
	leastVersion = 3_051_003
	readerCount  = 4
	// Page caches in KiB. The system caches the file as well, and each commit
	// walks the cache's hash table: larger ones are slower (docs/decisions/0002-sqlite-keys.md).
	writerCacheKiB = 4 << 10
	readerCacheKiB = 2 << 10
)

// Store is a store.Store on one SQLite file.
type Store struct {
	*sqlstore.Cold
	path    string
	log     *slog.Logger
	clock   func() time.Time
	lock    *fileLock
	db      *sql.DB // the writer's
	w       *writer
	readers *readers
	space   space
	flights flights
	closed  atomic.Bool
	// The writer's goroutine's:
	forgot bool // forget has run
	rates  rates
}

var _ store.Store = (*Store)(nil)

// Open opens the database file, which it creates when there is none, and takes
// the exclusive lock <path>.lock. Migrate must be called before anything else.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{path: o.Path, log: o.Log, clock: o.Now, space: space{path: o.Path}}
	if s.lock, err = lockFile(o.Path + ".lock"); err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open %s: %w", o.Path, err), s.release())
		}
	}()
	if err := private(o.Path); err != nil {
		return nil, err
	}
	common := "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=synchronous(FULL)&_pragma=temp_store(MEMORY)&_pragma=trusted_schema(0)&_dqs=0"
	if s.db, err = sql.Open("sqlite", uri(o.Path)+common+
		fmt.Sprintf("&_pragma=journal_mode(WAL)&_pragma=cache_size(-%d)&_pragma=cache_spill(0)&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)", writerCacheKiB)); err != nil {
		return nil, err
	}
	s.db.SetMaxOpenConns(1)
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := inspect(ctx, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if s.w, err = newWriter(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	rdb, err := sql.Open("sqlite", uri(o.Path)+common+fmt.Sprintf("&_pragma=cache_size(-%d)&_pragma=query_only(1)", readerCacheKiB))
	if err != nil {
		return nil, err
	}
	rdb.SetMaxOpenConns(readerCount)
	rdb.SetMaxIdleConns(readerCount)
	s.readers = newReaders(rdb, readerCount, s.w.fault)
	s.Cold = sqlstore.NewCold(s, sqlstore.SQLite())
	return s, nil
}

// private makes sure that a new file is readable by its owner only.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// uri is the path as SQLite's file URI.
func uri(path string) string {
	return "file:" + strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23").Replace(path)
}

// inspect refuses a library that is too old and a file that is not ours.
func inspect(ctx context.Context, q sqlstore.Querier) error {
	var version, mode string
	if err := q.QueryRowContext(ctx, `SELECT sqlite_version()`).Scan(&version); err != nil {
		return err
	}
	if err := newEnough(version); err != nil {
		return err
	}
	if err := q.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file cannot use a write-ahead log (journal mode %s): put it on a local disk", mode)
	}
	var tables, ours int
	err := q.QueryRowContext(ctx, `SELECT count(*), count(*) FILTER (WHERE name = 'schema_migrations') FROM sqlite_schema WHERE type = 'table'`).Scan(&tables, &ours)
	if err == nil && tables > 0 && ours == 0 {
		err = errors.New("the file is a database of another program")
	}
	return err
}

// newEnough refuses a library that may lose commits.
func newEnough(version string) error {
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		return fmt.Errorf("read SQLite's version %q: %w", version, err)
	}
	if major*1_000_000+minor*1_000+patch < leastVersion {
		return fmt.Errorf("this build has SQLite %s; at least 3.51.3 is needed", version)
	}
	return nil
}

// now is the database's clock: the machine's, since the file belongs to one process.
func (s *Store) now() comm.Micros { return comm.At(s.clock()) }

// Now implements store.Store.
func (s *Store) Now(context.Context) (comm.Micros, error) {
	if err := s.w.fault(); err != nil {
		return 0, refuse(err)
	}
	return s.now(), nil
}

// Ping implements store.Store: it commits nothing, but takes the writer's turn.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.space.check(); err != nil {
		return refuse(err)
	}
	return s.w.do(ctx, &op{hot: func(*raw) error { return nil }, rows: 1})
}

// Close implements store.Store. It waits for running operations, folds the log into the file and gives up the lock.
func (s *Store) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	return s.release()
}

// settle writes what the next process wants to know.
func (s *Store) settle() error {
	if s.w.fault() != nil {
		return nil // nothing can be written, and everybody has been told
	}
	return s.w.hot(context.Background(), 1, func(r *raw) error { return s.rates.writeAll(r) })
}

func (s *Store) release() (err error) {
	if s.readers != nil {
		err = errors.Join(err, s.readers.close())
	}
	if s.w != nil {
		err = errors.Join(err, s.settle())
		s.w.stop()
		err = errors.Join(err, s.w.close())
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	return errors.Join(err, s.lock.unlock())
}
