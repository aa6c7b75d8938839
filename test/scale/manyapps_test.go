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

// TestManyAppsAreServedAtOnce: thousands of apps with one due message each. All
// are attempted within five seconds of the start of a process that finds them,
// and, scheduled for one instant, within five seconds of it.
func TestManyAppsAreServedAtOnce(t *testing.T) {
	n := size(1000, 10_000)
	onEach(t, func(w *world) {
		to := newSink(w.t)
		apps := make([]tenant, n)
		at := time.Now()
		w.open(func(ctx context.Context, s store.Store) error {
			if err := sendTo(ctx, s, to.addr, comm.ProviderLimits{}); err != nil {
				return err
			}
			numbers := make([]int, n)
			for i := range numbers {
				numbers[i] = i
			}
			return within(numbers, func(i int) (err error) {
				apps[i], err = newTenant(ctx, s, fmt.Sprintf("app-%05d", i))
				return err
			})
		})
		w.t.Logf("%d apps made in %s", n, short(time.Since(at)))
		var due comm.Micros
		w.open(func(ctx context.Context, s store.Store) error {
			due = comm.At(time.Now().Add(size(10*time.Second, 20*time.Second)))
			for phase, scheduled := range map[string]comm.Micros{"now": 0, "later": due} {
				if err := preload(ctx, s, n, func(i int) (store.Submission, error) {
					return submission(&apps[i], fmt.Sprintf("%s%05d", phase, i), comm.Normal, scheduled)
				}); err != nil {
					return err
				}
			}
			return nil
		})
		machine := w.meter()
		p := w.serve()
		ready := time.Now()
		if !until(20*time.Second, func() bool { return to.noted() >= n }) {
			w.t.Errorf("after 20 s %d of %d messages were attempted", to.noted(), n)
		}
		afterStart := spread(to, "now", p.started)
		bound := machine.bound(5 * time.Second)
		w.t.Logf("from the start of the process (ready after %s) to the provider: %s", short(p.ready), afterStart)
		if ready.After(due.Time()) || to.noted() > n {
			w.t.Fatal("the first phase took until the second began: nothing can be said of the second")
		}
		if len(afterStart) != n || afterStart.at(1) > bound {
			w.t.Errorf("%d of %d apps, the last after %s; the bound is %s", len(afterStart), n, afterStart.at(1), bound)
		}
		time.Sleep(time.Until(due.Time()))
		machine = w.meter()
		until(20*time.Second, func() bool { return to.noted() == 2*n })
		onTime := spread(to, "later", due.Time())
		bound = machine.bound(5 * time.Second)
		w.t.Logf("from the due time to the provider: %s", onTime)
		if len(onTime) != n || onTime.at(1) > bound || onTime.at(0) < 0 {
			w.t.Errorf("%d of %d apps, from %s to %s; the bound is %s", len(onTime), n, onTime.at(0), onTime.at(1), bound)
		}
		w.seriesAreFew(p, to, apps[:n/10])
		p.end()
	})
}

// spread is when the recipients with a prefix were reached, counted from an instant.
func spread(s *sink, prefix string, from time.Time) (out figures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for local, r := range s.got {
		if strings.HasPrefix(local, prefix) {
			out = append(out, r.first.Sub(from))
		}
	}
	return out
}
