// Package stalls notes when the machine itself stood still, or its disk did, for tests that hold a server to a time
// by the clock beside others on the machine.
package stalls

import (
	"os"
	"sync"
	"testing"
	"time"
)

const (
	// every is how often it is looked: by a sleep, and by a byte that is flushed to the disk.
	every = 20 * time.Millisecond
	// usual is what a look may take; the rest of it is a stall.
	usual = 100 * time.Millisecond
)

// Log is the stalls since Watch. It is safe for concurrent use.
type Log struct {
	mu  sync.Mutex
	all []span
}

type span struct{ from, to time.Time }

// Watch looks until the test ends, with a file in a folder of its own.
func Watch(t testing.TB) *Log {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "flushed")
	if err != nil {
		t.Fatal(err)
	}
	l, stop, done := &Log{}, make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-done
		_ = f.Close()
	})
	go func() {
		defer close(done)
		for {
			began := time.Now()
			select {
			case <-stop:
				return
			case <-time.After(every):
			}
			_, err := f.WriteAt([]byte{1}, 0)
			if err == nil {
				err = f.Sync()
			}
			if err != nil {
				t.Errorf("flush a file: %v", err)
				return
			}
			l.looked(began, time.Now())
		}
	}()
	return l
}

func (l *Log) looked(from, to time.Time) {
	if from = from.Add(usual); !from.Before(to) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, span{from, to})
}

// Between is for how long the machine stood still between two instants, as far as it has gone on since.
func (l *Log) Between(from, to time.Time) (still time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.all {
		a, b := s.from, s.to
		if a.Before(from) {
			a = from
		}
		if b.After(to) {
			b = to
		}
		still += max(0, b.Sub(a))
	}
	return still
}
