package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/commserver/commserver/internal/backup"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/hold"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// backup writes everything that is stored, for the door.
func (a *App) backup(version string) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error { return backup.Write(ctx, a.store, w, version) }
}

// Backup writes everything that the configured database has to w, without a server: on SQLite none may run.
func Backup(ctx context.Context, cfg config.Config, version string, w io.Writer, log *slog.Logger) (err error) {
	if cfg.Database.Kind == config.SQLite {
		if _, err := os.Stat(cfg.Database.Path); err != nil { // opening would make one
			return fmt.Errorf("there is no database to back up (COMMS_DATA_DIR, COMMS_DATABASE_URL): %w", err)
		}
	}
	s, err := open(ctx, cfg, log)
	if errors.Is(err, sqlite.ErrInUse) {
		return fmt.Errorf("%w, or leave --direct out: it is backed up while it runs", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return backup.Write(ctx, s, w, version)
}

// Restore makes the configured database from a backup, where nothing is yet, and holds it: a server that starts
// sends nothing before it is released. The key ring must open what the backup has. check reads everything and writes nothing.
func Restore(ctx context.Context, cfg config.Config, file *os.File, check bool, progress func(int64), log *slog.Logger) (sum backup.Summary, err error) {
	if sum, err = backup.Look(file); err != nil { // before anything is written
		return sum, err
	}
	if err := fits(cfg, &sum); err != nil {
		return sum, err
	}
	ring, err := ringOf(cfg, log)
	if err != nil {
		return sum, err
	}
	if err := backup.Opens(&sum.BackupHead, ring); err != nil {
		return sum, err
	}
	if check && cfg.Database.Kind == config.PostgreSQL {
		return sum, postgres.Check(&sum.BackupHead, sum.Rows)
	}
	if check { // the database itself is looked through, at a place that goes
		dir, failed := os.MkdirTemp("", "commserver-check-")
		if failed != nil {
			return sum, fmt.Errorf("make a folder to look through the backup: %w", failed)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		cfg.Database.Path = filepath.Join(dir, "commserver.db")
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return sum, fmt.Errorf("read the backup: %w", err)
	}
	from, err := backup.NewReader(file)
	if err != nil {
		return sum, err
	}
	r := &store.Restoring{From: from, Hold: hold.New(sum.TakenAt), Progress: progress}
	if cfg.Database.Kind == config.PostgreSQL {
		err = postgres.Restore(ctx, cfg.Database.URL.Reveal(), r)
		if err != nil {
			err = fmt.Errorf("restore into PostgreSQL (COMMS_DATABASE_URL): %w", err)
		}
		return sum, err
	}
	if err := sqlite.Restore(ctx, cfg.Database.Path, r); err != nil {
		return sum, fmt.Errorf("restore into %s (COMMS_DATA_DIR, COMMS_DATABASE_URL): %w", cfg.Database.Path, err)
	}
	return sum, nil
}

// fits refuses a backup of the other kind of database.
func fits(cfg config.Config, sum *backup.Summary) error {
	kind := "sqlite"
	if cfg.Database.Kind == config.PostgreSQL {
		kind = "postgresql"
	}
	if sum.Store != kind {
		return fmt.Errorf("the backup is of %s and COMMS_DATABASE_URL names %s: a backup is restored into the kind of database that it was made of", sum.Store, kind)
	}
	return nil
}

// ringOf reads the ring that the restored server will have.
func ringOf(cfg config.Config, log *slog.Logger) (*seal.Ring, error) {
	text, from := cfg.EncryptionKeys, "COMMS_ENCRYPTION_KEYS"
	if text == "" {
		f := ringIn(cfg)
		kept, found, err := f.read(log)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("the key ring of the server that was backed up is needed: put its file %s into %s, or set COMMS_ENCRYPTION_KEYS; a backup does not hold it", keyFile, cfg.DataDir)
		}
		text, from = seal.Secret(kept), f.path
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		return nil, fmt.Errorf("read the key ring (%s): %w", from, err)
	}
	return ring, nil
}
