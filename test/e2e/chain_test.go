package e2e

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store/sqlite"
)

// between changes the settings of a stopped server on SQLite, as an operator may.
func between(t *testing.T, dir string, change func(*registry.Service, *sqlite.Store)) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "encryption-keys"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseRing(seal.Secret(strings.TrimSpace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "data", "commserver.db"), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	here := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	change(registry.New(registry.Config{Apps: s, Keys: s, Providers: s, Endpoints: s, Adapters: all.Adapters(), Ring: ring, Mail: &guard.Dialer{Allow: here, Ports: guard.SMTPPorts()},
		Web: &guard.Dialer{Allow: here}, Log: slog.New(slog.DiscardHandler)}), s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// refusal sends what must be refused and answers status and body.
func (p *process) refusal(a tenant, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url+"/api/v1/messages", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header = http.Header{"X-App-Id": {a.id}, "X-Api-Key": {a.key}, "Content-Type": {"application/json"}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var out json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(out)
}

// The server's chain: lower priority first, ties by age, a pinned one before all; an app without providers of its own may use it
// with the senders that it is allowed (S14) and with the configurations' own.
func TestTheServersChain(t *testing.T) {
	t.Parallel()
	dir, kind := t.TempDir(), "SMTP"
	old, young, last := newMailServer(t, nil), newMailServer(t, nil), newMailServer(t, nil)
	p := serveMail(t, dir)
	made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
		map[string]any{"name": "Plain", "slug": "plain", "scopes": []string{"SEND", "READ", "PROVIDERS"}})
	a := tenant{id: "plain", key: fmt.Sprint(made["apiKey"])}
	p.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
	p.stop()
	ids := map[*mailServer]comm.ID{}
	between(t, dir, func(reg *registry.Service, s *sqlite.Store) {
		for _, x := range []struct {
			*mailServer
			priority int64
			from     string
		}{{last, 9, "last@example.com"}, {old, 5, "old@example.com"}, {young, 5, "young@example.com"}} {
			made, err := reg.CreateProvider(t.Context(), comm.ID{}, registry.ProviderChange{Type: &kind, Priority: &x.priority, Config: map[string]any{"host": x.host, "port": float64(x.port), "from": x.from}})
			if err != nil {
				t.Fatal(err)
			}
			ids[x.mailServer] = made.ID
		}
		app, err := s.AppBySlug(t.Context(), "plain")
		if err != nil {
			t.Fatal(err)
		}
		app.AllowedFrom = []string{"news@shop.example", "@mine.example"}
		if err := s.UpdateApp(t.Context(), app, app.UpdatedAt+1); err != nil {
			t.Fatal(err)
		}
	})
	takes := func(want *mailServer, why string) {
		t.Helper()
		before := map[*mailServer]int{}
		for s := range ids {
			before[s], _ = s.counts("")
		}
		if m := p.ended(a, p.mail(a, "ama@example.org")); m["status"] != "SENT" || m["attempts"] != 1.0 {
			t.Fatal(m)
		}
		for s := range ids {
			if n, _ := s.counts(""); (n > before[s]) != (s == want) {
				t.Errorf("%s: not by it alone", why)
			}
		}
	}
	change := func(s *mailServer, c registry.ProviderChange) {
		t.Helper()
		p.stop()
		between(t, dir, func(reg *registry.Service, _ *sqlite.Store) {
			if _, err := reg.UpdateProvider(t.Context(), comm.ID{}, ids[s], c); err != nil {
				t.Fatal(err)
			}
		})
		p = serveMail(t, dir)
	}
	p = serveMail(t, dir)
	takes(old, "of equal priority the older one")
	for from, status := range map[string]int{
		"news@shop.example": 202, "Us <any@mine.example>": 202, "last@example.com": 202, "other@shop.example": 403, "a@sub.mine.example": 403, "young@example.com.evil.example": 403,
	} {
		if got, body := p.refusal(a, fmt.Sprintf(`{"channel":"EMAIL","to":"ama@example.org","subject":"s","body":"b","from":%q}`, from)); got != status || status == 403 && !strings.Contains(body, "from_not_allowed") {
			t.Errorf("from %s: %d %s", from, got, body)
		}
	}
	pinned, unpinned, off := true, false, false
	change(last, registry.ProviderChange{Pinned: &pinned})
	takes(last, "the pinned one")
	change(last, registry.ProviderChange{Pinned: &unpinned, Active: &off})
	takes(old, "no longer pinned, and off")
	// A sender of the server's own configuration is allowed whether or not it can send now.
	if got, body := p.refusal(a, `{"channel":"EMAIL","to":"ama@example.org","subject":"s","body":"b","from":"last@example.com"}`); got != 403 {
		t.Errorf("the sender of one that is switched off beside others: %d %s", got, body)
	}
	change(old, registry.ProviderChange{Active: &off})
	change(young, registry.ProviderChange{Active: &off})
	if got, body := p.refusal(a, `{"channel":"EMAIL","to":"ama@example.org","subject":"s","body":"b","from":"old@example.com"}`); got != 202 || !strings.Contains(body, "provider_off") {
		t.Errorf("all are switched off: %d %s", got, body)
	}
	if got, body := p.refusal(a, `{"channel":"EMAIL","to":"ama@example.org","subject":"s","body":"b","from":"foreign@example.net"}`); got != 403 {
		t.Errorf("all are switched off, a foreign sender: %d %s", got, body)
	}
}

// A live app for which nothing is configured: the guide's rule by default, a failure if the operator wants it, a warning at every step.
func TestTheLiveFallback(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]struct{ status, provider, warning string }{
		"": {"SENT", "sandbox", "nothing is really sent"}, "sandbox": {"SENT", "sandbox", "nothing is really sent"}, "fail": {"FAILED", "", "will fail"},
	} {
		t.Run("fallback "+value, func(t *testing.T) {
			t.Parallel()
			env := []string{"COMMS_PROVISIONING_KEY=" + provisioningKey}
			if value != "" {
				env = append(env, "COMMS_LIVE_FALLBACK="+value)
			}
			p := serve(t, t.TempDir(), env...)
			made := p.call(tenant{}, http.Header{"X-Provisioning-Key": {provisioningKey}}, http.MethodPost, "/api/provision/apps",
				map[string]any{"name": "Bare", "slug": "bare", "scopes": []string{"SEND", "READ", "PROVIDERS"}})
			a := tenant{id: "bare", key: fmt.Sprint(made["apiKey"])}
			live := p.call(a, nil, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false})
			if text := fmt.Sprint(live["warnings"]); strings.Count(text, "no_provider") != 2 || strings.Count(text, want.warning) != 2 {
				t.Errorf("going live warns %s", text)
			}
			for _, body := range []map[string]any{{"channel": "EMAIL", "to": "ama@example.org", "subject": "s", "body": "b"}, {"channel": "SMS", "to": "233241234567", "body": "b", "from": "ANY"}} {
				sent := p.call(a, nil, http.MethodPost, "/api/v1/messages", body)
				if text := fmt.Sprint(sent["warnings"]); !strings.Contains(text, "no_provider") || !strings.Contains(text, want.warning) {
					t.Errorf("accepting warns %s", text)
				}
				m := p.ended(a, fmt.Sprint(sent["id"]))
				if m["status"] != want.status || want.provider != "" && m["providerName"] != want.provider || want.provider == "" && (m["errorCode"] != "no_provider" || m["attempts"] != 0.0) {
					t.Errorf("%v", m)
				}
			}
		})
	}
}
