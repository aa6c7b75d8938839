package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"

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
	// lockPatience is how long a lock is tried before the file counts as in use:
	// an old process may be ending just now, and a child process that is being
	// started shares the locks of its parent until it runs its own program.
	lockPatience = 500 * time.Millisecond
	lockPause    = 5 * time.Millisecond
	// Page caches in KiB. The system caches the file as well, and each commit
	// walks the cache's hash table: larger ones are slower (docs/decisions/0002-sqlite.md).
	// A group's changed pages stay in memory up to writerSpill pages, since those
	// that were written too early are written again.
	writerCache = "cache_size(-4096)"
	writerSpill = "cache_spill(4096)"
	readerCache = "cache_size(-4096)"
	coldCache   = "cache_size(-512)"
)

// Open opens the database file, which it creates when there is none, and keeps
// every other process from it. Migrate must be called before anything else.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{log: o.Log, clock: o.Now, broken: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open %s: %w", o.Path, readable(err, o.Path)), s.release())
		}
	}()
	if err := s.seize(ctx, o.Path); err != nil {
		return nil, err
	}
	return s, s.connect(ctx)
}

// seize takes the locks. The path is the file's own from here on: by a symbolic
// link the lock file and SQLite's log would have other names.
func (s *Store) seize(ctx context.Context, path string) (err error) {
	if s.path, err = filepath.EvalSymlinks(path); errors.Is(err, os.ErrNotExist) {
		if s.path, err = filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			s.path = filepath.Join(s.path, filepath.Base(path))
		}
	}
	if err != nil {
		return err
	}
	if err := patiently(ctx, func() (err error) { s.lock, err = lockFile(s.path + ".lock"); return err }); err != nil {
		return err
	}
	// A new file is readable by its owner only. It stays open until SQLite has
	// closed it: closing any descriptor of a file drops the process's locks on it.
	if s.file, err = os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := patiently(ctx, func() error { return own(s.file) }); err != nil {
		return err
	}
	info, err := s.file.Stat()
	if err != nil {
		return err
	}
	s.disk = watch(s.path, info)
	// Of a process that was killed while it made a backup: it holds everything that the database does, and as much room.
	if err := remove(s.path + copySuffix); err != nil {
		s.log.ErrorContext(ctx, "the copy of an unfinished backup cannot be removed; it holds everything that the database does", "err", err)
	}
	return nil
}

// patiently tries to take a lock for up to lockPatience.
func patiently(ctx context.Context, take func() error) error {
	for end := time.Now().Add(lockPatience); ; {
		err := take()
		if !errors.Is(err, ErrInUse) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(lockPause):
		}
	}
}

// connect opens the connections: the writer's two, the readers and those of shared SQL.
func (s *Store) connect(ctx context.Context) (err error) {
	name := uri(s.path)
	writing := []string{"busy_timeout(5000)", "synchronous(FULL)", "secure_delete(FAST)", "journal_size_limit(67108864)", "wal_autocheckpoint(4000)"}
	reading := []string{"busy_timeout(5000)", "query_only(1)"}
	// The first connection makes the file and its write-ahead log.
	if s.db, err = openShared(s.path, immediate, append(writing, "journal_mode(WAL)", coldCache)...); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	if err := inspect(ctx, conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	r, err := openRaw(name, s.disk.present, append(writing, writerCache, writerSpill)...)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	s.w = newWriter(r, conn, s.disk.present, s.fail)
	s.readers = newReaders(readerCount, func() (*raw, error) {
		return openRaw(name, s.disk.present, append(reading, readerCache)...)
	}, s.w.fault)
	cold, err := sqlite.NewConnector(name + "?_dqs=0")
	if err != nil {
		return err
	}
	s.cold = sql.OpenDB(&checked{Connector: cold, present: s.disk.present, pragmas: append(reading, coldCache)})
	s.cold.SetMaxOpenConns(readerCount)
	s.Cold = sqlstore.NewCold(s, sqlstore.SQLite())
	return s.disk.present()
}

// checked opens connections to the file that the store has. One that was put in its place would be taken for it, and SQLite
// removes what it thinks to be an old log with the first read, or at the end: so the file is looked at between the opening,
// which reads nothing, and the pragmas.
type checked struct {
	driver.Connector
	present func() error
	pragmas []string
}

// Connect implements driver.Connector.
func (k *checked) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	err = k.present()
	for _, text := range always() {
		if err == nil {
			err = pragma(ctx, c, text)
		}
	}
	for i := 0; err == nil && i < len(k.pragmas); i++ {
		err = pragma(ctx, c, k.pragmas[i])
	}
	if err != nil {
		return nil, errors.Join(refuse(err), c.Close())
	}
	return c, nil
}

func pragma(ctx context.Context, c driver.Conn, text string) error {
	x, able := c.(driver.ExecerContext)
	if !able {
		return fmt.Errorf("the SQLite driver's connection is a %T", c)
	}
	_, err := x.ExecContext(ctx, "PRAGMA "+text, nil)
	return err
}

// How a connection's transactions begin, in the driver's form.
const (
	immediate = "&_txlock=immediate"
	deferred  = ""
)

// openShared opens a file for shared SQL, by connections with these pragmas.
func openShared(path, begins string, pragmas ...string) (*sql.DB, error) {
	return sql.Open("sqlite", uri(path)+"?_dqs=0"+begins+"&_pragma="+strings.Join(append(always(), pragmas...), "&_pragma="))
}

// always is what every connection has beside its own pragmas: nothing that it puts aside goes into a folder for temporary files. A container may have
// none, and a query that sorts much would fail there.
func always() []string { return []string{"trusted_schema(0)", "temp_store(MEMORY)"} }

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
