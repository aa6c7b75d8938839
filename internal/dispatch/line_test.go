package dispatch

import (
	"context"
	"maps"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// party is one lane of an app.
type party struct {
	app  comm.ID
	lane comm.Lane
}

// countingSender counts the calls for each lane of each app.
type countingSender struct {
	mu    sync.Mutex
	owner map[comm.ID]party
	calls map[party]int
	total int
	took  func(call int) time.Duration
}

func (p *countingSender) Close() error { return nil }

func (p *countingSender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	p.mu.Lock()
	p.calls[p.owner[m.ID]]++
	p.total++
	took := p.took(p.total)
	p.mu.Unlock()
	sleep(ctx, took)
	return provider.Receipt{}, nil
}

// counted is how many calls each lane of each app has had.
func (p *countingSender) counted() (calls map[party]int, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.calls), p.total
}

// until waits for that many calls.
func (p *countingSender) until(n int) (calls map[party]int) {
	for {
		calls, total := p.counted()
		if total >= n {
			return calls
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// spread is the fewest and the most NORMAL calls that apps have had since before.
func spread(apps []*comm.App, before, calls map[party]int) (least, most int) {
	least = math.MaxInt
	for _, a := range apps {
		k := party{a.ID, comm.Normal}
		n := calls[k] - before[k]
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

// queueing is a world of one node and one account of the server's, which all apps have
// a backlog for in each of these lanes.
func queueing(t *testing.T, apps, each int, limits comm.ProviderLimits, took func(int) time.Duration, lanes ...comm.Lane) (*world, *countingSender, func() *simServer) {
	p := &countingSender{owner: map[comm.ID]party{}, calls: map[party]int{}, took: took}
	w, boot := crowd(t, 2*time.Millisecond, &pacedSender{})
	w.edit2(func(c *Config) {
		c.Adapters = []provider.Adapter{{Type: "PACED", Open: func(provider.Settings, provider.Env) (provider.Sender, error) { return p, nil }}}
	})
	server := emailConfig("PACED", 1)
	server.ID, server.Limits = testID(1), limits
	w.store.configs[comm.ID{}] = []comm.ProviderConfig{server}
	for range apps {
		w.app(nil)
	}
	for range each {
		for _, a := range w.apps {
			for _, l := range lanes {
				p.send(w, nil, a, l)
			}
		}
	}
	return w, p, boot
}

// send accepts a message and remembers whose it is.
func (p *countingSender) send(w *world, srv *simServer, a *comm.App, l comm.Lane) {
	w.send(srv, a, func(st *comm.State) {
		st.Lane = l
		p.mu.Lock()
		p.owner[st.ID] = party{a.ID, l}
		p.mu.Unlock()
	})
}

func always(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }

// TestAppsShareAnAccountInTurn: many apps with backlogs share an account of few
// places, or of few calls a second. Once all of them are known, they are called in turn.
func TestAppsShareAnAccountInTurn(t *testing.T) {
	varied := func(call int) time.Duration { return time.Duration(2+call*7%13) * time.Millisecond }
	for _, tc := range []struct {
		name   string
		apps   int
		limits comm.ProviderLimits
		apart  int // two apps' calls at most: a portion, and those under way
	}{
		{"8 places, 40 apps", 40, comm.ProviderLimits{MaxConcurrent: 8}, 2},
		{"16 places, 5 apps", 5, comm.ProviderLimits{MaxConcurrent: 16}, 5},
		{"200 a second, 40 apps", 40, comm.ProviderLimits{RatePerSecond: 200}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const each = 200
				w, p, boot := queueing(t, tc.apps, each, tc.limits, varied, comm.Normal)
				boot()
				time.Sleep(300 * time.Millisecond)
				first, total := p.counted()
				seen := 0
				for total < each*tc.apps*8/10 { // towards the end shares differ by what is left
					time.Sleep(5 * time.Millisecond)
					var now map[party]int
					now, total = p.counted()
					least, most := spread(w.apps, first, now)
					if seen++; most-least > tc.apart {
						t.Errorf("after %d calls one app has had %d and another %d", total, most, least)
						break
					}
				}
				if seen < 50 && !t.Failed() {
					t.Errorf("looked %d times: the test says nothing", seen)
				}
				w.stopAll()
			})
		})
	}
}

// TestALineLongerThanARecheck: those in a line that is longer than the time after which
// each unit is looked at again are called in turn all the same.
func TestALineLongerThanARecheck(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits comm.ProviderLimits
		took   time.Duration
	}{
		{"one place", comm.ProviderLimits{MaxConcurrent: 1}, 500 * time.Millisecond},
		{"2 a second", comm.ProviderLimits{RatePerSecond: 2}, 10 * time.Millisecond},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, p, boot := queueing(t, 100, 15, tc.limits, always(tc.took), comm.Normal) // 50 s once round
				boot()
				time.Sleep(10 * time.Minute)
				calls, total := p.counted()
				if least, most := spread(w.apps, nil, calls); most-least > 2 {
					t.Errorf("after %d calls one app has had %d and another %d", total, most, least)
				}
				w.stopAll()
			})
		})
	}
}

// TestALineIsAsLongAsItsUnits: however often those that wait are looked at.
func TestALineIsAsLongAsItsUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, boot := queueing(t, 50, 2, comm.ProviderLimits{RatePerDay: 1}, always(time.Millisecond), comm.Normal)
		srv := boot()
		time.Sleep(time.Hour)
		s := srv.d.sched
		s.mu.Lock()
		n := 0
		for _, a := range s.dir.entry(comm.ID{}).accounts {
			n += a.lines[classRest].len()
		}
		s.mu.Unlock()
		if n != 50 {
			t.Errorf("the line of 50 units has %d places", n)
		}
		w.stopAll()
	})
}

// TestChangedSettingsCostNobodysPlace: somebody changes settings again and again, upon
// which all that wait are looked at.
func TestChangedSettingsCostNobodysPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, p, boot := queueing(t, 100, 30, comm.ProviderLimits{RatePerSecond: 10}, always(5*time.Millisecond), comm.Normal)
		srv := boot()
		for range 120 {
			time.Sleep(2 * time.Second)
			w.store.change(func() {})
			srv.d.Invalidate(testID(99))
		}
		calls, total := p.counted()
		if least, most := spread(w.apps, nil, calls); most-least > 2 || total < 2000 {
			t.Errorf("after %d calls one app has had %d and another %d", total, most, least)
		}
		w.stopAll()
	})
}

// TestCriticalCostsNobodysPlace: CRITICAL messages take most of what an account allows;
// the others are called in turn for the rest.
func TestCriticalCostsNobodysPlace(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits comm.ProviderLimits
	}{
		{"one place", comm.ProviderLimits{MaxConcurrent: 1}},
		{"20 a second", comm.ProviderLimits{RatePerSecond: 20}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, p, boot := queueing(t, 20, 50, tc.limits, always(45*time.Millisecond), comm.Normal)
				apps := w.apps
				urgent := w.app(nil)
				srv := boot()
				time.Sleep(300 * time.Millisecond)
				first, _ := p.counted()
				for range 1200 {
					p.send(w, srv, urgent, comm.Critical)
					time.Sleep(67 * time.Millisecond)
				}
				calls, total := p.counted()
				if least, most := spread(apps, first, calls); most-least > 3 || least < 10 || calls[party{urgent.ID, comm.Critical}] < 1190 {
					t.Errorf("after %d calls, %d of them CRITICAL, one app has had %d and another %d", total, calls[party{urgent.ID, comm.Critical}], most, least)
				}
				w.stopAll()
			})
		})
	}
}

// TestLanesHaveTheirWeightInALine: of an app that waits with both, NORMAL goes four times as often as BULK.
func TestLanesHaveTheirWeightInALine(t *testing.T) {
	for _, tc := range []struct {
		name   string
		apps   int
		limits comm.ProviderLimits
	}{
		{"1 app, 1 place", 1, comm.ProviderLimits{MaxConcurrent: 1}},
		{"1 app, 9 places", 1, comm.ProviderLimits{MaxConcurrent: 9}},
		{"1 app, 100 a second", 1, comm.ProviderLimits{RatePerSecond: 100}},
		{"10 apps, 9 places", 10, comm.ProviderLimits{MaxConcurrent: 9}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, p, boot := queueing(t, tc.apps, 2000/tc.apps, tc.limits, always(10*time.Millisecond), comm.Normal, comm.Bulk)
				boot()
				first := p.until(200)
				calls := p.until(1700)
				normal, bulk := 0, 0
				for _, a := range w.apps {
					n, b := party{a.ID, comm.Normal}, party{a.ID, comm.Bulk}
					normal, bulk = normal+calls[n]-first[n], bulk+calls[b]-first[b]
				}
				if 10*normal < 37*bulk || 10*normal > 43*bulk {
					t.Errorf("%d calls for NORMAL, %d for BULK", normal, bulk)
				}
				w.stopAll()
			})
		})
	}
}

// TestALargeMessageInALine: it needs a place of an account that others wait for, and
// memory that others want. It gets both.
func TestALargeMessageInALine(t *testing.T) {
	for _, tc := range []struct {
		name         string
		took, within time.Duration
		calls        int
	}{
		{"short calls", 50 * time.Millisecond, 15 * time.Second, 500},
		{"calls of a few seconds", 3 * time.Second, 45 * time.Second, 80},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, p, boot := queueing(t, 20, 100, comm.ProviderLimits{MaxConcurrent: 3}, always(tc.took), comm.Normal)
				w.edit2(func(c *Config) {
					c.MaxBytes = 1 << 20
					c.Adapters = append(c.Adapters, provider.Adapter{Type: "OTHER", Open: func(provider.Settings, provider.Env) (provider.Sender, error) {
						return &pacedSender{took: 300 * time.Millisecond, at: map[comm.ID]time.Time{}}, nil
					}})
				})
				const others = 6
				for range others {
					a := w.app(nil, emailConfig("OTHER", 1))
					for range int(4*tc.within/(300*time.Millisecond)) + 1000/others {
						w.send(nil, a, func(st *comm.State) { st.Bytes = 100 << 10 })
					}
				}
				large := w.app(nil)
				srv := boot()
				time.Sleep(2 * time.Second)
				for range 3 {
					id := w.send(srv, large, func(st *comm.State) { st.Bytes = 700 << 10 })
					time.Sleep(tc.within)
					w.store.mu.Lock()
					if st := w.store.msgs[id].state; st.Status != comm.Sent {
						t.Errorf("after %v it is %v", tc.within, st.Status)
					}
					w.store.mu.Unlock()
				}
				if _, total := p.counted(); total < tc.calls || w.open() < 100 {
					t.Errorf("%d calls, %d open: the test says nothing", total, w.open())
				}
				w.stopAll()
			})
		})
	}
}
