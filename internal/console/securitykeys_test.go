package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestSecurityKeys: what the API wants a key to be asked goes into the page, and what the key answers to the API.
func TestSecurityKeys(t *testing.T) {
	t.Parallel()
	const own, none = "GET /api/admin/session/second-factor", `200 {"authenticator":false,"recoveryCodesLeft":0,"securityKeys":[]}`
	const asks = `{"error":"No.","details":{"code":"invalid_field","fields":{"code":"is missing"},"securityKey":"{\"challenge\":\"\u003cb>\"}"}}`
	api := &fakeAPI{answers: full()}
	api.answers[own] = none
	c := open(t, api)
	has := func(what, body string, all ...string) {
		t.Helper()
		for _, want := range all {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %s in %s", what, want, body)
			}
		}
	}
	has("nothing yet", ask(c, "GET", accountPath, nil).Body.String(), `href="/console/account/keys/new"`, "Security keys need JavaScript", "data-key-cannot hidden", "Set it up")
	api.answers["POST /api/admin/session/security-keys/options"] = `200 {"options":"{\"challenge\":\"a\\\"\u003cb>\"}"}`
	_, _, body := post(t, c, newKeyPath, url.Values{"name": {" blue "}, "password": {"p"}})
	has("asked for a new one", body, `data-key="create" data-options="{&#34;challenge&#34;:&#34;a\&#34;&lt;b&gt;&#34;}" hidden>`, `action="/console/account/keys"`, `name="name" value="blue"`, `name="securityKey" value=""`)
	api.answers["POST /api/admin/session/security-keys/options"] = `400 ` + asks
	_, _, body = post(t, c, newKeyPath, url.Values{"name": {"blue"}, "password": {"p"}})
	has("asked for an old one", body, `data-key="get" data-options="{&#34;challenge&#34;:&#34;&lt;b&gt;&#34;}" hidden>`, `action="/console/account/keys/new"`, `name="name" value="blue"`)
	post(t, c, newKeyPath, url.Values{"name": {"blue"}, "securityKey": {"signed"}, "password": {""}})
	post(t, c, newKeyPath, url.Values{"name": {"blue"}, "password": {"p"}, "code": {" 123 "}})
	sent := api.asked("POST /api/admin/session/security-keys/options")
	if want := []string{`{"name":"blue","password":"p"}`, `{"name":"blue","password":"p"}`, `{"name":"blue","securityKey":"signed"}`, `{"code":"123","name":"blue","password":"p"}`}; strings.Join(sent, " ") != strings.Join(want, " ") {
		t.Errorf("%q", sent)
	}
	// A name that no key can have is told before a device makes one.
	api.answers["POST /api/admin/session/security-keys/options"] = `400 {"error":"No.","details":{"code":"invalid_field","fields":{"name":"must be one that can be seen"}}}`
	status, _, body := post(t, c, newKeyPath, url.Values{"name": {"  "}, "password": {"p"}})
	if has("no name", body, "Must be one that can be seen.", `action="/console/account/keys/new"`); status != http.StatusBadRequest || strings.Contains(body, "data-options") {
		t.Errorf("%d %s", status, body)
	}
	if sent := api.asked("POST /api/admin/session/security-keys/options"); sent[len(sent)-1] != `{"name":"","password":"p"}` {
		t.Errorf("%q", sent)
	}
	api.answers["POST /api/admin/session/security-keys"] = `201 {"id":"k","name":"blue","recoveryCodes":["AAAA-BBBB"]}`
	_, _, body = post(t, c, keysPath, url.Values{"name": {"blue"}, "securityKey": {"made"}})
	has("registered", body, "AAAA-BBBB", "I have kept them")
	api.answers[own] = `503 {"error":"Not now."}` // the codes are known this once: they are shown whatever else cannot be
	_, _, body = post(t, c, keysPath, url.Values{"name": {"blue"}, "securityKey": {"made"}})
	has("registered, and the rest cannot be read", body, "AAAA-BBBB", "I have kept them")
	api.answers[own] = none
	api.answers["POST /api/admin/session/security-keys"] = `201 {"id":"k","name":"blue","recoveryCodes":[]}`
	if status, to, _ := post(t, c, keysPath, url.Values{"name": {"blue"}, "securityKey": {"made"}}); status != http.StatusSeeOther || to != accountPath {
		t.Errorf("%d %s", status, to)
	}
	api.answers["POST /api/admin/session/security-keys"] = `400 {"error":"No.","details":{"code":"invalid_field","fields":{"securityKey":"was not accepted"}}}`
	status, _, body = post(t, c, keysPath, url.Values{"name": {"blue"}, "securityKey": {"made"}})
	if has("not taken", body, "was not accepted", `value="blue"`); status != http.StatusBadRequest {
		t.Errorf("%d", status)
	}
	api.answers[own] = full()[own]
	const remove = "POST /api/admin/session/security-keys/c00000000000000000000002a/remove"
	at := keysPath + "/c00000000000000000000002a/remove"
	has("there", ask(c, "GET", accountPath, nil).Body.String(), `href="`+at+`"`, "last used")
	api.answers[remove] = `400 ` + asks
	_, _, body = post(t, c, at, url.Values{"password": {"p"}})
	has("removal asks", body, `data-key="get"`, `action="`+at+`"`)
	api.answers[remove] = `204 `
	if status, to, _ := post(t, c, at, url.Values{"securityKey": {"signed"}}); status != http.StatusSeeOther || to != accountPath || api.asked(remove)[1] != `{"securityKey":"signed"}` {
		t.Errorf("%d %s %q", status, to, api.asked(remove))
	}
	if status, _, _ := post(t, c, keysPath+"/c00000000000000000000003a/remove", url.Values{"password": {"p"}}); status != http.StatusNotFound {
		t.Errorf("another one: %d", status)
	}
	// At the door.
	api.answers["POST /api/admin/session"] = `401 {"error":"More.","details":{"code":"second_factor_required","securityKey":"{\"challenge\":\"\u003cb>\"}"}}`
	w := ask(c, "POST", Root+"/sign-in", url.Values{"with": {"name"}, "name": {"Ama"}, "password": {"p"}, "next": {messagesPath}})
	has("at the door", w.Body.String(), `data-key="get" data-options="{&#34;challenge&#34;:&#34;&lt;b&gt;&#34;}" hidden>`, "Use your security key", "Security keys need JavaScript", `name="next" value="/console/messages"`)
	if strings.Contains(ask(c, "GET", Root+"/sign-in?with=name", nil).Body.String(), "data-key=") {
		t.Error("a key is asked for before the password")
	}
	ask(c, "POST", Root+"/sign-in", url.Values{"with": {"name"}, "name": {"Ama"}, "securityKey": {"signed"}})
	if sent := api.asked("POST /api/admin/session"); sent[len(sent)-1] != `{"securityKey":"signed"}` {
		t.Errorf("%q", sent)
	}
}
