package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of processor times in /proc: 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// processInfo is what /proc tells of a process.
type processInfo struct {
	name         string
	parent       int
	used, reaped time.Duration // its own processor time, and that of children it has waited for
}

// readProcess reads /proc; ok is false where there is none.
func readProcess(pid int) (p processInfo, ok bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, false
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return p, false
	}
	f := strings.Fields(string(b[end+1:])) // from the third field on: state, ppid, ...
	if len(f) < 15 {
		return p, false
	}
	p.name = string(b[open+1 : end])
	p.parent, _ = strconv.Atoi(f[1])
	p.used, p.reaped = ticks(f[11])+ticks(f[12]), ticks(f[13])+ticks(f[14])
	return p, true
}

func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * (time.Second / ticksPerSecond)
}

// familyCPU is the processor time of a process, its living children and those it has waited for.
func familyCPU(pid int) (sum time.Duration, ok bool) {
	own, ok := readProcess(pid)
	if !ok {
		return 0, false
	}
	sum = own.used + own.reaped
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, false
	}
	for _, path := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if p, ok := readProcess(child); ok && p.parent == pid {
			sum += p.used
		}
	}
	return sum, true
}

// residentBytes is the memory of a process that is really there; false where /proc does not say.
func residentBytes(pid int) (int64, bool) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err == nil
		}
	}
	return 0, false
}
