package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
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
	api.answers[deliveries] = `200 {"data":[{"id":"c00000000000000000000004a","eventId":"e","messageId":"` + hookID + `","status":"SENT","state":"failed","attempts":9,"lastAttempt":{"attempt":9,"at":"2026-07-03T09:30:00Z","tookMs":7,"status":503,"fault":null,"answer":"No <b>room</b>"},"createdAt":"2026-07-03T09:00:00Z"}],"nextCursor":null}`
	c := open(t, api)
	w := ask(c, "GET", messagesPath+"/"+hookID, nil)
	status, body := w.Code, w.Body.String()
	if status != http.StatusOK || !strings.Contains(body, `href="`+webhooksPath+`/a/`+hookID+`/deliveries/c00000000000000000000004a">Message sent</a>`) || !strings.Contains(body, "orders") || !strings.Contains(body, `Last answer: <code>503</code> No &lt;b&gt;room&lt;/b&gt;</span>`) {
		t.Errorf("%d %s", status, body)
	}
	api.answers[deliveries] = strings.Replace(api.answers[deliveries], `"status":503,"fault":null`, `"status":null,"fault":"connect_failed"`, 1)
	if body := ask(c, "GET", messagesPath+"/"+hookID, nil).Body.String(); !strings.Contains(body, "Last answer: none, connect failed") {
		t.Errorf("no answer at all: %s", body)
	}
	api.answers[deliveries] = `503 {"error":"Not now.","details":{"code":"unavailable"}}`
	w = ask(c, "GET", messagesPath+"/"+hookID, nil)
	if status, body := w.Code, w.Body.String(); status != http.StatusOK || !strings.Contains(body, "cannot be read now") || !strings.Contains(body, "What happens next") {
		t.Errorf("%d %s", status, body)
	}
}

// sentTo makes the API answer that a message came to an end and that an app has so many webhooks, of which each was told of it once.
func sentTo(api *fakeAPI, endpoints int) {
	api.answers["GET /api/admin/messages/"+hookID] = `200 {"id":"` + hookID + `","channel":"SMS","status":"CANCELLED","toAddress":"233241234567","app":{"id":"a","slug":"shop","name":"Shop"}}`
	list := make([]string, endpoints)
	for i := range list {
		id := fmt.Sprintf("c0000000000000000000001%02d", i)
		list[i] = fmt.Sprintf(`{"id":"%s","name":"hook-%d","url":"https://example.com/hook","isActive":true}`, id, i)
		api.answers["GET /api/v1/webhooks/"+id+"/deliveries"] = fmt.Sprintf(`200 {"data":[{"id":"c0000000000000000000004%02d","eventId":"e","messageId":"%s","status":"SENT","state":"delivered","attempts":1,"createdAt":"2026-07-03T09:00:00Z"}],"nextCursor":null}`, i, hookID)
	}
	api.answers["GET /api/v1/webhooks"] = `200 {"data":[` + strings.Join(list, ",") + `],"nextCursor":null}`
}

// TestAMessageLeavesNoWebhookOut: an app may have twenty, and each that was told of the message is named.
func TestAMessageLeavesNoWebhookOut(t *testing.T) {
	t.Parallel()
	for _, n := range []int{11, 20} {
		api := hooksAPI()
		sentTo(api, n)
		body := ask(open(t, api), "GET", messagesPath+"/"+hookID, nil).Body.String()
		for i := range n {
			if want := fmt.Sprintf("<span>hook-%d</span>", i); !strings.Contains(body, want) {
				t.Errorf("of %d webhooks %s is left out", n, want)
			}
		}
	}
}

// TestAMessageSaysThatAWebhookWaits: what happens next to a message that is over is that its webhooks are told, and "nothing more" is said of the
// message alone as long as one is not.
func TestAMessageSaysThatAWebhookWaits(t *testing.T) {
	t.Parallel()
	api := hooksAPI()
	sentTo(api, 3)
	next := func() string {
		body := ask(open(t, api), "GET", messagesPath+"/"+hookID, nil).Body.String()
		_, rest, _ := strings.Cut(body, "<dt>What happens next</dt>")
		part, _, _ := strings.Cut(rest, "</dl>")
		return part
	}
	if got := next(); !strings.HasPrefix(got, "<dd>Nothing more, unless") || strings.Contains(got, "webhook") {
		t.Errorf("where every webhook was told: %s", got)
	}
	waits := func(i int, attempts, due string) {
		at := fmt.Sprintf("GET /api/v1/webhooks/c0000000000000000000001%02d/deliveries", i)
		api.answers[at] = strings.Replace(api.answers[at], `"state":"delivered","attempts":1`, `"state":"waiting","attempts":`+attempts+`,"nextAttemptAt":"`+due+`"`, 1)
	}
	waits(1, "3", "2026-07-03T10:05:00Z")
	page := webhooksPath + "/a/c000000000000000000000101/deliveries/c000000000000000000000401"
	if got := next(); !strings.HasPrefix(got, "<dd>Of the message itself nothing more, unless") || !strings.Contains(plain(got), "A webhook about it is still being tried: hook-1, next in 5 min.") || !slices.Equal(linksIn(got), []string{page}) {
		t.Errorf("one waits: %s", got)
	}
	waits(2, "0", "2026-07-03T09:59:00Z")
	api.answers["GET /api/v1/webhooks"] = strings.Replace(api.answers["GET /api/v1/webhooks"], `"name":"hook-1","url":"https://example.com/hook","isActive":true`, `"name":"hook-1","url":"https://example.com/hook","isActive":false`, 1)
	if got := plain(next()); !strings.Contains(got, "A webhook about it waits until it is switched on: hook-1. A webhook about it is still being tried: hook-2, due now.") {
		t.Errorf("one is off, one is due: %s", got)
	}
	api.answers["GET /api/v1/webhooks"] = `503 {"error":"Not now.","details":{"code":"unavailable"}}`
	if got := next(); !strings.HasPrefix(got, "<dd>Nothing more, unless") {
		t.Errorf("where that cannot be read: %s", got)
	}
}

// TestAMessageThatHasJustEndedIsWatchedForItsWebhooks: whoever has just seen it end sees, without loading the page again, that a webhook is told of it;
// a page left open for longer asks no more.
func TestAMessageThatHasJustEndedIsWatchedForItsWebhooks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		updated, state string
		watched        bool
	}{
		{"2026-07-03T09:59:00Z", "waiting", true},
		{"2026-07-03T09:59:00Z", "delivered", false},
		{"2026-07-03T09:57:00Z", "waiting", false},
	} {
		api := hooksAPI()
		sentTo(api, 1)
		message, deliveries := "GET /api/admin/messages/"+hookID, "GET /api/v1/webhooks/c000000000000000000000100/deliveries"
		api.answers[message] = strings.Replace(api.answers[message], `"status":`, `"updatedAt":"`+c.updated+`","status":`, 1)
		api.answers[deliveries] = strings.Replace(api.answers[deliveries], `"state":"delivered"`, `"state":"`+c.state+`"`, 1)
		body := ask(open(t, api), "GET", messagesPath+"/"+hookID, nil).Body.String()
		if watched := strings.Contains(body, `hx-trigger="every 2s"`); watched != c.watched {
			t.Errorf("ended at %s, its webhook %s: watched %t, want %t", c.updated, c.state, watched, c.watched)
		}
	}
}

// An endpoint whose calls fail is not called active: the list and its page say since when it fails, how often it was tried and when it is tried again, also what
// is fetched again by itself.
func TestAFailingWebhook(t *testing.T) {
	t.Parallel()
	api := hooksAPI()
	one := strings.TrimSuffix(strings.TrimPrefix(api.answers["GET /api/v1/webhooks/"+hookID], "200 "), "}")
	show := func(failing string) (out [3]string) {
		t.Helper()
		api.answers["GET /api/v1/webhooks/"+hookID], api.answers["GET /api/v1/webhooks"] = "200 "+one+`,"failing":`+failing+`}`, `200 {"data":[`+one+`,"failing":`+failing+`}],"nextCursor":null}`
		c := open(t, api)
		at := webhooksPath + "/shop/" + hookID
		for i, w := range []*httptest.ResponseRecorder{ask(c, "GET", webhooksPath+"?app=shop", nil), ask(c, "GET", at, nil), ask(c, "GET", at, nil, "HX-Request", "true", "HX-Target", "deliveries")} {
			if out[i] = w.Body.String(); w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, out[i])
			}
		}
		return out
	}
	for _, tc := range []struct{ failing, want string }{
		{`{"since":"2026-07-03T08:00:00Z","waiting":12,"atLeast":false,"attempts":37,"nextAttemptAt":"2026-07-03T10:05:00Z"}`, "Every call has failed since 2026-07-03 08:00:00 UTC. 12 events wait, tried 37 times so far; the next try is in 5 min."},
		{`{"since":"2026-07-03T08:00:00Z","waiting":100,"atLeast":true,"attempts":400,"nextAttemptAt":"2026-07-03T09:59:00Z"}`, "Every call has failed since 2026-07-03 08:00:00 UTC. 100 or more events wait, tried 400 or more times so far; the next try is due."},
		{`{"since":"2026-07-03T08:00:00Z","waiting":0,"atLeast":false,"attempts":0,"nextAttemptAt":null}`, "Nothing waits for it: the next event is the next try."},
	} {
		for i, page := range show(tc.failing) {
			if text := plain(page); !strings.Contains(text, tc.want) || !strings.Contains(page, `<span class="badge tone-bad">Failing</span>`) || strings.Contains(page, `>Active</span>`) {
				t.Errorf("%d of %s does not say %q: %s", i, tc.failing, tc.want, text)
			}
		}
	}
	for i, page := range show("null") {
		if text := plain(page); strings.Contains(text, "has failed since") || !strings.Contains(page, `<span class="badge tone-ok">Active</span>`) {
			t.Errorf("%d of one that works: %s", i, text)
		}
	}
}

// TestADeliveryThatIsDue: its page says so, and names no instant of the past as the next try.
func TestADeliveryThatIsDue(t *testing.T) {
	t.Parallel()
	api := hooksAPI()
	id := "c00000000000000000000004a"
	for at, want := range map[string]string{"2026-07-03T09:59:24Z": "Next try due", "2026-07-03T10:05:00Z": "Next try in 5 min"} {
		api.answers["GET /api/v1/webhooks/"+hookID+"/deliveries/"+id] = `200 {"id":"` + id + `","state":"waiting","nextAttemptAt":"` + at + `","createdAt":"2026-07-03T09:00:00Z","body":{},"attemptLog":[]}`
		w := ask(open(t, api), "GET", webhooksPath+"/shop/"+hookID+"/deliveries/"+id, nil)
		page := strings.ReplaceAll(w.Body.String(), "</dt><dd>", " ")
		if got := plain(page); w.Code != http.StatusOK || !strings.Contains(got, want) {
			t.Errorf("%d, %q is not in %s", w.Code, want, got)
		}
	}
}

// plain is what a page says, without its markup.
func plain(page string) string {
	return strings.Join(strings.Fields(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, "")), " ")
}

// TestAnAppSaysHowManyWebhooksItHas: those that are no webhookUrl of the app count, too, and the number leads to them.
func TestAnAppSaysHowManyWebhooksItHas(t *testing.T) {
	t.Parallel()
	api := hooksAPI()
	c := open(t, api)
	hook := api.answers["GET /api/v1/webhooks/"+hookID][len("200 "):]
	off := strings.Replace(hook, `"isActive":true`, `"isActive":false`, 1)
	for _, one := range []struct{ list, want string }{
		{"", `<a href="/console/webhooks?app=shop">none</a>`},
		{hook, `<a href="/console/webhooks?app=shop">1 webhook</a>`},
		{hook + "," + off, `<a href="/console/webhooks?app=shop">2 webhooks</a>, 1 of them off`},
		{off, `<a href="/console/webhooks?app=shop">1 webhook</a>, off`},
	} {
		api.answers["GET /api/v1/webhooks"] = `200 {"data":[` + one.list + `],"nextCursor":null}`
		body := ask(c, "GET", appsPath+"/shop", nil).Body.String()
		if _, fact, _ := strings.Cut(body, "<dt>Webhooks</dt>"); !strings.HasPrefix(fact, "<dd>"+one.want+"</dd>") {
			t.Errorf("%d webhooks: %.200s", strings.Count(one.list, "isActive"), fact)
		}
	}
}
