package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// Restore writes a backup to where no database is, keeping every other process from the place. What it writes gets its name when it
// is whole, was looked through and is flushed; a process that is killed before leaves a file that the next Restore removes and that
// no server takes for a database. The folder is made where there is none. What root makes belongs to the owner of the folder.
func Restore(ctx context.Context, path string, r *store.Restoring) (err error) {
	if err := vacant(path); err != nil {
		return err
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("make the folder: %w", err)
	}
	theirs, err := ownerOf(filepath.Dir(path))
	if err != nil {
		return err
	}
	if err := makeLock(path+".lock", theirs); err != nil {
		return err
	}
	var lock *fileLock
	if err := patiently(ctx, func() (err error) { lock, err = lockFile(path + ".lock"); return err }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.unlock()) }()
	if err := vacant(path); err != nil {
		return err
	}
	part := path + ".restoring"
	if err := remove(part); err != nil {
		return fmt.Errorf("remove what an earlier try left: %w", err)
	}
	if err := restoreTo(ctx, part, theirs, r); err != nil {
		return errors.Join(err, remove(part))
	}
	for _, step := range []func() error{
		func() error { return flush(part) },
		func() error { return os.Rename(part, path) },
		func() error { return flush(filepath.Dir(path)) },
	} {
		if err := step(); err != nil {
			return errors.Join(fmt.Errorf("put the database in its place: %w", err), remove(part))
		}
	}
	return nil
}

// vacant refuses a place where a database is, or what is left of one: an old log would be mixed into the new file.
func vacant(path string) error {
	for _, name := range []string{path, path + "-wal", path + "-shm", path + "-journal"} {
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("there is a database already (%s): restore into an empty data folder", name)
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// makeFolder makes a folder and those above it, as its nearest one's owner would.
func makeFolder(dir string) (err error) {
	base := filepath.Clean(dir)
	var names []string
	for ; ; base = filepath.Dir(base) {
		if _, err := os.Stat(base); !errors.Is(err, os.ErrNotExist) {
			break // also what cannot be looked at: opening it says why
		}
		names = append(names, filepath.Base(base))
	}
	if len(names) == 0 {
		return nil
	}
	theirs, err := ownerOf(base)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	name := ""
	for _, next := range slices.Backward(names) {
		name = filepath.Join(name, next)
		if err := root.Mkdir(name, 0o700); err != nil {
			return err
		}
		f, err := root.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(theirs.give(f), f.Close()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(base, name), err)
		}
	}
	return nil
}

// makeLock makes the file that is locked, which stays for the server. One that is there already is left as it is.
func makeLock(path string, theirs *owner) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(theirs.give(f), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}

func restoreTo(ctx context.Context, part string, theirs *owner, r *store.Restoring) error {
	if err := pour(ctx, part, theirs, r); err != nil {
		return err
	}
	want, err := r.From.End()
	if err != nil {
		return err
	}
	db, err := openShared(part, immediate, "journal_mode(DELETE)", "synchronous(FULL)", "secure_delete(FAST)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if err := lookThrough(ctx, db, r.From.Head(), want); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if err := sqlstore.Hold(ctx, tx, r, comm.At(time.Now())); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("hold what was restored: %w", err)
	}
	return db.Close()
}

// pour writes the file.
func pour(ctx context.Context, part string, theirs *owner, r *store.Restoring) error {
	name, from, err := r.From.Next()
	if err != nil {
		return err
	}
	if name != databasePart {
		return fmt.Errorf("the backup begins with %q, where the database should be", name)
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the database: %w", err)
	}
	// SQLite makes what it writes beside a file the file's owner's.
	if err = theirs.give(f); err == nil {
		_, err = io.Copy(&counting{to: f, ctx: ctx, tell: r.Progress}, from)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write the database: %w", err)
	}
	if _, _, err := r.From.Next(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("the backup has more parts than it should, or is damaged: %w", err)
	}
	return nil
}

// lookThrough refuses a file that is damaged, of a newer version, or not what was backed up.
func lookThrough(ctx context.Context, db *sql.DB, h *store.BackupHead, want map[string]int64) error {
	var found string
	if err := db.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&found); err != nil {
		return fmt.Errorf("look through the database: %w", err)
	}
	if found != "ok" {
		return fmt.Errorf("the database in the backup is damaged: %s", strings.SplitN(found, "\n", 2)[0])
	}
	list, err := sqlstore.LoadMigrations(migrations, "migrations")
	if err != nil {
		return err
	}
	if _, err := sqlstore.StepsOf(list, h); err != nil {
		return err
	}
	got, err := tableRows(ctx, db)
	if err != nil {
		return err
	}
	return sqlstore.SameRows(want, got)
}

// counting tells how much went through it, and ends with its context.
type counting struct {
	to   io.Writer
	ctx  context.Context
	tell func(int64)
	n    int64
}

// Write implements io.Writer.
func (c *counting) Write(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.to.Write(b)
	if c.n += int64(n); c.tell != nil {
		c.tell(c.n)
	}
	return n, err
}
