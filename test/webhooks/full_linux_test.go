package webhooks

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestAFullDiskIsTold: the disk under the database on SQLite fills, and has room again. The operator is told that nothing is
// stored once, and once that it is over; nothing is accepted meanwhile, and what was accepted is there. The disk is one in memory that
// the server alone sees.
func TestAFullDiskIsTold(t *testing.T) {
	t.Parallel()
	page := newPager(t)
	const disk = `mkdir -p "$HOME/data" && mount -t tmpfs -o size=112m tmpfs "$HOME/data" && exec "$0" "$@"`
	s := startServer(t, []string{"unshare", "-rm", "sh", "-c", disk}, alarmed(page, "/in")...)
	a := s.app("writer", "")
	accept := func(n int) (status int, out []byte) {
		return s.call("POST", "/api/v1/messages", a.head, map[string]any{"channel": "SMS", "to": "233241234567", "body": "Hello", "idempotencyKey": fmt.Sprint(n)})
	}
	if status, out := accept(1); status != http.StatusAccepted {
		t.Fatalf("%d %s", status, out)
	}
	filler := filepath.Join("/proc", fmt.Sprint(s.cmd.Process.Pid), "root", s.dir, "data", "filler")
	if err := os.WriteFile(filler, make([]byte, 50<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	page.told(t, "storage_failing", "", "raised")
	if status, out := accept(2); status != http.StatusServiceUnavailable {
		t.Errorf("a message is answered %d: %s", status, out)
	}
	time.Sleep(5 * time.Second) // longer than what is told twice would take
	page.told(t, "storage_failing", "", "raised")
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	page.told(t, "storage_failing", "", "raised", "cleared")
	for n, want := range map[int]int{1: http.StatusOK, 3: http.StatusAccepted} {
		if status, out := accept(n); status != want {
			t.Errorf("message %d is answered %d: %s", n, status, out)
		}
	}
	page.told(t, "storage_failing", "", "raised", "cleared")
	if len(page.wrong) > 0 {
		t.Errorf("%q", page.wrong)
	}
}
