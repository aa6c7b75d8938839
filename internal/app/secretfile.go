package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/seal"
)

// secretFile is a generated secret in the data folder.
type secretFile struct {
	what   string // as it is called in messages: "admin key"
	path   string
	option string // the variable that takes its place
	// emptied says what to do about a file without content.
	emptied string
}

// KeptSecrets says which secrets the server takes from its data folder, masked, in
// the form that config.Print adds to what was given. It makes no file: what the
// first start makes is said to be made then.
func KeptSecrets(cfg config.Config) []config.Setting {
	var all []config.Setting
	if cfg.Database.Kind != config.SQLite { // there they are always given
		return nil
	}
	for _, s := range []struct {
		given seal.Secret
		file  *secretFile
	}{{cfg.AdminKey, adminKeyIn(cfg)}, {cfg.EncryptionKeys, ringIn(cfg)}} {
		if s.given != "" {
			continue
		}
		one := config.Setting{Name: s.file.option, From: "file " + s.file.path}
		text, found, err := s.file.read(slog.New(slog.DiscardHandler))
		switch {
		case err != nil:
			one.From += ", which cannot be read"
		case !found:
			one.From += ", which the first start makes"
		}
		one.Value = seal.Secret(text).String()
		all = append(all, one)
	}
	return all
}

// othersMask are the permissions that let other users of the machine look.
const othersMask = 0o077

// read gives the secret out; ok is false when there is no such file. Other users
// being able to read it is worth a warning, not a server that stays down.
func (f *secretFile) read(log *slog.Logger) (text string, ok bool, err error) {
	b, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("read the %s: %w; let the user that runs CommServer read the file (chown it to that user, then chmod 600), or set %s", f.what, err, f.option)
	}
	if text = strings.TrimSpace(string(b)); text == "" {
		return "", false, fmt.Errorf("the %s file %s is empty: %s, or set %s", f.what, f.path, f.emptied, f.option)
	}
	// Windows keeps permissions elsewhere: there the bits say nothing.
	if info, err := os.Stat(f.path); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&othersMask != 0 {
		log.Warn("other users of this machine can read a secret", "secret", f.what, "file", f.path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()), "mend", "chmod 600 "+f.path)
	}
	return text, true, nil
}

// write makes the file, readable by its owner alone and flushed before anything
// depends on it. A file that is there already is left alone and an error.
func (f *secretFile) write(text string) error {
	if err := makeDataFolder(filepath.Dir(f.path)); err != nil {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("store the %s: %w; let the user that runs CommServer write to this folder, or set COMMS_DATA_DIR to another", f.what, err)
	}
	_, err = file.WriteString(text + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		// Half a secret would stand in the way of the next start.
		return fmt.Errorf("store the %s: %w", f.what, errors.Join(err, os.Remove(f.path)))
	}
	return nil
}

func makeDataFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the data folder: %w; set COMMS_DATA_DIR (or the path in COMMS_DATABASE_URL) to a folder that the user running CommServer can write to", err)
	}
	return nil
}
