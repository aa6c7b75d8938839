package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestAnOldTabUndoesNothing: a form that was shown before another change sends what was edited in it, and nothing else.
func TestAnOldTabUndoesNothing(t *testing.T) {
	t.Parallel()
	const app, hook, tmpl = "/api/admin/apps/", "/api/v1/webhooks/" + oneID, "/api/v1/templates/" + oneID
	shop := `{"id":"a","slug":"shop","name":"Shop","ratePerMinute":60,"onUnknownOutcome":"RETRY","smsPerDay":900,"smsPrefixes":["233"]}`
	for name, one := range map[string]struct {
		page, save, get, was, is, patch string
		filled                          url.Values
		want                            string
	}{
		"a demoted user": {usersPath + "/" + oneID, usersPath + "/" + oneID, "/api/admin/users/" + oneID, `{"id":"` + oneID + `","name":"ama","role":"ADMIN","isActive":true}`, `{"id":"` + oneID + `","name":"ama","role":"VIEWER","isActive":true}`,
			"/api/admin/users/" + oneID, url.Values{"name": {"kofi"}, "role": {"ADMIN"}}, `{"name":"kofi"}`},
		"limits of an app": {appsPath + "/shop/settings", appsPath + "/shop/settings", app + "shop", shop, strings.Replace(shop, "900", "10", 1), app + "a",
			url.Values{"name": {"My shop"}, "ratePerMinute": {"60"}, "onUnknownOutcome": {"RETRY"}, "allowedSenders": {""}, "smsPerDay": {"900"}, "smsPrefixes": {"233"}, "smsPerDayByPrefix": {""}}, `{"name":"My shop"}`},
		"a provider": {providersPath + "/" + oneID + "/edit", providersPath + "/" + oneID + "/edit", ofAll + "/" + oneID, `{"id":"` + oneID + `","providerType":"SMTP","channel":"EMAIL","name":"Relay","ratePerDay":100,"config":{"host":"a.example.com","port":587}}`,
			`{"id":"` + oneID + `","providerType":"SMTP","channel":"EMAIL","name":"Relay","ratePerDay":5,"config":{"host":"b.example.com","port":587}}`, ofAll + "/" + oneID, url.Values{"name": {"Relay 1"}, "ratePerDay": {"100"}, "config.host": {"a.example.com"}, "config.port": {"587"}}, `{"name":"Relay 1"}`},
		"a template": {templatesPath + "/shop/" + oneID, templatesPath + "/shop/" + oneID, tmpl, `{"id":"` + oneID + `","key":"code","channel":"SMS","name":"Code","body":"One\ntwo","version":3}`,
			`{"id":"` + oneID + `","key":"code","channel":"SMS","name":"Code","body":"Three","version":4}`, tmpl, url.Values{"name": {"The code"}, "body": {"One\r\ntwo"}}, `{"name":"The code"}`},
		"a webhook": {webhooksPath + "/shop/" + oneID + "/edit", webhooksPath + "/shop/" + oneID + "/edit", hook, `{"id":"` + oneID + `","name":"orders","url":"https://a.example","statuses":["SENT","FAILED"],"isActive":true}`,
			`{"id":"` + oneID + `","name":"orders","url":"https://b.example","statuses":[],"isActive":true}`, hook, url.Values{"name": {"orders"}, "url": {"https://a.example"}, "statuses": {"FAILED", "SENT"}, "tags": {"vip"}}, `{"tags":["vip"]}`},
	} {
		api := &fakeAPI{answers: full()}
		api.answers["GET "+app+"shop"] = `200 ` + shop
		api.answers["GET "+one.get], api.answers["PATCH "+one.patch] = `200 `+one.was, `200 `+one.is
		c := open(t, api)
		form := shownOn(t, c, one.page, one.filled)
		api.answers["GET "+one.get] = `200 ` + one.is
		status, _, _ := post(t, c, one.save, form)
		if sent := api.asked("PATCH " + one.patch); status != http.StatusSeeOther || len(sent) != 1 || sent[0] != one.want {
			t.Errorf("%s: %d, sent %q", name, status, sent)
		}
	}
}

// TestTheSameFieldChangedTwice: what was edited here and elsewhere is saved by the second press alone, after it was shown.
func TestTheSameFieldChangedTwice(t *testing.T) {
	t.Parallel()
	const path = "/api/admin/users/" + oneID
	as := func(role string) string {
		return `200 {"id":"` + oneID + `","name":"ama","role":"` + role + `","isActive":true}`
	}
	api := &fakeAPI{answers: full()}
	api.answers["GET "+path], api.answers["PATCH "+path] = as("ADMIN"), as("OPERATOR")
	c, at := open(t, api), usersPath+"/"+oneID
	filled := url.Values{"name": {"kofi"}, "role": {"OPERATOR"}}
	form := shownOn(t, c, at, filled)
	api.answers["GET "+path] = as("VIEWER")
	status, _, body := post(t, c, at, form)
	if status != http.StatusConflict || len(api.asked("PATCH "+path)) != 0 {
		t.Errorf("%d, %q", status, api.asked("PATCH "+path))
	}
	for _, want := range []string{changedMeanwhile, "It is now: Viewer", `value="OPERATOR" selected`, `value="kofi"`} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is not on the page", want)
		}
	}
	if status, _, _ := post(t, c, at, hiddenIn(body, filled)); status != http.StatusSeeOther || len(api.asked("PATCH "+path)) != 1 || api.asked("PATCH " + path)[0] != `{"name":"kofi","role":"OPERATOR"}` {
		t.Errorf("the second press: %d %q", status, api.asked("PATCH "+path))
	}
	// A form that does not say what it showed, of an older page, undoes nothing either.
	if status, _, _ := post(t, c, at, url.Values{"name": {"ama"}, "role": {"ADMIN"}}); status != http.StatusConflict || len(api.asked("PATCH "+path)) != 1 {
		t.Errorf("without what was shown: %d", status)
	}
	if status, _, _ := post(t, c, at, shownOn(t, c, at, url.Values{"name": {"ama"}, "role": {"VIEWER"}})); status != http.StatusSeeOther || len(api.asked("PATCH "+path)) != 1 {
		t.Errorf("nothing was edited: %d", status)
	}
}
