package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/postgres"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// OpenStore opens the configured database and brings its schema up to date.
// The caller closes it.
func OpenStore(ctx context.Context, cfg config.Config, log *slog.Logger) (store.Store, error) {
	s, err := open(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	if err := s.Migrate(ctx); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("bring the database to this version: %w", err)
	}
	return s, nil
}

const (
	// startPatience is how long a server that starts waits for its database: machines start both at once.
	startPatience  = 30 * time.Second
	startPause     = 100 * time.Millisecond
	startPauseMost = 2 * time.Second
)

// openStarting is OpenStore for a server that starts: while PostgreSQL takes no connections it tries again, for as long as patience and ctx last.
func openStarting(ctx context.Context, cfg config.Config, log *slog.Logger, patience time.Duration) (store.Store, error) {
	waiting := outage.Report{Log: log, Level: slog.LevelWarn, Failing: "PostgreSQL takes no connections yet; the start waits for it", Works: "PostgreSQL takes connections"}
	end := time.Now().Add(patience)
	for pause := startPause; ; pause = min(2*pause, startPauseMost) {
		s, err := OpenStore(ctx, cfg, log)
		if err == nil {
			waiting.Worked()
		}
		if err != nil && ctx.Err() != nil { // whatever else it says
			return nil, errors.Join(ctx.Err(), err)
		}
		if err == nil || !postgres.TakesNone(err) || time.Now().After(end) {
			return s, err
		}
		waiting.Failed(err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

func open(ctx context.Context, cfg config.Config, log *slog.Logger) (store.Store, error) {
	if cfg.Database.Kind == config.PostgreSQL {
		s, err := postgres.Open(ctx, postgres.Options{URL: cfg.Database.URL.Reveal(), DirectURL: cfg.Database.DirectURL.Reveal(), Log: log})
		if err != nil {
			return nil, fmt.Errorf("open PostgreSQL (COMMS_DATABASE_URL): %w", err)
		}
		return s, nil
	}
	if err := makeDataFolder(filepath.Dir(cfg.Database.Path)); err != nil {
		return nil, err
	}
	s, err := sqlite.Open(ctx, sqlite.Options{Path: cfg.Database.Path, Log: log, Now: time.Now})
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("open the SQLite file (COMMS_DATA_DIR, COMMS_DATABASE_URL): %w; the user that runs CommServer must own the file and its folder, or choose another folder", err)
	case err != nil:
		return nil, fmt.Errorf("open the SQLite file (COMMS_DATA_DIR, COMMS_DATABASE_URL): %w", err)
	}
	return s, nil
}
