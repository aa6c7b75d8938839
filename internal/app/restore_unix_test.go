//go:build unix

package app

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/seal"
)

// backedUp is a backup of a server that has started once, and the option that opens it.
func backedUp(t *testing.T) (path, ring string) {
	t.Helper()
	keys, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	ring = "COMMS_ENCRYPTION_KEYS=" + keys.Reveal()
	cfg := placed(t, filepath.Join(t.TempDir(), "data"), ring)
	a, err := New(t.Context(), cfg, Options{Version: "test", Log: slog.New(slog.DiscardHandler), OnFirst: func(First) {}})
	if err != nil {
		t.Fatal(err)
	}
	gone, stop := context.WithCancel(t.Context())
	stop()
	if err := a.Run(gone); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Backup(t.Context(), cfg, "test", &b, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "comms.backup")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, ring
}

func placed(t *testing.T, data, ring string) config.Config {
	t.Helper()
	cfg, err := config.Load(config.Source{Env: []string{"COMMS_ADDR=localhost:0", "COMMS_DATA_DIR=" + data, ring}})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func restored(t *testing.T, path string, cfg config.Config) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // only read
	if _, err := Restore(t.Context(), cfg, file, false, nil, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

// A service's user opens what root has restored: every file and folder that the restore made is the owner's of the folder that was there. What
// somebody put there before stays whose it is, also where a name leads out of the folder.
func TestWhatRootRestoresIsTheOwnersOfTheFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root makes files for others")
	}
	const uid, gid = 64321, 64322
	file, ring := backedUp(t)
	for name, data := range map[string]string{"the data folder is there": ".", "it and the one above it are made": "deep/data"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			theirs := filepath.Join(t.TempDir(), "theirs")
			if err := os.Mkdir(theirs, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(theirs, uid, gid); err != nil {
				t.Fatal(err)
			}
			restored(t, file, placed(t, filepath.Join(theirs, data), ring))
			found := 0
			err := filepath.WalkDir(theirs, func(path string, e fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				info, err := e.Info()
				if err != nil {
					return err
				}
				if st := info.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid || info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s is of user %d and group %d, mode %v", path, st.Uid, st.Gid, info.Mode())
				}
				found++
				return nil
			})
			if err != nil || found < 2 {
				t.Fatalf("%d files, %v", found, err)
			}
		})
	}
	t.Run("a name leads out", func(t *testing.T) {
		t.Parallel()
		theirs, outside := filepath.Join(t.TempDir(), "theirs"), filepath.Join(t.TempDir(), "outside")
		if err := os.Mkdir(theirs, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(outside, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, filepath.Join(theirs, "commserver.db.lock")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(theirs, uid, gid); err != nil {
			t.Fatal(err)
		}
		restored(t, file, placed(t, theirs, ring))
		info, err := os.Stat(outside)
		if err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 {
			t.Errorf("what lies elsewhere was given away: %v", err)
		}
	})
}
