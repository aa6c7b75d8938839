package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/keyring"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// keyFile holds the generated key ring inside the data folder.
const keyFile = "encryption-keys"

func ringIn(cfg config.Config) *secretFile {
	return &secretFile{what: "key ring", path: filepath.Join(cfg.DataDir, keyFile), option: "COMMS_ENCRYPTION_KEYS",
		emptied: "restore it (stored credentials cannot be read without it)"}
}

// openRing reads the key ring from the configuration or the data folder, makes
// one for a new SQLite installation, and proves on the canaries that it holds every
// key that this database has values under.
func openRing(ctx context.Context, cfg config.Config, s store.Store, log *slog.Logger) (*seal.Ring, error) {
	ring, err := readRing(ctx, cfg, s, log)
	if err != nil {
		return nil, err
	}
	if err := keyring.Prove(ctx, s, ring, false); err != nil {
		return nil, err
	}
	return ring, nil
}

// readRing reads the ring, or makes it for a new SQLite installation.
func readRing(ctx context.Context, cfg config.Config, s store.Store, log *slog.Logger) (*seal.Ring, error) {
	text, from := cfg.EncryptionKeys, "COMMS_ENCRYPTION_KEYS"
	if text == "" {
		f := ringIn(cfg)
		var err error
		if text, err = ringFile(ctx, f, s, log); err != nil {
			return nil, err
		}
		from = f.path
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		return nil, fmt.Errorf("read the key ring (%s): %w", from, err)
	}
	return ring, nil
}

// ringFile reads the generated ring, or makes it when the database is new. A
// missing file beside a database that has sealed values is refused: a fresh
// ring could open none of them.
func ringFile(ctx context.Context, f *secretFile, s store.Store, log *slog.Logger) (seal.Secret, error) {
	text, found, err := f.read(log)
	if err != nil || found {
		return seal.Secret(text), err
	}
	written, err := s.Setting(ctx, store.CanarySetting)
	if err != nil {
		return "", fmt.Errorf("look for the key ring's canary: %w", err)
	}
	if written != "" {
		return "", fmt.Errorf("the key ring %s is missing, but the database was written with one: restore the file or set %s", f.path, f.option)
	}
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		return "", err
	}
	return ring, f.write(ring.Reveal())
}
