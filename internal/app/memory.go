package app

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// The collector's settings when the environment does not name others. A server's
// live heap is some 10 MB, at which Go's default of 100 would collect all the
// time; 400 gave 9 % more accepts in measurements.
const collectAt = 400

// While it starts, with little to lose, it collects early instead: what a start
// leaves behind would stay for as long as little is sent.
const collectAtStart = 25

// The soft limit makes the collector work harder before a machine runs out of
// memory. Large bodies may take some 830 MB (measured), so a limit below 1 GiB
// would only cost processor time on a machine that has more.
const (
	limitShare  = 0.75      // of the machine's or container's memory: the rest is the system's, its page cache and what is not heap
	limitLow    = 128 << 20 // below it the collector would run all the time
	limitNormal = 1 << 30   // where nothing says how much memory there is
)

// TuneMemory sets the garbage collector for a server that starts, unless GOGC or
// GOMEMLIMIT say otherwise. Call it once at the start of a serving process.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAtStart)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit("/"))
	}
}

// giveBack ends the start: the system gets back what only that needed, and the collector takes its usual pace. An idle server on SQLite had 40.3 to
// 41.3 MiB resident at its peak without it, of four starts, 38.2 to 40.9 when it came behind a start at the usual or Go's own pace, of fifteen, and
// 38.1 to 38.8 since the start collects early, of eight; 40 are promised.
func giveBack(context.Context) error {
	debug.FreeOSMemory()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	return nil
}

// memoryLimit is the soft limit for a process on the system whose files stand
// below root: three quarters of the smallest of what the control group allows
// and what the machine has.
func memoryLimit(root string) int64 {
	have := int64(math.MaxInt64)
	for _, file := range []string{"sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			continue
		}
		// "max" is no number: no limit.
		if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 {
			have = min(have, n)
		}
	}
	have = min(have, machineMemory(root))
	if have == math.MaxInt64 {
		return limitNormal
	}
	return max(limitLow, int64(float64(have)*limitShare))
}

// machineMemory reads Linux's account; other systems have none, and the answer is "no bound".
func machineMemory(root string) int64 {
	text, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return math.MaxInt64
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && fields[0] == "MemTotal:" && fields[2] == "kB" {
			if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil && n > 0 {
				return n << 10
			}
		}
	}
	return math.MaxInt64
}
