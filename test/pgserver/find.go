package pgserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/commserver/commserver/test/memory"
)

// ErrNotInstalled says that this machine has no PostgreSQL server programs. Its
// text is the line that installs them.
var ErrNotInstalled = errors.New("no PostgreSQL server is installed; run: sudo apt-get install postgresql" +
	" (or set COMMS_TEST_DATABASE_URL to a server whose role may create databases)")

// findPrograms is the folder of initdb, pg_ctl and postgres: the one on the PATH,
// else the newest of the usual places.
func findPrograms() (string, error) {
	if program, err := exec.LookPath("initdb"); err == nil {
		if program, err = filepath.EvalSymlinks(program); err == nil && hasPrograms(filepath.Dir(program)) {
			return filepath.Dir(program), nil
		}
	}
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/usr/libexec/postgresql*",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		folders, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for PostgreSQL: %w", err)
		}
		found = append(found, slices.DeleteFunc(folders, func(f string) bool { return !hasPrograms(f) })...)
	}
	if len(found) == 0 {
		return "", ErrNotInstalled
	}
	// Two-digit versions sort as text.
	return slices.Max(found), nil
}

func hasPrograms(folder string) bool {
	for _, name := range []string{"initdb", "pg_ctl", "postgres"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// owner is the user that a server runs as.
type owner struct {
	credential *credential // nil = whoever we are
}

// findOwner is the user postgres or nobody for root, else the user that asks.
func findOwner() (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if uidErr == nil && gidErr == nil && uid != 0 {
			return owner{&credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return owner{}, errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody; run the tests as another user")
}

// tempDir makes a folder that the owner can reach and whose path is short enough
// for a socket (about 100 bytes on every Unix). In memory lies only what may.
func (o owner) tempDir(inMemory bool) (string, error) {
	first := memory.Disk()
	if inMemory {
		first = os.TempDir()
		if folder, ok := memory.Root(); ok {
			first = folder
		}
	}
	for _, base := range []string{first, "/tmp", "/var/tmp"} {
		base, err := filepath.EvalSymlinks(base)
		if err != nil || len(base) > 50 || !o.reaches(base) {
			continue
		}
		dir, err := os.MkdirTemp(base, "commserver-pg-")
		if err != nil {
			continue
		}
		return dir, o.take(dir)
	}
	return "", errors.New("neither TMPDIR nor /tmp nor /var/tmp is a folder that PostgreSQL can use; set TMPDIR to a short path that every user may enter")
}

// reaches reports whether the owner may enter a folder and all above it.
func (o owner) reaches(folder string) bool {
	if o.credential == nil {
		return true
	}
	for {
		info, err := os.Stat(folder)
		if err != nil || info.Mode()&0o001 == 0 {
			return false
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return true
		}
		folder = parent
	}
}

// take gives a file or folder to the owner.
func (o owner) take(path string) error {
	if o.credential == nil {
		return nil
	}
	if err := os.Chown(path, int(o.credential.Uid), int(o.credential.Gid)); err != nil {
		return fmt.Errorf("prepare PostgreSQL: %w", err)
	}
	return nil
}
