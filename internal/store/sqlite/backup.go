package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlstore"
)

// databasePart is the one part of a backup: the file.
const databasePart = "database"

// copySuffix names the copy that a backup is sent from. It is no name that anybody gives a backup.
const copySuffix = ".copying"

var qVacuumInto = &query{`VACUUM INTO ?`}

// Backup implements store.Backups. VACUUM INTO reads one snapshot on a connection of its own: the writer goes on, and its log grows
// until the copy is made. What was erased is not in it, since it copies rows and not pages.
func (s *Store) Backup(ctx context.Context, to store.BackupTo) error {
	if !s.copying.TryLock() {
		return comm.E("unavailable", "A backup is being made already; try again when it has ended.")
	}
	defer s.copying.Unlock()
	path := s.path + copySuffix
	if err := remove(path); err != nil { // what an earlier one could not remove
		return fmt.Errorf("remove an unfinished copy: %w", err)
	}
	defer func() { _ = remove(path) }()
	at := s.now()
	if err := s.snapshotTo(ctx, path); err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	h, rows, err := headOf(ctx, path)
	if err != nil {
		return fmt.Errorf("look at the copy of the database: %w", err)
	}
	h.TakenAt = at
	if err := to.Head(h); err != nil {
		return err
	}
	return to.Part(databasePart, func(w io.Writer) (map[string]int64, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }() // only read
		_, err = io.Copy(w, f)
		return rows, err
	})
}

// snapshotTo writes a copy that only its owner can read. It is refused where it would leave no room to send.
func (s *Store) snapshotTo(ctx context.Context, path string) error {
	if err := s.w.fault(); err != nil {
		return refuse(err)
	}
	if err := s.disk.present(); err != nil {
		return refuse(err)
	}
	if info, err := s.file.Stat(); err == nil {
		if free, known := s.Free(); known && free < uint64(info.Size())+2*lowWater {
			return comm.E("unavailable", "The disk of the database has no room for a copy of %d MiB; make some, and try again.", info.Size()>>20).Because(errLowSpace)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // SQLite fills an empty file, and keeps its mode
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	r, err := openRaw(uri(s.path), s.disk.present, "busy_timeout(5000)", coldCache)
	if err != nil {
		return err
	}
	r.conn.SetInterrupt(ctx.Done())
	_, err = r.run(qVacuumInto, path)
	return refuse(errors.Join(err, r.close()))
}

// headOf reads what a file has. Nobody writes to it.
func headOf(ctx context.Context, path string) (h store.BackupHead, rows map[string]int64, err error) {
	db, err := openShared(path, deferred, "query_only(1)", coldCache)
	if err != nil {
		return h, nil, err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	h.Store = "sqlite"
	if h.Schema, err = sqlstore.Steps(ctx, db); err != nil {
		return h, nil, err
	}
	if err = db.QueryRowContext(ctx, `SELECT value FROM settings WHERE name = $1`, store.CanarySetting).Scan(&h.Canary); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return h, nil, err
	}
	if err = db.QueryRowContext(ctx, `SELECT coalesce(max(last), 0) FROM feed`).Scan(&h.Feed); err != nil {
		return h, nil, err
	}
	rows, err = tableRows(ctx, db)
	return h, rows, err
}

// tableRows counts the rows of those of the tables that the file has: an older one may lack some.
func tableRows(ctx context.Context, db *sql.DB) (map[string]int64, error) {
	out := map[string]int64{}
	for _, t := range sqlstore.Tables() {
		table := t.Name
		var n int64
		err := db.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = $1`, table).Scan(&n)
		if err == nil && n == 0 {
			continue
		}
		if err == nil {
			err = db.QueryRowContext(ctx, `SELECT count(*) FROM `+table).Scan(&n)
		}
		if err != nil {
			return nil, fmt.Errorf("count the rows of %s: %w", table, err)
		}
		out[table] = n
	}
	return out, nil
}

func remove(path string) error {
	for _, name := range []string{path, path + "-journal", path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
