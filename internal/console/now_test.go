package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// happens is an answer of the API with one event.
const happens = `200 {"data":[{"app":{"id":"a","slug":"shop","name":"Shop"},"messageId":"c00000000000000000000001a","channel":"SMS","toAddress":"233241234567","sequence":4,"type":"report_failed","from":"SENT","to":"FAILED","at":"2026-07-03T09:59:58Z","provider":"twilio","errorCode":"undelivered","detail":"absent"}],"looked":1,"passed":0,"atLeast":false,"nextCursor":"NEXT"}`

// TestWhatHappensIsShownOnce: the page shows what happened last, and then asks for what is new alone, under the same filters.
func TestWhatHappensIsShownOnce(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: empty()}
	c := open(t, api)
	body := ask(c, "GET", nowPath+"?app=shop", nil).Body.String()
	if !strings.Contains(body, `id="happenings" class="stack" hx-get="/console/live?app=shop" hx-trigger="every 2s"`) || strings.Contains(body, "<table") {
		t.Errorf("where nothing happened the page is not asked for again: %s", body)
	}
	api.answers["GET /api/admin/events"] = happens
	body = ask(c, "GET", nowPath+"?app=shop&channel=SMS&only=problems&after=OLD", nil).Body.String()
	if last := api.calls[slices.IndexFunc(api.calls, func(s string) bool { return strings.Contains(s, "troubles") })]; last != "GET /api/admin/events?app=shop&channel=SMS&limit=50&troubles=true " {
		t.Errorf("a whole page asked %s", last)
	}
	for _, want := range []string{`<tbody id="tail" hx-get="/console/live?after=NEXT&amp;app=shop&amp;channel=SMS&amp;only=problems" hx-trigger="every 2s" hx-swap="outerHTML"></tbody>`, "Not delivered, the provider reports", "<code>undelivered</code> absent",
		`href="/console/messages/c00000000000000000000001a">233241234567</a>`, ">09:59:58</time>", "Live: stop"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in %s", want, body)
		}
	}
	api.calls = nil
	w := ask(c, "GET", nowPath+"?app=shop&after=NEXT", nil, "HX-Target", "tail", "HX-Request", "true")
	if body = w.Body.String(); !slices.Contains(api.calls, "GET /api/admin/events?after=NEXT&app=shop&limit=50 ") || !strings.HasPrefix(body, `<tbody id="tail"`) || strings.Count(body, "<tr") != 1 || !strings.Contains(body, `class="fresh"`) || strings.Contains(body, "not shown") {
		t.Errorf("what is new: %v %s", api.calls, body)
	}
	if len(api.calls) > 2 {
		t.Errorf("what is new costs more than its own call: %v", api.calls)
	}
}

// TestWhatIsPassedOverIsSaid: and where it is found.
func TestWhatIsPassedOverIsSaid(t *testing.T) {
	t.Parallel()
	for counted, want := range map[string]string{`"passed":1,"atLeast":false`: "1 other event happened before these and is not shown.", `"passed":1200,"atLeast":false`: "1\u202f200 other events happened before these and are not shown.",
		`"passed":1200,"atLeast":true`: "More than 1\u202f200 other events happened"} {
		c := open(t, &fakeAPI{answers: map[string]string{"GET /api/admin/events": strings.Replace(happens, `"passed":0,"atLeast":false`, counted, 1)}})
		body := ask(c, "GET", nowPath+"?app=shop&only=problems&after=NEXT", nil, "HX-Target", "tail").Body.String()
		if !strings.Contains(body, want) || !strings.Contains(body, `href="/console/messages?app=shop&amp;status=FAILED"`) {
			t.Errorf("%s: %s", counted, body)
		}
	}
}

// TestWhatHappensCanBeStopped: then nothing is asked for again, and the filters leave it so.
func TestWhatHappensCanBeStopped(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: empty()}
	for range 2 {
		body := ask(open(t, api), "GET", nowPath+"?live=off", nil).Body.String()
		if strings.Contains(body, "hx-trigger") || !strings.Contains(body, "Update by itself") || !strings.Contains(body, `name="live" value="off"`) {
			t.Errorf("%s", body)
		}
		api.answers["GET /api/admin/events"] = happens
	}
}

// TestAWrongLookIsTold: on the page by its words; the part that cannot go on has the page loaded anew.
func TestAWrongLookIsTold(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: map[string]string{"GET /api/admin/events": `404 {"error":"There is no such app.","details":{"code":"not_found"}}`, "GET /api/admin/apps": `200 {"data":[]}`}})
	w := ask(c, "GET", nowPath+"?app=nobody", nil)
	if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, "There is no such app.") || strings.Contains(body, "hx-trigger") {
		t.Errorf("%d %s", w.Code, body)
	}
	if w = ask(c, "GET", nowPath+"?app=nobody&after=NEXT", nil, "HX-Target", "tail"); w.Header().Get("HX-Refresh") != "true" || w.Body.Len() != 0 {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
}

// TestALivePageIsSmall: 50 lines with everything that an event can say.
func TestALivePageIsSmall(t *testing.T) {
	t.Parallel()
	one := happens[len(`200 {"data":[`):strings.Index(happens, `],"looked"`)]
	one = strings.Replace(one, "absent", strings.Repeat("The mailbox is full. ", 500), 1)
	many := `200 {"data":[` + strings.Repeat(one+",", happensShown-1) + one + `],"looked":50,"passed":3,"atLeast":true,"nextCursor":"` + strings.Repeat("N", 1400) + `"}`
	c := open(t, &fakeAPI{answers: map[string]string{"GET /api/admin/events": many, "GET /api/admin/apps": `200 {"data":[]}`}})
	if n := ask(c, "GET", nowPath, nil).Body.Len(); n > 75_000 { // as much again for what comes later
		t.Errorf("%d bytes", n)
	}
}
