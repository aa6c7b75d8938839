package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// waits follows a message until it says that it waits for the word.
func (p *process) waits(a tenant, id, word string) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		m := p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil)
		if m["status"] == "QUEUED" && m["waitingFor"] == word {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("not waiting for %s: %v", word, m)
		}
	}
}

// An account at a provider that this version cannot send with yet is kept. Its messages wait, for as long as there is nothing
// else, whatever else the server could do with them; they fail for no lack of ours.
func TestWhatThisVersionCannotSendWithYet(t *testing.T) {
	t.Parallel()
	s := newMailServer(t, nil)
	dir := t.TempDir()
	env := []string{"COMMS_PROVISIONING_KEY=" + provisioningKey, "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8", "COMMS_LIVE_FALLBACK=fail"}
	p := serve(t, dir, env...)
	a := p.live("early", s, map[string]any{"isActive": false})
	config := p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "RESEND", "priority": 1, "config": map[string]any{"apiKey": "re_hidden", "from": "shop@example.com"}})
	if url, _ := config["callbackUrl"].(string); config["warnings"] == nil || !strings.HasPrefix(url, p.url+"/api/callbacks/resend/") {
		t.Errorf("%v", config)
	}
	id := p.mail(a, "ama@example.org")
	p.waits(a, id, "provider_cannot_send")
	p.stop()
	p = serve(t, dir, env...)
	p.waits(a, id, "provider_cannot_send")
	list := p.call(a, nil, http.MethodGet, "/api/v1/provider-configs", nil)["data"].([]any)
	for _, c := range list {
		if c := c.(map[string]any); c["providerType"] == "SMTP" {
			p.call(a, nil, http.MethodPatch, "/api/v1/provider-configs/"+c["id"].(string), map[string]any{"isActive": true})
		}
	}
	if m := p.ended(a, id); m["status"] != "SENT" || m["attempts"] != 1.0 {
		t.Errorf("%v", m)
	}
	if said := p.errors() + p.output(); strings.Contains(said, "re_hidden") || strings.Contains(said, "/callbacks/") {
		t.Error("the log tells a secret")
	}
}
