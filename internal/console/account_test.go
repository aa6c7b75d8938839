package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestAGivenPassword: nothing opens before it is changed.
func TestAGivenPassword(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full(), mustChange: true}
	c := open(t, api)
	for _, one := range c.table {
		if one.open || strings.HasPrefix(one.path, accountPath) || one.path == Root+"/sign-out" {
			continue
		}
		w := ask(c, one.method, filled(one.path), url.Values{})
		if one.framed() {
			checkFrameSays(t, one.path, w, http.StatusForbidden, "Your password has to be changed first.")
			continue
		}
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != accountPath {
			t.Errorf("%s %s: %d %v", one.method, one.path, w.Code, w.Header())
		}
	}
	form := url.Values{"_token": {token(t, c)}, "current": {"given by the admin"}, "new": {"my own words here"}, "again": {"my own word here"}}
	if w := ask(c, "POST", accountPath+"/password", form); w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "given by") || !strings.Contains(w.Body.String(), "not the same") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	form.Set("again", form.Get("new"))
	api.answers["POST /api/admin/session/password"] = `400 {"error":"Wrong.","details":{"code":"invalid_field","fields":{"new":"is one of those that are tried first"}}}`
	if w := ask(c, "POST", accountPath+"/password", form); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "tried first") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	api.answers["POST /api/admin/session/password"] = `204 `
	if w := ask(c, "POST", accountPath+"/password", form); w.Header().Get("Location") != Root || api.bodies[len(api.bodies)-1] != `{"current":"given by the admin","new":"my own words here"}` {
		t.Errorf("%d %v %s", w.Code, w.Header(), api.bodies[len(api.bodies)-1])
	}
}

func TestSecondFactor(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	c := open(t, api)
	api.answers["POST /api/admin/session/second-factor"] = `201 {"secret":"ABCD EFGH","uri":"otpauth://totp/x"}`
	api.answers["POST /api/admin/session/second-factor/confirm"] = `200 {"recoveryCodes":["one-two","three-four"]}`
	api.answers["POST /api/admin/session/second-factor/remove"] = `401 {"error":"The code is wrong.","details":{"code":"wrong_code"}}`
	good := token(t, c)
	if w := ask(c, "POST", accountPath+"/factor", url.Values{"_token": {good}, "password": {"p"}}); !strings.Contains(w.Body.String(), "ABCD EFGH") || strings.Contains(w.Header().Get("Location"), "ABCD") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := ask(c, "POST", accountPath+"/factor/confirm", url.Values{"_token": {good}, "code": {" 123456 "}}); !strings.Contains(w.Body.String(), "three-four") || strings.Join(api.asked("POST /api/admin/session/second-factor/confirm"), " ") != `{"code":"123456"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	api.answers["POST /api/admin/session/second-factor/confirm"] = `200 {"recoveryCodes":[]}` // those of the security key stay
	if w := ask(c, "POST", accountPath+"/factor/confirm", url.Values{"_token": {good}, "code": {"123456"}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != accountPath {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
