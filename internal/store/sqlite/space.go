package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// lowWater is the free space below which nothing new is accepted: what is
	// left is for recording how the accepted messages end.
	lowWater = 64 << 20
	// lookEvery is how long a look at the free space holds.
	lookEvery = time.Second
)

// ErrInUse is what Open answers while another process has the file.
var ErrInUse = errors.New("the database file is in use by another process, and SQLite serves one process only; stop that server first")

var (
	errLowSpace = errors.New("the disk is almost full")
	errReplaced = errors.New("the database file was removed or replaced while it was open; what is written now would be lost")
)

// disk watches the files and the space that is left for them. check is safe for
// concurrent use, present belongs to the writer.
type disk struct {
	now   func() time.Time
	files [2]watched // the database and its write-ahead log

	mu   sync.Mutex
	seen time.Time // of the last look at the free space
	low  bool
}

// watched is a file as it was first seen; info is nil before that.
type watched struct {
	path string
	info os.FileInfo
}

// watch begins with the database file as it is open.
func watch(path string, file os.FileInfo) disk {
	return disk{now: time.Now, files: [2]watched{{path, file}, {path: path + "-wal"}}}
}

// check answers errLowSpace below the low-water mark; it recovers by itself.
func (d *disk) check() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := d.now(); d.seen.IsZero() || now.Sub(d.seen) >= lookEvery || now.Before(d.seen) {
		free, ok := freeBytes(filepath.Dir(d.files[0].path))
		d.seen, d.low = now, ok && free < lowWater
	}
	if d.low {
		return errLowSpace
	}
	return nil
}

// present answers errReplaced when the files are not those that are open. The
// write-ahead log comes with the first write and stays until Close.
func (d *disk) present() error {
	for i := range d.files {
		f := &d.files[i]
		found, err := os.Stat(f.path)
		switch {
		case err == nil && f.info == nil:
			f.info = found
		case err == nil && !os.SameFile(f.info, found), errors.Is(err, os.ErrNotExist) && f.info != nil:
			return fmt.Errorf("%w: %s", errReplaced, f.path)
		}
	}
	return nil
}

// Free implements store.Filed: the room that is left where the database is, in bytes; known is false when nobody can tell.
func (s *Store) Free() (bytes uint64, known bool) { return freeBytes(filepath.Dir(s.path)) }

// Sizes implements store.Filed.
func (s *Store) Sizes() (database, log int64) {
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	return size(s.path), size(s.path + "-wal")
}
