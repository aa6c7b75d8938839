package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/seal"
)

func TestAdminKeyIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	cfg := config.Config{DataDir: filepath.Join(t.TempDir(), "data")}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	key, file, err := openAdminKey(cfg, logger)
	if err != nil || file != filepath.Join(cfg.DataDir, "admin-key") || len(key) < 64 {
		t.Fatalf("%d characters in %q: %v", len(key), file, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	again, file, err := openAdminKey(cfg, logger)
	if err != nil || again != key || file == "" {
		t.Errorf("a later start reads another key: %v", err)
	}
	if strings.Contains(log.String(), key.Reveal()) || strings.Count(log.String(), "admin key made") != 1 {
		t.Errorf("the log: %s", log.String())
	}
	cfg.AdminKey = "a-key-of-the-operator-0123456789"
	if own, file, err := openAdminKey(cfg, logger); err != nil || own != cfg.AdminKey || file != "" {
		t.Errorf("COMMS_ADMIN_KEY does not override the file: %q %v", file, err)
	}
}

func TestAdminKeyFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	const good = "0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		name    string
		make    func(path string) error
		refused string // "" when it is used
		warned  string
	}{
		{"good", func(p string) error { return os.WriteFile(p, []byte(good+"\n"), 0o600) }, "", ""},
		{"empty", func(p string) error { return os.WriteFile(p, []byte(" \n"), 0o600) }, "remove it and start again", ""},
		{"unreadable", func(p string) error { return os.Mkdir(p, 0o700) }, "COMMS_ADMIN_KEY", ""},
		{"too short", func(p string) error { return os.WriteFile(p, []byte("short"), 0o600) }, "at least 16", ""},
		{"two lines", func(p string) error { return os.WriteFile(p, []byte(good+"\n"+good), 0o600) }, "line break", ""},
		{"the provisioning key", func(p string) error { return os.WriteFile(p, []byte("the-key-of-setup-jobs-0123456789"), 0o600) }, "COMMS_PROVISIONING_KEY", ""},
		{"others can read it", func(p string) error {
			if err := os.WriteFile(p, []byte(good), 0o600); err != nil {
				return err
			}
			return os.Chmod(p, 0o644)
		}, "", "chmod 600"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Config{DataDir: t.TempDir(), ProvisioningKey: "the-key-of-setup-jobs-0123456789"}
			if err := c.make(filepath.Join(cfg.DataDir, adminKeyFile)); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			key, _, err := openAdminKey(cfg, slog.New(slog.NewTextHandler(&log, nil)))
			switch {
			case c.refused == "" && (err != nil || key != seal.Secret(good)):
				t.Errorf("refused: %v", err)
			case c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), cfg.DataDir)):
				t.Errorf("does not say what to do: %v", err)
			case err != nil && strings.Contains(err.Error(), good), strings.Contains(log.String(), good):
				t.Error("the key is shown")
			}
			if (c.warned == "") != (log.Len() == 0) || !strings.Contains(log.String(), c.warned) {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}

func TestSecretFileIsNotWrittenOver(t *testing.T) {
	t.Parallel()
	f := &secretFile{what: "admin key", path: filepath.Join(t.TempDir(), "admin-key"), option: "COMMS_ADMIN_KEY"}
	if err := f.write("the first"); err != nil {
		t.Fatal(err)
	}
	if err := f.write("the second"); err == nil {
		t.Error("a secret that is there already was written over")
	}
	if b, err := os.ReadFile(f.path); err != nil || string(b) != "the first\n" {
		t.Errorf("%q %v", b, err)
	}
}
