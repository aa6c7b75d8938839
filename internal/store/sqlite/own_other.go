//go:build unix && !linux

package sqlite

import (
	"errors"
	"os"
	"syscall"
)

// own refuses a file that has another name (a hard link), by which another
// process could have it. It cannot be locked itself: on this system flock would
// exclude SQLite's own locks.
func own(f *os.File) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok && sys.Nlink > 1 {
		return errors.New("the database file has a second name (hard link): another process could use it")
	}
	return nil
}
