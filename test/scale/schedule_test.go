package scale

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestScheduledMessagesStartOnTime: thousands of messages of ten apps, posted
// with due times within one second. None starts early, 99 of 100 reach the
// provider within two seconds of their time.
func TestScheduledMessagesStartOnTime(t *testing.T) {
	n := size(1000, 10_000)
	onEach(t, func(w *world) {
		to := newSink(w.t)
		apps := make([]tenant, 10)
		w.open(func(ctx context.Context, s store.Store) (err error) {
			for i := range apps {
				if apps[i], err = newTenant(ctx, s, fmt.Sprintf("app-%d", i)); err != nil {
					return err
				}
			}
			return sendTo(ctx, s, to.addr, comm.ProviderLimits{})
		})
		p := w.serve()
		type message struct {
			n   int
			due time.Time
			id  comm.ID
		}
		from := time.Now().Add(size(6*time.Second, 25*time.Second)).Truncate(time.Second)
		all := make([]*message, n)
		for i := range all {
			all[i] = &message{n: i, due: from.Add(time.Duration(i) * time.Second / time.Duration(n)).Truncate(time.Millisecond)}
		}
		name := func(m *message) string { return fmt.Sprintf("s%05d", m.n) }
		var mu sync.Mutex
		if err := within(all, func(m *message) error {
			more := fmt.Sprintf(`,"scheduledAt":"%s"`, comm.At(m.due))
			status, id, answer, err := post(p.url, apps[m.n%len(apps)], mail(name(m), "NORMAL", name(m), more))
			if err != nil || status != http.StatusAccepted {
				return fmt.Errorf("%d %s %w", status, answer, err)
			}
			mu.Lock()
			defer mu.Unlock()
			m.id, err = comm.ParseID(id)
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
		if !time.Now().Before(from) {
			w.t.Fatalf("posting took until the messages were due: %s too long", time.Since(from))
		}
		w.t.Logf("%d messages posted %s before the first is due", n, short(time.Until(from)))
		time.Sleep(time.Until(from))
		machine := w.meter()
		if !until(30*time.Second, func() bool { return to.noted() == n }) {
			w.t.Errorf("%d of %d messages arrived", to.noted(), n)
		}
		bound := machine.bound(2 * time.Second)
		p.end()

		var arrived, started figures
		w.open(func(ctx context.Context, s store.Store) error {
			for _, m := range all {
				if r := to.receipt(name(m)); r.n > 0 {
					arrived = append(arrived, r.first.Sub(m.due))
				}
				got, err := s.Message(ctx, apps[m.n%len(apps)].app.ID, m.id)
				if err != nil {
					return err
				}
				for _, e := range got.Events {
					if e.Type == comm.CauseAttemptStarted {
						started = append(started, e.At.Sub(comm.At(m.due)))
					}
				}
			}
			return nil
		})
		w.t.Logf("due to attempt start: earliest %s, %s", short(started.at(0)), started)
		w.t.Logf("due to provider:      earliest %s, %s", short(arrived.at(0)), arrived)
		if started.at(0) < 0 || arrived.at(0) < 0 {
			w.t.Errorf("early: an attempt started %s, a message arrived %s after its time", started.at(0), arrived.at(0))
		}
		if len(arrived) != n || arrived.at(.99) > bound {
			w.t.Errorf("%d of %d arrived, p99 %s after their time; the bound is %s", len(arrived), n, arrived.at(.99), bound)
		}
	})
}
