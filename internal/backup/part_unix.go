//go:build unix

package backup

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file until it is closed, however the process ends. looked says that somebody else has it: whoever looks
// for what killed commands have left. Where files cannot be locked nothing is, and nothing is removed.
func lock(f *os.File) (looked bool) {
	return errors.Is(syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), syscall.EWOULDBLOCK)
}

// removeLeft removes a file that no process writes.
func removeLeft(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		_ = os.Remove(path)
	}
	_ = f.Close()
}
