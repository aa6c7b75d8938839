package console

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	const id = "c00000000000000000000001a"
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/users/"+id] = `200 {"id":"` + id + `","name":"ama","role":"VIEWER","isActive":true,"secondFactor":true}`
	api.answers["PATCH /api/admin/users/"+id] = api.answers["GET /api/admin/users/"+id]
	api.answers["DELETE /api/admin/users/"+id] = `204 `
	api.answers["POST /api/admin/users"] = `409 {"error":"There is a user of that name.","details":{"code":"name_taken","fields":{"name":"is taken"}}}`
	c := open(t, api)
	status, _, body := post(t, c, newUserPath, url.Values{"name": {"ama"}, "role": {"VIEWER"}})
	if status != http.StatusConflict || !strings.Contains(body, "Is taken.") {
		t.Errorf("taken: %d", status)
	}
	api.answers["POST /api/admin/users"] = `201 {"id":"` + id + `","name":"ama","role":"VIEWER"}`
	status, _, body = post(t, c, newUserPath, url.Values{"name": {"ama"}, "role": {"VIEWER"}})
	sent := regexp.MustCompile(`"password":"([a-z2-7]{6}(-[a-z2-7]{6}){3})"`).FindStringSubmatch(api.asked("POST /api/admin/users")[1])
	if status != http.StatusOK || sent == nil || !strings.Contains(body, sent[1]) {
		t.Errorf("made: %d %q", status, api.asked("POST /api/admin/users"))
	}
	for _, one := range []struct{ path, to, call, body string }{
		{"", usersPath + "/" + id, "PATCH /api/admin/users/" + id, `{"name":"kofi","role":"ADMIN"}`},
		{"/do/factor", usersPath + "/" + id, "PATCH /api/admin/users/" + id, `{"secondFactor":false}`},
		{"/do/off", usersPath + "/" + id, "PATCH /api/admin/users/" + id, `{"isActive":false}`},
		{"/do/delete", usersPath, "DELETE /api/admin/users/" + id, ""},
	} {
		status, to, _ := post(t, c, usersPath+"/"+id+one.path, shownOn(t, c, usersPath+"/"+id, url.Values{"name": {"kofi"}, "role": {"ADMIN"}}))
		if status != http.StatusSeeOther || to != one.to || !slices.Contains(api.asked(one.call), one.body) {
			t.Errorf("%s: %d to %q: %q", one.path, status, to, api.asked(one.call))
		}
	}
	if status, _, body := post(t, c, usersPath+"/"+id+"/do/password", url.Values{}); status != http.StatusOK || !strings.Contains(body, "shown this once") {
		t.Errorf("another password: %d", status)
	}
}

// TestWhoLooksAtThemselves is led to their own account, which asks for a password and a second factor before it changes them.
func TestWhoLooksAtThemselves(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	for id, own := range map[string]bool{"u1": true, "c00000000000000000000001a": false} { // u1 is signed in
		api.answers["GET /api/admin/users/"+id] = `200 {"id":"` + id + `","name":"ama","role":"ADMIN","isActive":true,"secondFactor":true}`
		body := ask(open(t, api), "GET", usersPath+"/"+id, nil).Body.String()
		for _, act := range []string{"password", "factor"} {
			if offers := strings.Contains(body, "/do/"+act+`"`); offers == own {
				t.Errorf("own account: %t, %s offered: %t", own, act, offers)
			}
		}
		if led := strings.Contains(body, `<a href="/console/account">your account</a>`); led != own {
			t.Errorf("own account: %t, led there: %t", own, led)
		}
	}
}
