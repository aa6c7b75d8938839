package chain

import (
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

func config(name string, priority int, edit ...func(*comm.ProviderConfig)) comm.ProviderConfig {
	c := comm.ProviderConfig{Name: name, Channel: comm.Email, Priority: priority, Active: true, CreatedAt: 1}
	copy(c.ID[:], name)
	for _, e := range edit {
		e(&c)
	}
	return c
}

func off(c *comm.ProviderConfig)    { c.Active = false }
func sms(c *comm.ProviderConfig)    { c.Channel = comm.SMS }
func pinned(c *comm.ProviderConfig) { c.Limits.Pinned = true }
func young(c *comm.ProviderConfig)  { c.CreatedAt = 2 }

func names(c Chain) string {
	var out []string
	for _, x := range c.Candidates {
		out = append(out, x.Config.Name)
	}
	return strings.Join(out, " ")
}

func TestPick(t *testing.T) {
	t.Parallel()
	live, sandboxed := &comm.App{}, &comm.App{Sandbox: true}
	ab := []comm.ProviderConfig{config("b", 2), config("a", 1)}
	down := func(which ...string) func(*comm.ProviderConfig) Condition {
		return func(c *comm.ProviderConfig) Condition {
			if i := slices.Index(which, c.Name); i >= 0 {
				return Condition{Reason: WaitDown, Until: comm.Micros(100 - i)}
			}
			return Condition{}
		}
	}
	for _, tc := range []struct {
		name   string
		in     Input
		want   string
		logger bool
		none   bool
		wait   Condition
		out    int
	}{
		{name: "priority orders", in: Input{App: live, Own: ab}, want: "a b"},
		{name: "age breaks ties", in: Input{App: live, Own: []comm.ProviderConfig{config("n", 1, young), config("z", 1)}}, want: "z n"},
		{name: "id breaks the rest", in: Input{App: live, Own: []comm.ProviderConfig{config("z", 1), config("n", 1)}}, want: "n z"},
		{name: "pinned first", in: Input{App: live, Own: append(slices.Clone(ab), config("p", 9, pinned))}, want: "p a b"},
		{name: "own before server", in: Input{App: live, Own: ab, Server: []comm.ProviderConfig{config("s", 0)}}, want: "a b"},
		{name: "server when own are off", in: Input{App: live, Own: []comm.ProviderConfig{config("x", 1, off)}, Server: []comm.ProviderConfig{config("s", 0)}}, want: "s"},
		{name: "server when own are of the other channel", in: Input{App: live, Own: []comm.ProviderConfig{config("x", 1, sms)}, Server: []comm.ProviderConfig{config("s", 0)}}, want: "s"},
		{name: "own that are down do not open the server's", in: Input{App: live, Own: ab, Server: []comm.ProviderConfig{config("s", 0)}, Condition: down("a", "b")}, out: 2, wait: Condition{Reason: WaitDown, Until: 99}},
		{name: "server by priority, ties by age, pinned first", in: Input{App: live, Server: []comm.ProviderConfig{config("y", 5, young), config("b", 9), config("o", 5), config("p", 99, pinned, young), config("s", 0, sms)}}, want: "p o y b"},
		{name: "pinned twice: by priority", in: Input{App: live, Server: []comm.ProviderConfig{config("q", 8, pinned), config("a", 1), config("p", 7, pinned)}}, want: "p q a"},
		{name: "pinned and off", in: Input{App: live, Server: []comm.ProviderConfig{config("p", 1, pinned, off), config("a", 2)}}, want: "a"},
		{name: "sandbox app", in: Input{App: sandboxed, Own: ab}, logger: true},
		{name: "sandbox message of a live app", in: Input{App: live, Mode: comm.Sandbox, Own: ab}, logger: true},
		{name: "live message of a sandbox app", in: Input{App: sandboxed, Mode: comm.Live, Own: ab}, logger: true},
		{name: "nothing, fall back", in: Input{App: live}, logger: true},
		{name: "nothing, fail", in: Input{App: live, Fallback: FallbackFail}, none: true},
		{name: "sandbox message with nothing never fails", in: Input{App: live, Mode: comm.Sandbox, Fallback: FallbackFail}, logger: true},
		{name: "down is skipped", in: Input{App: live, Own: ab, Condition: down("a")}, want: "b", out: 1},
		{name: "tried is skipped", in: Input{App: live, Own: ab, Tried: func(id comm.ID) bool { return id[0] == 'a' }}, want: "b", out: 1},
		{name: "all tried: nothing to wait for", in: Input{App: live, Own: ab, Tried: func(comm.ID) bool { return true }}, out: 2},
		{name: "brief waits keep the place", in: Input{App: live, Own: ab, Condition: func(c *comm.ProviderConfig) Condition {
			return Condition{Reason: WaitBusy, Brief: c.Name == "a"}
		}}, want: "a", out: 1},
		{name: "open end is later than a known one", in: Input{App: live, Own: ab, Condition: func(c *comm.ProviderConfig) Condition {
			if c.Name == "a" {
				return Condition{Reason: WaitCredentials}
			}
			return Condition{Reason: WaitThrottled, Until: 7}
		}}, out: 2, wait: Condition{Reason: WaitThrottled, Until: 7}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.in.Channel = comm.Email
			got := Pick(tc.in)
			if names(got) != tc.want || got.Logger != tc.logger || got.NoProvider != tc.none || got.Wait != tc.wait || len(got.Excluded) != tc.out {
				t.Errorf("got %q logger %v none %v wait %+v excluded %d", names(got), got.Logger, got.NoProvider, got.Wait, len(got.Excluded))
			}
			if got.Why == "" {
				t.Error("the chain does not say why")
			}
			for _, c := range got.Candidates {
				if c.Why == "" {
					t.Errorf("%s does not say why it is there", c.Config.Name)
				}
			}
			for _, e := range got.Excluded {
				if e.Why == "" {
					t.Errorf("%s does not say why it is left out", e.Config.Name)
				}
			}
		})
	}
}

func TestWhereAllIsSwitchedOffMessagesWait(t *testing.T) {
	t.Parallel()
	live := &comm.App{}
	for name, in := range map[string]Input{
		"own":              {App: live, Channel: comm.Email, Own: []comm.ProviderConfig{config("a", 1, off), config("c", 1, sms)}},
		"server":           {App: live, Channel: comm.Email, Server: []comm.ProviderConfig{config("a", 1, off)}},
		"own and server":   {App: live, Channel: comm.Email, Own: []comm.ProviderConfig{config("a", 1, off)}, Server: []comm.ProviderConfig{config("b", 1, off)}},
		"fallback is fail": {App: live, Channel: comm.Email, Own: []comm.ProviderConfig{config("a", 1, off)}, Fallback: FallbackFail},
	} {
		got := Pick(in)
		if got.Wait.Reason != WaitOff || got.Logger || got.NoProvider || len(got.Candidates) != 0 || len(got.Excluded) == 0 || got.Excluded[0].Why == "" || got.Why == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	other := Pick(Input{App: live, Channel: comm.SMS, Own: []comm.ProviderConfig{config("a", 1, off)}})
	if !other.Logger || other.Wait.Reason != "" {
		t.Errorf("another channel's configuration counts: %+v", other)
	}
}

func TestWhatThisVersionCannotSendWith(t *testing.T) {
	t.Parallel()
	live := &comm.App{}
	of := func(kind string) func(*comm.ProviderConfig) { return func(c *comm.ProviderConfig) { c.Type = kind } }
	cannot := func(kind string) bool { return kind == "NEW" }
	able, unable := config("a", 2, of("OLD")), config("n", 1, of("NEW"))
	offAble := config("a", 2, of("OLD"), off)
	for name, c := range map[string]struct {
		in       Input
		want     string
		wait     string
		excluded string // the first one's hindrance
		own      bool
	}{
		"alone it holds":                   {Input{Own: []comm.ProviderConfig{unable}}, "", WaitCannotSend, WaitCannotSend, true},
		"it opens no server's chain":       {Input{Own: []comm.ProviderConfig{unable}, Server: []comm.ProviderConfig{able}}, "", WaitCannotSend, WaitCannotSend, true},
		"it fails nothing":                 {Input{Own: []comm.ProviderConfig{unable}, Fallback: FallbackFail}, "", WaitCannotSend, WaitCannotSend, true},
		"of the server":                    {Input{Server: []comm.ProviderConfig{unable}}, "", WaitCannotSend, WaitCannotSend, false},
		"beside another it is left out":    {Input{Own: []comm.ProviderConfig{unable, able}}, "a", "", "", true},
		"beside one that is switched off":  {Input{Own: []comm.ProviderConfig{unable, offAble}}, "", WaitCannotSend, WaitCannotSend, true},
		"nothing waits for it after a try": {Input{Own: []comm.ProviderConfig{unable, able}, Tried: func(id comm.ID) bool { return id == able.ID }}, "", "", "", true},
		"beside one that is down": {Input{Own: []comm.ProviderConfig{unable, able}, Condition: func(*comm.ProviderConfig) Condition { return Condition{Reason: WaitDown, Until: 7} }},
			"", WaitDown, WaitDown, true},
	} {
		c.in.App, c.in.Channel, c.in.CannotSend = live, comm.Email, cannot
		got := Pick(c.in)
		if names(got) != c.want || got.Wait.Reason != c.wait || got.Own != c.own || got.Logger || got.NoProvider || len(got.Excluded) == 0 || got.Excluded[0].Wait.Reason != c.excluded || got.Excluded[0].Why == "" {
			t.Errorf("%s: %+v", name, got)
		}
		if w, ok := got.Warning(comm.Email); ok != (c.wait == WaitCannotSend) || ok && w.Code != comm.WarnCannotSend {
			t.Errorf("%s: warning %+v", name, w)
		}
	}
	if got := Pick(Input{App: &comm.App{Sandbox: true}, Channel: comm.Email, Own: []comm.ProviderConfig{unable}, CannotSend: cannot}); !got.Logger {
		t.Errorf("the sandbox needs no provider: %+v", got)
	}
}

func TestWaitingFor(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		s     comm.State
		hold  string
		until comm.Micros
		word  string
		till  comm.Micros
	}{
		{name: "sent", s: comm.State{Status: comm.Sent}, hold: WaitDown},
		{name: "sending", s: comm.State{Status: comm.Sending, Due: 200}},
		{name: "scheduled", s: comm.State{Status: comm.Queued, Due: 200, ScheduledAt: 200}, word: WaitSchedule, till: 200},
		{name: "scheduled, whatever holds the unit", s: comm.State{Status: comm.Queued, Due: 200, ScheduledAt: 200}, hold: WaitDown, word: WaitSchedule, till: 200},
		{name: "retry", s: comm.State{Status: comm.Queued, Due: 200, ScheduledAt: 50, Attempts: 1}, word: WaitRetry, till: 200},
		{name: "retry, held for longer", s: comm.State{Status: comm.Queued, Due: 200, Attempts: 1}, hold: WaitDown, until: 300, word: WaitDown, till: 300},
		{name: "retry, held for less", s: comm.State{Status: comm.Queued, Due: 200, Attempts: 1}, hold: WaitDown, until: 150, word: WaitRetry, till: 200},
		{name: "scheduled, held for longer", s: comm.State{Status: comm.Queued, Due: 200, ScheduledAt: 200}, hold: WaitRate, until: 201, word: WaitRate, till: 201},
		{name: "scheduled again after a cancel", s: comm.State{Status: comm.Queued, Due: 200, ScheduledAt: 200, Attempts: 1}, word: WaitSchedule, till: 200},
		{name: "held until after its end", s: comm.State{Status: comm.Queued, Due: 50, ExpiresAt: 140}, hold: WaitDown, until: 150, word: WaitDown},
		{name: "due", s: comm.State{Status: comm.Queued, Due: 100}, word: WaitTurn},
		{name: "owes a repeat", s: comm.State{Status: comm.Queued, Due: 100, Attempts: 1, Flags: comm.RepeatOwed}, word: WaitRepeat},
		{name: "owes a repeat, later", s: comm.State{Status: comm.Queued, Due: 200, Attempts: 1, Flags: comm.RepeatOwed}, word: WaitRetry, till: 200},
		{name: "owes a repeat, held", s: comm.State{Status: comm.Queued, Due: 100, Attempts: 1, Flags: comm.RepeatOwed}, hold: WaitAppPaused, word: WaitAppPaused},
		{name: "held", s: comm.State{Status: comm.Queued, Due: 100}, hold: WaitThrottled, until: 150, word: WaitThrottled, till: 150},
		{name: "held, stale end", s: comm.State{Status: comm.Queued, Due: 50}, hold: WaitThrottled, until: 60, word: WaitThrottled},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			word, till := WaitingFor(&tc.s, tc.hold, tc.until, 100)
			if word != tc.word || till != tc.till {
				t.Errorf("got %q until %d", word, till)
			}
		})
	}
}

func TestEveryWordHasASentence(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, w := range WaitReasons() {
		if w.Word == "" || seen[w.Word] || !strings.HasSuffix(w.Text, ".") || WaitText(w.Word) != w.Text || Remedy(w.Word) != w.Remedy || w.Remedy != "" && !strings.HasSuffix(w.Remedy, ".") {
			t.Errorf("bad row %+v", w)
		}
		seen[w.Word] = true
	}
	if WaitText("new_word") != "new_word" {
		t.Error("an unknown word must stand for itself")
	}
	if Remedy("new_word") != "" || Remedy(WaitTurn) != "" || Remedy(WaitHeld) == "" {
		t.Error("only what does not end by itself has a remedy")
	}
}

// TestFirst: who is called first now, or where all are out as soon as one is not; nobody where nothing is to be called.
func TestFirst(t *testing.T) {
	t.Parallel()
	ab, off := []comm.ProviderConfig{config("b", 2), config("a", 1)}, []comm.ProviderConfig{config("a", 1, off)}
	until := func(a, b comm.Micros) func(*comm.ProviderConfig) Condition {
		return func(c *comm.ProviderConfig) Condition {
			if at := map[string]comm.Micros{"a": a, "b": b}[c.Name]; at != 0 {
				return Condition{Reason: WaitDown, Until: at}
			}
			return Condition{}
		}
	}
	for name, c := range map[string]struct {
		in   Input
		want string
	}{
		"all work":             {Input{Own: ab}, "a"},
		"the first is down":    {Input{Own: ab, Condition: until(7, 0)}, "b"},
		"all are down":         {Input{Own: ab, Condition: until(7, 5)}, "b"},
		"all are switched off": {Input{Own: off}, ""},
		"there is none":        {Input{Fallback: FallbackFail}, ""},
		"the sandbox takes it": {Input{}, ""},
		"it cannot be used":    {Input{Own: ab, Condition: func(*comm.ProviderConfig) Condition { return Condition{Reason: WaitCredentials} }}, "a"},
		"it cannot send yet":   {Input{Own: ab[1:], CannotSend: func(string) bool { return true }}, "a"},
	} {
		c.in.App, c.in.Channel = &comm.App{}, comm.Email
		picked, got := Pick(c.in), ""
		if first := picked.First(); first != nil {
			got = first.Name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
