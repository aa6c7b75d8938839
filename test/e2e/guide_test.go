package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// The two commands of the integration guide, to the letter.
const (
	guideSend = `curl -X POST "$COMMS_URL/api/v1/messages" \
-H "X-App-ID: $COMMS_APP_ID" \
-H "X-API-Key: $COMMS_API_KEY" \
-H "Content-Type: application/json" \
-d '{
"channel": "SMS",
"to": "233241234567",
"body": "Hello from CommServer",
"idempotencyKey": "welcome-user-42"
}'`
	guideProvision = `curl -X POST "$COMMS_URL/api/provision/apps" \
-H "X-Provisioning-Key: $COMMS_PROVISIONING_KEY" \
-H "Content-Type: application/json" \
-d '{
"name": "FlowBase",
"slug": "flowbase",
"ratePerMinute": 120,
"scopes": ["SEND", "READ", "PROVIDERS", "TEMPLATES"]
}'`
)

// TestTheGuide goes through the integration guide up to its webhooks, on both stores: every
// request as it is written there, every answer and status that it promises.
func TestTheGuide(t *testing.T) {
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string][]string{
		"SQLite":     nil,
		"PostgreSQL": {"COMMS_DATABASE_URL=" + pgtest.Database(t), "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc", "COMMS_ENCRYPTION_KEYS=" + ring.Reveal()},
	} {
		t.Run(name, func(t *testing.T) {
			const key = "long-random-bootstrap-secret"
			p := serve(t, t.TempDir(), append([]string{"COMMS_PROVISIONING_KEY=" + key}, env...)...)
			g := &guide{T: t, p: p, vars: map[string]string{"COMMS_URL": p.url, "COMMS_PROVISIONING_KEY": key}}
			g.provisioning()
			g.firstMessage()
			g.messages()
			g.templates()
			g.suppressions()
			g.providers()
			g.refusals()
		})
	}
}

// guide is a reader of the guide with what it has noted down so far.
type guide struct {
	*testing.T
	p    *process
	vars map[string]string
}

// curl runs a command of the guide in a shell that knows its variables.
func (g *guide) curl(command, status string, into any) {
	g.Helper()
	var sets strings.Builder
	for name, value := range g.vars {
		fmt.Fprintf(&sets, "%s='%s'; ", name, value)
	}
	runCurl(g.T, sets.String()+command+` -s -w '\n%{http_code}'`, status, into)
}

// ask sends a request as the app and wants the status.
func (g *guide) ask(method, path, body string, status int, change ...func(http.Header)) map[string]any {
	g.Helper()
	req, err := http.NewRequestWithContext(g.Context(), method, g.p.url+path, strings.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	req.Header.Set("X-App-ID", g.vars["COMMS_APP_ID"])
	req.Header.Set("X-API-Key", g.vars["COMMS_API_KEY"])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(req.Header)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		g.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil || res.StatusCode != status {
		g.Fatalf("%s %s %s: %d, the guide says %d: %s %v", method, path, body, res.StatusCode, status, raw, err)
	}
	out := map[string]any{}
	if len(bytes.TrimSpace(raw)) > 0 {
		if err := json.Unmarshal(raw, &out); err != nil {
			g.Fatalf("%s: %v", raw, err)
		}
	}
	if _, wrong := out["error"].(string); status >= 400 && !wrong {
		g.Fatalf("an error without its sentence: %s", raw)
	}
	return out
}

// becomes waits until the message has the status.
func (g *guide) becomes(id any, status string) map[string]any {
	g.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		got := g.ask("GET", fmt.Sprintf("/api/v1/messages/%s", id), "", 200)
		if got["status"] == status {
			return got
		}
		if time.Now().After(end) {
			g.Fatalf("%v is %v, not %s", id, got["status"], status)
		}
	}
}

func (g *guide) provisioning() {
	g.Helper()
	var made struct {
		App struct {
			Slug        string
			SandboxMode bool
		}
		APIKey            *string
		AlreadyRegistered bool
	}
	g.curl(guideProvision, "201", &made)
	if made.App.Slug != "flowbase" || !made.App.SandboxMode || made.APIKey == nil || !strings.HasPrefix(*made.APIKey, "cs_test_") || made.AlreadyRegistered {
		g.Fatalf("%+v", made)
	}
	first := *made.APIKey
	g.curl(guideProvision, "200", &made)
	if made.APIKey != nil || !made.AlreadyRegistered {
		g.Fatalf("again: %+v", made)
	}
	wider := strings.Replace(guideProvision, `"TEMPLATES"]`, `"TEMPLATES", "SUPPRESSIONS"], "rotateKey": true, "updateExisting": true`, 1)
	g.curl(strings.Replace(wider, "120", "1000", 1), "200", &made)
	if made.APIKey == nil || *made.APIKey == first || !made.AlreadyRegistered {
		g.Fatalf("rotated: %+v", made)
	}
	g.vars["COMMS_APP_ID"], g.vars["COMMS_API_KEY"] = "flowbase", first
	g.ask("GET", "/api/v1/app", "", 401)
	g.vars["COMMS_API_KEY"] = *made.APIKey
	if app := g.ask("GET", "/api/v1/app", "", 200); app["ratePerMinute"] != 1000.0 {
		g.Errorf("%v", app)
	}
}

func (g *guide) firstMessage() {
	g.Helper()
	var answer struct {
		ID, Status   string
		Deduplicated bool
	}
	g.curl(guideSend, "202", &answer)
	if !strings.HasPrefix(answer.ID, "c") || answer.Status != "QUEUED" {
		g.Fatalf("%+v", answer)
	}
	g.becomes(answer.ID, "SENT") // in sandbox mode the worker logs the message and marks it sent
	first := answer.ID
	g.curl(guideSend, "200", &answer)
	if answer.ID != first || !answer.Deduplicated || answer.Status != "SENT" {
		g.Fatalf("replayed: %+v", answer)
	}
	bearer := func(h http.Header) { h.Set("Authorization", "Bearer "+h.Get("X-API-Key")); h.Del("X-API-Key") }
	if got := g.ask("GET", "/api/v1/messages/"+first, "", 200, bearer); got["toAddress"] != "233241234567" || len(got["events"].([]any)) < 2 {
		g.Errorf("%v", got)
	}
}

func (g *guide) messages() {
	g.Helper()
	mail := g.ask("POST", "/api/v1/messages", `{"channel":"EMAIL","to":"ama@example.com","subject":"Request approved","body":"<p>Your request REQ-0042 was approved.</p>",
		"idempotencyKey":"request-42-approved-email","metadata":{"requestId":"REQ-0042"},"from":"MyApp <no-reply@example.com>"}`, 202)
	if got := g.becomes(mail["id"], "SENT"); got["metadata"].(map[string]any)["requestId"] != "REQ-0042" {
		g.Errorf("%v", got)
	}
	list := g.ask("GET", "/api/v1/messages?status=SENT&channel=EMAIL&limit=100", "", 200)
	if data := list["data"].([]any); len(data) != 1 || list["nextCursor"] != nil {
		g.Errorf("%v", list)
	}
	page := g.ask("GET", "/api/v1/messages?limit=1", "", 200)
	g.ask("GET", "/api/v1/messages?limit=1&cursor="+url.QueryEscape(page["nextCursor"].(string)), "", 200)
	later := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	held := g.ask("POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","body":"later","scheduledAt":"`+later+`"}`, 202)
	path := fmt.Sprintf("/api/v1/messages/%s", held["id"])
	if got := g.ask("PATCH", path, `{ "action": "CANCEL" }`, 200); got["status"] != "CANCELLED" {
		g.Errorf("%v", got)
	}
	if got := g.ask("PATCH", path, `{ "action": "RETRY" }`, 200); got["status"] != "QUEUED" {
		g.Errorf("%v", got)
	}
}

func (g *guide) templates() {
	g.Helper()
	made := g.ask("POST", "/api/v1/templates", `{
"key": "request-approved",
"channel": "SMS",
"name": "Request approved",
"body": "Hi {{firstName}}, request {{reference}} was approved."
}`, 201)
	sent := g.ask("POST", "/api/v1/messages", `{
"channel": "SMS",
"to": "233241234567",
"templateKey": "request-approved",
"variables": {
"firstName": "Ama",
"reference": "REQ-0042"
}
}`, 202)
	if got := g.becomes(sent["id"], "SENT"); got["body"] != "Hi Ama, request REQ-0042 was approved." || got["templateVersion"] != 1.0 {
		g.Errorf("%v", got)
	}
	path := fmt.Sprintf("/api/v1/templates/%s", made["id"])
	if got := g.ask("PATCH", path, `{"body":"{{reference}} was approved."}`, 200); got["version"] != 2.0 {
		g.Errorf("%v", got)
	}
	g.ask("GET", "/api/v1/templates", "", 200)
	g.ask("GET", path, "", 200)
	g.ask("POST", "/api/v1/templates", `{"key":"request-approved","channel":"SMS","name":"x","body":"y"}`, 409)
	missing := g.ask("POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","templateKey":"request-approved"}`, 422)
	if names := missing["details"].(map[string]any)["missing"]; fmt.Sprint(names) != "[reference]" {
		g.Errorf("%v", missing)
	}
	g.ask("DELETE", path, "", 204)
	g.ask("POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","templateKey":"request-approved"}`, 404)
}

func (g *guide) suppressions() {
	g.Helper()
	g.ask("POST", "/api/v1/suppressions", `{"channel":"SMS","address":"233241234599"}`, 201)
	if list := g.ask("GET", "/api/v1/suppressions", "", 200); len(list["data"].([]any)) != 1 {
		g.Errorf("%v", list)
	}
	sent := g.ask("POST", "/api/v1/messages", `{"channel":"SMS","to":"+233241234599","body":"x"}`, 202)
	if got := g.becomes(sent["id"], "SUPPRESSED"); got["attempts"] != 0.0 { // no provider call is made
		g.Errorf("%v", got)
	}
	g.ask("DELETE", "/api/v1/suppressions?channel=SMS&address=233241234599", "", 204)
}

func (g *guide) providers() {
	g.Helper()
	g.ask("POST", "/api/v1/provider-configs", `{
"providerType": "SMTP",
"name": "Company SMTP",
"priority": 1,
"config": {
"host": "mail.example.com",
"port": 587,
"username": "mailer@example.com",
"password": "...",
"from": "MyApp <no-reply@example.com>"
}
}`, 201)
	for kind, config := range map[string]string{
		"RESEND": `{"apiKey":"k","from":"no-reply@example.com"}`, "ARKESEL": `{"apiKey":"k","senderId":"MyApp"}`, "HUBTEL": `{"clientId":"c","clientSecret":"s","senderId":"MyApp"}`,
		"NALO": `{"authKey":"k","senderId":"MyApp"}`, "MNOTIFY": `{"apiKey":"k","senderId":"MyApp"}`,
	} {
		g.ask("POST", "/api/v1/provider-configs", `{"providerType":"`+kind+`","name":"`+kind+`","priority":9,"config":`+config+`}`, 201)
	}
	raw, err := json.Marshal(g.ask("GET", "/api/v1/provider-configs", "", 200))
	if err != nil || strings.Contains(string(raw), `"..."`) || strings.Contains(string(raw), `:"k"`) {
		g.Errorf("secrets in %s", raw)
	}
	if app := g.ask("PATCH", "/api/v1/app", `{
"sandboxMode": false
}`, 200); app["sandboxMode"] != false {
		g.Errorf("%v", app)
	}
}

// refusals are the guide's table of statuses, as far as they did not come up above.
func (g *guide) refusals() {
	g.Helper()
	g.ask("POST", "/api/v1/messages", `{"channel":"SMS"}`, 400)
	g.ask("GET", "/api/v1/messages", "", 401, func(h http.Header) { h.Set("X-API-Key", "cs_test_wrong") })
	g.ask("GET", "/api/v1/messages", "", 401, func(h http.Header) { h.Del("X-App-ID") })
	g.ask("GET", "/api/v1/messages/cmr00000000000000000000000", "", 404)
	g.curl(strings.Replace(guideProvision, `"ratePerMinute": 120`, `"ratePerMinute": 1, "updateExisting": true`, 1), "200", &struct{}{})
	for end := time.Now().Add(time.Minute); ; {
		req, err := http.NewRequestWithContext(g.Context(), "POST", g.p.url+"/api/v1/messages", strings.NewReader(`{"channel":"SMS","to":"233241234567","body":"x"}`))
		if err != nil {
			g.Fatal(err)
		}
		req.Header = http.Header{"X-App-Id": {"flowbase"}, "X-Api-Key": {g.vars["COMMS_API_KEY"]}, "Content-Type": {"application/json"}}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			g.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode == 429 && res.Header.Get("Retry-After") != "" {
			return
		}
		if time.Now().After(end) {
			g.Fatalf("the rate of one a minute was never used up: %d", res.StatusCode)
		}
	}
}
