package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store"
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
