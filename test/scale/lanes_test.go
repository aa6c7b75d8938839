package scale

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestABacklogDelaysNobodyElse: an app with a long BULK queue that is being sent.
// Its own CRITICAL message and another app's NORMAL one still reach the provider
// within 250 ms of their 202 (99 of 100), whether the provider is fast, so that
// the machine is busy, or slow, so that every slot is taken.
func TestABacklogDelaysNobodyElse(t *testing.T) {
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		for _, provider := range []struct {
			name string
			hold time.Duration
		}{{"fast provider", 0}, {"slow provider", 500 * time.Millisecond}} {
			t.Run(kind+"/"+provider.name, func(t *testing.T) {
				w, b := onBacklog(t, kind)
				to := newSink(t)
				to.keep = func(local string) bool { return !isBulk(local) }
				to.hold = func(local string) time.Duration {
					if isBulk(local) {
						return provider.hold
					}
					return 0
				}
				w.open(func(ctx context.Context, s store.Store) error { return sendTo(ctx, s, to.addr, comm.ProviderLimits{}) })
				p := w.serve()
				if !until(10*time.Second, func() bool { return to.copies() > 200 }) {
					t.Fatalf("the backlog is not being sent: %d messages\n%s", to.copies(), p.complaints())
				}
				probes, machine := size(120, 400), w.meter()
				before, at := to.copies(), time.Now()
				answered, ids := map[string]time.Time{}, map[string]string{}
				var mu sync.Mutex
				var wg sync.WaitGroup
				for _, x := range []struct {
					name, lane string
					who        tenant
				}{{"critical", "CRITICAL", b.big}, {"normal", "NORMAL", b.other}} {
					wg.Go(func() {
						for i := range probes {
							local := fmt.Sprintf("%s%d", x.name, i)
							status, id, answer, err := post(p.url, x.who, mail(local, x.lane, local, ""))
							if err != nil || status != http.StatusAccepted {
								t.Errorf("%s: %d %s %v", local, status, answer, err)
								return
							}
							mu.Lock()
							answered[local], ids[local] = time.Now(), id
							mu.Unlock()
							time.Sleep(size(5*time.Millisecond, 20*time.Millisecond))
						}
					})
				}
				wg.Wait()
				rate := float64(to.copies()-before) / time.Since(at).Seconds()
				left := b.n - to.copies()
				arrived := until(20*time.Second, func() bool { return to.noted() == 2*probes })
				delays, starts := map[string]figures{}, map[string]figures{}
				for name, who := range map[string]tenant{"critical": b.big, "normal": b.other} {
					for i := range probes {
						local := fmt.Sprintf("%s%d", name, i)
						if r := to.receipt(local); r.n > 0 {
							delays[name] = append(delays[name], max(0, r.first.Sub(answered[local])))
						}
						starts[name] = append(starts[name], untilStart(t, p.url, who, ids[local]))
					}
				}
				bound := machine.bound(250 * time.Millisecond)
				t.Logf("%.0f messages/s sent meanwhile, %d of the backlog left", rate, left)
				t.Logf("same app's CRITICAL: 202 to provider %s", delays["critical"])
				t.Logf("                     accepted to attempt start %s", starts["critical"])
				t.Logf("other app's NORMAL:  202 to provider %s", delays["normal"])
				t.Logf("                     accepted to attempt start %s", starts["normal"])
				if !arrived {
					t.Fatalf("only %d of %d probes arrived\n%s", to.noted(), 2*probes, p.complaints())
				}
				if left <= 0 {
					t.Fatalf("the backlog was gone before the probes were: nothing was shown")
				}
				for name, f := range delays {
					if f.at(.99) > bound {
						t.Errorf("%s: p99 %s, the bound is %s", name, f.at(.99), bound)
					}
				}
				p.end()
			})
		}
	}
}

// untilStart is how long a message waited for its attempt, as its log says.
func untilStart(t *testing.T, base string, who tenant, id string) time.Duration {
	t.Helper()
	status, answer, err := call(base, who, http.MethodGet, "/api/v1/messages/"+id, nil)
	var got struct {
		Events []struct {
			Type string
			At   time.Time
		}
	}
	if err == nil {
		err = json.Unmarshal(answer, &got)
	}
	if err != nil || status != http.StatusOK || len(got.Events) < 2 || got.Events[1].Type != "attempt_started" {
		t.Fatalf("read %s: %d %.500s %v", id, status, answer, err)
	}
	return got.Events[1].At.Sub(got.Events[0].At)
}
