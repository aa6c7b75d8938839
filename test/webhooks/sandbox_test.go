package webhooks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// onBoth runs a test on both stores, with the environment that the program needs.
func onBoth(t *testing.T, run func(t *testing.T, env ...string)) {
	t.Run("SQLite", func(t *testing.T) { run(t) })
	t.Run("PostgreSQL", func(t *testing.T) {
		ring, err := seal.GenerateRing("k1")
		if err != nil {
			t.Fatal(err)
		}
		run(t, "COMMS_DATABASE_URL="+pgtest.Database(t), "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS="+ring.Reveal(),
			"COMMS_LEASE=1500ms", "COMMS_HEARTBEAT=300ms")
	})
}

// shown is a message as the API shows it.
type shown struct {
	ID, Status, ErrorCode, ProviderName string
	SentAt, DeliveredAt                 time.Time
	Unconfirmed                         bool
	Events                              []struct{ Type, Provider string }
}

func (m *shown) types() (out []string) {
	for _, e := range m.Events {
		out = append(out, e.Type)
	}
	return out
}

func (a *app) post(to string) string {
	a.s.t.Helper()
	body := map[string]any{"channel": "SMS", "to": to, "body": "Hello"}
	if len(to) > 0 && (to[0] < '0' || to[0] > '9') {
		body["channel"], body["subject"] = "EMAIL", "Hello"
	}
	status, out := a.s.call("POST", "/api/v1/messages", a.head, body)
	var got struct{ ID string }
	if err := json.Unmarshal(out, &got); err != nil || status != http.StatusAccepted {
		a.s.t.Fatalf("%s: %d %s %v", to, status, out, err)
	}
	return got.ID
}

func (a *app) message(id string) (m shown) {
	a.s.t.Helper()
	status, out := a.s.call("GET", "/api/v1/messages/"+id, a.head, nil)
	if err := json.Unmarshal(out, &m); err != nil || status != http.StatusOK {
		a.s.t.Fatalf("%d %s %v", status, out, err)
	}
	return m
}

// becomes waits until a message has one of the statuses.
func (a *app) becomes(id string, statuses ...string) shown {
	a.s.t.Helper()
	for end := time.Now().Add(40 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		m := a.message(id)
		if slices.Contains(statuses, m.Status) {
			return m
		}
		if time.Now().After(end) {
			a.s.t.Fatalf("%s is %s, not %s: %v", id, m.Status, statuses, m.types())
		}
	}
}

// listed answers why an address is on the app's suppressions; "" if it is not.
func (a *app) listed(channel, address string) string {
	a.s.t.Helper()
	status, out := a.s.call("GET", "/api/v1/suppressions?channel="+channel, a.head, nil)
	var list struct {
		Data []struct{ Address, Reason, Source string }
	}
	if err := json.Unmarshal(out, &list); err != nil || status != http.StatusOK {
		a.s.t.Fatalf("%d %s %v", status, out, err)
	}
	for _, x := range list.Data {
		if x.Address == address {
			return x.Reason + " " + x.Source
		}
	}
	return ""
}

// hooked is what a webhook was told: the statuses of each message.
type hooked struct {
	mu  sync.Mutex
	got map[string][]string
}

func (h *hooked) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e told
	if json.NewDecoder(r.Body).Decode(&e) == nil {
		h.mu.Lock()
		h.got[e.Message.ID] = append(h.got[e.Message.ID], e.Message.Status)
		h.mu.Unlock()
	}
	w.WriteHeader(http.StatusNoContent)
}

// told waits until the webhook was told that a message has the status.
func (h *hooked) told(t *testing.T, id, status string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		all := slices.Clone(h.got[id])
		h.mu.Unlock()
		if slices.Contains(all, status) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the webhook was told %v of %s, not %s", all, id, status)
		}
	}
}

// An integrator rehearses delivery reports in the sandbox: they come by the path of real ones, with their events, webhooks and suppressions.
func TestTheSandboxReports(t *testing.T) {
	onBoth(t, func(t *testing.T, env ...string) {
		t.Parallel()
		h := &hooked{got: map[string][]string{}}
		hook := httptest.NewServer(h)
		defer hook.Close()
		s := newServer(t, append(env, "COMMS_RECEIPT_TIMEOUT=1m")...)
		a := s.app("flowbase", hook.URL, "SEND", "READ", "SUPPRESSIONS")
		plain := a.post("ama@example.com")
		// Nobody reports from outside as the sandbox does.
		for _, path := range []string{"00000000-0000-0000-0000-000000000000/-", plain + "/-", plain + "/" + plain} {
			if status, out := s.call("POST", "/api/callbacks/sandbox/"+path+"?cs_m="+plain+"&cs_a=1", nil, "delivered"); status != http.StatusNotFound {
				t.Errorf("%s: %d %s", path, status, out)
			}
		}
		accepted := []string{"attempt_started", "provider_accepted"}
		for _, c := range []struct {
			channel, to, ends, listed, code string
			events                          []string
		}{
			{"EMAIL", "delivered@sandbox.commserver.test", "DELIVERED", "", "", []string{"report_delivered"}},
			{"EMAIL", "delivered+order-42@sandbox.commserver.test", "DELIVERED", "", "", []string{"report_delivered"}},
			{"SMS", "233000000001", "DELIVERED", "", "", []string{"report_delivered"}},
			{"EMAIL", "bounced+x@sandbox.commserver.test", "FAILED", "hard_bounce provider", "sandbox_bounced", []string{"report_failed"}},
			{"SMS", "233000000003", "FAILED", "hard_bounce provider", "sandbox_bounced", []string{"report_failed"}},
			{"EMAIL", "complained@sandbox.commserver.test", "DELIVERED", "complaint provider", "", []string{"report_delivered", "complaint"}},
			{"SMS", "233000000004", "DELIVERED", "complaint provider", "", []string{"report_delivered", "complaint"}},
		} {
			id := a.post(c.to)
			m := a.becomes(id, c.ends)
			if want := slices.Concat([]string{"accepted"}, accepted, c.events); !slices.Equal(m.types(), want) {
				t.Errorf("%s: %v, want %v", c.to, m.types(), want)
			}
			if m.ErrorCode != c.code || m.ProviderName != "sandbox" || m.Events[len(m.Events)-1].Provider != "sandbox" {
				t.Errorf("%s: %+v", c.to, m)
			}
			if late := m.DeliveredAt.Sub(m.SentAt); c.ends == "DELIVERED" && (late < 0 || late > 10*time.Second) { // a second after it was taken: storing SENT may take most of that
				t.Errorf("%s: reported after %s", c.to, late)
			}
			if got := a.listed(c.channel, c.to); got != c.listed {
				t.Errorf("%s is on the list for %q, want %q", c.to, got, c.listed)
			}
			h.told(t, id, "SENT")
			h.told(t, id, c.ends)
			if c.listed == "" {
				continue
			}
			// As a real one: the second message is not sent, until the address is taken off.
			a.becomes(a.post(c.to), "SUPPRESSED")
			if status, out := s.call("DELETE", "/api/v1/suppressions?channel="+c.channel+"&address="+url.QueryEscape(c.to), a.head, nil); status != http.StatusNoContent {
				t.Errorf("%d %s", status, out)
			}
			a.becomes(a.post(c.to), c.ends)
		}
		if got := a.listed("EMAIL", "bounced@sandbox.commserver.test"); got != "" {
			t.Errorf("bounced+x@ put bounced@ on the list: %s", got)
		}
		if m := a.message(plain); m.Status != "SENT" || m.Unconfirmed || len(m.Events) != 3 {
			t.Errorf("an ordinary recipient: %+v", m)
		}
	})
}

// The program is killed between the sandbox's acceptance and its report: the report comes all the same, once. A kill
// before the acceptance was stored leaves an attempt of which nobody knows, and a failure is no proof of it: the address
// is listed, and the next attempt finds it there.
func TestTheSandboxReportsAfterKills(t *testing.T) {
	onBoth(t, func(t *testing.T, env ...string) {
		t.Parallel()
		s := newServer(t, env...)
		a := s.app("flowbase", "", "SEND", "READ", "SUPPRESSIONS")
		ends := map[string]string{}
		const kills = 3
		for n := range kills {
			for k := range 5 {
				ends[a.post(fmt.Sprintf("delivered+%d-%d@sandbox.commserver.test", n, k))] = "DELIVERED"
				ends[a.post(fmt.Sprintf("bounced+%d-%d@sandbox.commserver.test", n, k))] = "FAILED"
			}
			last := a.post(fmt.Sprintf("delivered+last-%d@sandbox.commserver.test", n))
			ends[last] = "DELIVERED"
			if n > 0 { // the first is killed wherever it is
				a.becomes(last, "SENT")
			}
			s.kill()
			s.start()
		}
		for id, end := range ends {
			m := a.becomes(id, end, "SUPPRESSED")
			report := map[string]string{"DELIVERED": "report_delivered", "FAILED": "report_failed", "SUPPRESSED": "report_out_of_order"}[m.Status]
			// Each copy is reported once; of two the other report changes nothing, and says so.
			reports, changes, copies := 0, 0, 1
			for _, e := range m.types() {
				switch {
				case e == "retry_unknown":
					copies++
				case strings.HasPrefix(e, "report_"):
					reports++
				}
				if e == "report_delivered" || e == "report_failed" {
					changes++
				}
			}
			want := 1
			if m.Status == "SUPPRESSED" {
				want = 0
			}
			if reports < 1 || reports > copies || changes != want || !slices.Contains(m.types(), report) || m.Status == "SUPPRESSED" && (end != "FAILED" || copies == 1) {
				t.Errorf("%s is %s, not %s: %v", id, m.Status, end, m.types())
			}
		}
	})
}
