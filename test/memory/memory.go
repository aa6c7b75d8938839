// Package memory finds room in memory for the files of tests.
//
// Tests make and remove thousands of small files, and flush many of them: on a disk
// they wait for it, most of all where several run at once. It serves what nobody
// measures and no power cut is meant to hit. It takes nothing on a machine that is
// short of memory, nor where somebody chose a folder by TMPDIR, nor on systems other than Linux.
package memory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// root is where Linux keeps files in memory.
	root = "/dev/shm"
	// room must be free below root, and more than it of the machine's memory: a whole run takes
	// less than half of it, and the tests need memory themselves.
	room     = 3 << 30
	roomLeft = 3 << 30
)

// Root answers the folder below which files are kept in memory, and whether there is room for a run.
func Root() (folder string, ok bool) {
	return root, os.Getenv("TMPDIR") == "" && roomy(root)
}

// Holds reports whether a path lies below Root.
func Holds(path string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// Disk is the folder for temporary files that are not to lie in memory.
func Disk() string {
	if dir := os.TempDir(); !Holds(dir) {
		return dir
	}
	return "/tmp"
}

// Folder is one in memory for the temporary files of a run, and of others of the same user beside it.
type Folder struct {
	// Path is the same in each run: test results are kept by the environment that tests read.
	Path string

	lock *os.File
}

// Borrow answers the user's folder. Runs share it; what those left behind that were killed is
// removed by the next one that is alone. Others may pass through it, and not look into it.
func Borrow() (*Folder, error) {
	return borrow(filepath.Join(root, fmt.Sprintf("commserver-tests-%d", os.Getuid())))
}

func borrow(path string) (*Folder, error) {
	const mode = 0o711
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make a folder in memory: %w", err)
	}
	// The name is known and every user may write beside it.
	if info, err := os.Lstat(path); err != nil || !info.IsDir() || !ours(info) {
		return nil, fmt.Errorf("%s is not a folder of ours (%w)", path, errors.Join(err, os.ErrPermission))
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		return nil, fmt.Errorf("open a folder in memory: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock a folder in memory: %w", err)
	}
	f := &Folder{Path: path, lock: lock}
	err = f.clear()
	if err == nil {
		err = f.share()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return f, nil
}

// GiveBack removes what is in the folder, unless another run uses it.
func (f *Folder) GiveBack() error {
	return errors.Join(f.clear(), f.lock.Close())
}

// clear empties the folder if nobody else uses it. The lock's file stays: others may wait for it.
func (f *Folder) clear() error {
	if alone, err := f.claim(); err != nil || !alone {
		return err
	}
	entries, err := os.ReadDir(f.Path)
	if err != nil {
		return fmt.Errorf("clear a folder in memory: %w", err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(f.lock.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(f.Path, e.Name())))
		}
	}
	return err
}
