package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// post sends a form of a page, with the session's token.
func post(t *testing.T, c *Console, path string, form url.Values) (status int, location, body string) {
	t.Helper()
	form.Set("_token", token(t, c))
	w := ask(c, "POST", path, form)
	return w.Code, w.Header().Get("Location"), w.Body.String()
}

// asked are the bodies of the calls to method and path.
func (f *fakeAPI) asked(call string) (out []string) {
	for i, one := range f.calls {
		if strings.HasPrefix(one, call+" ") {
			out = append(out, f.bodies[i])
		}
	}
	return out
}

// What a queue's cancel takes ends where its messages were counted, by the clock that dates them: the node's own is 20 s ahead here.
func TestClearingAQueue(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop"}`
	api.answers["POST /api/admin/queue"] = `200 {"cancelled":7}`
	c := open(t, api)
	status, _, body := post(t, c, queuePath+"/shop/clear", url.Values{"confirm": {"shop "}, "channel": {"SMS"}})
	if status != http.StatusOK || !strings.Contains(body, "Nothing was cancelled") || len(api.asked("POST /api/admin/queue")) != 0 {
		t.Errorf("a slip of the keyboard: %d %v", status, api.calls)
	}
	form := shownOn(t, c, queuePath+"/shop/clear?channel=SMS&lane=BULK", url.Values{"confirm": {"shop"}})
	c.cfg.Now = func() time.Time { return now().Add(time.Hour) } // read for long
	status, to, _ := post(t, c, queuePath+"/shop/clear", form)
	if status != http.StatusSeeOther || to != queuePath+"?app=shop" || !slices.Equal(api.asked("POST /api/admin/queue"), []string{`{"action":"CANCEL","app":"a","channel":"SMS","confirm":"shop","createdBefore":"2026-07-03T09:59:40Z","lane":"BULK"}`}) {
		t.Errorf("%d to %s: %q", status, to, api.asked("POST /api/admin/queue"))
	}
	api.answers["POST /api/admin/queue"] = `200 {"cancelled":1000,"nextCursor":"more"}`
	for _, until := range []string{"", "yesterday"} {
		if status, _, body := post(t, c, queuePath+"/shop/clear", url.Values{"confirm": {"shop"}, "until": {until}}); status != http.StatusOK || !strings.Contains(body, "Nothing was cancelled") || !strings.Contains(body, "2026-07-03T09:59:40Z") || len(api.asked("POST /api/admin/queue")) != 1 {
			t.Errorf("a form that was shown %q: %d", until, status)
		}
	}
	status, _, body = post(t, c, queuePath+"/shop/clear", url.Values{"confirm": {"shop"}, "until": {"2026-07-03T10:00:00Z"}})
	if !strings.Contains(body, `name="until" value="2026-07-03T10:00:00Z"`) {
		t.Error("who goes on cancels what came meanwhile")
	}
	if n := len(api.asked("POST /api/admin/queue")); status != http.StatusOK || n != 1+clearSteps || !strings.Contains(body, `value="more"`) || !strings.Contains(body, "20\u202f000 messages are cancelled so far") {
		t.Errorf("a long queue: %d after %d calls: %s", status, n, body)
	}
}

func TestAddingSuppressions(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop"}`
	api.answers["POST /api/v1/suppressions/import"] = `200 {"added":1,"present":1}`
	c := open(t, api)
	status, _, body := post(t, c, suppressionsPath+"/shop/add", url.Values{"channel": {"EMAIL"}, "addresses": {" \r\n "}, "reason": {"manual"}})
	if status != http.StatusBadRequest || !strings.Contains(body, "at least one address") {
		t.Errorf("none: %d", status)
	}
	status, to, _ := post(t, c, suppressionsPath+"/shop/add", url.Values{"channel": {"EMAIL"}, "addresses": {"a@b.example\r\n\r\n c@d.example"}, "reason": {"manual"}, "note": {`asked "us"`}})
	want := `{"address":"a@b.example","channel":"EMAIL","note":"asked \"us\"","reason":"manual"}` + "\n" + `{"address":"c@d.example","channel":"EMAIL","note":"asked \"us\"","reason":"manual"}` + "\n"
	if got := api.asked("POST /api/v1/suppressions/import"); status != http.StatusSeeOther || to != suppressionsPath+"?app=shop" || len(got) != 1 || got[0] != want {
		t.Errorf("%d to %s: %q", status, to, got)
	}
	api.answers["POST /api/v1/suppressions/import"] = `200 {"added":1,"refused":1,"errors":[{"line":2,"error":"That is no address."}]}`
	status, _, body = post(t, c, suppressionsPath+"/shop/add", url.Values{"channel": {"EMAIL"}, "addresses": {"a@b.example\nnobody"}, "reason": {"manual"}})
	if status != http.StatusBadRequest || !strings.Contains(body, "Line 2: That is no address.") || !strings.Contains(body, "nobody") {
		t.Errorf("a bad line: %d %s", status, body)
	}
}

func TestTakingAnAddressOff(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop"}`
	api.answers["DELETE /api/v1/suppressions"] = `204 `
	c := open(t, api)
	status, to, _ := post(t, c, suppressionsPath+"/shop/remove", url.Values{"channel": {"SMS"}, "address": {"233241234567"}})
	if status != http.StatusSeeOther || to != suppressionsPath+"?app=shop" || !slices.Contains(api.calls, "DELETE /api/v1/suppressions?address=233241234567&channel=SMS shop") {
		t.Errorf("%d to %s: %v", status, to, api.calls)
	}
}

func TestCheckingTheAuditLog(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	c := open(t, api)
	for verdict, want := range map[string]string{
		`{"ok":true,"checked":12,"last":{"sequence":12,"hash":"abc"}}`:                                                  "All 12 entries hold",
		`{"ok":false,"checked":3,"last":{"sequence":3,"hash":"abc"},"broken":{"sequence":4,"reason":"it was changed"}}`: "does not hold from entry 4 on: it was changed",
	} {
		api.answers["GET /api/admin/audit/verify"] = "200 " + verdict
		w := ask(c, "POST", auditPath+"/verify", url.Values{"_token": {token(t, c)}})
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		page := ask(c, "GET", auditPath, nil, "Cookie", cookie+"; "+strings.Split(w.Header().Get("Set-Cookie"), ";")[0])
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("%s is not told", want)
		}
	}
}

// TestTheQueueIsMovedFromItsPage: pause, drain and resume stand on each line, as they make sense, and lead back to the view that one came from.
func TestTheQueueIsMovedFromItsPage(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: empty()}
	unit := func(state string) string {
		return `200 {"data":[{"app":{"id":"a","slug":"shop","name":"Shop"},"isActive":true,"queueState":"` + state + `","channel":"SMS","lane":"BULK","due":3}],"nextCursor":null,"totals":{"waiting":3}}`
	}
	api.answers["POST /api/admin/queue"] = `200 {"queueState":"PAUSED"}`
	const from = "?from=%2Fconsole%2Fqueue%3Flane%3DBULK"
	for state, want := range map[string]map[string]bool{"RUNNING": {"pause": true, "drain": true}, "PAUSED": {"resume": true}, "DRAINING": {"pause": true, "resume": true}} {
		api.answers["GET /api/admin/queue"] = unit(state)
		body := ask(open(t, api), "GET", queuePath+"?lane=BULK", nil).Body.String()
		for _, act := range []string{"pause", "drain", "resume"} {
			// It says itself how the dialog is filled: the list around it is replaced as a whole, which it would go by otherwise.
			if strings.Contains(body, `href="/console/apps/shop/do/`+act+from+`" hx-target="#dialog" hx-boost="true" hx-push-url="false" hx-swap="innerHTML" data-dialog`) != want[act] {
				t.Errorf("%s: %s is offered, or is not", state, act)
			}
		}
	}
	c := open(t, api)
	if body := ask(c, "GET", appsPath+"/shop/do/pause"+from, nil).Body.String(); !strings.Contains(body, `name="from" value="/console/queue?lane=BULK"`) || !strings.Contains(body, `href="/console/queue?lane=BULK"`) {
		t.Error("the page that asks does not know where one came from")
	}
	status, to, _ := post(t, c, appsPath+"/shop/do/pause", url.Values{"from": {queuePath + "?lane=BULK"}})
	if status != http.StatusSeeOther || to != queuePath+"?lane=BULK" || !slices.Equal(api.asked("POST /api/admin/queue"), []string{`{"action":"PAUSE","app":"a"}`}) {
		t.Errorf("%d to %s: %q", status, to, api.asked("POST /api/admin/queue"))
	}
	for _, away := range []string{"https://example.com/console", "//example.com", "/elsewhere"} {
		if _, to, _ := post(t, c, appsPath+"/shop/do/pause", url.Values{"from": {away}}); to != Root {
			t.Errorf("%s leads to %s", away, to)
		}
	}
	api.role = "VIEWER"
	if body := ask(open(t, api), "GET", queuePath, nil).Body.String(); strings.Contains(body, "/do/pause") {
		t.Error("who may only look is offered to pause")
	}
}

// TestAKeyWithoutRights: nothing ticked is not taken for the usual rights.
func TestAKeyWithoutRights(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	c := open(t, api)
	for path, call := range map[string]string{newAppPath: "POST /api/admin/apps", appsPath + "/shop/keys/new": "POST /api/admin/apps/a/keys"} {
		status, _, body := post(t, c, path, url.Values{"name": {"CI"}})
		if status != http.StatusBadRequest || !strings.Contains(body, "Choose at least one.") || len(api.asked(call)) > 0 {
			t.Errorf("%s: %d, %v", path, status, api.asked(call))
		}
	}
}

// TestTheQueueSaysWhatWaitsBehindAProvider: how much, since when, and that it is what would be tried there first; with the page of the configuration.
func TestTheQueueSaysWhatWaitsBehindAProvider(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: empty(), role: "VIEWER"}
	api.answers["GET /api/admin/queue"] = `200 {"data":[],"nextCursor":null,"totals":{"waiting":1300,"sending":2},"providers":[
		{"id":"` + hookID + `","app":null,"name":"Relay","providerType":"SMTP","channel":"EMAIL","sending":2,"due":1234,"atLeast":true,"oldestDueAt":"2026-07-03T09:00:00Z","oldestAgeSeconds":3600},
		{"id":"` + hookID + `","app":"a","name":"Own","providerType":"TWILIO","channel":"SMS","sending":3,"due":0,"atLeast":false,"oldestDueAt":null,"oldestAgeSeconds":null},
		{"id":"` + hookID + `","app":"b","name":"Far","providerType":"TWILIO","channel":"SMS","sending":1,"due":0,"atLeast":false,"oldestDueAt":null,"oldestAgeSeconds":null},
		{"id":null,"app":null,"name":null,"providerType":"sandbox","channel":null,"sending":0,"due":7,"atLeast":false,"oldestDueAt":"2026-07-03T10:00:00Z","oldestAgeSeconds":null}]}`
	api.answers["GET /api/admin/apps"] = `200 {"data":[{"id":"a","slug":"shop","name":"Shop"}],"nextCursor":"more"}`
	body := ask(open(t, api), "GET", queuePath, nil).Body.String()
	_, rest, _ := strings.Cut(body, `id="h-calls"`)
	part, _, _ := strings.Cut(rest, `</section>`)
	rows := strings.Split(part, "<tr>")
	if len(rows) != 6 {
		t.Fatalf("%d rows: %s", len(rows), part)
	}
	for i, want := range []struct{ text, link string }{
		{"Relay the server SMTP 1 234 or more 1 h 2", providersPath + "/" + hookID}, {"Own Shop TWILIO 0 nothing due 3", providersPath + "/" + hookID + "?app=a"},
		{"Far an app TWILIO 0 nothing due 1", providersPath + "/" + hookID + "?app=b"}, {"The sandbox the server sandbox 7 0 ms 0", ""},
	} {
		row := rows[i+2]
		if got := strings.Join(strings.Fields(plain(strings.ReplaceAll(row, "</td>", " </td>"))), " "); !strings.HasPrefix(got, want.text) || want.link != "" && linksIn(row)[0] != want.link {
			t.Errorf("%q, want %q: %s", got, want.text, row)
		}
	}
	if !strings.Contains(plain(rest), "it counts where it would be tried first now") {
		t.Errorf("nothing says what is counted: %s", part)
	}
}
