// Package scale shows, through the built program on both stores, that size does
// not change the promises: long queues, many apps, messages that cannot be sent,
// nodes that die or stand still, stops under load, memory, start-up and lists.
//
// Every test has a small size for each run and the full one with
// COMMS_TEST_FULL=1, asserts the figure that the project promises, and logs what
// it measured (go test -v shows it). It holds single figures against their bounds;
// it does not compare speed with other programs, which is what the benchmark does.
package scale

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/commserver/commserver/test/build"
)

// product is the binary that these tests drive.
var product build.Program

func TestMain(m *testing.M) {
	code := m.Run()
	product.Remove()
	os.Exit(code)
}

// full says whether the sizes of the nightly run are wanted.
func full() bool { return os.Getenv("COMMS_TEST_FULL") == "1" }

// size is small in the usual run and big in the full one.
func size[T any](small, big T) T {
	if full() {
		return big
	}
	return small
}

// figures is a set of durations, for percentiles.
type figures []time.Duration

// at is the value that the share p of them does not exceed.
func (f figures) at(p float64) time.Duration {
	if len(f) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(f))
	return sorted[max(0, int(math.Ceil(p*float64(len(sorted))))-1)]
}

func (f figures) String() string {
	return fmt.Sprintf("p50 %s  p95 %s  p99 %s  max %s  (%d)", short(f.at(.5)), short(f.at(.95)), short(f.at(.99)), short(f.at(1)), len(f))
}

func short(d time.Duration) time.Duration {
	if d > time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}

// machineLoad is what else the machine does: figures taken beside others are slower.
func machineLoad() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:2], " ")
}

// within runs f over the items, eight at a time, and answers the first error.
func within[T any](items []T, f func(T) error) error {
	var g errgroup.Group
	g.SetLimit(8)
	for _, item := range items {
		g.Go(func() error { return f(item) })
	}
	return g.Wait()
}
