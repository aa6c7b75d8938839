package e2e

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// waits follows a message until it says that it waits for the word.
func (p *process) waits(a tenant, id, word string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		m := p.call(a, nil, http.MethodGet, "/api/v1/messages/"+id, nil)
		if m["status"] == "QUEUED" && m["waitingFor"] == word {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("not waiting for %s: %v", word, m)
		}
	}
}

// A mail whose answer was lost goes out again under the same key with the same bytes, so that Resend sends it once.
func TestResendSendsOnce(t *testing.T) {
	t.Parallel()
	type request struct{ path, login, key, body string }
	var mu sync.Mutex
	var seen []request
	resend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, request{r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key"), string(body)})
		first := len(seen) == 1
		mu.Unlock()
		if first {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, `{"id":"49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"}`)
	}))
	resend.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer resend.Close()
	p := serve(t, t.TempDir(), "COMMS_PROVISIONING_KEY="+provisioningKey, "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8")
	a := p.live("once", newMailServer(t, nil), map[string]any{"isActive": false})
	config := p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "RESEND",
		"config": map[string]any{"apiKey": "re_hidden", "from": "shop@example.com", "baseUrl": resend.URL}})
	if address, _ := config["callbackUrl"].(string); config["warnings"] != nil || !strings.HasPrefix(address, p.url+"/api/callbacks/resend/") {
		t.Errorf("%v", config)
	}
	id := p.mail(a, "ama@example.org")
	m := p.ended(a, id)
	if m["status"] != "SENT" || m["attempts"] != 2.0 || m["possibleDuplicate"] != true || m["providerName"] != "resend" || m["providerMessageId"] != "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794" {
		t.Errorf("%v", m)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) != 2 || seen[0] != seen[1] || seen[0].key == "" || seen[0].path != "/emails" || seen[0].login != "Bearer re_hidden" {
		t.Errorf("%d requests: %+v", len(seen), seen)
	}
	var mail struct{ Tags []struct{ Value string } }
	if err := json.Unmarshal([]byte(seen[0].body), &mail); err != nil || len(mail.Tags) != 1 || mail.Tags[0].Value != id {
		t.Errorf("%v %s", err, seen[0].body)
	}
	if said := p.errors() + p.output(); strings.Contains(said, "re_hidden") || strings.Contains(said, "/callbacks/") {
		t.Error("the log tells a secret")
	}
}

// A number that has opted out at Twilio is suppressed here too, and each message names where to report to.
func TestTwilioKnowsWhoOptedOut(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var forms []url.Values
	twilio := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		mu.Lock()
		forms = append(forms, r.PostForm)
		mu.Unlock()
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code":21610,"message":"Attempt to send to unsubscribed recipient","status":400}`)
	}))
	defer twilio.Close()
	p := serve(t, t.TempDir(), "COMMS_PROVISIONING_KEY="+provisioningKey, "COMMS_ALLOW_PRIVATE_TARGETS=127.0.0.0/8")
	a := p.live("optout", newMailServer(t, nil), nil)
	config := p.call(a, nil, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "TWILIO",
		"config": map[string]any{"accountSid": "AC" + strings.Repeat("0a", 16), "authToken": "hidden-token", "senderId": "SHOP", "baseUrl": twilio.URL}})
	text := map[string]any{"channel": "SMS", "to": "233244000000", "body": "Your code is 4711"}
	id, _ := p.call(a, nil, http.MethodPost, "/api/v1/messages", text)["id"].(string)
	if m := p.ended(a, id); m["status"] != "FAILED" || m["errorCode"] != "provider_rejected" {
		t.Errorf("%v", m)
	}
	again, _ := p.call(a, nil, http.MethodPost, "/api/v1/messages", text)["id"].(string)
	if m := p.ended(a, again); m["status"] != "SUPPRESSED" {
		t.Errorf("%v", m)
	}
	list := p.call(a, nil, http.MethodGet, "/api/v1/suppressions", nil)["data"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["reason"] != "unsubscribed" {
		t.Errorf("%v", list)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(forms) != 1 || forms[0].Get("To") != "+233244000000" || !strings.HasPrefix(forms[0].Get("StatusCallback"), config["callbackUrl"].(string)+"?") || !strings.Contains(forms[0].Get("StatusCallback"), id) {
		t.Errorf("%d requests: %v", len(forms), forms)
	}
}
