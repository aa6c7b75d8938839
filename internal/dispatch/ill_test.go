package dispatch

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

// ward keeps what was told of configurations that do not work, by node, "" for nobody.
type ward struct {
	mu      sync.Mutex
	told    int
	said    map[string][]store.ProviderTrouble
	strains [][]store.ProviderStrain // in the order in which they were told
	alive   func(node string) bool
	broken  bool // everything but SetProviderTroubles fails
}

var errWard = errors.New("the database is away")

func newWard(s *stage) *ward {
	return &ward{said: map[string][]store.ProviderTrouble{}, alive: func(node string) bool {
		s.store.mu.Lock()
		defer s.store.mu.Unlock()
		return s.store.nodes[node] > s.store.now()
	}}
}

func (w *ward) SetProviderTroubles(_ context.Context, node string, list, left []store.ProviderTrouble) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told++
	w.said[node] = list
	w.said[""] = append(w.said[""], left...)
	return nil
}

func (w *ward) SetProviderStrains(_ context.Context, _ string, list []store.ProviderStrain) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return errWard
	}
	w.strains = append(w.strains, list)
	return nil
}

func (w *ward) LeftTroubles(context.Context, int) (out []store.ProviderTrouble, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return nil, errWard
	}
	for node, all := range w.said {
		if !w.alive(node) {
			out = append(out, all...)
		}
	}
	return out, nil
}

func (w *ward) DropTroubles(_ context.Context, list []store.ProviderTrouble) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return errWard
	}
	for node, all := range w.said {
		if !w.alive(node) {
			w.said[node] = slices.DeleteFunc(slices.Clone(all), func(t store.ProviderTrouble) bool {
				return slices.ContainsFunc(list, func(x store.ProviderTrouble) bool { return x.ID == t.ID })
			})
		}
	}
	return nil
}

// look answers how often it was told anything, and everything that counts.
func (w *ward) look() (told int, list []store.ProviderTrouble) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, all := range w.said {
		list = append(list, all...)
	}
	return w.told, list
}

// TestTellingComesBack: each of what is told of providers ends its own outage in the log, whatever becomes of the others.
func TestTellingComesBack(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		w := newWard(s)
		var log bytes.Buffer
		first := s.edit
		s.edit = func(c *Config) { first(c); c.Troubles, c.Log = w, slog.New(slog.NewTextHandler(&log, nil)) }
		w.broken = true
		s.acts("ONE", func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.RateLimited, RetryAfter: time.Hour}
		})
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		s.send(srv, a, nil)
		time.Sleep(time.Minute)
		w.mu.Lock()
		w.broken = false
		w.mu.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait() // nobody writes to the log now
		for _, what := range []struct{ fails, works string }{
			{"it could not be stored how calls of providers go", "it is stored again how calls of providers go"},
			{"it could not be settled what nodes that are gone said of providers", "it is settled again what nodes that are gone said of providers"},
		} {
			fails, works := strings.LastIndex(log.String(), what.fails), strings.Index(log.String(), what.works)
			if fails < 0 || works < fails || strings.Count(log.String(), what.works) != 1 {
				t.Errorf("%q and %q: %s", what.fails, what.works, &log)
			}
		}
	})
}

func TestWhatDoesNotWorkIsTold(t *testing.T) {
	play(t, "by an app that sends too little for a breaker", func(t *testing.T, s *stage) {
		w := newWard(s)
		first := s.edit
		s.edit = func(c *Config) { first(c); c.Troubles = w }
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.Transient, Code: "connect_failed"}
		}
		a := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
		srv := s.boot(0)
		time.Sleep(time.Second + 100*time.Millisecond) // between two looks at what there is to tell: one amid a message would tell twice
		s.send(srv, a, nil)
		time.Sleep(5 * time.Second)
		if n, _ := w.look(); n != 0 {
			t.Errorf("told %d times of one failure", n)
		}
		s.send(srv, a, nil)
		time.Sleep(20 * time.Minute) // nobody forgets it although nobody sends
		n, list := w.look()
		if n != 1 || len(list) != 1 || list[0].App != a.ID || list[0].Reason != "provider_down" || list[0].Code != "connect_failed" || list[0].Class != "transient" || list[0].Since == comm.Micros(0) {
			t.Errorf("told %d times: %+v", n, list)
		}
		s.ledger.mu.Lock()
		s.act["ONE"] = nil
		s.ledger.mu.Unlock()
		s.send(srv, a, nil)
		time.Sleep(5 * time.Second)
		if n, list := w.look(); n != 2 || len(list) != 0 {
			t.Errorf("told %d times: %+v", n, list)
		}
	})
}

// refusedAccount has a provider refuse the account, and is told of what does not work.
func refusedAccount(s *stage, name string) *ward {
	w := newWard(s)
	first := s.edit
	s.edit = func(c *Config) { first(c); c.Troubles = w }
	s.acts(name, func(context.Context, *provider.Message) error {
		return &provider.Error{Class: provider.Account, Code: "535", Text: "wrong password"}
	})
	return w
}

// TestATroubleSaysWhatIsAskedNext: how the breaker is, what the provider answered, when it is tried again, and what others of its
// chain took meanwhile; those behind a configuration that works carry nothing for it.
func TestATroubleSaysWhatIsAskedNext(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		w := refusedAccount(s, "TWO")
		one, three := emailConfig("ONE", 1), emailConfig("ONE", 3)
		one.Name, three.Name = "in front", "behind"
		a := s.app(nil, one, emailConfig("TWO", 2), three)
		srv := s.boot(0)
		time.Sleep(time.Second)
		only := func() store.ProviderTrouble {
			t.Helper()
			_, list := w.look()
			if len(list) != 1 {
				t.Fatalf("%+v", list)
			}
			return list[0]
		}
		s.send(srv, a, nil)
		time.Sleep(10 * time.Second)
		if _, list := w.look(); len(list) != 0 {
			t.Fatalf("what was not called is told of: %+v", list)
		}
		s.acts("ONE", func(_ context.Context, m *provider.Message) error {
			return &provider.Error{Class: provider.PermanentHere, Code: "554", Text: "not here"}
		})
		s.send(srv, a, nil) // refused by the first, and by the second's fault there
		time.Sleep(3 * time.Second)
		s.acts("ONE", nil)
		x := only()
		if x.Reason != "provider_down" || x.Breaker != "open" || x.Code != "535" || x.Class != "account" || x.Text != "wrong password" || x.NextAt <= comm.At(time.Now()) || x.NextAt > comm.At(time.Now().Add(10*time.Second)) {
			t.Fatalf("%+v", x)
		}
		told, _ := w.look()
		for range 40 {
			s.send(srv, a, nil)
			time.Sleep(100 * time.Millisecond)
		}
		if n, list := w.look(); n > told+1 || list[0].Carried != "" {
			t.Fatalf("told %d times, %+v: what goes to one in front of it is carried for nobody", n-told, list)
		}
		s.acts("ONE", func(_ context.Context, m *provider.Message) error {
			return &provider.Error{Class: provider.PermanentHere, Code: "554", Text: "not here"}
		})
		time.Sleep(10 * time.Minute)
		if x = only(); x.Breaker != "half_open" || x.NextAt != 0 {
			t.Fatalf("%+v", x)
		}
	})
}

// TestWhatOthersTakeIsCounted: of an outage is told how many messages the next one of the chain took, and seldom enough.
func TestWhatOthersTakeIsCounted(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		w := refusedAccount(s, "ONE")
		two := emailConfig("TWO", 2)
		two.Name = "spare"
		a := s.app(nil, emailConfig("ONE", 1), two)
		srv := s.boot(0)
		time.Sleep(time.Second)
		const sent, rounds = 20, 30
		for range rounds {
			for range sent {
				s.send(srv, a, nil)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * figuresEvery)
		n, list := w.look()
		if len(list) != 1 {
			t.Fatalf("%+v", list)
		}
		all, err := health.DecodeCarriers(list[0].Carried)
		if err != nil || len(all) != 1 || all[0].Name != "spare" || all[0].Messages < sent*rounds-5 || all[0].Messages > sent*rounds {
			t.Errorf("%+v %v: want nearly %d", all, err, sent*rounds)
		}
		if most := 3 * rounds / int(figuresEvery/time.Second); n > most {
			t.Errorf("told %d times in %d s, want %d at most", n, rounds, most)
		}
	})
}

// TestATroubleOutlivesItsNode: what does not work still counts when its shard goes to another node and when its node dies, for as
// long as no call has shown otherwise, and since when it did not work is not forgotten.
func TestATroubleOutlivesItsNode(t *testing.T) {
	play(t, "", func(t *testing.T, s *stage) {
		w := newWard(s)
		first := s.edit
		s.edit = func(c *Config) { first(c); c.Troubles = w }
		s.acts("ONE", refuse(provider.Transient))
		a := s.boot(0)
		time.Sleep(time.Second)
		began := map[comm.ID]comm.Micros{}
		var apps []*comm.App
		for range 40 { // in many shards
			app := s.app(nil, emailConfig("ONE", 1), emailConfig("TWO", 2))
			apps = append(apps, app)
			s.send(a, app, nil)
			s.send(a, app, nil)
		}
		still := func(when string) {
			t.Helper()
			_, list := w.look()
			oldest := map[comm.ID]comm.Micros{}
			for _, x := range list {
				if at := oldest[x.App]; at == 0 || x.Since < at {
					oldest[x.App] = x.Since
				}
			}
			if len(began) == 0 {
				began = oldest
			}
			if len(oldest) != len(apps) || !maps.Equal(oldest, began) {
				t.Fatalf("%s: %v of %d apps do not work, since %v", when, len(oldest), len(apps), began)
			}
		}
		time.Sleep(5 * time.Second)
		still("at first")
		b := s.boot(0)
		for range 120 {
			time.Sleep(time.Second)
			still("while shards move")
		}
		if n := b.d.Stats().Shards; n < comm.ShardCount/3 {
			t.Fatalf("only %d shards have moved", n)
		}
		s.kill(0)
		for range 120 {
			time.Sleep(time.Second)
			still("when a node has died")
		}
		for range 2 { // what fails again is the same trouble, and the survivor's own
			for _, app := range apps[:20] {
				s.send(b, app, nil)
			}
			time.Sleep(20 * time.Second)
			still("when it fails again")
		}
		_, list := w.look()
		if len(list) != len(apps) {
			t.Errorf("%d are kept for %d apps: what is the survivor's own is not dropped", len(list), len(apps))
		}
		s.acts("ONE", nil)
		for range 20 { // the breaker of a few calls may be open
			for _, app := range apps {
				s.send(b, app, nil)
			}
			time.Sleep(30 * time.Second)
		}
		if _, list := w.look(); len(list) != 0 {
			t.Errorf("%d still count after calls that went well: %+v", len(list), list)
		}
	})
}
