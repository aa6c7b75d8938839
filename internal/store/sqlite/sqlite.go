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
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite" // also the driver "sqlite"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Store is a store.Store on one SQLite file.
type Store struct {
	*sqlstore.Cold
	path    string // without symbolic links
	log     *slog.Logger
	clock   func() time.Time
	lock    *fileLock
	file    *os.File // the database, open for its lock
	db      *sql.DB  // the writer's, for shared SQL and migrations
	w       *writer
	readers *readers
	cold    *sql.DB // for reading with shared SQL
	disk    disk
	flights flights
	copying sync.Mutex // held while a backup is made
	recent  recent
	index   indexer
	closed  atomic.Bool
	broken  chan struct{} // closed by fail
	// The writer's goroutine's:
	forgot bool     // forget has run
	newer  []string // see Newer
	rates  rates
}

var _ store.Store = (*Store)(nil)

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
	if err := s.disk.check(); err != nil {
		return refuse(err)
	}
	return s.w.do(ctx, &op{hot: func(*raw) error { return nil }, rows: 1})
}

// Broken is closed when the store has stopped for good: a flush failed, or the
// file was removed under it. The process should end then; Fault says why.
func (s *Store) Broken() <-chan struct{} { return s.broken }

// Fault is why the store has stopped for good; nil while it works.
func (s *Store) Fault() error { return s.w.fault() }

// fail tells that the store has stopped. The writer calls it once.
func (s *Store) fail(fault error) {
	s.log.Error("the store has stopped: restart the server once the disk is in order", "error", fault)
	close(s.broken)
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

// keepLog keeps SQLite from removing the write-ahead log when c, the last
// connection, is closed: what has its name now belongs to another database.
func keepLog(c conn) error {
	err := c.Raw(func(c any) error {
		file, ok := c.(sqlite.FileControl)
		if !ok {
			return fmt.Errorf("the SQLite driver's connection is a %T", c)
		}
		_, err := file.FileControlPersistWAL("main", 1)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep the log of another database: %w", err)
	}
	return nil
}

func (s *Store) release() (err error) {
	s.index.stop()
	if s.readers != nil {
		err = errors.Join(err, s.readers.close())
	}
	if s.cold != nil {
		err = errors.Join(err, s.cold.Close())
	}
	if s.w != nil {
		err = errors.Join(err, s.settle())
		s.w.stop()
		if errors.Is(s.w.fault(), errReplaced) {
			err = errors.Join(err, keepLog(s.w.conn))
		}
		err = errors.Join(err, s.w.close())
	}
	if s.db != nil {
		err = errors.Join(err, s.db.Close())
	}
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.unlock())
	}
	return err
}
