package dispatch

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

func TestChangesOfSettings(t *testing.T) {
	play(t, "what is sent after a change goes by the change", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		for i, kind := range []string{"TWO", "ONE"} {
			s.reconfigure(a.ID, 10+i, emailConfig(kind, 1))
			srv.d.Invalidate(a.ID)
			s.send(srv, a, nil)
			time.Sleep(time.Second)
		}
		s.reconfigure(a.ID, 0)
		s.reconfigure(comm.ID{}, 20, emailConfig("TWO", 1))
		srv.d.Invalidate(a.ID)
		srv.d.Invalidate(comm.ID{})
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		if one, two, logger := s.called("ONE"), s.called("TWO"), s.called("LOGGER"); one != 2 || two != 2 || logger != 0 {
			t.Errorf("%d calls of ONE, %d of TWO, %d of the logger", one, two, logger)
		}
	})
	play(t, "another callback token is no new account", func(t *testing.T, s *stage) {
		c := emailConfig("ONE", 1)
		c.Secrets = []byte("sealed")
		edit := s.edit
		s.edit = func(cfg *Config) {
			edit(cfg)
			cfg.OpenSecrets = func(*comm.ProviderConfig) (map[string]string, error) { return map[string]string{}, nil }
		}
		a := s.app(nil, c)
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.acts("ONE", func(context.Context, *provider.Message) error {
			return &provider.Error{Class: provider.RateLimited, RetryAfter: time.Hour}
		})
		s.send(srv, a, nil)
		time.Sleep(time.Second)
		s.store.change(func() {
			list := append([]comm.ProviderConfig(nil), s.store.configs[a.ID]...)
			list[0].Settings = map[string]string{comm.CallbackRotatedAt: "now", comm.CallbackEnds()[0]: "later", comm.CallbackEnds()[1]: "soon"}
			maps.Copy(list[0].Settings, c.Settings)
			list[0].Secrets = []byte("sealed again")
			list[0].Version++
			s.store.configs[a.ID] = list
		})
		srv.d.Invalidate(a.ID)
		s.send(srv, a, nil)
		time.Sleep(time.Minute)
		srv.d.sched.mu.Lock()
		defer srv.d.sched.mu.Unlock()
		var x *account
		for _, x = range srv.d.sched.dir.entry(a.ID).accounts {
			break // there is one
		}
		if x.config.Settings[comm.CallbackRotatedAt] == "" || x.throttled.Before(time.Now()) || s.called("ONE") != 1 {
			t.Errorf("%d calls of a provider that asked for an hour; it is left alone until %v: %+v", s.called("ONE"), x.throttled, x.config)
		}
	})
	play(t, "an account that refuses while the chain changes does not end the message", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		srv := s.boot(0)
		var change sync.Once
		s.act["ONE"] = func(context.Context, *provider.Message) error {
			change.Do(func() {
				s.reconfigure(a.ID, 0, emailConfig("ONE", 1), emailConfig("TWO", 2))
				srv.d.Invalidate(a.ID)
			})
			return &provider.Error{Class: provider.PermanentHere}
		}
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Minute)
		if st := s.status(id); st.Status != comm.Sent || st.Provider != "two" {
			t.Errorf("%v by %s: %s", st.Status, st.Provider, st.ErrorText)
		}
	})
	play(t, "a provider that is switched off keeps its messages", func(t *testing.T, s *stage) {
		on := emailConfig("ONE", 1)
		off := on
		off.Active = false
		a := s.app(nil, on)
		srv := s.boot(0)
		time.Sleep(time.Second)
		s.reconfigure(a.ID, 10, off)
		srv.d.Invalidate(a.ID)
		id := s.send(srv, a, nil)
		time.Sleep(2 * time.Minute)
		srv.d.sched.mu.Lock()
		reasons := []string{}
		for u := range srv.d.sched.held {
			reasons = append(reasons, u.hold.Reason)
		}
		srv.d.sched.mu.Unlock()
		if st := s.status(id); st.Status != comm.Queued || len(reasons) != 1 || reasons[0] != chain.WaitOff {
			t.Errorf("while it is off: %v, waits for %q", st.Status, reasons)
		}
		s.reconfigure(a.ID, 10, on)
		srv.d.Invalidate(a.ID)
		time.Sleep(5 * time.Second)
		if st := s.status(id); st.Status != comm.Sent || st.Provider != "one" || s.called("LOGGER") != 0 {
			t.Errorf("once it is on: %v by %q, %d calls of the logger", st.Status, st.Provider, s.called("LOGGER"))
		}
	})
	play(t, "a provider that this version cannot send with keeps its messages until there is another one", func(t *testing.T, s *stage) {
		edit := s.edit
		s.edit = func(c *Config) {
			edit(c)
			c.Adapters = append(c.Adapters, provider.Adapter{Type: "OF_TOMORROW"})
		}
		a := s.app(nil, emailConfig("OF_TOMORROW", 1))
		srv := s.boot(0)
		id := s.send(srv, a, nil)
		time.Sleep(2*time.Minute + 300*time.Millisecond) // between two looks: at the instant of one it may be waiting for its answer
		srv.d.sched.mu.Lock()
		told := srv.d.sched.holds(time.Now())
		srv.d.sched.mu.Unlock()
		if st := s.status(id); st.Status != comm.Queued || len(told) != 1 || told[comm.Unit{Shard: st.Shard, App: a.ID, Channel: st.Channel, Lane: st.Lane}].Reason != chain.WaitCannotSend {
			t.Errorf("it is %v, and this is told of its wait: %v", st.Status, told)
		}
		s.reconfigure(a.ID, 0, emailConfig("OF_TOMORROW", 1), emailConfig("ONE", 2))
		srv.d.Invalidate(a.ID)
		time.Sleep(5 * time.Second)
		if st := s.status(id); st.Status != comm.Sent || st.Provider != "one" || s.called("LOGGER") != 0 {
			t.Errorf("with another one: %v by %q, %d calls of the logger", st.Status, st.Provider, s.called("LOGGER"))
		}
	})
	play(t, "a change made on another node is announced", func(t *testing.T, s *stage) {
		a := s.app(nil, emailConfig("ONE", 1))
		heard := make(chan comm.ID, 4)
		edit := s.edit
		s.edit = func(c *Config) {
			edit(c)
			c.SettingsHeard = func(app comm.ID) { heard <- app }
		}
		nodes := []*simServer{s.boot(0), s.boot(0)}
		time.Sleep(10 * time.Second) // each has its share
		s.send(nodes[0], a, nil)
		time.Sleep(time.Second)
		owner := 0
		if shard := comm.ShardOf(a.ID, comm.ID{}, 1); nodes[0].d.sched.shards[shard] == nil {
			owner = 1
		}
		s.reconfigure(a.ID, 10, emailConfig("TWO", 1))
		nodes[1-owner].d.Invalidate(a.ID)
		time.Sleep(50 * time.Millisecond) // far less than a heartbeat
		s.send(nodes[owner], a, nil)
		time.Sleep(time.Second)
		if one, two := s.called("ONE"), s.called("TWO"); one != 1 || two != 1 {
			t.Errorf("%d calls of ONE, %d of TWO", one, two)
		}
		if len(heard) != 1 || <-heard != a.ID {
			t.Error("the other parts of the owner's process were not told which app was changed")
		}
	})
}
