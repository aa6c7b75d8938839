package receipt_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/providertest"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/test/reports"
)

// asked is which messages a provider was asked about, and how often.
type asked struct {
	mu sync.Mutex
	n  map[string]int
}

func (a *asked) count(ref string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = map[string]int{}
	}
	a.n[ref]++
	return a.n[ref]
}

func (a *asked) of(s store.Submission) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n[s.ID.String()]
}

func (a *asked) ofRef(ref string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.n[ref]
}

func askIn(d time.Duration) func(*store.Outcome) {
	return func(o *store.Outcome) { o.AskIn = d.Microseconds() }
}

func TestProvidersAreAsked(t *testing.T) {
	t.Parallel()
	var log asked
	ages := []time.Duration{time.Millisecond, 2 * time.Second, 3 * time.Second}
	var unknown, never sync.Map
	reporter := &providertest.Reporter{Asks: ages, Ask: func(_ context.Context, ref string) (provider.Report, error) {
		n := log.count(ref)
		if _, ok := unknown.Load(ref); ok {
			return provider.Report{}, &provider.Error{Class: provider.PermanentHere, Code: "404"}
		}
		if _, ok := never.Load(ref); ok || n == 1 {
			return provider.Report{Ref: "in another form", Fate: provider.OnItsWay}, nil
		}
		return provider.Report{Fate: provider.Delivered}, nil
	}}
	w := reports.New(t, reports.OnSQLite(t), reporter)
	w.Leads.Store(false)
	second := w.Sent(w.Config, w.App, "233241000001", askIn(ages[0]))
	lost, silent := w.Sent(w.Config, w.App, "233241000002", askIn(ages[0])), w.Sent(w.Config, w.App, "233241000003", askIn(ages[0]))
	unknown.Store(lost.ID.String(), true)
	never.Store(silent.ID.String(), true)
	reported := w.Sent(w.Config, w.App, "233241000004", askIn(ages[0]))
	w.Posted(w.Config, providertest.Line(reported.ID.String(), comm.FateDelivered))
	w.Becomes(reported, comm.Delivered)
	time.Sleep(2 * ages[0])
	w.Leads.Store(true)
	w.Becomes(second, comm.Delivered)
	w.Eventually("the silent one was asked about at every age", func() bool { return log.of(silent) == len(ages) })
	time.Sleep(1500 * time.Millisecond)
	if log.of(second) != 2 || log.of(lost) != 1 || log.of(silent) != len(ages) || log.of(reported) != 0 {
		t.Errorf("asked %v", log.n)
	}
	if m := w.Message(silent); m.Status != comm.Sent {
		t.Errorf("%s", m.Status)
	}
	if q, err := w.Store.Questions(t.Context(), 10); err != nil || len(q) != 0 {
		t.Errorf("%v %v are due still", q, err)
	}
}

// A provider that hangs, or wants to be left alone, keeps nobody else waiting, and is left alone.
func TestTroubledProvidersAreLeftAlone(t *testing.T) {
	t.Parallel()
	var log asked
	hang := make(chan struct{})
	defer close(hang)
	var hanging, throttled comm.ID
	var mu sync.Mutex
	by := map[string]comm.ID{}
	reporter := &providertest.Reporter{Asks: []time.Duration{time.Millisecond, time.Hour}, Ask: func(ctx context.Context, ref string) (provider.Report, error) {
		mu.Lock()
		config := by[ref]
		mu.Unlock()
		log.count(config.String())
		switch config {
		case hanging:
			select {
			case <-hang:
			case <-ctx.Done():
			}
			return provider.Report{}, ctx.Err()
		case throttled:
			return provider.Report{}, &provider.Error{Class: provider.RateLimited, RetryAfter: time.Hour}
		}
		return provider.Report{Fate: provider.Undelivered, Code: "1"}, nil
	}}
	w := reports.New(t, reports.OnSQLite(t), reporter)
	w.Leads.Store(false)
	slow, busy := w.NewConfig(w.App.ID, "slow"), w.NewConfig(w.App.ID, "busy")
	hanging, throttled = slow.ID, busy.ID
	var good []store.Submission
	for i := range 5 {
		for _, c := range []*comm.ProviderConfig{slow, busy, w.Config} {
			s := w.Sent(c, w.App, "233241000001", askIn(time.Millisecond))
			mu.Lock()
			by[s.ID.String()] = c.ID
			mu.Unlock()
			if c == w.Config {
				good = append(good, s)
			}
		}
		_ = i
	}
	w.Leads.Store(true)
	for _, s := range good {
		w.Becomes(s, comm.Failed)
	}
	if n := log.count(throttled.String()) - 1; n != 1 {
		t.Errorf("one that wants to be left alone was asked %d times", n)
	}
	if n := log.count(hanging.String()) - 1; n != 1 {
		t.Errorf("one that hangs was asked %d times", n)
	}
}

// An answer that says nothing, a failure, and an adapter that breaks over one message cost that message's question alone; a
// provider that fails whatever it is asked is left alone after three.
func TestOneOddAnswerCostsOnlyItsOwnQuestion(t *testing.T) {
	t.Parallel()
	var log asked
	var mu sync.Mutex
	odd, broken := map[string]int{}, map[string]bool{}
	reporter := &providertest.Reporter{Asks: []time.Duration{time.Millisecond, time.Hour}, Ask: func(_ context.Context, ref string) (provider.Report, error) {
		log.count(ref)
		mu.Lock()
		kind, dead := odd[ref], broken[ref]
		mu.Unlock()
		switch {
		case dead:
			log.count("dead")
			return provider.Report{}, &provider.Error{Class: provider.Transient, Code: "503"}
		case kind == 1:
			return provider.Report{}, &provider.Error{Class: provider.Transient, Healthy: true, Code: "200"}
		case kind == 2:
			return provider.Report{}, &provider.Error{Class: provider.Transient, Code: "500"}
		case kind == 3:
			panic("over this one")
		}
		return provider.Report{Fate: provider.Delivered}, nil
	}}
	w := reports.New(t, reports.OnSQLite(t), reporter)
	w.Leads.Store(false)
	dead := w.NewConfig(w.App.ID, "dead")
	var good []store.Submission
	for i := range 12 {
		s, d := w.Sent(w.Config, w.App, "233241000001", askIn(time.Millisecond)), w.Sent(dead, w.App, "233241000001", askIn(time.Millisecond))
		mu.Lock()
		broken[d.ID.String()] = true
		if kind := map[int]int{0: 1, 1: 2, 4: 3, 5: 1, 8: 2, 9: 3}[i]; kind != 0 {
			odd[s.ID.String()] = kind
		} else {
			good = append(good, s)
		}
		mu.Unlock()
	}
	w.Leads.Store(true)
	began := time.Now()
	for _, s := range good {
		w.Becomes(s, comm.Delivered)
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("the others waited %s", took)
	}
	w.Eventually("the broken one was asked", func() bool { return log.ofRef("dead") >= 3 })
	time.Sleep(time.Second)
	if n := log.ofRef("dead"); n != 3 {
		t.Errorf("one that fails whatever it is asked was asked %d times", n)
	}
	for ref := range odd {
		if n := log.ofRef(ref); n != 1 {
			t.Errorf("an odd one was asked about %d times", n)
		}
	}
}
