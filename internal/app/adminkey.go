package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/seal"
)

// adminKeyFile holds the generated admin key inside the data folder.
const adminKeyFile = "admin-key"

const adminKeyBytes = 32

func adminKeyIn(cfg config.Config) *secretFile {
	return &secretFile{what: "admin key", path: filepath.Join(cfg.DataDir, adminKeyFile), option: "COMMS_ADMIN_KEY",
		emptied: "write the key into it, or remove it and start again to have a new one made"}
}

// openAdminKey answers the key of the admin API: the configured one, else the
// one in the data folder, which the first start makes. File is where it was
// read from, "" when it is configured. On PostgreSQL it is always configured.
func openAdminKey(cfg config.Config, log *slog.Logger) (key seal.Secret, file string, err error) {
	if cfg.AdminKey != "" {
		return cfg.AdminKey, "", nil
	}
	f := adminKeyIn(cfg)
	text, found, err := f.read(log)
	if err != nil {
		return "", "", err
	}
	if !found {
		text = newAdminKey()
		if err := f.write(text); err != nil {
			return "", "", err
		}
		log.Info("admin key made", "file", f.path)
	}
	if err := config.CheckKey(text); err != nil {
		return "", "", fmt.Errorf("the admin key in %s: %w; or remove the file and start again to have a new one made", f.path, err)
	}
	key = seal.Secret(text)
	if key == cfg.ProvisioningKey {
		return "", "", errors.New("COMMS_PROVISIONING_KEY equals the admin key in " + f.path + "; setup jobs must not hold the admin key, so give them one of their own")
	}
	return key, f.path, nil
}

// newAdminKey makes a key that secret scanners can recognise.
func newAdminKey() string {
	var b [adminKeyBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return "cs_admin_" + hex.EncodeToString(b[:])
}
