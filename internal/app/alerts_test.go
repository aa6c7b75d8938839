package app

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/simulate"
	"github.com/commserver/commserver/internal/store"
)

// mailing is a server that mails its alerts through its own providers, and somebody who is them.
type mailing struct {
	*testing.T
	app *App
	sim *simulate.Server
}

func newMailing(t *testing.T) *mailing {
	t.Helper()
	cfg, err := config.Load(config.Source{Env: []string{"COMMS_ADDR=localhost:0", "COMMS_DATA_DIR=" + t.TempDir(), "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_ALERT_EMAIL=oncall@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	m := &mailing{T: t}
	if m.sim, err = simulate.Start(t.Context(), simulate.Config{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.sim.Close() })
	if m.app, err = New(t.Context(), cfg, Options{Version: "test", Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.app.close() })
	return m
}

// add makes a configuration of the server's, which comes after those before.
func (m *mailing) add(kind, name string, settings map[string]any) comm.ID {
	m.Helper()
	all, err := m.app.registry.ProviderList(m.Context(), comm.ID{})
	if err != nil {
		m.Fatal(err)
	}
	priority := int64(len(all) + 1)
	settings["from"] = "Ops <ops@example.com>"
	p, err := m.app.registry.CreateProvider(m.Context(), comm.ID{}, registry.ProviderChange{Type: &kind, Name: &name, Priority: &priority, Config: settings})
	if err != nil {
		m.Fatal(err)
	}
	return p.ID
}

func (m *mailing) relay(name, addr string) comm.ID {
	m.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		m.Fatal(err)
	}
	n, err := strconv.ParseFloat(port, 64)
	if err != nil {
		m.Fatal(err)
	}
	return m.add("SMTP", name, map[string]any{"host": "127.0.0.1", "port": n})
}

func (m *mailing) resend() {
	m.Helper()
	m.add("RESEND", "Resend", map[string]any{"apiKey": "re_123456789", "baseUrl": m.sim.BaseURL("RESEND")})
}

// tell mails a note in so much time, and answers the error and the lines that the simulator has of it.
func (m *mailing) tell(note string, within time.Duration) ([]simulate.Entry, error) {
	m.Helper()
	before := int64(0)
	for _, e := range m.sim.Entries(simulate.Filter{}) {
		before = e.Sequence
	}
	ctx, cancel := context.WithTimeout(m.Context(), within)
	defer cancel()
	out := m.app.doors()
	err := m.app.tellers(Options{}, out, m.app.tries(m.app.registry, out))["email"](ctx, &alert.Note{ID: note, Title: "A provider does not work", Text: "It does not."})
	return m.sim.Entries(simulate.Filter{After: before, Recipient: "oncall@example.com"}), err
}

func (m *mailing) order(r simulate.Rule) {
	m.Helper()
	m.sim.Clear()
	if _, err := m.sim.Add(r); err != nil {
		m.Fatal(err)
	}
}

// silent is a mail server that takes connections and says nothing, and how many it has taken.
func silent(t *testing.T) (addr string, taken *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken = new(atomic.Int32)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String(), taken
}

// TestAnAlertThatNobodyTookIsMailedOn: where Resend fails or does not answer the relay behind it is tried, and where there is none
// the mail is sent again under the same key.
func TestAnAlertThatNobodyTookIsMailedOn(t *testing.T) {
	t.Parallel()
	m := newMailing(t)
	m.resend()
	for _, fault := range []simulate.Rule{{Type: "RESEND", Fault: simulate.Unavailable, Status: 500}, {Type: "RESEND", Fault: simulate.Hang}} {
		m.order(fault)
		first, err := m.tell("alert_one", 3*time.Second)
		if err == nil || len(first) != 1 || first[0].Token == "" || first[0].Outcome == "accepted" {
			t.Fatalf("%s: %v %+v", fault.Fault, err, first)
		}
		again, err := m.tell("alert_one", 3*time.Second)
		if err == nil || len(again) != 1 || again[0].Token != first[0].Token {
			t.Fatalf("%s: %v %+v after %+v", fault.Fault, err, again, first)
		}
	}
	m.sim.Clear()
	// The request that was given up may not have ended yet at Resend's side, which then refuses its key, as it documents.
	taken, err := m.tell("alert_one", 30*time.Second)
	for i := 0; err != nil && len(taken) == 1 && taken[0].Error == "concurrent_idempotent_requests" && i < 100; i++ {
		time.Sleep(50 * time.Millisecond)
		taken, err = m.tell("alert_one", 30*time.Second)
	}
	if err != nil || len(taken) != 1 || taken[0].Outcome != "accepted" {
		t.Fatalf("%v %+v", err, taken)
	}
	other, err := m.tell("alert_two", 30*time.Second)
	if err != nil || len(other) != 1 || other[0].Token == taken[0].Token {
		t.Fatalf("%v %+v after %+v", err, other, taken)
	}
	m.relay("spare", m.sim.Relays()[0])
	for _, fault := range []simulate.Rule{{Type: "RESEND", Fault: simulate.Unavailable, Status: 500}, {Type: "RESEND", Fault: simulate.Hang}} {
		m.order(fault)
		got, err := m.tell("alert_three", 6*time.Second)
		if err != nil || len(got) != 2 || got[1].Type != simulate.SMTP || got[1].Outcome != "accepted" {
			t.Fatalf("%s: %v %+v", fault.Fault, err, got)
		}
	}
}

// TestARelayThatIsSlowAfterTheMailHasIt: it counts as told, unless another one takes it.
func TestARelayThatIsSlowAfterTheMailHasIt(t *testing.T) {
	t.Parallel()
	m := newMailing(t)
	m.relay("slow", m.sim.Relays()[0])
	slow := simulate.Rule{Type: simulate.SMTP, Fault: simulate.Slow, Delay: simulate.Span(time.Minute)}
	m.order(slow)
	if got, err := m.tell("alert_one", 3*time.Second); err != nil || len(got) != 1 {
		t.Fatalf("%v %+v", err, got)
	}
	m.resend()
	if got, err := m.tell("alert_two", 6*time.Second); err != nil || len(got) != 2 || got[1].Type != "RESEND" || got[1].Outcome != "accepted" {
		t.Fatalf("%v %+v", err, got)
	}
	if _, err := m.sim.Add(simulate.Rule{Type: "RESEND", Fault: simulate.Unavailable, Status: 500}); err != nil {
		t.Fatal(err)
	}
	if got, err := m.tell("alert_three", 6*time.Second); err != nil || len(got) != 2 {
		t.Fatalf("%v %+v", err, got)
	}
}

// TestSilentRelaysDoNotKeepAlerts: each of them has its share of the time, and the last one still has its own; a relay that is
// known not to work comes last.
func TestSilentRelaysDoNotKeepAlerts(t *testing.T) {
	t.Parallel()
	m := newMailing(t)
	var ids []comm.ID
	var met []*atomic.Int32
	for _, name := range []string{"first", "second"} {
		addr, taken := silent(t)
		ids, met = append(ids, m.relay(name, addr)), append(met, taken)
	}
	if got, err := m.tell("alert_none", 2*time.Second); err == nil || len(got) != 0 || met[0].Load() != 1 || met[1].Load() != 1 {
		t.Fatalf("%v %+v; met %d, %d", err, got, met[0].Load(), met[1].Load())
	}
	m.relay("good", m.sim.Relays()[0])
	if got, err := m.tell("alert_one", 15*time.Second); err != nil || len(got) != 1 || got[0].Outcome != "accepted" || met[1].Load() != 2 {
		t.Fatalf("%v %+v; met %d", err, got, met[1].Load())
	}
	s := m.app.store
	if _, err := s.Beat(t.Context(), store.NodeInfo{Node: "n", Role: "all", Lease: time.Minute.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	now, err := s.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var troubles []store.ProviderTrouble
	for _, id := range ids {
		troubles = append(troubles, store.ProviderTrouble{ID: id, Reason: comm.WarnDown, Code: "timeout", Since: now})
	}
	if err := s.SetProviderTroubles(t.Context(), "n", troubles, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := m.tell("alert_two", 15*time.Second); err != nil || len(got) != 1 || met[0].Load() != 2 || met[1].Load() != 2 {
		t.Fatalf("%v %+v; met %d, %d", err, got, met[0].Load(), met[1].Load())
	}
}
