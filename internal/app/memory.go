package app

import (
	"os"
	"runtime/debug"
)

// The collector's settings when the environment does not name others. A server's
// live heap is some 10 MB, at which Go's default of 100 would collect all the
// time; 400 gave 9 % more accepts in measurements. The limit makes it collect
// harder long before a small machine would run out of memory.
const (
	collectAt   = 400
	memoryLimit = 768 << 20
)

// TuneMemory sets the garbage collector for a server, unless GOGC or GOMEMLIMIT
// say otherwise. Call it once at the start of a serving process.
func TuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
