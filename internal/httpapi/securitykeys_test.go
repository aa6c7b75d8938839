package httpapi

import (
	"strings"
	"testing"

	"github.com/pquerna/otp/totp"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/test/softkey"
)

const (
	keysPath    = sessionPath + "/security-keys"
	factorsPath = sessionPath + "/second-factor"
)

// asks is what a security key is to be asked, by an error.
func (a answer) asks() string {
	details, _ := a.body["details"].(map[string]any)
	text, _ := details["securityKey"].(string)
	return text
}

// keyed registers a key of ama's, proven by the body.
func (w *world) keyed(cookie, proof string) (*softkey.Key, answer) {
	w.t.Helper()
	asked := w.with(cookie, "POST", keysPath+"/options", proof)
	w.wants(asked, 200, "")
	k := softkey.New(w.t, "https://example.com")
	made := w.with(cookie, "POST", keysPath, `{"name":"The blue one","securityKey":`+quoted(k.Make(w.t, asked.str("options")))+`}`)
	w.wants(made, 201, "")
	return k, made
}

// TestSecurityKeysFromRegisteringToTheEnd goes the way of a user who has a key and nothing else.
func TestSecurityKeysFromRegisteringToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.api.cfg.BrowsersAt = "https://example.com"
	made := w.root("POST", "/api/admin/users", `{"name":"ama","role":"OPERATOR","password":"`+startPassword+`"}`)
	w.wants(made, 201, "")
	user := "/api/admin/users/" + made.str("id")
	_, cookie := w.signIn(credentials(startPassword, ""))
	w.wants(w.with(cookie, "POST", sessionPath+"/password", `{"current":"`+startPassword+`","new":"`+ownPassword+`"}`), 204, "")
	password := `{"password":"` + ownPassword + `"}`
	none := w.with(cookie, "GET", factorsPath, "")
	if w.wants(none, 200, ""); string(none.raw) != `{"authenticator":false,"recoveryCodesLeft":0,"securityKeys":[]}`+"\n" {
		t.Errorf("%s", none.raw)
	}
	for _, bad := range []string{`{}`, `{"code":"123456"}`, `{"password":"x","securityKey":"{}"}`, `{"code":"1","securityKey":"{}"}`, `{"securityKey":""}`, `{"securityKey":"{}"}`, `{"password":"not it"}`} {
		w.wants(w.with(cookie, "POST", keysPath+"/options", bad), 400, "invalid_field")
	}
	w.badKeyNames(cookie)
	w.wants(w.do(tenant{}, "POST", keysPath+"/options", password, map[string]string{"Cookie": cookie, "Sec-Fetch-Site": "cross-site"}), 403, "cross_site")
	k, first := w.keyed(cookie, password)
	if codes := first.body["recoveryCodes"].([]any); len(codes) != 10 || first.str("name") != "The blue one" || first.body["usedAt"] != nil || first.str("createdAt") == "" {
		t.Errorf("%s", first.raw)
	}
	if got := w.root("GET", user, ""); got.body["secondFactor"] != true {
		t.Errorf("%s", got.raw)
	}
	// The password alone opens nothing, and asks; who does not know it is asked nothing.
	asked, set := w.signIn(credentials(ownPassword, ""))
	w.wants(asked, 401, "second_factor_required")
	if set != "" || !strings.Contains(asked.asks(), `"rpId":"example.com"`) {
		t.Errorf("%q %s", set, asked.raw)
	}
	for _, body := range []string{credentials(startPassword, ""), credentials("", ""), `{"name":"nobody","password":"` + ownPassword + `"}`} {
		got, _ := w.signIn(body)
		if w.wants(got, 401, "unauthenticated"); got.asks() != "" {
			t.Errorf("%s", got.raw)
		}
	}
	wrong := *k
	wrong.Origin = "https://evil.example"
	refused := map[string]bool{}
	for _, text := range []string{"", "{}", wrong.Sign(t, asked.asks()), k.Sign(t, `{"challenge":"AAAA"}`)} {
		got, set := w.signIn(`{"securityKey":` + quoted(text) + `}`)
		if w.wants(got, 401, "unauthenticated"); set != "" {
			t.Error("a session began")
		}
		refused[string(got.raw)] = true
	}
	if len(refused) != 1 {
		t.Errorf("what is wrong can be told apart: %v", refused)
	}
	answer := `{"securityKey":` + quoted(k.Sign(t, asked.asks())) + `}`
	for _, bad := range []string{strings.Replace(answer, "{", `{"name":"ama",`, 1), strings.Replace(answer, "{", `{"adminKey":"`+adminKey+`",`, 1), strings.Replace(answer, "{", `{"password":"`+ownPassword+`",`, 1),
		`{"securityKey":"` + strings.Repeat(" ", 16385) + `"}`} {
		got, _ := w.signIn(bad)
		w.wants(got, 400, "invalid_field")
	}
	w.wants(w.do(tenant{}, "POST", sessionPath, answer, map[string]string{"Origin": "https://evil.example"}), 403, "cross_site")
	in, cookie := w.signIn(answer)
	if w.wants(in, 201, ""); in.body["secondFactor"] != true || in.body["user"].(map[string]any)["name"] != "ama" {
		t.Errorf("%s", in.raw)
	}
	again, _ := w.signIn(answer)
	w.wants(again, 401, "unauthenticated")
	have := w.with(cookie, "GET", factorsPath, "").body["securityKeys"].([]any)
	if one := have[0].(map[string]any); len(have) != 1 || one["usedAt"] == nil || len(one) != 4 {
		t.Errorf("%v", have)
	}
	w.appBesideKey(cookie, k)
	// It goes by itself, if it is shown.
	at := keysPath + "/" + first.str("id") + "/remove"
	ask := w.with(cookie, "POST", at, password)
	w.wants(ask, 400, "invalid_field")
	w.wants(w.with(cookie, "POST", keysPath+"/"+comm.NewID(1).String()+"/remove", `{"securityKey":`+quoted(k.Sign(t, ask.asks()))+`}`), 404, "not_found")
	w.wants(w.with(cookie, "POST", at, `{"securityKey":`+quoted(k.Sign(t, ask.asks()))+`}`), 204, "")
	got, cookie := w.signIn(credentials(ownPassword, ""))
	w.wants(got, 201, "")
	if left := w.with(cookie, "GET", factorsPath, ""); string(left.raw) != string(none.raw) {
		t.Errorf("%s", left.raw) // the recovery codes went with it
	}
	// An administrator takes keys away as every second factor.
	w.keyed(cookie, password)
	w.wants(w.root("PATCH", user, `{"secondFactor":false}`), 200, "")
	w.wants(w.with(cookie, "GET", factorsPath, ""), 401, "unauthenticated")
	got, _ = w.signIn(credentials(ownPassword, ""))
	w.wants(got, 201, "")
	log := string(w.root("GET", "/api/admin/audit?limit=100&action=user_updated", "").raw)
	if !strings.Contains(log, `"securityKeys":{"from":null,"to":"The blue one"}`) || !strings.Contains(log, `"securityKeys":{"from":"The blue one","to":""}`) || strings.Contains(log, "publicKey") {
		t.Errorf("%s", log)
	}
}

// appBesideKey enrols an authenticator app for ama, which brings no recovery codes beside those of the key, and removes it.
func (w *world) appBesideKey(cookie string, k *softkey.Key) {
	w.t.Helper()
	proof := func(path string) answer {
		ask := w.with(cookie, "POST", path, `{"password":"`+ownPassword+`"}`)
		w.wants(ask, 400, "invalid_field")
		return w.with(cookie, "POST", path, `{"securityKey":`+quoted(k.Sign(w.t, ask.asks()))+`}`)
	}
	made := proof(factorsPath)
	w.wants(made, 201, "")
	code, err := totp.GenerateCode(made.str("secret"), w.time())
	if err != nil {
		w.t.Fatal(err)
	}
	done := w.with(cookie, "POST", factorsPath+"/confirm", `{"code":"`+code+`"}`)
	if w.wants(done, 200, ""); string(done.raw) != `{"recoveryCodes":[]}`+"\n" {
		w.t.Errorf("%s", done.raw)
	}
	if left := w.with(cookie, "GET", factorsPath, ""); left.body["recoveryCodesLeft"] != float64(10) {
		w.t.Errorf("%s", left.raw)
	}
	w.wants(proof(factorsPath+"/remove"), 204, "")
}

// badKeyNames are refused before any device makes a key, with what is said where it registers.
func (w *world) badKeyNames(cookie string) {
	w.t.Helper()
	for _, name := range []string{"", "  ", "a\u00a0b", strings.Repeat("x", 65)} {
		early := w.with(cookie, "POST", keysPath+"/options", `{"password":"`+ownPassword+`","name":`+quoted(name)+`}`)
		late := w.with(cookie, "POST", keysPath, `{"securityKey":"{}","name":`+quoted(name)+`}`)
		if w.wants(early, 400, "invalid_field"); string(early.raw) != string(late.raw) || !strings.Contains(string(early.raw), `"name":"must be 1 to 64`) {
			w.t.Errorf("%q: %s %s", name, early.raw, late.raw)
		}
	}
	w.wants(w.with(cookie, "POST", keysPath+"/options", `{"password":"`+ownPassword+`","name":"👩‍💻 blue"}`), 200, "")
}

// TestKeysOfTheConfiguredSite: where people find the server is configured, no request says otherwise.
func TestKeysOfTheConfiguredSite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wants(w.root("POST", "/api/admin/users", `{"name":"ama","role":"VIEWER","password":"`+startPassword+`"}`), 201, "")
	_, cookie := w.signIn(credentials(startPassword, ""))
	r := func(at string) answer {
		w.api.cfg.BrowsersAt = at
		return w.with(cookie, "POST", keysPath+"/options", `{"password":"x"}`)
	}
	w.wants(r(""), 409, "invalid_state") // the request names one, as it likes
	w.wants(r("http://comms.example.com"), 409, "invalid_state")
	w.wants(r("https://192.0.2.1"), 409, "invalid_state")
	w.wants(r("https://comms.example.com"), 400, "invalid_field") // the password
}
