package app

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

// keyFile holds the generated key ring inside the data folder.
const keyFile = "encryption-keys"

// canarySetting is a value sealed when the database was new: a ring that cannot open it is the wrong one.
const canarySetting = "keyring-canary"

// openRing reads the key ring from the configuration or the data folder, makes
// one for a new SQLite installation, and proves on the canary that it is the
// ring that this database was written with.
func openRing(ctx context.Context, cfg config.Config, s store.Store) (*seal.Ring, error) {
	text := cfg.EncryptionKeys
	if text == "" {
		var err error
		if text, err = ringFile(ctx, filepath.Join(cfg.DataDir, keyFile), s); err != nil {
			return nil, err
		}
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		return nil, fmt.Errorf("read the key ring (COMMS_ENCRYPTION_KEYS): %w", err)
	}
	fresh, err := ring.Canary()
	if err != nil {
		return nil, fmt.Errorf("seal the key ring's canary: %w", err)
	}
	stored, err := s.InitSetting(ctx, canarySetting, fresh.KeyID+":"+base64.StdEncoding.EncodeToString(fresh.Box))
	if err != nil {
		return nil, fmt.Errorf("store the key ring's canary: %w", err)
	}
	id, box, _ := strings.Cut(stored, ":")
	raw, err := base64.StdEncoding.DecodeString(box)
	if err != nil {
		return nil, fmt.Errorf("the stored canary of the key ring is damaged: %w", err)
	}
	if err := ring.CheckCanary(seal.Sealed{KeyID: id, Box: raw}); err != nil {
		return nil, fmt.Errorf("this key ring did not write this database: set COMMS_ENCRYPTION_KEYS to the ring that holds key %q: %w", id, err)
	}
	return ring, nil
}

// ringFile reads the generated ring, or makes it when the database is new. A
// missing file beside a database that has sealed values is refused: a fresh
// ring could open none of them.
func ringFile(ctx context.Context, path string, s store.Store) (seal.Secret, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return seal.Secret(strings.TrimSpace(string(b))), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the key ring: %w", err)
	}
	written, err := s.Setting(ctx, canarySetting)
	if err != nil {
		return "", fmt.Errorf("look for the key ring's canary: %w", err)
	}
	if written != "" {
		return "", fmt.Errorf("the key ring %s is missing, but the database was written with one: restore the file or set COMMS_ENCRYPTION_KEYS", path)
	}
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make the data folder: %w", err)
	}
	if err := writeSecret(path, ring.Reveal()); err != nil {
		return "", fmt.Errorf("store the key ring: %w", err)
	}
	return ring, nil
}

// writeSecret makes a file that only its owner reads, flushed before anything depends on it.
func writeSecret(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}
