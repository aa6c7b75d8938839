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

// countingSender takes a while that differs from call to call and counts the calls of each app.
type countingSender struct {
	mu    sync.Mutex
	owner map[comm.ID]comm.ID
	calls map[comm.ID]int
	total int
}

func (p *countingSender) Close() error { return nil }

func (p *countingSender) Send(ctx context.Context, m *provider.Message) (provider.Receipt, error) {
	p.mu.Lock()
	p.calls[p.owner[m.ID]]++
	p.total++
	took := time.Duration(2+p.total*7%13) * time.Millisecond
	p.mu.Unlock()
	sleep(ctx, took)
	return provider.Receipt{}, nil
}

// counted is how many calls each app has had.
func (p *countingSender) counted() (calls map[comm.ID]int, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.calls), p.total
}

// TestAppsShareAnAccountInTurn: many apps with backlogs share an account of few
// places, or of few calls a second. Once all of them are known, they are called in turn.
func TestAppsShareAnAccountInTurn(t *testing.T) {
	for _, tc := range []struct {
		name   string
		apps   int
		limits comm.ProviderLimits
	}{
		{"8 places, 40 apps", 40, comm.ProviderLimits{MaxConcurrent: 8}},
		{"16 places, 5 apps", 5, comm.ProviderLimits{MaxConcurrent: 16}},
		{"200 a second, 40 apps", 40, comm.ProviderLimits{RatePerSecond: 200}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &countingSender{owner: map[comm.ID]comm.ID{}, calls: map[comm.ID]int{}}
				w, boot := crowd(t, 2*time.Millisecond, &pacedSender{})
				w.edit2(func(c *Config) {
					c.Adapters = []provider.Adapter{{Type: "PACED", Open: func(provider.Settings, provider.Env) (provider.Sender, error) { return p, nil }}}
				})
				server := emailConfig("PACED", 1)
				server.ID, server.Limits = testID(1), tc.limits
				w.store.configs[comm.ID{}] = []comm.ProviderConfig{server}
				for range tc.apps {
					w.app(nil)
				}
				const each = 200
				for range each {
					for _, a := range w.apps {
						p.owner[w.send(nil, a, nil)] = a.ID
					}
				}
				boot()
				time.Sleep(300 * time.Millisecond)
				first, total := p.counted()
				seen := 0
				for total < each*tc.apps*8/10 { // towards the end shares differ by what is left
					time.Sleep(5 * time.Millisecond)
					var now map[comm.ID]int
					now, total = p.counted()
					least, most := math.MaxInt, 0
					for _, a := range w.apps {
						n := now[a.ID] - first[a.ID]
						least, most = min(least, n), max(most, n)
					}
					if seen++; most-least > 2 {
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
