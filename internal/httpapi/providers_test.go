package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/store/health"
)

func smtpChange(from string) registry.ProviderChange {
	kind := "SMTP"
	return registry.ProviderChange{Type: &kind, Config: map[string]any{"host": "mail.example.com", "port": 587.0, "from": from}}
}

func TestProviderConfigKeepsItsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
	config, _ := made.body["config"].(map[string]any)
	if made.status != 201 || config["password"] != registry.Masked || config["port"] != 587.0 || config["host"] != "mail.example.com" || made.body["callbackUrl"] != nil || made.body["priority"] != 1.0 {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	id, err := comm.ParseID(made.str("id"))
	if err != nil {
		t.Fatal(err)
	}
	path := "/api/v1/provider-configs/" + made.str("id")
	secret := func() string {
		t.Helper()
		c, err := w.store.ProviderConfig(context.Background(), one.app.ID, id)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(c.Secrets, []byte("secret-of-one")) || c.Settings["password"] != "" {
			t.Error("the secret is stored in the clear")
		}
		opened, err := w.reg.OpenSecrets(c)
		if err != nil {
			t.Fatal(err)
		}
		return opened["password"]
	}
	if secret() != "secret-of-one" {
		t.Error("the secret was not stored")
	}
	for _, step := range []struct{ body, password string }{
		{`{"name":"Renamed","priority":7}`, "secret-of-one"}, {`{"config":{"password":"********","port":465}}`, "secret-of-one"}, {`{"config":{"password":"other"}}`, "other"}, {`{"isActive":false,"ratePerSecond":5}`, "other"}, {`{"config":{"username":null,"password":null}}`, ""},
	} {
		got := w.do(one, "PATCH", path, step.body, nil)
		if got.status != 200 || strings.Contains(string(got.raw), "secret-of-one") {
			t.Fatalf("%s: %d %s", step.body, got.status, got.raw)
		}
		if secret() != step.password {
			t.Errorf("%s: password %q", step.body, secret())
		}
	}
	now := w.do(one, "GET", path, "", nil)
	config, _ = now.body["config"].(map[string]any)
	if now.str("name") != "Renamed" || config["port"] != 465.0 || now.body["isActive"] != false || now.body["ratePerSecond"] != 5.0 {
		t.Errorf("%s", now.raw)
	}
	if _, ok := config["password"]; ok {
		t.Errorf("a removed secret is still shown: %s", now.raw)
	}
	if strings.Contains(w.log.String(), "secret-of-one") {
		t.Error("the secret is in the log")
	}
	if gone := w.do(one, "DELETE", path, "", nil); gone.status != 204 || len(gone.raw) != 0 {
		t.Errorf("%d %s", gone.status, gone.raw)
	}
	if again := w.do(one, "DELETE", path, "", nil); again.status != 404 {
		t.Errorf("%d", again.status)
	}
}

// Whoever may see a configuration sees that it does not work, in the list and alone; nobody else's trouble is shown.
func TestAProviderInTroubleSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	add := func(who tenant) comm.ID {
		made := w.do(who, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
		id, err := comm.ParseID(made.str("id"))
		if made.status != 201 || err != nil {
			t.Fatalf("%d %s", made.status, made.raw)
		}
		return id
	}
	ill, well, sealed := add(one), add(one), add(one)
	other := add(two)
	if _, err := w.store.Beat(ctx, store.NodeInfo{Node: "sender", Role: "worker", Version: "test", Lease: time.Minute.Microseconds()}); err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetProviderTroubles(ctx, "sender", []store.ProviderTrouble{
		{App: one.app.ID, ID: ill, Reason: chain.WaitDown, Code: "connect_failed", Since: 1_700_000_000_000_000},
		{App: one.app.ID, ID: sealed, Reason: chain.WaitCredentials, Since: 1}, {App: two.app.ID, ID: other, Reason: chain.WaitDown, Since: 1}}, nil); err != nil {
		t.Fatal(err)
	}
	list := w.do(one, "GET", "/api/v1/provider-configs", "", nil)
	var got struct {
		Data []struct {
			ID       string
			Warnings []struct{ Code, Message string }
		}
	}
	if err := json.Unmarshal(list.raw, &got); err != nil || len(got.Data) != 3 {
		t.Fatalf("%s %v", list.raw, err)
	}
	for _, p := range got.Data {
		want := map[string]string{ill.String(): "provider_down", sealed.String(): "credentials_unavailable"}[p.ID]
		if want == "" && len(p.Warnings) != 0 || want != "" && (len(p.Warnings) != 1 || p.Warnings[0].Code != want) {
			t.Errorf("%s (%s is well): %+v", p.ID, well, p.Warnings)
		}
		if want == "provider_down" && !strings.Contains(p.Warnings[0].Message, "since 2023-11-14T22:13:20.000Z, the last one with connect_failed") {
			t.Error(p.Warnings[0].Message)
		}
	}
	if alone := w.do(one, "GET", "/api/v1/provider-configs/"+ill.String(), "", nil); !bytes.Contains(alone.raw, []byte(`"code":"provider_down"`)) {
		t.Errorf("%s", alone.raw)
	}
}

// TestAProviderConfigSaysHowItIs: to whom it belongs, what nodes say of it and what its last outages were; the names of nodes are
// for who runs them.
func TestAProviderConfigSaysHowItIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	c := readContract(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	made := w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
	id, err := comm.ParseID(made.str("id"))
	if err != nil || made.body["health"] != nil {
		t.Fatalf("%s %v", made.raw, err)
	}
	path := "/api/v1/provider-configs/" + id.String()
	how := func(got answer) map[string]any {
		t.Helper()
		c.answer(t, "GET", "/api/v1/provider-configs/{id}", got)
		h, _ := got.body["health"].(map[string]any)
		if got.status != 200 || h == nil {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		return h
	}
	if h := how(w.do(one, "GET", path, "", nil)); h["state"] != "WORKS" || h["since"] != nil || len(h["outages"].([]any)) != 0 {
		t.Errorf("%v", h)
	}
	a := store.Alert{Kind: alert.ProviderDown, Subject: id.String(), RaisedAt: 1_700_000_000_000_000, ClearedAt: 1_700_000_600_000_000, Told: "{}",
		Body: `{"text":"x","outage":{"since":1,"until":1700000500000000,"reason":"provider_down","code":"timeout","answer":"no answer","carried":[{"id":"` + id.String() + `","name":"spare","messages":7}]},"past":[{"since":1600000000000000,"until":1600000060000000}]}`}
	if _, err := w.store.SaveAlert(ctx, &a); err != nil {
		t.Fatal(err)
	}
	if h := how(w.do(one, "GET", path, "", nil)); h["state"] != "WORKS" || h["since"] != "2023-11-14T22:21:40.000Z" ||
		fmt.Sprint(h["outages"]) != "[map[answer:no answer carried:[map[id:"+id.String()+" messages:7 name:spare]] code:timeout endedAt:2023-11-14T22:21:40.000Z reason:provider_down since:2023-11-14T22:13:20.000Z]"+
			" map[answer:<nil> carried:[] code:<nil> endedAt:2020-09-13T12:27:40.000Z reason:<nil> since:2020-09-13T12:26:40.000Z]]" {
		t.Errorf("%v", h)
	}
	carried, err := health.EncodeCarriers([]health.Carrier{{ID: comm.ID{5}, Name: "spare", Messages: 3}})
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"node-a", "node-b", "node-c"} {
		if _, err := w.store.Beat(ctx, store.NodeInfo{Node: node, Role: "worker", Version: "test", Lease: time.Minute.Microseconds()}); err != nil {
			t.Fatal(err)
		}
	}
	say := func(node string, since, next comm.Micros, breaker, code string) {
		t.Helper()
		if err := w.store.SetProviderTroubles(ctx, node, []store.ProviderTrouble{{App: one.app.ID, ID: id, Reason: chain.WaitDown, Code: code, Text: "said " + code, Since: since, NextAt: next, Breaker: breaker, Carried: carried}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	say("node-a", 1_700_000_700_000_000, 0, "closed", "451")
	if h := how(w.do(one, "GET", path, "", nil)); h["state"] != "FAILING" || h["code"] != "451" || h["nextTryAt"] != nil {
		t.Errorf("%v", h)
	}
	say("node-b", 1_700_000_800_000_000, 1_700_000_900_000_000, "open", "535")
	say("node-c", 1_700_000_850_000_000, 0, "half_open", "451")
	own := how(w.do(one, "GET", path, "", nil))
	if own["state"] != "DOWN" || own["code"] != "535" || own["answer"] != "said 535" || own["since"] != "2023-11-14T22:25:00.000Z" || own["nextTryAt"] != nil ||
		fmt.Sprint(own["carried"]) != "[map[id:"+(comm.ID{5}).String()+" messages:9 name:spare]]" || len(own["nodes"].([]any)) != 3 {
		t.Errorf("%v", own)
	}
	nodes := func(h map[string]any) (names string) {
		for _, n := range h["nodes"].([]any) {
			names += fmt.Sprint(n.(map[string]any)["node"], " ", n.(map[string]any)["state"], ";")
		}
		return names
	}
	if got := nodes(own); got != "<nil> FAILING;<nil> DOWN;<nil> TRYING;" {
		t.Errorf("an app is told %s", got)
	}
	if got := nodes(how(w.as("one", "GET", path, ""))); got != "node-a FAILING;node-b DOWN;node-c TRYING;" {
		t.Errorf("the administrator is told %s", got)
	}
	list := w.do(one, "GET", "/api/v1/provider-configs", "", nil)
	c.answer(t, "GET", "/api/v1/provider-configs", list)
	if h := list.items()[0]["health"].(map[string]any); h["state"] != "DOWN" || h["outages"] != nil {
		t.Errorf("in the list: %v", h)
	}
	if got := w.do(two, "GET", path, "", nil); got.status != 404 || bytes.Contains(got.raw, []byte("535")) {
		t.Errorf("another app: %d %s", got.status, got.raw)
	}
	w.do(one, "PATCH", path, `{"isActive":false}`, nil)
	if h := how(w.do(one, "GET", path, "", nil)); h["state"] != "OFF" || len(h["nodes"].([]any)) != 0 {
		t.Errorf("switched off: %v", h)
	}
}

// TestAProviderConfigSaysHowCallsGo: that its provider asked for a pause and until when, and how many calls failed lately, of all nodes.
func TestAProviderConfigSaysHowCallsGo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	c := readContract(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	add := func(who tenant) comm.ID {
		made := w.do(who, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
		id, err := comm.ParseID(made.str("id"))
		if err != nil {
			t.Fatalf("%s %v", made.raw, err)
		}
		return id
	}
	id, well := add(one), add(one)
	add(two)
	now, err := w.store.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	first, last := now.Add(10*time.Minute), now.Add(20*time.Minute)
	for node, said := range map[string]store.ProviderStrain{"node-a": {ThrottledUntil: last, Calls: 3}, "node-b": {ThrottledUntil: first, Calls: 37, Failed: 12}} {
		if _, err := w.store.Beat(ctx, store.NodeInfo{Node: node, Role: "worker", Version: "test", Lease: time.Minute.Microseconds()}); err != nil {
			t.Fatal(err)
		}
		said.App, said.ID = one.app.ID, id
		if err := w.store.SetProviderStrains(ctx, node, []store.ProviderStrain{said}); err != nil {
			t.Fatal(err)
		}
	}
	path := "/api/v1/provider-configs/" + id.String()
	got := w.do(one, "GET", path, "", nil)
	c.answer(t, "GET", "/api/v1/provider-configs/{id}", got)
	h := got.body["health"].(map[string]any)
	if h["state"] != "WORKS" || h["throttledUntil"] != last.String() || fmt.Sprint(h["lately"]) != "map[calls:40 failed:12]" || got.body["warnings"] != nil {
		t.Errorf("%s", got.raw)
	}
	for who, ids := range map[*tenant]map[string]bool{&one: {id.String(): true, well.String(): false}, &two: {}} {
		list := w.do(*who, "GET", "/api/v1/provider-configs", "", nil)
		c.answer(t, "GET", "/api/v1/provider-configs", list)
		for _, p := range list.items() {
			h := p["health"].(map[string]any)
			if strained := ids[p["id"].(string)]; strained != (h["throttledUntil"] != nil) || strained != (h["lately"] != nil) {
				t.Errorf("%v", p)
			}
		}
	}
	w.do(one, "PATCH", path, `{"isActive":false}`, nil)
	if h := w.do(one, "GET", path, "", nil).body["health"].(map[string]any); h["state"] != "OFF" || h["throttledUntil"] != nil || h["lately"] != nil {
		t.Errorf("switched off: %v", h)
	}
}

// TestOfNodesThatDisagreeOneReasonIsTold: by the alert, by the warning and by the API.
func TestOfNodesThatDisagreeOneReasonIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
	id, err := comm.ParseID(made.str("id"))
	if err != nil {
		t.Fatalf("%s %v", made.raw, err)
	}
	const first, later comm.Micros = 1_700_000_000_000_000, 1_700_000_060_000_000
	down := func(breaker pace.State, since comm.Micros, code string) store.ProviderTrouble {
		return store.ProviderTrouble{App: one.app.ID, ID: id, Reason: chain.WaitDown, Since: since, Breaker: breaker.String(), Code: code, Text: "said " + code}
	}
	cannot := func(reason string) store.ProviderTrouble {
		return store.ProviderTrouble{App: one.app.ID, ID: id, Reason: reason, Since: later}
	}
	for name, c := range map[string]struct {
		a, b                store.ProviderTrouble
		state, reason, code string
	}{
		"the later one is worse":              {down(pace.Closed, first, "451"), down(pace.Open, later, "535"), "DOWN", chain.WaitDown, "535"},
		"the first one is worse":              {down(pace.Open, first, "451"), down(pace.HalfOpen, later, "535"), "DOWN", chain.WaitDown, "451"},
		"a later one cannot open the secrets": {down(pace.Open, first, "451"), cannot(chain.WaitCredentials), "UNUSABLE", chain.WaitCredentials, ""},
		"a later one does not know the type":  {down(pace.Open, first, "451"), cannot(chain.WaitAdapter), "UNUSABLE", chain.WaitAdapter, ""},
		"a later one cannot send with it":     {down(pace.Open, first, "451"), cannot(chain.WaitCannotSend), "UNUSABLE", chain.WaitCannotSend, ""},
	} {
		for node, said := range map[string]store.ProviderTrouble{"node-a": c.a, "node-b": c.b} {
			if _, err := w.store.Beat(ctx, store.NodeInfo{Node: node, Role: "worker", Version: "test", Lease: time.Minute.Microseconds()}); err != nil {
				t.Fatal(err)
			}
			if err := w.store.SetProviderTroubles(ctx, node, []store.ProviderTrouble{said}, nil); err != nil {
				t.Fatal(err)
			}
		}
		got := w.do(one, "GET", "/api/v1/provider-configs/"+id.String(), "", nil)
		h, _ := got.body["health"].(map[string]any)
		code, _ := h["code"].(string)
		if h["state"] != c.state || h["reason"] != c.reason || code != c.code || h["since"] != first.String() {
			t.Errorf("%s: the API says %v", name, h)
		}
		warnings, _ := got.body["warnings"].([]any)
		if len(warnings) != 1 {
			t.Fatalf("%s: warnings %v", name, warnings)
		}
		warning := warnings[0].(map[string]any)
		if text := warning["message"].(string); warning["code"] != c.reason || c.code != "" && !strings.Contains(text, "since "+first.String()+", the last one with "+c.code) {
			t.Errorf("%s: the warning says %v", name, warning)
		}
		look := alert.Looks(w.store, 0)[0]
		found, err := look.Find(ctx, later)
		if err != nil || len(found.All) != 1 {
			t.Fatalf("%s: %+v %v", name, found, err)
		}
		f := found.All[0]
		want := chain.WaitText(c.reason)
		if c.code != "" {
			want += " Its last answer: " + c.code + "."
		}
		if f.Kind != alert.ProviderDown || f.Since != first || f.Outage.Since != first || f.Outage.Reason != c.reason || f.Outage.Code != c.code || !strings.HasSuffix(f.Text, "does not work. "+want) {
			t.Errorf("%s: the alert says %+v %+v", name, f, f.Outage)
		}
	}
}

func TestBadProviderConfigs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	base := map[string]string{"providerType": `"SMTP"`, "config": `{"host":"mail.example.com"}`}
	host := func(h string) string { return `"config":{"host":` + quoted(h) + `}` }
	for _, members := range []string{
		host("127.0.0.1"), host("169.254.169.254"), host("metadata.google.internal"), host("[::ffff:10.0.0.1]"), host("localhost"), host("0x7f.1"), host("2130706433"), host("a b"), host(""),
		`"config":{}`, `"config":{"host":"mail.example.com","port":22}`, `"config":{"host":"mail.example.com","port":0}`, `"config":{"host":"mail.example.com","port":"587"}`, `"config":{"host":"mail.example.com","port":587.5}`,
		`"config":{"host":"mail.example.com","port":99999}`, `"config":{"host":"mail.example.com","baseUrl":"file:///etc/passwd"}`, `"config":{"host":"mail.example.com","secure":"yes"}`, `"config":{"host":"mail.example.com","nope":1}`,
		`"config":{"host":"mail.example.com","from":"x"}`, `"config":{"host":"mail.example.com","password":"` + strings.Repeat("p", 100_000) + `"}`, `"config":"mail.example.com"`, `"config":null`,
		`"config":{"host":"mail.example.com\r\nQUIT"}`, `"providerType":"NOPE"`, `"providerType":"smtp"`, `"providerType":null`, `"priority":-1`, `"priority":1.5`, `"priority":"1"`, `"name":""`, `"isActive":"yes"`, `"ratePerSecond":-1`, `"ratePerSecond":1.5`, `"ratePerDay":"1"`, `"appId":"c"`,
	} {
		got := w.do(one, "POST", "/api/v1/provider-configs", overlay(base, members), nil)
		if got.status != 400 || strings.HasPrefix(members, `"ratePer`) && got.code() != "invalid_config" {
			t.Errorf("%s: %d %s", members[:min(len(members), 80)], got.status, got.raw)
		}
	}
	if got := w.do(one, "GET", "/api/v1/provider-configs", "", nil); len(got.body["data"].([]any)) != 0 {
		t.Errorf("stored: %s", got.raw)
	}
	made := w.do(one, "POST", "/api/v1/provider-configs", overlay(base, ""), nil)
	if made.status != 201 || made.body["priority"] != 100.0 {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	for _, body := range []string{`{"providerType":"OTHER"}`, `{"config":{"host":"10.0.0.1"}}`, `{"config":{"host":null}}`, `{"id":"x"}`} {
		if got := w.do(one, "PATCH", "/api/v1/provider-configs/"+made.str("id"), body, nil); got.status != 400 {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
	}
}
