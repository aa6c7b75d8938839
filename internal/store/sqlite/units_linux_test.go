package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// Units are sought one by one: what listing them reads does not grow with their queues.
func TestListingUnitsDoesNotReadTheirQueues(t *testing.T) {
	t.Parallel()
	const each, atMost = 10_000, 256 << 10 // the queue takes 1.5 MB
	path := filepath.Join(t.TempDir(), "comm.db")
	apps := [2]comm.ID{comm.NewID(comm.At(time.Now())), comm.NewID(comm.At(time.Now()))}
	s := openAt(t, path)
	for _, app := range apps {
		subs := make([]store.Submission, each)
		for i := range subs {
			subs[i] = message(app)
		}
		if _, err := s.Accept(t.Context(), subs); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path) // no page is in a cache of it
	defer s.Close()
	shards := make([]comm.Shard, comm.ShardCount)
	for i := range shards {
		shards[i] = comm.Shard(i)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := readByThread(t)
	wakes, err := s.Units(t.Context(), shards)
	if err != nil {
		t.Fatal(err)
	}
	read := readByThread(t) - before
	if len(wakes) != len(apps) || wakes[0].Unit == wakes[1].Unit {
		t.Errorf("the units are %+v", wakes)
	}
	if read == 0 || read > atMost {
		t.Errorf("listing %d units of %d messages read %d bytes, at most %d expected", len(apps), each, read, atMost)
	}
}

func openAt(t *testing.T, path string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// readByThread is how many bytes this thread has asked the system for.
func readByThread(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/io")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "rchar: "); ok {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("the system does not tell what a thread reads")
	return 0
}
