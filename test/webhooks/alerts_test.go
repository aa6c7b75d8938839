package webhooks

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/signature"
	"github.com/commserver/commserver/internal/simulate"
)

// note is an alert as it is posted.
type note struct {
	ID, Alert, State, Subject, Since, Text, Do string

	at   time.Time
	path string // of the request
}

// pager receives alerts.
type pager struct {
	*httptest.Server
	mu    sync.Mutex
	notes []note
	wrong []string // requests that are not as they should be
}

func newPager(t *testing.T) *pager {
	p := &pager{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		n := note{at: time.Now(), path: r.URL.Path}
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil || json.Unmarshal(b, &n) != nil || r.Header.Get("X-Comms-Signature") != signature.Guide(secret, r.Header.Get("X-Comms-Timestamp"), b) {
			p.wrong = append(p.wrong, string(b))
		}
		p.notes = append(p.notes, n)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *pager) got() []note {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]note(nil), p.notes...)
}

// wait waits until so many notes are there.
func (p *pager) wait(t *testing.T, n int, within time.Duration) []note {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		if got := p.got(); len(got) >= n {
			return got
		}
		if time.Now().After(end) {
			t.Fatalf("%d notes within %s, want %d: %+v", len(p.got()), within, n, p.got())
		}
	}
}

// TestAProviderDiesAndComesBack: one alert within a minute, one all-clear, and nothing else, whatever happens meanwhile. In full it
// is run with the patience that everybody has who sets none.
func TestAProviderDiesAndComesBack(t *testing.T) {
	t.Parallel()
	t.Run("5 s of patience", func(t *testing.T) {
		t.Parallel()
		aProviderDiesAndComesBack(t, "COMMS_ALERT_PATIENCE=5s")
	})
	if os.Getenv("COMMS_TEST_FULL") == "1" {
		t.Run("as it comes", func(t *testing.T) {
			t.Parallel()
			aProviderDiesAndComesBack(t)
		})
	}
}

func aProviderDiesAndComesBack(t *testing.T, env ...string) {
	sim, err := simulate.Start(t.Context(), simulate.Config{SMTPAddrs: []string{"127.0.0.1:0", "127.0.0.1:0"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	page := newPager(t)
	const admin = "admin-key-of-these-tests-0123456789abcdef"
	s := newServer(t, append(env, "COMMS_ADMIN_KEY="+admin, "COMMS_ALERT_WEBHOOK_URL="+page.URL+"/in", "COMMS_ALERT_WEBHOOK_SECRET="+secret)...)
	root := map[string]string{"X-Admin-Key": admin}
	var first int
	for i, addr := range sim.Relays() {
		port, err := strconv.Atoi(addr[strings.LastIndexByte(addr, ':')+1:])
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = port
		}
		status, out := s.call("POST", "/api/admin/provider-configs", root, map[string]any{"providerType": "SMTP", "name": fmt.Sprint("relay ", i+1), "priority": i + 1,
			"config": map[string]any{"host": "127.0.0.1", "port": port, "from": "Shop <no-reply@example.com>"}})
		if status != http.StatusCreated {
			t.Fatalf("%d %s", status, out)
		}
	}
	a := s.app("drill", "")
	if status, out := s.call("PATCH", "/api/admin/apps/drill", root, map[string]any{"sandboxMode": false}); status != http.StatusOK {
		t.Fatalf("%d %s", status, out)
	}
	mail := func(n int) {
		if status, out := s.call("POST", "/api/v1/messages", a.head, map[string]any{"channel": "EMAIL", "to": fmt.Sprintf("ama%d@example.com", n), "subject": "Hello", "body": "<p>Hello</p>"}); status != http.StatusAccepted {
			t.Errorf("%d %s", status, out)
		}
	}
	// Mails go on all the time, one in two seconds: too few for a breaker.
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Second):
				mail(n)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	for deadline := time.Now().Add(time.Minute); len(sim.Entries(simulate.Filter{})) == 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing is sent")
		}
	}
	rule := simulate.Rule{ID: "dead", Type: simulate.SMTP, Port: first, Fault: "down"}
	if _, err := sim.Add(rule); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	got := page.wait(t, 1, time.Minute)
	t.Logf("alert %s after the provider died: %s", got[0].at.Sub(died).Round(time.Millisecond), got[0].Text)
	if n := got[0]; n.Alert != "provider_down" || n.State != "raised" || !strings.Contains(n.Text, `"relay 1"`) || n.Do == "" {
		t.Errorf("%+v", n)
	}
	time.Sleep(3 * time.Second) // a look and more: nothing else is told
	if got := page.got(); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if !sim.Remove("dead") {
		t.Fatal("no rule")
	}
	back := time.Now()
	got = page.wait(t, 2, 5*time.Minute)
	t.Logf("all-clear %s after it was back", got[1].at.Sub(back).Round(time.Millisecond))
	if n := got[1]; n.Alert != "provider_down" || n.State != "cleared" || n.Subject != got[0].Subject || n.Since != got[0].Since {
		t.Errorf("%+v after %+v", n, got[0])
	}
	time.Sleep(3 * time.Second)
	if got := page.got(); len(got) != 2 || len(page.wrong) > 0 {
		t.Errorf("%+v, wrong: %q", got, page.wrong)
	}
	status, out := s.call("GET", "/api/admin/alerts", root, nil)
	var list struct {
		Data []struct {
			Alert, State string
			Told         map[string]string
		}
	}
	if err := json.Unmarshal(out, &list); err != nil || status != http.StatusOK || len(list.Data) != 1 || list.Data[0].State != "cleared" || list.Data[0].Told["webhook"] != "cleared" {
		t.Errorf("%d %s %v", status, out, err)
	}
}
