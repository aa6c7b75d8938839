package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const hookID = "c00000000000000000000001a"

func hooksAPI() *fakeAPI {
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop"}`
	api.answers["GET /api/v1/webhooks/"+hookID] = `200 {"id":"` + hookID + `","name":"orders","url":"https://example.com/hook","statuses":["SENT"],"isActive":true}`
	return api
}

func TestMakingAWebhook(t *testing.T) {
	t.Parallel()
	api := hooksAPI()
	api.answers["POST /api/v1/webhooks"] = `400 {"error":"A field is wrong.","details":{"code":"invalid_field","fields":{"url":"must be https"}}}`
	c := open(t, api)
	form := url.Values{"name": {"orders"}, "url": {"http://example.com"}, "channels": {"SMS"}, "tags": {" a, b ,"}}
	status, _, body := post(t, c, webhooksPath+"/shop/new", form)
	if status != http.StatusBadRequest || !strings.Contains(body, "Must be https.") || !strings.Contains(body, `value="http://example.com"`) {
		t.Errorf("refused: %d %s", status, body)
	}
	api.answers["POST /api/v1/webhooks"] = `201 {"id":"` + hookID + `","name":"orders","url":"https://example.com","secret":"whsec_once"}`
	status, _, body = post(t, c, webhooksPath+"/shop/new", form)
	if status != http.StatusOK || !strings.Contains(body, "whsec_once") {
		t.Errorf("made: %d %s", status, body)
	}
	if got := api.asked("POST /api/v1/webhooks"); got[len(got)-1] != `{"name":"orders","url":"http://example.com","statuses":[],"channels":["SMS"],"tags":["a","b"]}` {
		t.Errorf("%q", got)
	}
}

func TestChangingAWebhook(t *testing.T) {
	t.Parallel()
	api := hooksAPI()
	at := webhooksPath + "/shop/" + hookID
	api.answers["PATCH /api/v1/webhooks/"+hookID] = api.answers["GET /api/v1/webhooks/"+hookID]
	api.answers["DELETE /api/v1/webhooks/"+hookID] = `204 `
	api.answers["POST /api/v1/webhooks/"+hookID+"/test"] = `202 {"id":"c00000000000000000000004a"}`
	api.answers["POST /api/v1/webhooks/"+hookID+"/rotate-secret"] = `200 {"id":"` + hookID + `","name":"orders","secret":"whsec_again"}`
	api.answers["POST /api/v1/webhooks/"+hookID+"/replay"] = `200 {"replayed":3}`
	api.answers["POST /api/v1/webhooks/"+hookID+"/deliveries/c00000000000000000000004a/replay"] = `202 {"id":"c00000000000000000000004a"}`
	c := open(t, api)
	for _, one := range []struct {
		path, to, call, body string
		form                 url.Values
	}{
		{"/edit", at, "PATCH /api/v1/webhooks/" + hookID, `{"statuses":[],"url":"https://b.example"}`, url.Values{"name": {"orders"}, "url": {"https://b.example"}}},
		{"/test", at + "/deliveries/c00000000000000000000004a", "POST /api/v1/webhooks/" + hookID + "/test", "", url.Values{}},
		{"/do/off", at, "PATCH /api/v1/webhooks/" + hookID, `{"isActive":false}`, url.Values{}},
		{"/do/delete", webhooksPath + "?app=shop", "DELETE /api/v1/webhooks/" + hookID, "", url.Values{}},
		{"/replay", at, "POST /api/v1/webhooks/" + hookID + "/replay", `{"createdAfter":"2026-07-02T10:00:00Z","createdBefore":"2026-07-03T10:00:00Z","state":"failed"}`, url.Values{"state": {"failed"}, "createdAfter": {"2026-07-02T10:00"}, "createdBefore": {"2026-07-03T10:00"}}},
		{"/deliveries/c00000000000000000000004a", at + "/deliveries/c00000000000000000000004a", "POST /api/v1/webhooks/" + hookID + "/deliveries/c00000000000000000000004a/replay", "", url.Values{}},
	} {
		if one.path == "/edit" {
			one.form = shownOn(t, c, at+one.path, one.form)
		}
		status, to, body := post(t, c, at+one.path, one.form)
		if got := api.asked(one.call); status != http.StatusSeeOther || to != one.to || !slices.Contains(got, one.body) {
			t.Errorf("%s: %d to %q, %q asked: %.300s", one.path, status, to, got, body)
		}
	}
	if status, _, body := post(t, c, at+"/rotate", url.Values{"overlap": {"3600"}}); status != http.StatusOK || !strings.Contains(body, "whsec_again") || !slices.Contains(api.asked("POST /api/v1/webhooks/"+hookID+"/rotate-secret"), `{"overlapSeconds":3600}`) {
		t.Errorf("rotate: %d %.300s", status, body)
	}
}

// A message's page says which webhooks were told of it, and has its story where that cannot be read.
func TestAMessageSaysWhatWebhooksWereTold(t *testing.T) {
	t.Parallel()
	api := hooksAPI()
	api.answers["GET /api/admin/messages/"+hookID] = `200 {"id":"` + hookID + `","channel":"SMS","status":"SENT","toAddress":"233241234567","app":{"id":"a","slug":"shop","name":"Shop"}}`
	api.answers["GET /api/v1/webhooks"] = `200 {"data":[` + strings.TrimPrefix(api.answers["GET /api/v1/webhooks/"+hookID], "200 ") + `],"nextCursor":null}`
	deliveries := "GET /api/v1/webhooks/" + hookID + "/deliveries"
	api.answers[deliveries] = `200 {"data":[{"id":"c00000000000000000000004a","eventId":"e","messageId":"` + hookID + `","status":"SENT","state":"failed","attempts":9,"createdAt":"2026-07-03T09:00:00Z"}],"nextCursor":null}`
	c := open(t, api)
	w := ask(c, "GET", messagesPath+"/"+hookID, nil)
	status, body := w.Code, w.Body.String()
	if status != http.StatusOK || !strings.Contains(body, `href="`+webhooksPath+`/a/`+hookID+`/deliveries/c00000000000000000000004a">Message sent</a>`) || !strings.Contains(body, "orders") {
		t.Errorf("%d %s", status, body)
	}
	api.answers[deliveries] = `503 {"error":"Not now.","details":{"code":"unavailable"}}`
	w = ask(c, "GET", messagesPath+"/"+hookID, nil)
	if status, body := w.Code, w.Body.String(); status != http.StatusOK || !strings.Contains(body, "cannot be read now") || !strings.Contains(body, "What happens next") {
		t.Errorf("%d %s", status, body)
	}
}
