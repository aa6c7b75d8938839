package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestDrafts(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: full()})
	draft := func(channel string, form url.Values) string {
		t.Helper()
		form.Set("_token", token(t, c))
		w := ask(c, "POST", templatesPath+"/shop/draft?channel="+channel, form)
		if w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != framePolicy {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		return w.Body.String()
	}
	for name, one := range map[string]struct {
		channel string
		form    url.Values
		want    []string
		not     string
	}{
		"html":        {"EMAIL", url.Values{"subject": {"Hi {{name}}"}, "body": {"<p>Dear {{name}}, {{what}}</p>"}, "values": {"name = <Ama>\r\n"}}, []string{"Hi &lt;Ama&gt;</p>", "<p>Dear &lt;Ama&gt;, what</p>"}, "<Ama>"},
		"text":        {"EMAIL", url.Values{"subject": {"s"}, "body": {"<p>b</p>"}, "text": {"Dear {{name}}"}, "as": {"text"}}, []string{"<pre>Dear name</pre>"}, "<p>b</p>"},
		"dark":        {"EMAIL", url.Values{"subject": {"s"}, "body": {"<p>b</p>"}, "as": {"dark"}}, []string{"color-scheme:dark"}, ""},
		"sms":         {"SMS", url.Values{"body": {strings.Repeat("a", 161)}}, []string{"2 segments, 161 characters in the GSM alphabet"}, "UCS-2"},
		"ucs2":        {"SMS", url.Values{"body": {"“{{name}}”"}, "values": {"name = Kofi"}}, []string{"<mark>“</mark>Kofi<mark>”</mark>", "UCS-2"}, ""},
		"line breaks": {"SMS", url.Values{"body": {"a\r\nb"}}, []string{"a\nb", "3 characters"}, ""},
		"a fault":     {"SMS", url.Values{"body": {"Hi {{name"}}, []string{"<pre>"}, "Hi"},
		"nothing":     {"SMS", url.Values{}, []string{"Nothing is written yet."}, ""},
	} {
		got := draft(one.channel, one.form)
		for _, want := range one.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: %q is not in %s", name, want, got)
			}
		}
		if one.not != "" && strings.Contains(got, one.not) {
			t.Errorf("%s: %q is in %s", name, one.not, got)
		}
	}
}

func TestChangingATemplate(t *testing.T) {
	t.Parallel()
	const path = "/api/v1/templates/" + oneID
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop","sandboxMode":true}`
	api.answers["GET "+path] = `200 {"id":"` + oneID + `","key":"code","channel":"SMS","name":"Code","body":"Hi {{name}}","version":3,"variables":["name"]}`
	api.answers["PATCH "+path] = `200 {"id":"` + oneID + `","version":4}`
	api.answers["POST "+path+"/rollback"] = `200 {"id":"` + oneID + `","version":5}`
	api.answers["DELETE "+path] = `204 `
	api.answers["POST /api/v1/messages"] = `202 {"id":"c00000000000000000000007a","status":"QUEUED"}`
	api.answers["POST /api/v1/templates"] = `201 {"id":"` + oneID + `","version":1}`
	c := open(t, api)
	at := templatesPath + "/shop/" + oneID
	for _, one := range []struct {
		path, to, call, body string
		form                 url.Values
	}{
		{at, at, "PATCH " + path, `{"body":"Hi\n{{name}}"}`, url.Values{"name": {"Code"}, "body": {"Hi\r\n{{name}}"}, "text": {"of no SMS"}}},
		{at + "/versions/2", at, "POST " + path + "/rollback", `{"version":2}`, url.Values{}},
		{at + "/send", messagesPath + "/c00000000000000000000007a", "POST /api/v1/messages", `{"channel":"SMS","idempotencyKey":"k","tags":["console-test"],"templateKey":"code","to":"233241234567","variables":{"name":"Ama = one"}}`, url.Values{pressKey: {"k"}, "to": {" 233241234567"}, "values": {"name = Ama = one\r\n\r\nno value"}}},
		{at + "/delete", templatesPath + "?app=shop", "DELETE " + path, "", url.Values{}},
		{templatesPath + "/shop/new?channel=EMAIL", at, "POST /api/v1/templates", `{"key":"hi","channel":"EMAIL","name":"Hi","subject":"S","body":"Hi\nAma"}`, url.Values{"key": {"hi"}, "name": {"Hi"}, "subject": {"S"}, "body": {"Hi\r\nAma"}, "text": {""}}},
	} {
		if one.path == at {
			one.form = shownOn(t, c, at, one.form)
		}
		status, to, body := post(t, c, one.path, one.form)
		if got := api.asked(one.call); status != http.StatusSeeOther || to != one.to || !slices.Contains(got, one.body) {
			t.Errorf("%s: %d to %q, %q asked: %.300s", one.path, status, to, got, body)
		}
	}
	api.answers["PATCH "+path] = `400 {"error":"A field is wrong.","details":{"code":"invalid_template","fields":{"body":"has an open placeholder"}}}`
	if status, _, body := post(t, c, at, shownOn(t, c, at, url.Values{"name": {"Code"}, "body": {"Hi {{name"}})); status != http.StatusBadRequest || !strings.Contains(body, "Has an open placeholder.") || !strings.Contains(body, "Hi {{name") {
		t.Errorf("refused: %d", status)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct{ was, is, want string }{
		"same":    {"a\nb", "a\nb", " a, b"},
		"added":   {"a\nc", "a\nb\nc", " a,+b, c"},
		"removed": {"a\nb\nc", "a\nc", " a,-b, c"},
		"changed": {"a\nb\nc", "a\nx\nc", " a,-b,+x, c"},
		"emptied": {"a", "", "-a,+"},
		"moved":   {"a\nb", "b\na", "-a, b,+a"},
	} {
		var got []string
		for _, line := range diff(one.was, one.is) {
			got = append(got, line.Sign+line.Text)
		}
		if strings.Join(got, ",") != one.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	long := strings.Repeat("x\n", diffLines)
	if got := diff(long, long+"y"); len(got) != 2*diffLines+2 || got[0].Sign != "-" {
		t.Errorf("a long one: %d lines", len(got))
	}
}
