package dispatch

import (
	"context"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// told is what the story says of the message's attempts, in order.
func (s *stage) told(id comm.ID) (out []string) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return append(out, s.store.starts[id]...)
}

// TestTheStoryNamesTheConfiguration: and says what passed by the one before it.
func TestTheStoryNamesTheConfiguration(t *testing.T) {
	hour := &provider.Error{Class: provider.RateLimited, Text: "no", RetryAfter: time.Hour}
	named := func(kind, name string, priority int) comm.ProviderConfig {
		c := emailConfig(kind, priority)
		c.Name = name
		return c
	}
	for _, tc := range []struct {
		name   string
		edit   func(first, second *comm.ProviderConfig)
		act    func(context.Context, *provider.Message) error // of the first one
		before int                                            // messages that have met it
		want   []string
	}{
		{name: "first by priority", want: []string{"Main relay"}},
		{name: "refused, the next one takes it", act: refuse(provider.PermanentHere), want: []string{"Main relay", "Spare"}},
		{name: "throttled", act: func(context.Context, *provider.Message) error { return hour }, before: 1, want: []string{"Spare, because Main relay asked to send more slowly"}},
		{name: "down", act: refuse(provider.Account), before: 1, want: []string{"Spare, because Main relay fails or refuses the account"}},
		{name: "silent", act: hangs(false), before: 4, want: []string{"Spare, because Main relay does not answer"}},
		{name: "the day's limit", edit: func(first, _ *comm.ProviderConfig) { first.Limits.RatePerDay = 1 }, before: 1, want: []string{"Spare, because Main relay has reached its limit for the day"}},
		{name: "pinned", edit: func(_, second *comm.ProviderConfig) { second.Limits.Pinned = true }, want: []string{"Spare, pinned by the operator"}},
		{name: "without a name", edit: func(first, _ *comm.ProviderConfig) { first.Name = "" }, want: []string{"one"}},
	} {
		play(t, tc.name, func(t *testing.T, s *stage) {
			first, second := named("ONE", "Main relay", 1), named("TWO", "Spare", 2)
			if tc.edit != nil {
				tc.edit(&first, &second)
			}
			a := s.app(nil, first, second)
			srv := s.boot(0)
			s.acts("ONE", tc.act)
			time.Sleep(time.Second)
			for range tc.before {
				s.send(srv, a, nil)
			}
			time.Sleep(3 * time.Second)
			id := s.send(srv, a, nil)
			time.Sleep(time.Second)
			if got := s.told(id); len(got) != len(tc.want) || len(got) > 0 && got[len(got)-1] != tc.want[len(got)-1] || len(got) > 1 && got[0] != tc.want[0] {
				t.Errorf("told %q, want %q", got, tc.want)
			}
		})
	}
	play(t, "the server's own have no names for apps", func(t *testing.T, s *stage) {
		server := named("ONE", "Account of our other customer", 1)
		server.ID = testID(1)
		s.store.configs[comm.ID{}] = []comm.ProviderConfig{server}
		a := s.app(nil)
		srv := s.boot(0)
		time.Sleep(time.Second)
		id := s.send(srv, a, nil)
		time.Sleep(time.Second)
		if got := s.told(id); len(got) != 1 || got[0] != "the server's one" {
			t.Errorf("told %q", got)
		}
	})
}
