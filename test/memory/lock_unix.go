//go:build unix

package memory

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// share locks the folder beside the others that use it.
func (f *Folder) share() error { return f.flock(syscall.LOCK_SH) }

// claim locks the folder for us alone, and says whether it could: nobody is waited for.
func (f *Folder) claim() (alone bool, err error) {
	err = f.flock(syscall.LOCK_EX | syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func (f *Folder) flock(how int) error {
	for {
		err := syscall.Flock(int(f.lock.Fd()), how)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("lock a folder in memory: %w", err)
		}
		return nil
	}
}

func ours(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}
