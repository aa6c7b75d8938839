package memory

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// What statfs(2) says of a file system.
const (
	tmpfs  = 0x01021994
	noexec = 8
)

// roomy reports whether a folder is in memory, may hold programs and has room, and the machine memory for it.
func roomy(folder string) bool {
	var fs syscall.Statfs_t
	if syscall.Statfs(folder, &fs) != nil {
		return false
	}
	return fs.Type == tmpfs && fs.Flags&noexec == 0 && int64(fs.Bavail)*int64(fs.Bsize) >= room && available() >= room+roomLeft
}

// available is the memory that is free, or soon is, in bytes: of the machine, within what its control group allows.
func available() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	var kib int64
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &kib); err == nil {
			break
		}
	}
	return min(kib<<10, limit("/sys/fs/cgroup/memory.max"), limit("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
}

// limit reads the limit of a control group; without one, or with "max" in it, there is none.
func limit(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return n
}
