package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/all"
	"github.com/commserver/commserver/internal/registry"
)

// whole is a configuration of each type with every field that goes together.
func whole() map[string]map[string]any {
	sid := strings.Repeat("0a", 16)
	return map[string]map[string]any{
		"RESEND":  {"apiKey": "re_hidden-1", "from": "MyApp <no-reply@example.com>", "webhookSecret": "whsec_aGlkZGVuLWhpZGRlbg==", "baseUrl": "https://api.eu.resend.com"},
		"SMTP":    {"host": "mail.example.com", "port": 587.0, "secure": false, "username": "u", "password": "hidden-2", "from": "a@example.com", "returnPath": "bounces@example.com"},
		"ARKESEL": {"apiKey": "hidden-3", "senderId": "SHOP", "useCase": "transactional", "webhookSecret": "hidden-4-hidden-4", "baseUrl": "https://sms.example.com"},
		"HUBTEL":  {"clientId": "abc", "clientSecret": "hidden-5", "senderId": "SHOP", "baseUrl": "https://smsc.hubtel.com"},
		"NALO":    {"authKey": "hidden-6(!#@&)", "senderId": "SHOP", "baseUrl": "https://sms.nalosolutions.com/smsbackend/Other"},
		"MNOTIFY": {"apiKey": "hidden-7", "senderId": "SHOP", "baseUrl": "https://api.mnotify.com/api"},
		"TWILIO":  {"accountSid": "AC" + sid, "authToken": "hidden-8", "messagingServiceSid": "MG" + sid, "baseUrl": "https://api.ie1.twilio.com"},
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestEveryTypeIsKeptSealedAndMasked: what every type of the guide promises, whether or not this version sends with it.
func TestEveryTypeIsKeptSealedAndMasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for _, a := range adapters() {
		config := whole()[a.Type]
		if config == nil {
			t.Errorf("%s: no configuration in this test", a.Type)
			continue
		}
		made := w.do(one, "POST", "/api/v1/provider-configs", asJSON(t, map[string]any{"providerType": a.Type, "config": config, "ratePerSecond": 2, "ratePerDay": 3, "maxConcurrency": 4, "pinned": true}), nil)
		if made.status != 201 || made.str("channel") != a.Channel.String() || made.str("name") != a.Title || made.body["ratePerSecond"] != 2.0 || made.body["ratePerDay"] != 3.0 || made.body["maxConcurrency"] != 4.0 || made.body["pinned"] != true {
			t.Errorf("%s: %d %s", a.Type, made.status, made.raw)
			continue
		}
		path := "/api/v1/provider-configs/" + made.str("id")
		shown := maps.Clone(config)
		for _, f := range a.Fields {
			if _, set := config[f.Name]; set && f.Secret {
				shown[f.Name] = registry.Masked
			}
		}
		for name, got := range map[string]answer{"POST": made, "GET": w.do(one, "GET", path, "", nil), "PATCH": w.do(one, "PATCH", path, `{"priority":5}`, nil)} {
			if !reflect.DeepEqual(got.body["config"], any(shown)) {
				t.Errorf("%s of %s shows %v, want %v", name, a.Type, got.body["config"], shown)
			}
			if warned := strings.Contains(string(got.raw), comm.WarnCannotSend); warned != (a.Open == nil) {
				t.Errorf("%s of %s: warned %v: %s", name, a.Type, warned, got.raw)
			}
			if got.body["callbackUrl"] != made.body["callbackUrl"] {
				t.Errorf("%s of %s: the callback URL changes: %s", name, a.Type, got.raw)
			}
		}
		form := regexp.MustCompile("^http://localhost:3008/api/callbacks/" + strings.ToLower(a.Type) + "/" + made.str("id") + "/[A-Za-z0-9_-]{32}$")
		if url, _ := made.body["callbackUrl"].(string); form.MatchString(url) != a.Reports() || a.Reports() != (a.Type != "SMTP") {
			t.Errorf("%s: callback URL %v", a.Type, made.body["callbackUrl"])
		}
		stored(t, w, one, made.str("id"), &a, config)
	}
	list := w.do(one, "GET", "/api/v1/provider-configs", "", nil)
	for _, where := range []string{string(list.raw), w.log.String()} {
		if strings.Contains(where, "hidden") || strings.Contains(where, "aGlkZGVu") {
			t.Error("a secret comes out")
		}
	}
	if strings.Contains(w.log.String(), "/callbacks/") {
		t.Error("a callback URL is in the log")
	}
}

// stored looks at the row: no secret in clear, and the token of the callback among the sealed.
func stored(t *testing.T, w *world, who tenant, text string, a *provider.Adapter, config map[string]any) {
	t.Helper()
	id, err := comm.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := w.store.ProviderConfig(context.Background(), who.app.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(c.Secrets, []byte("hidden")) || strings.Contains(fmt.Sprint(c.Settings), "hidden") {
		t.Errorf("%s: a secret is stored in clear", a.Type)
	}
	secrets, err := w.reg.OpenSecrets(c)
	if err != nil || (secrets[provider.CallbackToken] != "") != a.Reports() {
		t.Errorf("%s: %v", a.Type, err)
	}
	for _, f := range a.Fields {
		if f.Secret && config[f.Name] != nil && secrets[f.Name] != config[f.Name] {
			t.Errorf("%s: %s was not kept", a.Type, f.Name)
		}
	}
}

// TestBadFieldsOfEveryType is B90 for each type: 400, nothing stored, and the field is named.
func TestBadFieldsOfEveryType(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for _, a := range all.Adapters() {
		bad := map[string]map[string]any{"nope": {"nope": "x"}, "of another type": {"smppSystemId": "x"}, "the token": {provider.CallbackToken: "x"}}
		for _, f := range a.Fields {
			for name, value := range badValues(&f) {
				bad[f.Name+" "+name] = map[string]any{f.Name: value}
			}
		}
		for name, change := range bad {
			config := maps.Clone(whole()[a.Type])
			maps.Copy(config, change)
			got := w.do(one, "POST", "/api/v1/provider-configs", asJSON(t, map[string]any{"providerType": a.Type, "config": config}), nil)
			field := slices.Collect(maps.Keys(change))[0]
			fields, _ := got.body["details"].(map[string]any)["fields"].(map[string]any)
			if got.status != 400 || got.code() != "invalid_config" || fields["config."+field] == nil {
				t.Errorf("%s, %s: %d %.300s", a.Type, name, got.status, got.raw)
			}
		}
		for name, body := range map[string]string{
			"config as string": `{"providerType":"` + a.Type + `","config":"x"}`, "config as list": `{"providerType":"` + a.Type + `","config":[]}`, "lower case": `{"providerType":"` + strings.ToLower(a.Type) + `","config":{}}`,
			"priority": `{"providerType":"` + a.Type + `","priority":-1}`, "fraction": `{"providerType":"` + a.Type + `","priority":1.5}`, "nothing": `{"providerType":"` + a.Type + `"}`,
		} {
			if got := w.do(one, "POST", "/api/v1/provider-configs", body, nil); got.status != 400 || got.code() != "invalid_config" {
				t.Errorf("%s, %s: %d %s", a.Type, name, got.status, got.raw)
			}
		}
	}
	if got := w.do(one, "GET", "/api/v1/provider-configs", "", nil); len(got.body["data"].([]any)) != 0 {
		t.Errorf("stored: %s", got.raw)
	}
}

// badValues are what no field of the kind may hold; "" for a required one too.
func badValues(f *provider.Field) map[string]any {
	bad := map[string]any{"as list": []any{"x"}, "as object": map[string]any{}}
	if f.Required {
		bad["empty"], bad["null"] = "", nil
	}
	switch f.Kind {
	case provider.Int:
		bad["as text"], bad["fraction"], bad["below"], bad["above"] = "1", 1.5, f.Min-1, f.Max+1
		return bad
	case provider.Bool:
		bad["as text"], bad["as number"] = "true", 1
		return bad
	}
	bad["as number"], bad["line break"], bad["NUL"], bad["100 kB"] = 1, "a\r\nb", "a\x00", strings.Repeat("x", 100_000)
	switch f.Kind {
	case provider.Token:
		bad["space"], bad["umlaut"], bad["space at the end"] = "a b", "ü", "key "
	case provider.SenderID:
		bad["12 letters"], bad["emoji"] = "abcdefghijkl", "Hi👋"
	case provider.Mailbox:
		bad["no address"], bad["two"] = "x", "a@example.com, b@example.com"
	case provider.Host:
		bad["loopback"], bad["metadata"], bad["name"], bad["mapped"] = "127.0.0.1", "169.254.169.254", "metadata.google.internal", "[::ffff:10.0.0.1]"
	case provider.URL:
		bad["file"], bad["gopher"], bad["plain"], bad["private"] = "file:///etc/passwd", "gopher://example.com/", "http://example.com/", "https://10.0.0.1/"
		bad["metadata"], bad["loopback"], bad["port"], bad["user"] = "https://169.254.169.254/latest", "https://localhost/", "https://example.com:22/", "https://u:p@example.com/"
		bad["query"], bad["fragment"] = "https://example.com/?x=1", "https://example.com/#x"
	}
	return bad
}

// TestRulesOverFields are those that no single field tells.
func TestRulesOverFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	sid := strings.Repeat("0a", 16)
	for name, c := range map[string]struct {
		kind   string
		config map[string]any
		wrong  string // "" = accepted
	}{
		"nalo key":                {"NALO", map[string]any{"authKey": "k"}, ""},
		"nalo login":              {"NALO", map[string]any{"username": "u", "password": "p q"}, ""},
		"nalo nothing":            {"NALO", map[string]any{"senderId": "SHOP"}, "authKey"},
		"nalo user alone":         {"NALO", map[string]any{"username": "u"}, "password"},
		"nalo password alone":     {"NALO", map[string]any{"password": "p"}, "username"},
		"nalo both":               {"NALO", map[string]any{"authKey": "k", "username": "u", "password": "p"}, "authKey"},
		"nalo key and password":   {"NALO", map[string]any{"authKey": "k", "password": "p"}, "password"},
		"twilio sender":           {"TWILIO", map[string]any{"accountSid": "AC" + sid, "authToken": "t", "senderId": "+15005550006"}, ""},
		"twilio token in its SID": {"TWILIO", map[string]any{"accountSid": sid, "authToken": "t"}, "accountSid"},
		"twilio key as account":   {"TWILIO", map[string]any{"accountSid": "SK" + sid, "authToken": "t"}, "accountSid"},
		"twilio service":          {"TWILIO", map[string]any{"accountSid": "AC" + sid, "authToken": "t", "messagingServiceSid": "AC" + sid}, "messagingServiceSid"},
		"twilio two senders":      {"TWILIO", map[string]any{"accountSid": "AC" + sid, "authToken": "t", "messagingServiceSid": "MG" + sid, "senderId": "SHOP"}, "messagingServiceSid"},
		"resend other secret":     {"RESEND", map[string]any{"apiKey": "k", "webhookSecret": "not-that-one"}, "webhookSecret"},
		"resend cut secret":       {"RESEND", map[string]any{"apiKey": "k", "webhookSecret": "whsec_abc"}, "webhookSecret"},
		"smtp login without user": {"SMTP", map[string]any{"host": "mail.example.com", "password": "p"}, "username"},
		"smtp return path":        {"SMTP", map[string]any{"host": "mail.example.com", "returnPath": "B <b@example.com>"}, "returnPath"},
	} {
		got := w.do(one, "POST", "/api/v1/provider-configs", asJSON(t, map[string]any{"providerType": c.kind, "config": c.config}), nil)
		details, _ := got.body["details"].(map[string]any)
		fields, _ := details["fields"].(map[string]any)
		if c.wrong == "" && got.status != 201 || c.wrong != "" && (got.status != 400 || fields["config."+c.wrong] == nil) {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
	// From one way to log in to the other in one change.
	nalo := w.do(one, "POST", "/api/v1/provider-configs", `{"providerType":"NALO","config":{"authKey":"k"}}`, nil)
	path := "/api/v1/provider-configs/" + nalo.str("id")
	if got := w.do(one, "PATCH", path, `{"config":{"username":"u","password":"p"}}`, nil); got.status != 400 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "PATCH", path, `{"config":{"authKey":null,"username":"u","password":"p"}}`, nil); got.status != 200 || got.body["callbackUrl"] != nalo.body["callbackUrl"] {
		t.Errorf("%d %s", got.status, got.raw)
	}
	// Where the secrets go changes: they must be sent again, the callback's token stays.
	if got := w.do(one, "PATCH", path, `{"config":{"baseUrl":"https://elsewhere.example.com"}}`, nil); got.status != 400 || !strings.Contains(string(got.raw), "config.password") || strings.Contains(string(got.raw), "callback") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "PATCH", path, `{"config":{"baseUrl":"https://elsewhere.example.com","password":"p"}}`, nil); got.status != 200 || got.body["callbackUrl"] != nalo.body["callbackUrl"] {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// TestWhatCannotSendHoldsItsMessages: messages are never failed, and never go elsewhere, because this version lacks an adapter.
func TestWhatCannotSendHoldsItsMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.tenant("live", comm.AllScopes, func(a *comm.App) { a.Sandbox = false })
	// The server has something that can send; it is not asked, since the app configured an account of its own.
	if _, err := w.reg.CreateProvider(context.Background(), comm.ID{}, smtpChange("server@our.example")); err != nil {
		t.Fatal(err)
	}
	w.do(live, "POST", "/api/v1/provider-configs", asJSON(t, map[string]any{"providerType": "RESEND", "config": whole()["RESEND"]}), nil)
	sent := w.do(live, "POST", "/api/v1/messages", email(""), nil)
	if sent.status != 202 || !strings.Contains(string(sent.raw), `"provider_cannot_send"`) {
		t.Errorf("%d %s", sent.status, sent.raw)
	}
	if got := w.do(live, "GET", "/api/v1/messages/"+sent.str("id"), "", nil); !strings.Contains(string(got.raw), `"waitingFor":"provider_cannot_send"`) {
		t.Errorf("%s", got.raw)
	}
	if got := w.do(live, "PATCH", "/api/v1/app", `{"sandboxMode":false}`, nil); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	// Beside one that can send it is left out, and nothing waits for it.
	w.do(live, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil)
	if got := w.do(live, "GET", "/api/v1/messages/"+sent.str("id"), "", nil); !strings.Contains(string(got.raw), `"waitingFor":"turn"`) {
		t.Errorf("%s", got.raw)
	}
	if more := w.do(live, "POST", "/api/v1/messages", email(""), nil); more.status != 202 || strings.Contains(string(more.raw), "provider_cannot_send") {
		t.Errorf("%d %s", more.status, more.raw)
	}
}

// TestTheListIsInTheOrderOfTheChain: pinned first, then priority, then age.
func TestTheListIsInTheOrderOfTheChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for _, c := range []string{`"name":"third"`, `"name":"fourth"`, `"name":"second","priority":3`, `"name":"first","priority":500,"pinned":true`} {
		w.do(one, "POST", "/api/v1/provider-configs", overlay(map[string]string{"providerType": `"SMTP"`, "config": `{"host":"mail.example.com"}`}, c), nil)
	}
	var names []string
	for _, c := range w.do(one, "GET", "/api/v1/provider-configs", "", nil).body["data"].([]any) {
		names = append(names, c.(map[string]any)["name"].(string))
	}
	if got := strings.Join(names, " "); got != "first second third fourth" {
		t.Error(got)
	}
}

// TestSenderIdsOnTheServersChain is S14 for short messages: what the operator allows, and the configurations' own, whether or
// not this version can send with them.
func TestSenderIdsOnTheServersChain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	live := w.tenant("live", comm.AllScopes, func(a *comm.App) { a.Sandbox, a.AllowedFrom = false, []string{"SHOP", "233241234567"} })
	kind := "ARKESEL"
	if _, err := w.reg.CreateProvider(context.Background(), comm.ID{}, registry.ProviderChange{Type: &kind, Config: map[string]any{"apiKey": "k", "senderId": "SERVER"}}); err != nil {
		t.Fatal(err)
	}
	for from, status := range map[string]int{"SHOP": 202, "233241234567": 202, "SERVER": 202, "shop": 403, "OTHER": 403, "233241234568": 403} {
		got := w.do(live, "POST", "/api/v1/messages", sms(`"from":`+quoted(from)), nil)
		if got.status != status || status == 403 && got.code() != "from_not_allowed" {
			t.Errorf("%s: %d %s", from, got.status, got.raw)
		}
	}
	w.do(live, "POST", "/api/v1/provider-configs", asJSON(t, map[string]any{"providerType": "HUBTEL", "config": whole()["HUBTEL"]}), nil)
	if got := w.do(live, "POST", "/api/v1/messages", sms(`"from":"OTHER"`), nil); got.status != 202 {
		t.Errorf("on its own provider: %d %s", got.status, got.raw)
	}
}

// schemaOfType holds a type's schema in the contract against its table of fields.
func schemaOfType(t *testing.T, c *contract, a *provider.Adapter) {
	t.Helper()
	name := a.Type[:1] + strings.ToLower(a.Type[1:]) + "Config"
	schema := dig(c.Schemas, name)
	if schema == nil || schema["additionalProperties"] != false {
		t.Errorf("%s is missing in the contract, or open", name)
		return
	}
	var required []any
	for _, f := range a.Fields {
		p := dig(schema, "properties", f.Name)
		want := map[provider.FieldKind]string{provider.Int: "integer", provider.Bool: "boolean"}[f.Kind]
		if want == "" {
			want = "string"
		}
		if p["type"] != want || p["description"] != f.Help || f.Secret != (p["x-secret"] == true) {
			t.Errorf("%s.%s: %v, want %s, x-secret %v: %s", name, f.Name, p, want, f.Secret, f.Help)
		}
		if f.Required {
			required = append(required, f.Name)
		}
		if got, want := sizes(p), limitsOf(&f); !maps.Equal(got, want) {
			t.Errorf("%s.%s: the limits %v in the contract, %v in its table", name, f.Name, got, want)
		}
	}
	if n := len(dig(schema, "properties")); n != len(a.Fields) {
		t.Errorf("%s has %d fields in the contract, %d in its table", name, n, len(a.Fields))
	}
	if list, _ := schema["required"].([]any); !reflect.DeepEqual(list, required) {
		t.Errorf("%s requires %v, its table %v", name, list, required)
	}
	for _, at := range []map[string]any{dig(c.Schemas, "NewProviderConfig", "properties", "config"), dig(c.Schemas, "ProviderConfig", "properties", "config")} {
		if !strings.Contains(fmt.Sprint(at["anyOf"]), "/"+name) {
			t.Errorf("%s is not one of the configurations", name)
		}
	}
}

// sizes are the limits of a schema.
func sizes(schema map[string]any) map[string]float64 {
	out := map[string]float64{}
	for _, keyword := range []string{"minLength", "maxLength", "minimum", "maximum"} {
		if n, given := schema[keyword].(float64); given {
			out[keyword] = n
		}
	}
	values, _ := schema["enum"].([]any)
	for _, v := range values { // the longest of a few words is what their field may hold
		text, _ := v.(string)
		out["maxLength"] = max(out["maxLength"], float64(len(text)))
	}
	return out
}

// limitsOf are the limits that the contract must tell of a field.
func limitsOf(f *provider.Field) map[string]float64 {
	switch f.Kind {
	case provider.Bool:
		return map[string]float64{}
	case provider.Int:
		return map[string]float64{"minimum": float64(f.Min), "maximum": float64(f.Max)}
	}
	longest := map[provider.FieldKind]int{provider.Host: 253, provider.URL: 2048, provider.Mailbox: 1024, provider.SenderID: 16}[f.Kind]
	if longest == 0 {
		longest = f.Max
	}
	out := map[string]float64{"maxLength": float64(longest)}
	if f.Required {
		out["minLength"] = 1
	}
	return out
}

// client answers a Go client of the tenant against the real handler.
func (w *world) client(who tenant) *client.Client {
	w.t.Helper()
	server := httptest.NewServer(w.handler)
	w.t.Cleanup(server.Close)
	c, err := client.New(client.Options{BaseURL: server.URL, App: who.app.Slug, Key: who.key})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// TestClientKnowsTheWarning drives a type that cannot send yet through the Go client.
func TestClientKnowsTheWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(w.tenant("one", comm.AllScopes))
	p, err := c.CreateProvider(context.Background(), client.ProviderChange{ProviderType: "MNOTIFY", Config: whole()["MNOTIFY"]})
	if err != nil || len(p.Warnings) != 1 || p.Warnings[0].Code != comm.WarnCannotSend || p.CallbackURL == "" || p.Channel != "SMS" {
		t.Errorf("%+v %v", p, err)
	}
}
