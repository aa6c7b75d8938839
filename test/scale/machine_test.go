package scale

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// meter tells how much of the machine's processors others used while a figure
// was taken: processes that neither this test nor its database started. Bounds in
// milliseconds mean a machine that is ours.
type meter struct {
	t          *testing.T
	postmaster int // of the database server, 0 = none
	at         usage
}

// usage is processor time in clock ticks since the machine started.
type usage struct{ all, busy, ours uint64 }

// quietShare is the part of the machine that others may use without a figure counting as disturbed.
const quietShare = 0.10

func (w *world) meter() *meter {
	m := &meter{t: w.t}
	if w.url != "" {
		m.postmaster = postmaster(w.t, w.url)
	}
	m.at = m.read()
	return m
}

// postmaster is the process that the database's sessions descend from.
func postmaster(t *testing.T, url string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var pid int
	if err := conn.QueryRow(t.Context(), `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if f, ok := statOf(pid); ok {
		return f.parent
	}
	return 0 // a server on another machine
}

type procStat struct {
	parent int
	ticks  uint64
}

func statOf(pid int) (procStat, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, false
	}
	_, rest, ok := strings.Cut(string(b), ") ") // the name before may hold anything
	f := strings.Fields(rest)
	if !ok || len(f) < 15 {
		return procStat{}, false
	}
	out := procStat{}
	out.parent, _ = strconv.Atoi(f[1])
	for _, field := range f[11:15] { // user and system time, its own and that of children which have ended
		n, _ := strconv.ParseUint(field, 10, 64)
		out.ticks += n
	}
	return out, true
}

func (m *meter) read() (u usage) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return u
	}
	line, _, _ := strings.Cut(string(b), "\n")
	for i, field := range strings.Fields(line)[1:] {
		n, _ := strconv.ParseUint(field, 10, 64)
		if i >= 8 { // guest time is part of user time
			break
		}
		u.all += n
		if i != 3 && i != 4 { // idle, waiting for disks
			u.busy += n
		}
	}
	all := map[int]procStat{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if f, ok := statOf(pid); ok {
			all[pid] = f
		}
	}
	for pid, f := range all {
		for p := pid; p > 1; p = all[p].parent {
			if p == os.Getpid() || p == m.postmaster {
				u.ours += f.ticks
				break
			}
		}
	}
	return u
}

// since is the share of the machine that others used since the meter was made,
// and the processor time that this test with its processes and its database used.
func (m *meter) since() (others float64, ours time.Duration) {
	now := m.read()
	ours = time.Duration(now.ours-m.at.ours) * time.Second / ticksPerSecond
	all := now.all - m.at.all
	if all == 0 {
		return 0, ours
	}
	return max(0, float64(now.busy-m.at.busy)-float64(now.ours-m.at.ours)) / float64(all), ours
}

// ticksPerSecond is the unit of processor times under /proc on every Linux that Go runs on.
const ticksPerSecond = 100

// bound is the promised bound, or on a machine that others kept busy twice what
// the share that they left would need: what is measured then is the wait for a
// processor. It logs which.
func (m *meter) bound(promised time.Duration) time.Duration {
	share, ours := m.since()
	m.t.Logf("load %s, others used %.0f %% of the machine, we %s of processor time", machineLoad(), 100*share, short(ours))
	if share <= quietShare {
		return promised
	}
	wide := time.Duration(float64(promised) * 2 / max(0.05, 1-share))
	m.t.Logf("disturbed: held against %s instead of %s", short(wide), promised)
	return wide
}
