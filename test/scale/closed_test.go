package scale

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/pgtest"
)

// TestWhatCannotBeSentIsNotWritten: many messages behind a queue that is paused, a
// provider that is down, and a rate of one per second. While they wait, the only
// rows written for messages are those of the few that are tried.
func TestWhatCannotBeSentIsNotWritten(t *testing.T) {
	t.Parallel()
	n, watched := size(20_000, 1_000_000), size(5*time.Second, 5*time.Minute)
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // the process has nothing to do
			w := closedWorld(t, kind)
			to := newSink(t)
			var who tenant
			w.open(func(ctx context.Context, s store.Store) (err error) {
				if who, err = newTenant(ctx, s, "waiting", func(a *comm.App) { a.QueuePaused = true }); err != nil {
					return err
				}
				return preload(ctx, s, n, func(i int) (store.Submission, error) {
					return submission(&who, fmt.Sprintf("w%07d", i), comm.Normal, 0)
				})
			})
			seconds := int64(watched / time.Second)

			got := w.watch(watched, 2*time.Second)
			t.Logf("queue paused, %d messages, %s: %s", n, watched, got)
			if got.events != 0 || got.ofMessages() != 0 {
				t.Errorf("queue paused: %d events, %d rows written for messages", got.events, got.ofMessages())
			}
			few(t, got, seconds)

			w.provider(to.addr, comm.ProviderLimits{RatePerSecond: 1})
			w.pause(&who, false)
			got = w.watch(watched, 2*time.Second)
			t.Logf("rate of 1/s, %s: %s; %d sent in all", watched, got, to.copies())
			// Each one sent is a start and a finish; one may be under way at each end.
			if got.events == 0 || got.events > 2*(seconds+3) {
				t.Errorf("rate of 1/s: %d events in %s", got.events, watched)
			}
			few(t, got, 3*seconds)

			w.provider("127.0.0.1:1", comm.ProviderLimits{}) // nobody listens there
			got = w.watch(watched, 4*time.Second)
			t.Logf("provider down, %s: %s", watched, got)
			// Two probes whenever the breaker opens, at most every ten seconds.
			if most := 2 * 2 * (seconds/10 + 2); got.events > most {
				t.Errorf("provider down: %d events, at most %d are right", got.events, most)
			}
			few(t, got, 2*seconds)
		})
	}
}

func closedWorld(t *testing.T, kind string) *world {
	t.Helper()
	if kind == "SQLite" {
		return onSQLite(t, "")
	}
	return onPostgres(t, pgtest.Database(t))
}

// provider replaces the server-level chain.
func (w *world) provider(addr string, limits comm.ProviderLimits) {
	w.t.Helper()
	w.open(func(ctx context.Context, s store.Store) error {
		old, err := s.ProviderConfigs(ctx, comm.ID{})
		if err != nil {
			return err
		}
		for i := range old {
			if err := s.DeleteProviderConfig(ctx, comm.ID{}, old[i].ID); err != nil {
				return err
			}
		}
		return sendTo(ctx, s, addr, limits)
	})
}

// few wants hardly any transactions besides those of messages: heartbeats, and
// the reasons for waiting when they change. And a change of a message is at most
// its row, its place in the queue and its event.
func few(t *testing.T, got writes, besides int64) {
	t.Helper()
	if got.transactions > besides+10 {
		t.Errorf("%d transactions", got.transactions)
	}
	if got.ofMessages() > 3*got.rows["events"] {
		t.Errorf("%d rows written for %d events", got.ofMessages(), got.rows["events"])
	}
}
