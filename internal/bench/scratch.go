package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // to watch a database file from outside

	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// scratch makes databases that live for one measurement.
type scratch interface {
	// kind is the name in the report.
	kind() string
	// create makes an empty database.
	create(ctx context.Context, name string) (database string, err error)
	// copy makes a database with the content of another one that nobody uses now.
	copy(ctx context.Context, from, name string) (database string, err error)
	// open opens it for the product's store, without migrating.
	open(ctx context.Context, database string) (store.Store, error)
	// option is what the product's COMMS_DATABASE_URL has to say.
	option(database string) string
	// settle leaves a freshly filled database as it would be after a quiet while.
	settle(ctx context.Context, database string) error
	// processor is what the database has used of the processors in all; false where it is not known or lives in the server.
	processor() (time.Duration, bool)
	// written starts counting what is written to the database; the result counts since then.
	written(ctx context.Context, database string) (count func() (int64, error), unit string, err error)
	drop(ctx context.Context, database string) error
}

// files is SQLite.
type files struct{ dir string }

func (f *files) kind() string { return "SQLite" }

func (f *files) create(_ context.Context, name string) (string, error) {
	return filepath.Join(f.dir, name+".db"), nil
}

func (f *files) copy(_ context.Context, from, name string) (_ string, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	path := filepath.Join(f.dir, name+".db")
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	return path, errors.Join(err, out.Sync(), out.Close())
}

func (f *files) open(ctx context.Context, database string) (store.Store, error) {
	return sqlite.Open(ctx, sqlite.Options{Path: database})
}

func (f *files) option(database string) string { return "sqlite://" + database }

func (f *files) settle(context.Context, string) error { return nil }

func (f *files) processor() (time.Duration, bool) { return 0, false }

// written counts the commits that another connection sees, looking every few
// milliseconds: SQLite tells no reader how many rows changed.
func (f *files) written(ctx context.Context, database string) (func() (int64, error), string, error) {
	db, err := sql.Open("sqlite", "file:"+database+"?_pragma=query_only(1)")
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithCancel(ctx)
	conn, err := db.Conn(ctx)
	if err != nil {
		cancel()
		return nil, "", errors.Join(err, db.Close())
	}
	var commits atomic.Int64
	ended := make(chan error, 1)
	go func() {
		last := int64(-1)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var version int64
			if err := conn.QueryRowContext(context.WithoutCancel(ctx), "PRAGMA data_version").Scan(&version); err != nil {
				ended <- fmt.Errorf("watch the database: %w", err)
				return
			}
			if last >= 0 && version != last {
				commits.Add(1)
			}
			last = version
			select {
			case <-ctx.Done():
				ended <- nil
				return
			case <-tick.C:
			}
		}
	}()
	return func() (int64, error) {
		cancel()
		return commits.Load(), errors.Join(<-ended, conn.Close(), db.Close())
	}, "commits", nil
}

func (f *files) drop(_ context.Context, database string) (err error) {
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if e := os.Remove(database + suffix); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
