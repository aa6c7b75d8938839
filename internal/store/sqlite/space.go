package sqlite

import (
	"errors"
	"path/filepath"
	"sync"
	"time"
)

const (
	// lowWater is the free space below which nothing new is accepted: what is
	// left is for recording how the accepted messages end.
	lowWater = 64 << 20
	// spaceEvery is how long a look at the file system holds.
	spaceEvery = time.Second
)

var (
	errInUse    = errors.New("the database file is in use by another process; SQLite serves one process only")
	errLowSpace = errors.New("the disk is almost full")
)

// space watches how much the disk has left. It is safe for concurrent use.
type space struct {
	path string
	mu   sync.Mutex
	seen time.Time
	low  bool
}

// check answers errLowSpace below the low-water mark; it recovers by itself.
func (s *space) check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.seen.IsZero() || now.Sub(s.seen) >= spaceEvery || now.Before(s.seen) {
		free, ok := freeBytes(filepath.Dir(s.path))
		s.seen, s.low = now, ok && free < lowWater
	}
	if s.low {
		return errLowSpace
	}
	return nil
}
