package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// fileLock is a file opened without sharing: the lock ends with the process, however it ends.
type fileLock struct{ h syscall.Handle }

// errSharing is ERROR_SHARING_VIOLATION.
const errSharing = syscall.Errno(32)

func lockFile(path string) (*fileLock, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, errSharing) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return &fileLock{h: h}, nil
}

func (l *fileLock) unlock() error { return syscall.CloseHandle(l.h) }

// own does nothing here: SQLite opens the file itself, and would be kept from it.
func own(*os.File) error { return nil }
