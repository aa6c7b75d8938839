package webhooks

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/simulate"
	"github.com/commserver/commserver/test/pgtest"
)

// live makes an app that sends through the server's providers.
func (s *server) live(slug string) *app {
	s.t.Helper()
	a := s.app(slug, "")
	s.must("PATCH", "/api/admin/apps/"+slug, map[string]any{"sandboxMode": false})
	return a
}

func (a *app) mail(n int) {
	a.s.t.Helper()
	if status, out := a.s.call("POST", "/api/v1/messages", a.head, map[string]any{"channel": "EMAIL", "to": fmt.Sprintf("ama%d@example.com", n), "subject": "Hello", "body": "<p>Hello</p>"}); status != http.StatusAccepted {
		a.s.t.Fatalf("%d %s", status, out)
	}
}

// TestARestartDuringAnOutage: while nobody sends, a server that was killed or stopped and started again knows no better than before
// it: the provider still counts as down, until a call shows that it works again.
func TestARestartDuringAnOutage(t *testing.T) {
	t.Parallel()
	sim, err := simulate.Start(t.Context(), simulate.Config{SMTPAddrs: []string{"127.0.0.1:0", "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	page := newPager(t)
	s := newServer(t, alarmed(page, "/in")...)
	for i, addr := range sim.Relays() {
		s.relay(nil, addr, fmt.Sprint("relay ", i+1), map[string]any{"priority": i + 1})
	}
	a := s.live("shop")
	sent := 0
	mails := func(n int) {
		t.Helper()
		for range n {
			a.mail(sent)
			sent++
		}
		eventually(t, "the mails are sent", func() bool { return len(sim.Entries(simulate.Filter{Outcome: "accepted"})) >= sent })
	}
	_, port, _ := strings.Cut(sim.Relays()[0], ":")
	first, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Add(simulate.Rule{ID: "dead", Type: simulate.SMTP, Port: first, Fault: simulate.Down}); err != nil {
		t.Fatal(err)
	}
	mails(3) // by the second one
	page.told(t, "provider_down", "relay 1", "raised")
	for _, end := range []func(){s.kill, s.stop} {
		end()
		s.start()
		time.Sleep(8 * time.Second) // many looks, and more than the patience for an all-clear
		page.told(t, "provider_down", "relay 1", "raised")
	}
	mails(3) // it is found down again, which is nothing new
	time.Sleep(3 * time.Second)
	page.told(t, "provider_down", "relay 1", "raised")
	s.kill()
	s.start()
	if !sim.Remove("dead") {
		t.Fatal("no rule")
	}
	mails(1)
	if all := sim.Entries(simulate.Filter{Outcome: "accepted"}); all[len(all)-1].Port != first {
		t.Fatalf("the relay that is back took nothing: %+v", all[len(all)-1])
	}
	page.told(t, "provider_down", "relay 1", "raised", "cleared")
	if len(page.got()) != 2 {
		t.Errorf("%+v", page.got())
	}
}

// TestAllWorkersAreGone: a node that only accepts says that messages wait, once between two of them, and nobody says it again when
// that one is gone as well; a worker that comes back ends it.
func TestAllWorkersAreGone(t *testing.T) {
	t.Parallel()
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	page := newPager(t)
	shared := []string{"COMMS_DATABASE_URL=" + pgtest.Database(t), "COMMS_ENCRYPTION_KEYS=" + ring.Reveal(), "COMMS_LEASE=1500ms", "COMMS_HEARTBEAT=300ms"}
	node := func(path, role string) *server {
		return newServer(t, alarmed(page, path, append(slices.Clone(shared), "COMMS_ROLE="+role)...)...)
	}
	doors := map[string]*server{"/a": node("/a", "api"), "/b": node("/b", "api")}
	other := map[string]string{"/a": "/b", "/b": "/a"}
	worker := node("/w", "worker")
	a := doors["/a"].app("shop", "")
	sent := func(id string) func() bool {
		return func() bool {
			_, out := a.s.call("GET", "/api/v1/messages/"+id, a.head, nil)
			return strings.Contains(string(out), `"status":"SENT"`)
		}
	}
	eventually(t, "a message is sent", sent(a.send(1)))
	worker.kill()
	id := a.send(2)
	first := page.told(t, "messages_waiting", "shop", "raised")[0]
	time.Sleep(5 * time.Second)
	page.told(t, "messages_waiting", "shop", "raised")
	if doors[first.path] == nil {
		t.Fatalf("it was told by %q", first.path)
	}
	doors[first.path].kill()
	a.s = doors[other[first.path]]
	time.Sleep(5 * time.Second)
	page.told(t, "messages_waiting", "shop", "raised")
	node("/w", "worker")
	eventually(t, "the message is sent", sent(id))
	page.told(t, "messages_waiting", "shop", "raised", "cleared")
	time.Sleep(5 * time.Second)
	if got := page.told(t, "messages_waiting", "shop", "raised", "cleared"); got[1].Since != first.Since || len(page.wrong) > 0 {
		t.Errorf("%+v; wrong: %q", got, page.wrong)
	}
}
