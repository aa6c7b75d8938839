package scale

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// meter tells how much of the machine's processors others used while a figure
// was taken: processes that neither this test nor its database started. It tells, too, how fast
// the processors were: those of a virtual machine may be a fifth of themselves for minutes, of which /proc says nothing.
// Bounds in milliseconds mean a machine that is ours, as fast as the one they were found on.
type meter struct {
	t          *testing.T
	postmaster int // of the database server, 0 = none
	at         usage
	probe      time.Duration // what the probe took before
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
	m.probe = probe()
	m.at = m.read()
	return m
}

const (
	// usualProbe is what the probe may take on two cores as the bounds mean them; 5 ms on virtual ones of an EPYC, on which all hold with room to spare.
	usualProbe = 6 * time.Millisecond
	// usualSpread is how much longer it may take without the machine counting as slow, mostSlow the most that is granted for it.
	usualSpread, mostSlow = 1.3, 5.0
	// mostTaken is the most that is granted for what others take, which is half of the machine: beside more than that nothing is measured, and
	// a bound of milliseconds that became seconds would hold nothing.
	mostTaken = 4.0
)

// probe is how long work takes of the kind that servers do: computing, calls of the system, goroutines that wake one another.
// It is the median of nine.
func probe() time.Duration {
	var took []time.Duration
	block := make([]byte, 64<<10)
	for range 9 {
		began := time.Now()
		for range 40 {
			sum := sha256.Sum256(block)
			copy(block, sum[:])
		}
		for range 1000 {
			_, _ = os.Stat("/proc/self/stat")
		}
		there, back := make(chan int), make(chan int)
		go func() {
			for n := range there {
				back <- n
			}
			close(back)
		}()
		for n := range 5000 {
			there <- n
			<-back
		}
		close(there)
		<-back
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// slowness is how many times as long as usual this machine takes for the same work: before or after what was measured, whichever is more.
func (m *meter) slowness() float64 { return float64(max(m.probe, probe())) / float64(usualProbe) }

// granted is how many times the promised bound is granted to a machine that takes slow times as long as usual, others using a share of it: on one
// that they kept busy twice what the share that they left would need, since what is measured then is the wait for a processor. Either is granted up
// to a limit; capped says that it was reached.
func granted(slow, share float64) (times float64, capped bool) {
	taken := 1.0
	if slow <= usualSpread {
		slow = 1
	}
	if share > quietShare {
		taken = 2 / max(0.05, 1-share)
	}
	return min(slow, mostSlow) * min(taken, mostTaken), slow > mostSlow || taken > mostTaken
}

// TestABoundIsWidenedWithinLimits: not at all on a machine that is ours, and never to what holds nothing.
func TestABoundIsWidenedWithinLimits(t *testing.T) {
	for _, tc := range []struct {
		slow, share, want float64
		capped            bool
	}{
		{0.8, 0, 1, false}, {1, quietShare, 1, false}, {usualSpread, 0, 1, false}, {2, 0, 2, false}, {mostSlow, 0, 5, false}, {5.1, 0, 5, true}, {40, 0, 5, true},
		{1, 0.2, 2.5, false}, {1, 0.5, 4, false}, {1, 0.6, 4, true}, {1, 1, 4, true}, {2, 0.2, 5, false}, {2, 1, 8, true}, {40, 1, 20, true},
	} {
		if got, capped := granted(tc.slow, tc.share); got != tc.want || capped != tc.capped {
			t.Errorf("%+v: %v times, limit reached: %v", tc, got, capped)
		}
	}
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

// bound is the promised bound, or as many times as much as is granted to the machine as it was. It logs which, and how the machine was.
func (m *meter) bound(promised time.Duration) time.Duration {
	m.t.Helper()
	share, ours := m.since()
	slow := m.slowness()
	m.t.Logf("load %s, others used %.0f %% of the machine, we %s of processor time; the same work took %.1f times as long as usual", machineLoad(), 100*share, short(ours), slow)
	times, capped := granted(slow, share)
	if times == 1 {
		return promised
	}
	wide, most := time.Duration(float64(promised)*times), ""
	if capped {
		most = ", the most that is granted: the machine is too slow or too busy to measure on"
	}
	m.t.Logf("disturbed: held against %s instead of %s%s", short(wide), promised, most)
	return wide
}
