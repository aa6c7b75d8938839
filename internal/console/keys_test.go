package console

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAKeyOffersWhatItMayDo: a first message where the key may send, and not where it takes the place of another one.
func TestAKeyOffersWhatItMayDo(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	const made = `201 {"apiKey":"cs_test_once","app":{"id":"a","slug":"shop","name":"Shop","sandboxMode":true}}`
	for _, call := range []string{"/apps", "/apps/a/keys", "/apps/shop/keys", "/apps/a/keys/c00000000000000000000002a/rotate"} {
		api.answers["POST /api/admin"+call] = made
	}
	c := open(t, api)
	for _, one := range []struct {
		path   string
		scopes []string
		want   bool
	}{
		{newAppPath, []string{"SEND", "READ"}, true}, {newAppPath, []string{"READ"}, false},
		{appsPath + "/shop/keys/new", []string{"SEND"}, true}, {appsPath + "/shop/keys/new", []string{"READ", "TEMPLATES"}, false},
		{appsPath + "/shop/keys/c00000000000000000000002a/rotate", nil, false},
	} {
		status, _, body := post(t, c, one.path, url.Values{"name": {"Shop"}, "scopes": one.scopes, "overlap": {"0"}})
		if status != http.StatusOK || !strings.Contains(body, "cs_test_once") || !strings.Contains(body, "For the program") {
			t.Errorf("%s: %d %.300s", one.path, status, body)
		}
		if got := strings.Contains(body, "Send the first message"); got != one.want || strings.Contains(body, "curl ") != one.want {
			t.Errorf("%s of a key that may %q: a first message is offered: %t", one.path, one.scopes, got)
		}
	}
}

// TestTheSamplesAreWhole: an email and an SMS, each with an idempotency key that no other page's samples have.
func TestTheSamplesAreWhole(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	c, seen := open(t, api), map[string]bool{}
	for _, sandbox := range []string{"true", "false"} {
		api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop","sandboxMode":` + sandbox + `}`
		api.answers["POST /api/admin/apps/a/keys"] = `201 {"id":"c00000000000000000000002a","apiKey":"cs_test_once"}`
		_, _, body := post(t, c, appsPath+"/shop/keys/new", url.Values{"scopes": {"SEND"}})
		if strings.Contains(body, "put your own address or number in") == (sandbox == "true") || !strings.Contains(body, "it is still one") {
			t.Errorf("sandbox %s: what comes of it is not said", sandbox)
		}
		var channels []string
		for _, found := range regexp.MustCompile(`(?s)<pre[^>]*><code>curl (.*?)</code>`).FindAllStringSubmatch(body, -1) {
			command := html.UnescapeString(found[1])
			_, data, _ := strings.Cut(strings.TrimSuffix(command, "'"), "-d '")
			var m struct{ Channel, To, IdempotencyKey string }
			if err := json.Unmarshal([]byte(data), &m); err != nil || m.To == "" || m.IdempotencyKey == "" || seen[m.IdempotencyKey] || strings.Contains(data, "'") || !strings.Contains(command, "cs_test_once") {
				t.Errorf("%v: %s", err, command)
			}
			seen[m.IdempotencyKey] = true
			channels = append(channels, m.Channel)
		}
		if !slices.Equal(channels, []string{"EMAIL", "SMS"}) {
			t.Errorf("%q are sent", channels)
		}
	}
}

// TestTheFirstMessageIsWaitedFor: beside a new key that may send, and nowhere else; it becomes a link to the message, it ends, it can be stopped, and the key is
// neither in its address nor in what it answers.
func TestTheFirstMessageIsWaitedFor(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop","createdAt":"2026-07-03T09:00:00Z"}`
	api.answers["POST /api/admin/apps/a/keys"] = `201 {"id":"c00000000000000000000002a","apiKey":"cs_test_once","createdAt":"2026-07-03T09:59:30.25Z"}`
	api.answers["GET /api/admin/messages"] = `200 {"data":[],"nextCursor":null}`
	c := open(t, api)
	const at = appsPath + "/shop/first?since=2026-07-03T09%3A59%3A30.25Z"
	part := []string{"HX-Request", "true", "HX-Target", "first-message"}
	_, _, body := post(t, c, appsPath+"/shop/keys/new", url.Values{"scopes": {"SEND"}})
	if !strings.Contains(body, `hx-get="`+at+`" hx-trigger="every 2s"`) || !strings.Contains(body, "Waiting for the first message") || !strings.Contains(body, `href="`+at+`" target="_blank"`) || !strings.Contains(body, `hx-get="`+at+`&amp;live=off"`) {
		t.Errorf("it is not waited for: %s", body)
	}
	if _, _, body := post(t, c, appsPath+"/shop/keys/new", url.Values{"scopes": {"READ"}}); strings.Contains(body, "first-message") {
		t.Error("a message of a key that may not send is waited for")
	}
	if w := ask(c, "GET", at, nil, part...); w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Errorf("before it came: %d %s", w.Code, w.Body)
	}
	if last := api.calls[len(api.calls)-1]; last != "GET /api/admin/messages?app=a&createdAfter=2026-07-03T09%3A59%3A30.25Z&limit=1 " {
		t.Errorf("asked %s", last)
	}
	for path, waits := range map[string]bool{at: true, at + "&live=off": false, appsPath + "/shop/first?since=2026-07-03T09:45:00Z": false, appsPath + "/shop/first?since=2099-07-03T09:45:00Z": false, appsPath + "/shop/first": false} {
		w := ask(c, "GET", path, nil)
		if body := w.Body.String(); w.Code != http.StatusOK || strings.Contains(body, "hx-trigger") != waits || strings.Contains(body, "No message has come since") == waits || !strings.Contains(body, "See whether it came") {
			t.Errorf("%s: %d %s", path, w.Code, body)
		}
		checkPage(t, c, path, w.Body.String())
	}
	if w := ask(c, "GET", appsPath+"/shop/first?since=soon", nil); w.Code != http.StatusBadRequest {
		t.Errorf("%d", w.Code)
	}
	api.answers["GET /api/admin/messages"] = `200 {"data":[{"id":"` + hookID + `","channel":"SMS","status":"SENT","toAddress":"233241234567","createdAt":"2026-07-03T09:59:40Z","app":{"id":"a","slug":"shop"}}],"nextCursor":"more"}`
	for _, headers := range [][]string{nil, part} {
		w := ask(c, "GET", at, nil, headers...)
		body := w.Body.String()
		if w.Code != http.StatusOK || !strings.Contains(body, `href="`+messagesPath+`/`+hookID+`">SMS to 233241234567</a>`) || strings.Contains(body, "hx-trigger") || strings.Contains(body, "cs_test") || strings.Contains(body, "<html") != (headers == nil) {
			t.Errorf("when it came: %d %s", w.Code, body)
		}
	}
	for _, call := range api.calls {
		if strings.Contains(call, "cs_test") {
			t.Errorf("the key is in %s", call)
		}
	}
}
