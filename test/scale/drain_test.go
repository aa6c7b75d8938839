package scale

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestStopsUnderLoadLoseAndRepeatNothing: SIGTERM again and again while clients
// post and calls are running. Each stop ends with exit code 0 within the drain
// time, and in the end every accepted message has been sent exactly once. On
// PostgreSQL a second process takes over meanwhile.
func TestStopsUnderLoadLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	const drain = 25 * time.Second
	stops := size(5, 500)
	onEach(t, func(w *world) {
		to := newSink(w.t)
		to.hold = func(string) time.Duration { return 60 * time.Millisecond }
		apps := make([]tenant, 8)
		w.open(func(ctx context.Context, s store.Store) (err error) {
			for i := range apps {
				if apps[i], err = newTenant(ctx, s, fmt.Sprintf("app-%d", i)); err != nil {
					return err
				}
			}
			return sendTo(ctx, s, to.addr, comm.ProviderLimits{})
		})
		var doors []*atomic.Pointer[string] // where processes are reached
		procs := make([]*process, 1)
		if w.store == "PostgreSQL" {
			procs = make([]*process, 2)
		}
		for i := range procs {
			procs[i] = w.serve()
			door := &atomic.Pointer[string]{}
			door.Store(&procs[i].url)
			doors = append(doors, door)
		}
		load := startLoad(doors, apps)
		var took figures
		for i := range stops {
			time.Sleep(time.Duration(200+rand.IntN(400)) * time.Millisecond)
			one := i % len(procs)
			code, d := procs[one].stop(drain + 5*time.Second)
			took = append(took, d)
			if code != 0 || d > drain {
				w.t.Errorf("stop %d: exit code %d after %s\n%s", i+1, code, d, procs[one].complaints())
			}
			procs[one] = w.serve()
			doors[one].Store(&procs[one].url)
		}
		accepted, bad := load.end()
		done := until(time.Minute, func() bool { return to.noted() >= len(accepted) })
		time.Sleep(500 * time.Millisecond) // a copy too many would follow
		ledger := to.ledger()
		lost, extra := 0, 0
		for _, name := range accepted {
			switch n := ledger[name]; {
			case n == 0:
				lost++
			case n > 1:
				extra += n - 1
			}
		}
		w.t.Logf("load %s; %d stops under load: SIGTERM to exit %s; %d accepted, %d copies, %d extra, %d not sent", machineLoad(), stops, took, len(accepted), to.copies(), extra, lost)
		if !done || lost > 0 || extra > 0 {
			w.t.Errorf("%d messages were not sent, %d extra copies", lost, extra)
		}
		if len(bad) > 0 {
			w.t.Errorf("%d wrong answers, such as %s", len(bad), bad[0])
		}
		for _, p := range procs {
			p.end()
		}
	})
}

// load is clients that post until they are told to stop. A request without an
// answer, or refused because the server stops, is repeated with its key until it is answered.
type load struct {
	stop chan struct{}
	wg   sync.WaitGroup
	mu   sync.Mutex
	ok   []string
	bad  []string
}

func startLoad(doors []*atomic.Pointer[string], apps []tenant) *load {
	l := &load{stop: make(chan struct{})}
	for c := range 8 {
		l.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				case <-time.After(15 * time.Millisecond):
				}
				l.one(doors, apps[(c+i)%len(apps)], fmt.Sprintf("d%dx%d", c, i))
			}
		})
	}
	return l
}

func (l *load) one(doors []*atomic.Pointer[string], who tenant, name string) {
	for try := 0; ; try++ {
		status, _, answer, err := post(*doors[try%len(doors)].Load(), who, mail(name, "NORMAL", name, ""))
		if err != nil || status == http.StatusServiceUnavailable {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if slices.Contains([]int{http.StatusAccepted, http.StatusOK}, status) {
			l.ok = append(l.ok, name)
		} else {
			l.bad = append(l.bad, fmt.Sprintf("%s: %d %s", name, status, answer))
		}
		return
	}
}

// end stops the clients and answers what was accepted.
func (l *load) end() (accepted, bad []string) {
	close(l.stop)
	l.wg.Wait()
	return l.ok, l.bad
}
