package reports

import (
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/providertest"
)

// TestAFloodFromOneProvider: one configuration reports as fast as it is acknowledged, from as many connections as the door lets in
// of it, mostly about nobody; another's reports are acknowledged and applied meanwhile, and the process grows by a bounded amount.
func TestAFloodFromOneProvider(t *testing.T) {
	t.Parallel()
	flood, clients, quiet := 4000, 64, 60
	if os.Getenv("COMMS_TEST_FULL") != "" {
		flood = 20_000
	}
	w := New(t, OnSQLite(t), &providertest.Reporter{})
	other := w.NewApp()
	config := w.NewConfig(other.ID, "other")
	loud, calm := w.Accept(w.App, 100, "233241000001"), w.Accept(other, quiet, "233241000002")
	w.Start(w.Config, loud)
	w.Finish(w.Config, loud)
	w.Start(config, calm)
	w.Finish(config, calm)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := time.Now()
	work := make(chan int)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for i := range work {
				ref := "nobody's"
				if i%10 == 0 {
					ref = loud[i/10%len(loud)].ID.String()
				}
				if err := w.Post(w.Config, "", providertest.Line(ref, comm.FateDelivered, "code", time.Duration(i).String())); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		defer close(work)
		for i := range flood {
			work <- i
		}
	})
	took := make([]time.Duration, quiet)
	for i, s := range calm {
		at := time.Now()
		w.Posted(config, providertest.Line(s.ID.String(), comm.FateDelivered))
		took[i] = time.Since(at)
	}
	all.Wait()
	acknowledged := time.Since(began)
	runtime.GC()
	runtime.ReadMemStats(&after)
	for _, s := range append(calm, loud...) {
		w.Becomes(s, comm.Delivered)
	}
	w.Eventually("nothing is left", func() bool { return w.Left() == 0 })
	slices.Sort(took)
	grown := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20
	t.Logf("%d reports acknowledged in %s (%.0f a second), applied after %s; the other's: median %s, slowest %s; the heap grew by %d MiB", flood, acknowledged.Round(time.Millisecond),
		float64(flood)/acknowledged.Seconds(), time.Since(began).Round(time.Millisecond), took[quiet/2].Round(time.Millisecond), took[quiet-1].Round(time.Millisecond), grown)
	if grown > 48 {
		t.Errorf("the heap grew by %d MiB", grown)
	}
	if took[quiet-1] > 2*time.Second {
		t.Errorf("another configuration's report was acknowledged after %s", took[quiet-1])
	}
}
