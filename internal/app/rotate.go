package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/keyring"
	"github.com/commserver/commserver/internal/store"
)

// Rotation is how RotateKeys works.
type Rotation struct {
	Pause    time.Duration // between two transactions
	DryRun   bool
	Progress func(column string, done int)
	Log      *slog.Logger
}

// RotateKeys seals every stored secret again under the first key of the configured
// ring. It opens the database and closes it; nodes on PostgreSQL may run meanwhile.
// On an error the report holds what was done before it.
func RotateKeys(ctx context.Context, cfg config.Config, r Rotation) (report keyring.Report, err error) {
	if cfg.Database.Kind == config.SQLite {
		// Opening would make a new database, and of that one everything could be said.
		if _, err := os.Stat(cfg.Database.Path); err != nil {
			return report, fmt.Errorf("there is no database to rotate keys in (COMMS_DATA_DIR, COMMS_DATABASE_URL): %w", err)
		}
	}
	s, err := OpenStore(ctx, cfg, r.Log)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	canary, err := s.Setting(ctx, store.CanarySetting)
	if err != nil {
		return report, fmt.Errorf("look for the key ring's canary: %w", err)
	}
	if canary == "" {
		return report, errors.New("no server has used this database yet: check COMMS_DATABASE_URL, or start the server")
	}
	ring, err := readRing(ctx, cfg, s, r.Log)
	if err != nil {
		return report, err
	}
	if err := keyring.Prove(ctx, s, ring, r.DryRun); err != nil {
		return report, err
	}
	return keyring.Rotate(ctx, keyring.Rotation{Values: s, Ring: ring, Columns: store.SealedColumns(), Pause: r.Pause, DryRun: r.DryRun, Progress: r.Progress})
}
