package scale

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestTheOverviewIsSoonThereBesideManyApps: a thousand apps wait, half of them for somebody and half for a provider whose day is used up.
// The console's first page is there within 50 ms (95 of 100), and says that apps wait for somebody.
func TestTheOverviewIsSoonThereBesideManyApps(t *testing.T) {
	const n = 1000
	views := size(40, 400)
	onEach(t, func(w *world) {
		to := newSink(w.t)
		apps := make([]tenant, n)
		w.open(func(ctx context.Context, s store.Store) error {
			if err := sendTo(ctx, s, to.addr, comm.ProviderLimits{RatePerDay: 1}); err != nil {
				return err
			}
			numbers := make([]int, n)
			for i := range numbers {
				numbers[i] = i
			}
			if err := within(numbers, func(i int) (err error) {
				apps[i], err = newTenant(ctx, s, fmt.Sprintf("app-%05d", i), func(a *comm.App) { a.QueuePaused = i%2 == 1 })
				return err
			}); err != nil {
				return err
			}
			return preload(ctx, s, n, func(i int) (store.Submission, error) {
				return submission(&apps[i], fmt.Sprintf("waits%05d", i), comm.Normal, 0)
			})
		})
		p := w.serve()
		if !until(20*time.Second, func() bool { return to.noted() >= 1 }) {
			w.t.Fatal("nothing was sent")
		}
		v := w.visitor(p.url)
		v.get("/console", "identity") // plans and caches
		machine := w.meter()
		var seen figures
		page := ""
		for range views {
			at := time.Now()
			_, page = v.get("/console", "identity")
			seen = append(seen, time.Since(at))
			time.Sleep(50 * time.Millisecond)
		}
		bound := machine.bound(pageTime)
		unread := strings.Contains(page, "More apps wait than are looked at here")
		w.t.Logf("the overview beside %d apps that wait: %s; not all of the queue was looked at: %v", n, seen, unread)
		if seen.at(.95) > bound {
			w.t.Errorf("p95 of the overview is %s (%s), the bound is %s", seen.at(.95), seen, bound)
		}
		if !strings.Contains(page, `id="h-held"`) {
			w.t.Errorf("nothing waits for somebody: %.3000s", page)
		}
		p.end()
	})
}
