package httpapi

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

const flowbase = `{"name":"FlowBase","slug":"flowbase","ratePerMinute":120,"scopes":["SEND","READ","PROVIDERS","TEMPLATES"]}`

func provision(w *world, body string) answer {
	return w.do(tenant{}, "POST", "/api/provision/apps", body, map[string]string{"X-Provisioning-Key": provisioningKey})
}

func TestProvisionAsInTheGuide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := provision(w, flowbase)
	app, _ := got.body["app"].(map[string]any)
	if got.status != 201 || app["slug"] != "flowbase" || app["sandboxMode"] != true || !strings.HasPrefix(got.str("apiKey"), "cs_test_") || got.body["alreadyRegistered"] != false {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	stored, err := w.store.AppBySlug(context.Background(), "flowbase")
	if err != nil || stored.RatePerMinute != 120 {
		t.Fatalf("%+v %v", stored, err)
	}
	flow := tenant{stored, got.str("apiKey")}
	if sent := w.do(flow, "POST", "/api/v1/messages", smsBody, nil); sent.status != 202 {
		t.Errorf("%d %s", sent.status, sent.raw)
	}
	again := provision(w, flowbase)
	if again.status != 200 || again.body["apiKey"] != nil || again.body["alreadyRegistered"] != true {
		t.Errorf("%d %s", again.status, again.raw)
	}
	rotated := provision(w, `{"name":"FlowBase","slug":"flowbase","rotateKey":true,"updateExisting":true,"ratePerMinute":240}`)
	if rotated.status != 200 || rotated.str("apiKey") == "" || rotated.str("apiKey") == flow.key {
		t.Fatalf("%d %s", rotated.status, rotated.raw)
	}
	if old := w.do(flow, "GET", "/api/v1/app", "", nil); old.status != 401 {
		t.Errorf("the old key still works: %d", old.status)
	}
	now := w.do(tenant{stored, rotated.str("apiKey")}, "GET", "/api/v1/provider-configs", "", nil)
	if now.status != 200 {
		t.Errorf("the new key lost its scopes: %d %s", now.status, now.raw)
	}
	if app := w.do(tenant{stored, rotated.str("apiKey")}, "GET", "/api/v1/app", "", nil); app.body["ratePerMinute"] != 240.0 {
		t.Errorf("%s", app.raw)
	}
}

func TestProvisionOverlapKeepsTheOldKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := provision(w, flowbase)
	stored, err := w.store.AppBySlug(context.Background(), "flowbase")
	if err != nil {
		t.Fatal(err)
	}
	provision(w, `{"name":"FlowBase","slug":"flowbase","rotateKey":true,"rotateOverlapSeconds":60}`)
	if old := w.do(tenant{stored, first.str("apiKey")}, "GET", "/api/v1/app", "", nil); old.status != 200 {
		t.Errorf("%d %s", old.status, old.raw)
	}
}

func TestManyProvisionersOneApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var mu sync.Mutex
	var wg sync.WaitGroup
	statuses, keys := map[int]int{}, 0
	for range 30 {
		wg.Go(func() {
			got := provision(w, flowbase)
			mu.Lock()
			defer mu.Unlock()
			statuses[got.status]++
			if got.body["apiKey"] != nil {
				keys++
			}
		})
	}
	wg.Wait()
	if statuses[201] != 1 || statuses[200] != 29 || keys != 1 {
		t.Errorf("%v, %d keys", statuses, keys)
	}
}

func TestBadProvisioning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, set := range map[string]map[string]string{
		"no key": {}, "wrong key": {"X-Provisioning-Key": "wrong"}, "app key header": {"X-API-Key": provisioningKey}, "bearer": {"Authorization": "Bearer " + provisioningKey},
	} {
		if got := w.do(tenant{}, "POST", "/api/provision/apps", flowbase, set); got.status != 401 || string(got.raw) != unprovisionedBody {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
	valid := map[string]string{"name": `"X"`, "slug": `"abc"`}
	bad := []string{
		`"slug":"Flow Base"`, `"slug":".."`, `"slug":"admin"`, `"slug":"` + strings.Repeat("a", 100) + `"`, `"slug":"-a"`, `"slug":null`, `"slug":"c0123456789abcdefghijklmn"`, `"name":""`, `"name":" x"`, `"name":"a\nb"`,
		`"ratePerMinute":0`, `"ratePerMinute":-1`, `"ratePerMinute":1e12`, `"ratePerMinute":1000001`, `"ratePerMinute":"5"`, `"scopes":["ROOT"]`, `"scopes":[]`, `"scopes":"SEND"`,
		`"webhookUrl":"https://10.0.0.1/x"`, `"webhookUrl":"http://example.com/x"`, `"webhookUrl":"file:///etc/passwd"`, `"webhookUrl":"https://u:p@example.com/"`, `"webhookUrl":"https://example.com/","webhookSecret":"short"`,
		`"rotateOverlapSeconds":-1`, `"rotateOverlapSeconds":90000`, `"sandboxMode":false`, `"id":"c"`,
	}
	refused := func() {
		t.Helper()
		for _, members := range bad {
			if got := provision(w, overlay(valid, members)); got.status != 400 {
				t.Errorf("%s: %d %s", members, got.status, got.raw)
			}
		}
	}
	refused()
	apps, err := w.store.AppList(context.Background(), comm.ID{}, 10)
	if err != nil || len(apps) != 0 {
		t.Errorf("%d apps stored, %v", len(apps), err)
	}
	got := provision(w, overlay(valid, `"webhookUrl":"https://example.com/hook"`))
	if got.status != 201 || !strings.HasPrefix(got.str("webhookSecret"), "whsec_") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	refused() // an app that exists is found only by a request that would make one
}

func TestLeavingTheSandbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	got := w.do(one, "PATCH", "/api/v1/app", `{"sandboxMode":false}`, nil)
	if got.status != 200 || got.body["sandboxMode"] != false || len(got.body["warnings"].([]any)) != 2 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	sent := w.do(one, "POST", "/api/v1/messages", sms(""), nil) // the change is seen at once
	if sent.status != 202 || !strings.Contains(string(sent.raw), `"no_provider"`) {
		t.Errorf("%d %s", sent.status, sent.raw)
	}
	if view := w.do(one, "GET", "/api/v1/messages/"+sent.str("id"), "", nil); view.body["sandbox"] != false {
		t.Errorf("%s", view.raw)
	}
	w.do(one, "POST", "/api/v1/provider-configs", `{"providerType":"SMTP","name":"No sender","config":{"host":"mail.example.com"}}`, nil)
	if mail := w.do(one, "POST", "/api/v1/messages", email(""), nil); mail.status != 202 || !strings.Contains(string(mail.raw), `"no_sender"`) {
		t.Errorf("without any sender: %d %s", mail.status, mail.raw)
	}
	w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
	if mail := w.do(one, "POST", "/api/v1/messages", email(`"from":"anybody@elsewhere.example"`), nil); mail.status != 202 || strings.Contains(string(mail.raw), "warnings") {
		t.Errorf("own configurations allow any sender: %d %s", mail.status, mail.raw)
	}
}

// TestWhyItWaitsIsKnownAtOnce: what the settings tell does not wait for the dispatcher.
func TestWhyItWaitsIsKnownAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.tenant("live", comm.AllScopes, func(a *comm.App) { a.Sandbox = false })
	config := w.do(live, "POST", "/api/v1/provider-configs", `{"providerType":"SMTP","name":"Off","isActive":false,"config":{"host":"mail.example.com","from":"a@b.example"}}`, nil)
	sent := w.do(live, "POST", "/api/v1/messages", email(""), nil)
	for _, path := range []string{"/api/v1/messages/" + sent.str("id"), "/api/v1/messages"} {
		if got := w.do(live, "GET", path, "", nil); got.status != 200 || !strings.Contains(string(got.raw), `"waitingFor":"provider_off"`) {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	w.do(live, "PATCH", "/api/v1/provider-configs/"+config.str("id"), `{"isActive":true}`, nil)
	if got := w.do(live, "GET", "/api/v1/messages/"+sent.str("id"), "", nil); !strings.Contains(string(got.raw), `"waitingFor":"turn"`) {
		t.Errorf("switched on: %s", got.raw)
	}
}

func TestSendersOnTheServersChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.tenant("live", comm.AllScopes, func(a *comm.App) {
		a.Sandbox, a.AllowedFrom = false, []string{"ok@allowed.example", "@domain.example", "bare.example"}
	})
	if _, err := w.reg.CreateProvider(context.Background(), comm.ID{}, smtpChange("server@our.example")); err != nil {
		t.Fatal(err)
	}
	for from, status := range map[string]int{
		"ok@allowed.example": 202, "OK@Allowed.example": 202, "x <a@domain.example>": 202, "a@bare.example": 202, "Us <server@our.example>": 202,
		"other@allowed.example": 403, "a@sub.domain.example": 403, "a@evil.example": 403,
	} {
		got := w.do(live, "POST", "/api/v1/messages", email(`"from":`+quoted(from)), nil)
		if got.status != status || status == 403 && got.code() != "from_not_allowed" {
			t.Errorf("%s: %d %s", from, got.status, got.raw)
		}
	}
}

// TestReplayBeforeTheSendersRule is promise 7: what was accepted once is
// answered as a replay although it would be refused today.
func TestReplayBeforeTheSendersRule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.tenant("live", comm.AllScopes, func(a *comm.App) { a.Sandbox, a.AllowedFrom = false, []string{"a@x.example"} })
	if _, err := w.reg.CreateProvider(context.Background(), comm.ID{}, smtpChange("server@our.example")); err != nil {
		t.Fatal(err)
	}
	body := email(`"from":"a@x.example","idempotencyKey":"k"`)
	first := w.do(live, "POST", "/api/v1/messages", body, nil)
	app := *live.app
	app.AllowedFrom = nil
	if err := w.store.UpdateApp(context.Background(), &app, comm.At(time.Now())); err != nil {
		t.Fatal(err)
	}
	w.changed(comm.ID{})
	if again := w.do(live, "POST", "/api/v1/messages", body, nil); again.status != 200 || again.str("id") != first.str("id") {
		t.Errorf("%d %s", again.status, again.raw)
	}
	if other := w.do(live, "POST", "/api/v1/messages", strings.Replace(body, `"k"`, `"l"`, 1), nil); other.status != 403 {
		t.Errorf("%d %s", other.status, other.raw)
	}
	if clash := w.do(live, "POST", "/api/v1/messages", email(`"from":"a@x.example","subject":"other","idempotencyKey":"k"`), nil); clash.status != 409 {
		t.Errorf("%d %s", clash.status, clash.raw)
	}
}

// TestWebhookAddresses: an address that deliveries could not be made to safely is
// refused when it is saved, at both doors, and nothing is stored.
func TestWebhookAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for _, address := range []string{
		"http://example.com/hook", "HTTP://example.com/hook", "ftp://example.com/", "//example.com/hook", "example.com/hook", "https://", "https:///hook", " https://example.com",
		"https://user@example.com/", "https://user:pass@example.com/", "https://example.com/#part", "https://example.com:22/", "https://example.com:8443/", "https://example.com:0/", "https://example.com:/",
		"https://localhost/", "https://LOCALHOST./", "https://app.localhost/", "https://metadata.google.internal/", "https://127.0.0.1/", "https://127.1/", "https://2130706433/",
		"https://0x7f000001/", "https://0177.0.0.1/", "https://0.0.0.0/", "https://10.1.2.3/", "https://172.16.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data",
		"https://100.64.0.1/", "https://[::1]/", "https://[::]/", "https://[::ffff:10.0.0.1]/", "https://[fd00::1]/", "https://[fe80::1]/", "https://[fe80::1%25eth0]/",
		"https://[64:ff9b::a00:1]/", "https://224.0.0.1/", "https://ex ample.com/", "https://exаmple.com/", "https://example.com/\\n", "https://" + strings.Repeat("a", 2048) + ".com/",
	} {
		quoted, err := json.Marshal(address)
		if err != nil {
			t.Fatal(err)
		}
		for door, got := range map[string]answer{
			"PATCH app": w.do(one, "PATCH", "/api/v1/app", `{"webhookUrl":`+string(quoted)+`}`, nil),
			"provision": provision(w, `{"name":"X","slug":"abc","webhookUrl":`+string(quoted)+`}`),
		} {
			fields, _ := got.body["details"].(map[string]any)["fields"].(map[string]any)
			if got.status != 400 || got.code() != "invalid_webhook_url" || fields["webhookUrl"] == nil {
				t.Errorf("%s %s: %d %s", door, address, got.status, got.raw)
			}
		}
	}
	for _, address := range []string{"https://hooks.example.com/path?x=1", "https://example.com:443/hook", "https://EXAMPLE.com", "https://8.8.8.8/hook", "https://[2606:4700:4700::1111]/"} {
		if got := w.do(one, "PATCH", "/api/v1/app", `{"webhookUrl":"`+address+`"}`, nil); got.status != 200 || !strings.EqualFold(got.str("webhookUrl"), address) {
			t.Errorf("%s: %d %s", address, got.status, got.raw)
		}
	}
	if got := w.do(one, "PATCH", "/api/v1/app", `{"webhookUrl":null}`, nil); got.status != 200 || got.body["webhookUrl"] != nil {
		t.Errorf("null does not remove it: %d %s", got.status, got.raw)
	}
}

// TestChangesAtOnceAreAllMade: no change is refused because another one of the same thing came
// at the same instant, and none undoes another: an app, a provider configuration, a template.
func TestChangesAtOnceAreAllMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	provider := "/api/v1/provider-configs/" + tried(w, one)
	template := "/api/v1/templates/" + w.template(one, "k")
	admin := map[string]string{"X-Admin-Key": adminKey, "X-App-ID": "", "X-API-Key": ""}
	changes := []struct {
		path, body string
		headers    map[string]string
	}{
		{"/api/v1/app", `{"onUnknownOutcome":"FAIL"}`, nil}, {"/api/v1/app", `{"webhookUrl":"https://example.com/h"}`, nil}, {"/api/admin/apps/one", `{"ratePerMinute":77}`, admin}, {"/api/admin/apps/one", `{"name":"Renamed"}`, admin},
		{provider, `{"priority":7}`, nil}, {provider, `{"name":"Renamed"}`, nil}, {provider, `{"config":{"host":"mail2.example.com"}}`, nil}, {provider, `{"ratePerSecond":9}`, nil},
		{template, `{"name":"Renamed"}`, nil}, {template, `{"body":"other {{x}}"}`, nil},
	}
	for round := range 4 {
		var all sync.WaitGroup
		for range 3 {
			for _, c := range changes {
				all.Go(func() {
					if got := w.do(one, "PATCH", c.path, c.body, c.headers); got.status != 200 {
						t.Errorf("round %d: %s %s: %d %s", round, c.path, c.body, got.status, got.raw)
					}
				})
			}
		}
		all.Wait()
	}
	app, p, tpl := w.do(one, "GET", "/api/v1/app", "", nil), w.do(one, "GET", provider, "", nil), w.do(one, "GET", template, "", nil)
	if app.str("onUnknownOutcome") != "FAIL" || app.str("webhookUrl") != "https://example.com/h" || app.body["ratePerMinute"] != 77.0 || app.str("name") != "Renamed" ||
		p.body["priority"] != 7.0 || p.str("name") != "Renamed" || dig(p.body, "config")["host"] != "mail2.example.com" || p.body["ratePerSecond"] != 9.0 ||
		tpl.str("name") != "Renamed" || tpl.str("body") != "other {{x}}" {
		t.Errorf("%s\n%s\n%s", app.raw, p.raw, tpl.raw)
	}
}
