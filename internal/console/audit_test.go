package console

import (
	"encoding/base64"
	"html"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/all"
)

// TestEveryActionHasWords: an action of the code's list that the page has no words for is found here, and words for none.
func TestEveryActionHasWords(t *testing.T) {
	t.Parallel()
	known, said := map[string]bool{}, map[string]string{}
	for _, w := range comm.AuditActions() {
		known[w.Code] = true
		one := acted[w.Code]
		if one.Did == "" || one.Did == statusWord(w.Code) {
			t.Errorf("%s has no words", w.Code)
		}
		if said[one.Did] != "" {
			t.Errorf("%s reads as %s: %s", w.Code, said[one.Did], one.Did)
		}
		said[one.Did] = w.Code
	}
	for action := range acted {
		if !known[action] {
			t.Errorf("%s is no action", action)
		}
	}
	for _, one := range turns {
		if !known[one.Action] {
			t.Errorf("%s is no action", one.Action)
		}
	}
	for _, w := range comm.ActorKinds() {
		if actorWords[w.Code] == "" {
			t.Errorf("%s is an actor without words", w.Code)
		}
	}
}

// auditOf is the page of the log with these entries.
func auditOf(t *testing.T, api *fakeAPI, query, entries, next string) string {
	t.Helper()
	api.answers["GET /api/admin/audit"] = `200 {"data":[` + entries + `],"nextCursor":` + next + `}`
	w := ask(open(t, api), "GET", auditPath+query, nil)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

const (
	anID   = "c0000000000000000000000aa"
	goneID = "c0000000000000000000000ff"
)

// auditAPI has one thing of each kind, with the id anID.
func auditAPI() *fakeAPI {
	api := &fakeAPI{answers: empty()}
	api.answers["GET /api/admin/apps"] = `200 {"data":[{"id":"` + anID + `","slug":"shop","name":"Shop & Co"}],"nextCursor":null}`
	for path, body := range map[string]string{"/api/v1/provider-configs": `{"name":"Main relay"}`, "/api/admin/provider-configs": `{"name":"House relay"}`, "/api/v1/templates": `{"name":"Welcome"}`,
		"/api/v1/webhooks": `{"name":"Orders"}`, "/api/admin/messages": `{"toAddress":"ama@example.com"}`} {
		api.answers["GET "+path+"/"+anID] = "200 " + body
		api.answers["GET "+path+"/"+goneID] = `404 {"error":"It is not there.","details":{"code":"not_found"}}`
	}
	api.answers["GET /api/admin/apps/"+goneID] = `404 {"error":"It is not there.","details":{"code":"not_found"}}`
	api.answers["GET /api/admin/apps/"+anID+"/keys"] = `200 {"data":[{"id":"` + anID + `","name":"Production"}],"nextCursor":null}`
	api.answers["GET /api/admin/users"] = `200 {"data":[{"id":"` + anID + `","name":"Ama","role":"ADMIN"}],"nextCursor":null}`
	return api
}

// TestTheLogSaysWhoDidWhatToWhat: in plain words, with the names of things, each linked as long as it is there.
func TestTheLogSaysWhoDidWhatToWhat(t *testing.T) {
	t.Parallel()
	const of = `"sequence":7,"at":"2026-07-03T09:00:00Z","address":"192.0.2.7","app":"` + anID + `",`
	for name, c := range map[string]struct {
		entry string
		has   []string
		lacks string
	}{
		"an app": {of + `"actor":"user","actorName":"Ama","action":"app_updated","target":"` + anID + `","detail":{"ratePerMinute":{"from":60,"to":90}}`,
			[]string{`<a href="/console/users/` + anID + `">Ama</a>`, `Changed the settings of the app <a href="/console/apps/` + anID + `">Shop &amp; Co</a>`, "Rate per minute", "<s>60</s>", "90</li>", "192.0.2.7", "3 Jul 09:00:00 UTC", `href="/console/audit?target=` + anID + `"`}, "is gone"},
		"a switch": {of + `"actor":"admin","action":"app_updated","target":"` + anID + `","detail":{"isActive":{"from":true,"to":false}}`,
			[]string{"The admin key", "Switched off the app <a"}, `class="changes"`},
		"two at once": {of + `"actor":"admin","action":"app_updated","target":"` + anID + `","detail":{"sandboxMode":{"from":true,"to":false},"isActive":{"from":false,"to":true}}`,
			[]string{"Took live the app <a", ">On</span> <s>no</s>", "yes</li>"}, "Sandbox</span>"},
		"a provider of an app":    {of + `"actor":"admin","action":"provider_updated","target":"` + anID + `"`, []string{`Changed the provider <a href="/console/providers/` + anID + `?app=shop">Main relay</a>`}, "is gone"},
		"the server's provider":   {`"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"admin","action":"provider_updated","target":"` + anID + `"`, []string{`<a href="/console/providers/` + anID + `">House relay</a>`, "the server"}, "is gone"},
		"a template":              {of + `"actor":"app","actorName":"` + anID + `","action":"template_updated","target":"` + anID + `"`, []string{`Changed the template <a href="/console/templates/shop/` + anID + `">Welcome</a>`, `<a href="/console/apps/` + anID + `#h-keys">Production</a>`, "a key of the app", `<a href="/console/audit?actor=` + anID + `">all by the same</a>`}, "is gone"},
		"a webhook":               {of + `"actor":"system","action":"endpoint_disabled","target":"` + anID + `"`, []string{"The server", "by itself", `the webhook <a href="/console/webhooks/shop/` + anID + `">Orders</a>`}, "is gone"},
		"a message":               {of + `"actor":"admin","action":"message_cancelled","target":"` + anID + `"`, []string{`Cancelled the message <a href="/console/messages/` + anID + `">to ama@example.com</a>`}, "is gone"},
		"a user":                  {`"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"admin","action":"user_updated","target":"` + anID + `","detail":{"password":{"changed":true}}`, []string{`Changed the user <a href="/console/users/` + anID + `">Ama</a>`, "Password</span>", "its value is not kept"}, "is gone"},
		"a key":                   {of + `"actor":"client","action":"key_refused","target":"` + anID + `"`, []string{"Somebody", "not signed in", `with the ended key <a href="/console/apps/` + anID + `#h-keys">Production</a>`}, "is gone"},
		"a list":                  {of + `"actor":"admin","action":"suppressions_added","target":"SMS","detail":{"added":{"to":3}}`, []string{`the suppression list of <a href="/console/suppressions?app=shop&amp;channel=SMS">Shop &amp; Co, SMS</a>`, "Added</span>"}, "is gone"},
		"a person":                {of + `"actor":"admin","action":"erasure_finished","target":"` + goneID + `"`, []string{`href="/console/apps/` + anID + `/persons"`}, "is gone"},
		"signing in":              {`"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"user","actorName":"Ama","action":"signed_in","target":"` + anID + `"`, []string{">Signed in</span>"}, "Signed in as"},
		"a provider that is gone": {of + `"actor":"user","actorName":"Kofi","action":"provider_created","target":"` + goneID + `","detail":{"name":{"to":"Old relay"}}`, []string{`Created the provider <b>Old relay</b> <span class="gone">is gone`, `<b>Kofi</b><span class="sub`}, `/console/providers/` + goneID},
		"a deletion":              {of + `"actor":"admin","action":"template_deleted","target":"` + goneID + `"`, []string{"Deleted the template <code>" + goneID}, "is gone"},
		"an app that is gone":     {`"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"admin","app":"` + goneID + `","action":"app_created","target":"` + goneID + `","detail":{"name":{"to":"Old shop"}}`, []string{"Created the app <b>Old shop</b> <span", "<code>" + goneID + "</code> <span class=\"gone\">"}, `href="/console/apps/` + goneID},
		"of a newer server":       {`"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"robot","actorName":"R2","action":"moon_painted","target":"luna"`, []string{"R2", "Moon painted: <b>luna</b>"}, "is gone"},
	} {
		page := auditOf(t, auditAPI(), "", "{"+c.entry+"}", "null")
		_, rows, _ := strings.Cut(page, "<tbody>")
		for _, has := range c.has {
			if !strings.Contains(rows, has) {
				t.Errorf("%s: it does not have %s in %s", name, has, rows[:min(len(rows), 1500)])
			}
		}
		if strings.Contains(rows, c.lacks) {
			t.Errorf("%s: it has %s", name, c.lacks)
		}
	}
}

// TestAnActorIsKnownByNameOnly: a name that nobody has may be of somebody who was renamed, and one who came later did nothing before.
func TestAnActorIsKnownByNameOnly(t *testing.T) {
	t.Parallel()
	entry := func(at, name string) string {
		return `{"sequence":7,"at":"` + at + `","actor":"user","actorName":"` + name + `","action":"backup_taken","target":""}`
	}
	api := auditAPI()
	api.answers["GET /api/admin/users"] = `200 {"data":[{"id":"` + anID + `","name":"ama","role":"ADMIN","createdAt":"2026-07-02T09:00:00.5Z"}],"nextCursor":null}`
	for of, want := range map[string]string{
		entry("2026-07-02T09:00:00.4Z", "ama"): `<b>ama</b><`, entry("2026-07-02T09:00:00.5Z", "ama"): `<a href="/console/users/` + anID + `">ama</a><`,
		entry("2026-07-03T09:00:00Z", "ama"): `<a href="/console/users/` + anID + `">ama</a><`, entry("2026-07-03T09:00:00Z", "kofi"): `<b>kofi</b><`,
	} {
		_, rows, _ := strings.Cut(auditOf(t, api, "", of, "null"), "<tbody>")
		if !strings.Contains(rows, want) || strings.Contains(rows, "is gone") || strings.Count(rows, "/console/users/") != strings.Count(want, "/console/users/") {
			t.Errorf("%s: not %s in %s", of, want, rows[:min(len(rows), 800)])
		}
	}
}

// TestWhatIsGoneKeepsItsName: the entry of a deletion keeps none of a template; one of the same page that does names both.
func TestWhatIsGoneKeepsItsName(t *testing.T) {
	t.Parallel()
	entry := func(action, detail string) string {
		return `{"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"admin","app":"` + anID + `","action":"` + action + `","target":"` + goneID + `","detail":` + detail + `}`
	}
	page := auditOf(t, auditAPI(), "", entry("template_deleted", `{}`)+","+entry("template_created", `{"key":{"to":"welcome"}}`), "null")
	holds(t, page, "Deleted the template <b>welcome</b></span>", "Created the template <b>welcome</b> <span")
}

// TestLookupsAreBounded: whatever a page of the log is about, it asks for no more than so many things, each once.
func TestLookupsAreBounded(t *testing.T) {
	t.Parallel()
	api, s := auditAPI(), []string(nil)
	for n := range 2 * lookupsMost {
		id := goneID[:21] + string([]byte{byte('a' + n/60), byte('a' + n%26), byte('a' + n/26%26), 'x'})
		s = append(s, `{"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"admin","action":"message_retried","target":"`+id+`"}`)
	}
	page := auditOf(t, api, "", strings.Join(append(s, s...), ","), "null")
	if n := len(slices.DeleteFunc(slices.Clone(api.calls), func(c string) bool { return !strings.HasPrefix(c, "GET /api/admin/messages/") })); n != lookupsMost {
		t.Errorf("%d were asked for", n)
	}
	if n := strings.Count(page, "/console/messages/"); n == 0 {
		t.Error("what was not asked for has no link")
	}
}

// TestNarrowingTheLog: by app, actor, action and time; a page without entries that is not the last one leads on.
func TestNarrowingTheLog(t *testing.T) {
	t.Parallel()
	api := auditAPI()
	page := auditOf(t, api, "?app=shop&actor="+anID+"&action=app_updated&within=12h", "", `"older"`)
	if !slices.Contains(api.calls, "GET /api/admin/audit?action=app_updated&actor="+anID+"&after=2026-07-02T22%3A00%3A00Z&app=shop&limit=50 ") {
		t.Errorf("asked %q", api.calls)
	}
	holds(t, page, `<option value="`+anID+`" selected>`, `<option value="app_updated" selected>Changed the settings of the app</option>`, `<option value="12h" selected>`, "<option>Ama</option>", "Nothing like this in what was looked through",
		`cursor=older`, "within=12h")
	if page = auditOf(t, auditAPI(), "?actor=Ama", "", "null"); !strings.Contains(page, "<option selected>Ama</option>") || !strings.Contains(page, "Nothing like this happened") {
		t.Error("a user cannot be chosen")
	}
	if page = auditOf(t, auditAPI(), "", "", "null"); !strings.Contains(page, "Nothing was changed yet") {
		t.Error("an empty log says nothing")
	}
	// Who may not see users is shown their names, and none of them as gone.
	api = auditAPI()
	api.role = "VIEWER"
	page = auditOf(t, api, "", `{"sequence":7,"at":"2026-07-03T09:00:00Z","actor":"user","actorName":"Ama","action":"user_updated","target":"`+anID+`"}`, "null")
	if strings.Contains(page, "is gone") || strings.Contains(page, "/console/users/") || slices.Contains(api.calls, "GET /api/admin/users?limit=100 ") {
		t.Errorf("a viewer: %q", api.calls)
	}
}

// strictAPI takes a cursor of the log only with the parameters that it was given out for, as the server does.
type strictAPI struct {
	*fakeAPI
	asked []string // since when
}

func (f *strictAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path == "/api/admin/audit" {
		cursor := q.Get("cursor")
		q.Del("cursor")
		q.Del("limit")
		f.asked = append(f.asked, q.Get("after"))
		is := base64.RawURLEncoding.EncodeToString([]byte(q.Encode()))
		f.answers["GET /api/admin/audit"] = `200 {"data":[],"nextCursor":"` + is + `"}`
		if cursor != "" && cursor != is {
			f.answers["GET /api/admin/audit"] = `400 {"error":"The cursor belongs to another list.","details":{"code":"invalid_cursor"}}`
		}
	}
	f.fakeAPI.ServeHTTP(w, r)
}

var nextLink = regexp.MustCompile(`href="([^"]*)" rel="next"`)

// TestPagesOfTheLastHours: the pages of a log of the last hours begin at the same instant, however long somebody reads; a new search begins anew.
func TestPagesOfTheLastHours(t *testing.T) {
	t.Parallel()
	api, clock := &strictAPI{fakeAPI: auditAPI()}, now()
	api.role = "ADMIN"
	c, err := New(Config{API: api, PublicURL: "http://localhost:3008", Adapters: all.Adapters(), Version: "test", Now: func() time.Time { return clock }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	query := "?within=12h"
	for page := range 3 {
		shown := ask(c, "GET", auditPath+query, nil).Body.String()
		next := nextLink.FindStringSubmatch(shown)
		if next == nil {
			t.Fatalf("page %d leads nowhere, asked %q", page, api.asked)
		}
		holds(t, shown, `<option value="12h" selected>`)
		if strings.Contains(shown, `name="since"`) || strings.Contains(shown, "Back to the first page") != (page > 0) {
			t.Errorf("page %d does not let one begin anew", page)
		}
		query, clock = html.UnescapeString(next[1]), clock.Add(90*time.Second)
	}
	const first = "2026-07-02T22:00:00Z"
	if !slices.Equal(api.asked, []string{first, first, first}) {
		t.Errorf("asked %q", api.asked)
	}
	// The first page, an instant without the time that it is of, and one that is none.
	shown := ask(c, "GET", auditPath+query, nil).Body.String()
	back := regexp.MustCompile(`href="([^"]*)">Back to the first page`).FindStringSubmatch(shown)
	if back == nil {
		t.Fatal("no way back")
	}
	for query, want := range map[string]string{html.UnescapeString(back[1]): "2026-07-02T22:04:30Z", "?since=2026-07-01T00:00:00Z": "", "?within=1h&since=luna": "2026-07-03T09:04:30Z",
		"?within=12h&after=2026-07-01T00:00&since=" + first: "2026-07-01T00:00:00Z"} {
		if ask(c, "GET", auditPath+query, nil); api.asked[len(api.asked)-1] != want {
			t.Errorf("%s asks for %s, not %s", query, api.asked[len(api.asked)-1], want)
		}
	}
}

// TestStamps: an instant of another year has it.
func TestStamps(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 7, 3, 2, 14, 7, 0, time.UTC)
	for now, want := range map[time.Time]string{at.AddDate(0, 5, 0): "3 Jul 02:14:07 UTC", at.AddDate(1, 0, 0): "3 Jul 2026 02:14:07 UTC"} {
		if got := stamp(at, now); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

func TestSettingWords(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"ratePerMinute": "Rate per minute", "config.host": "Host", "isActive": "On", "smsPerDay": "Sms per day", "": ""} {
		if got := settingWord(name); got != want {
			t.Errorf("%q reads %q", name, got)
		}
	}
	if did, _, told := didWords(&client.AuditEntry{Action: comm.AuditAppUpdated, Detail: map[string]map[string]any{"queuePaused": {"from": true, "to": false}, "queueDraining": {"from": false, "to": true}}}); did != "Let the queue run empty of the app" || told != "queueDraining" {
		t.Errorf("%q by %q", did, told)
	}
}
