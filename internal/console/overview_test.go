package console

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/alert"
)

// raised is an answer of the API with one alert that stands.
func raised(kind, of, subject, app string) string {
	return `200 {"data":[{"id":"1","alert":"` + kind + `","state":"raised","subject":"` + subject + `","subjectKind":"` + of + `","app":` + app + `,"since":"2026-07-03T09:00:00Z","clearedAt":null,"title":"It is wrong",
		"text":"It is.","do":"Mend it.","page":"http://localhost:3008/docs/incidents/` + kind + `"}],"nextCursor":null}`
}

// linksIn are the addresses of the links in a part of a page.
func linksIn(part string) (out []string) {
	for _, rest := range strings.Split(part, `href="`)[1:] {
		at, _, _ := strings.Cut(rest, `"`)
		out = append(out, html.UnescapeString(at))
	}
	return out
}

// card is the first card of a page that tells of something wrong.
func card(page string) string {
	_, rest, _ := strings.Cut(page, `<article class="card trouble">`)
	one, _, _ := strings.Cut(rest, `</article>`)
	return one
}

// TestAlertsLeadToWhatTheyAreAbout: the card of every kind leads to the page of the very thing, of the app that has it, and to no other.
func TestAlertsLeadToWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	const id = "c00000000000000000000001a"
	seen := map[string]bool{}
	for _, one := range []struct{ kind, app, role, want string }{
		{alert.ProviderDown, `"shop"`, "", providersPath + "/" + id + "?app=shop"},
		{alert.ProviderDown, `null`, "", providersPath + "/" + id},
		{alert.MessagesWaiting, `"shop"`, "", messagesPath + "?app=shop&status=QUEUED"},
		{alert.EndpointFailing, `"shop"`, "", webhooksPath + "/shop/" + id},
		{alert.NoProvider, `"shop"`, "", providersPath + "?app=shop"},
		{alert.KeyEnding, `"shop"`, "", appsPath + "/shop#h-keys"},
		{alert.KeyEnding, `"shop"`, "VIEWER", appsPath + "/shop"},
		{alert.StorageFailing, `null`, "", ""},
		{alert.StorageLow, `null`, "", ""},
	} {
		seen[one.kind] = true
		subject, of := id, ""
		for _, k := range alert.Kinds() {
			if k.Word == one.kind {
				of = string(k.Of)
			}
		}
		if of == string(alert.OfStorage) {
			subject = "storage"
		}
		api := &fakeAPI{answers: full(), role: one.role}
		api.answers["GET /api/admin/alerts"] = raised(one.kind, of, subject, one.app)
		c := open(t, api)
		shown := card(ask(c, "GET", Root, nil).Body.String())
		if text := plain(shown); !strings.Contains(text, "since 2026-07-03 09:00:00 UTC") {
			t.Errorf("%s: since when is not said: %s", one.kind, text)
		}
		links := linksIn(shown)
		steps := links[max(0, len(links)-1):]
		if len(steps) != 1 || steps[0] != "/docs/incidents/"+one.kind {
			t.Errorf("%s: what to do, step by step, is at %q", one.kind, steps)
		}
		got := strings.Join(links[:max(0, len(links)-1)], " ")
		if got != one.want {
			t.Errorf("%s of %s leads to %q, want %q", one.kind, one.app, got, one.want)
		}
		if u, err := url.Parse(got); err != nil || got != "" && !leads(c, "GET", u.Path) {
			t.Errorf("%s: nothing is at %s", one.kind, got)
		}
	}
	for _, k := range alert.Kinds() {
		if !seen[k.Word] {
			t.Errorf("nobody says where %s leads", k.Word)
		}
	}
}

// TestTheDocumentationIsLinked: in the navigation, and where nobody is signed in.
func TestTheDocumentationIsLinked(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: empty()})
	for _, at := range []string{Root, Root + "/sign-in"} {
		if page := ask(c, "GET", at, nil).Body.String(); !strings.Contains(page, `href="/docs">`) {
			t.Errorf("%s does not lead to the documentation", at)
		}
	}
}

// TestOnePartOfTheOverviewFails: it says so in its place, everything else is there, and nobody is told that all is well.
func TestOnePartOfTheOverviewFails(t *testing.T) {
	t.Parallel()
	parts := []struct{ call, has, away string }{
		{"GET /api/admin/alerts", `id="h-wrong"`, "What is wrong cannot be read now"},
		{"GET /api/admin/hold", `id="h-hold"`, "Whether this server may send cannot be read now"},
		{"GET /api/admin/queue", `id="h-held"`, "What waits cannot be read now"},
		{"GET /api/admin/messages", "", "The last message cannot be read now"},
		{"GET /api/admin/stats", `class="tiles"`, "How much was sent, and how well, cannot be read now"},
	}
	answers := func() map[string]string {
		out := full()
		out["GET /api/admin/queue"] = strings.Replace(out["GET /api/admin/queue"], `"waitingFor":`, `"waitingFor":"queue_paused","was":`, 1)
		return out
	}
	for _, failing := range parts {
		api := &fakeAPI{answers: answers()}
		api.answers[failing.call] = `503 {"error":"Not now.","details":{"code":"unavailable"}}`
		w := ask(open(t, api), "GET", Root, nil)
		body := w.Body.String()
		if w.Code != http.StatusOK {
			t.Errorf("without %s: %d", failing.call, w.Code)
		}
		for _, one := range parts {
			if strings.Contains(body, one.away) != (one == failing) || one.has != "" && strings.Contains(body, one.has) == (one == failing) {
				t.Errorf("without %s: %q is said, %q is there: wrong one of both", failing.call, one.away, one.has)
			}
		}
		calm := &fakeAPI{answers: empty()}
		calm.answers["GET /api/admin/messages"] = full()["GET /api/admin/messages"]
		calm.answers[failing.call] = api.answers[failing.call]
		if got, sure := strings.Contains(ask(open(t, calm), "GET", Root, nil).Body.String(), "All is well"), strings.HasSuffix(failing.call, "messages") || strings.HasSuffix(failing.call, "stats"); got != sure {
			t.Errorf("without %s it says that all is well: %t", failing.call, got)
		}
	}
	api := &fakeAPI{answers: answers()}
	api.answers["GET /api/admin/alerts"] = `401 {"error":"Sign in.","details":{"code":"unauthenticated"}}`
	if w := ask(open(t, api), "GET", Root, nil); w.Code != http.StatusSeeOther {
		t.Errorf("whose session ended is not asked to sign in: %d", w.Code)
	}
}

// TestTheOverviewShowsLatencyOverTime: as a picture and as figures, and without either where nothing was sent.
func TestTheOverviewShowsLatencyOverTime(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	part := func() string {
		_, rest, _ := strings.Cut(ask(open(t, api), "GET", Root, nil).Body.String(), `aria-label="Latency">`)
		one, _, _ := strings.Cut(rest, `</section>`)
		return one
	}
	for _, want := range []string{"<title>08:00: half within 12 ms, 95 % within 2.5 s</title>", `Half within <b>12 ms</b>`, `<td class="num">12 ms</td><td class="num">2.5 s</td>`, `<td class="num">none</td><td class="num">none</td>`, "<svg"} {
		if !strings.Contains(part(), want) {
			t.Errorf("%s is not in %s", want, part())
		}
	}
	api.answers["GET /api/admin/stats"] = strings.Replace(api.answers["GET /api/admin/stats"], `"p50Ms":12,"p95Ms":2500}}},`, `"p50Ms":null,"p95Ms":null}}},`, 1)
	if one := part(); !strings.Contains(one, "Nothing was sent in this time.") || strings.Contains(one, "<svg") {
		t.Errorf("%s", one)
	}
}

// TestFiguresLeadToWhatTheyCount: failed messages within the window, and the chain of the channel.
func TestFiguresLeadToWhatTheyCount(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/stats"] = strings.Replace(api.answers["GET /api/admin/stats"], `"window":"24h"`, `"window":"24h","from":"2026-07-02T10:00:00Z","to":"2026-07-03T10:00:00Z"`, 1)
	links := linksIn(ask(open(t, api), "GET", Root, nil).Body.String())
	for _, want := range []string{messagesPath + "?after=2026-07-02T10%3A00&status=FAILED", providersPath + "#h-SMS"} {
		if !slices.Contains(links, want) {
			t.Errorf("nothing leads to %s: %q", want, links)
		}
	}
}

// queueOf is a page of the queue with apps that wait for a reason, by slug, and where the next page begins.
func queueOf(next, reason string, apps ...string) string {
	units := make([]string, len(apps))
	for i, slug := range apps {
		units[i] = `{"app":{"id":"a","slug":"` + slug + `","name":"` + slug + `"},"queueState":"RUNNING","channel":"SMS","lane":"NORMAL","due":3,"oldestDueAt":"2026-07-03T09:00:00Z","oldestAgeSeconds":3600,"waitingFor":"` + reason + `"}`
	}
	return `200 {"data":[` + strings.Join(units, ",") + `],"nextCursor":` + next + `,"countedAt":"2026-07-03T09:59:40Z","totals":{"waiting":3,"atLeast":false,"sending":0},"providers":[]}`
}

// calmAPI answers as a server does where nothing is wrong and something was sent.
func calmAPI() *fakeAPI {
	api := &fakeAPI{answers: empty()}
	api.answers["GET /api/admin/messages"] = full()["GET /api/admin/messages"]
	return api
}

// TestTheOverviewReadsTheWholeQueue: what waits for somebody is found on whatever page of the queue it is.
func TestTheOverviewReadsTheWholeQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, theOverviewReadsTheWholeQueue)
}

func theOverviewReadsTheWholeQueue(t *testing.T) {
	api := calmAPI()
	const first = "GET /api/admin/queue?limit=100"
	api.answers[first] = queueOf(`"two"`, "turn", "busy")
	api.answers["GET /api/admin/queue?cursor=two&limit=100"] = queueOf(`"three"`, "turn", "busier")
	api.answers["GET /api/admin/queue?cursor=three&limit=100"] = queueOf(`null`, "queue_paused", "stopped")
	body := ask(open(t, api), "GET", Root, nil).Body.String()
	if !strings.Contains(body, messagesPath+"?status=QUEUED&amp;app=stopped&amp;channel=SMS") || strings.Contains(body, "All is well") {
		t.Errorf("what a later page says is not shown: %s", body)
	}
	api.answers["GET /api/admin/queue?cursor=three&limit=100"] = queueOf(`null`, "turn", "stopped")
	if body = ask(open(t, api), "GET", Root, nil).Body.String(); !strings.Contains(body, "All is well") || strings.Contains(body, "h-held") {
		t.Errorf("nothing waits for anybody on any page: %s", body)
	}
	api.answers["GET /api/admin/queue?cursor=three&limit=100"] = `503 {"error":"Not now.","details":{"code":"unavailable"}}`
	if body = ask(open(t, api), "GET", Root, nil).Body.String(); strings.Contains(body, "All is well") || !strings.Contains(body, "What waits cannot be read now") {
		t.Errorf("a later page cannot be read: %s", body)
	}
}

// TestTheOverviewSaysWhatItHasNotLookedAt: however long the queue is, the page comes soon; it does not say that all is well then, and leads to the queue.
func TestTheOverviewSaysWhatItHasNotLookedAt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, theOverviewSaysWhatItHasNotLookedAt)
}

func theOverviewSaysWhatItHasNotLookedAt(t *testing.T) {
	const away = "More apps wait than are looked at here"
	api := calmAPI()
	api.answers["GET /api/admin/queue"] = queueOf(`"more"`, "turn", "busy")
	body := ask(open(t, api), "GET", Root, nil).Body.String()
	pagesOf := func(api *fakeAPI) (n int) {
		for _, call := range api.calls {
			if strings.HasPrefix(call, "GET /api/admin/queue") {
				n++
			}
		}
		return n
	}
	if got := pagesOf(api); got != heldPages {
		t.Errorf("%d pages are read, want %d", got, heldPages)
	}
	if !strings.Contains(body, away) || strings.Contains(body, "All is well") || !slices.Contains(linksIn(body[strings.Index(body, away):]), queuePath) {
		t.Errorf("of an endless queue: %s", body)
	}
	for _, tc := range []struct {
		name         string
		first, later time.Duration
		pages        int
		took         time.Duration
		says         string
	}{
		{"the second page hangs", 0, time.Hour, 2, heldTime, away},
		{"each takes its time, and a third one would take longer than is left", 2 * heldTime / 5, 2 * heldTime / 5, 2, 4 * heldTime / 5, away},
		{"the first takes longer", 3 * heldTime, time.Hour, 1, 3 * heldTime, away},
		{"the first hangs", time.Hour, time.Hour, 1, heldFirst, "What waits cannot be read now"},
	} {
		slow := &slowQueue{calmAPI(), tc.first, tc.later}
		slow.answers["GET /api/admin/queue"] = queueOf(`"more"`, "queue_paused", "busy")
		c := open(t, slow.fakeAPI)
		c.inside.api = slow
		began := time.Now()
		body := ask(c, "GET", Root, nil).Body.String()
		took := time.Since(began)
		synctest.Wait() // for the call that was left
		if got := pagesOf(slow.fakeAPI); got != tc.pages || took != tc.took || !strings.Contains(body, tc.says) || strings.Contains(body, "h-held") != (tc.says == away) {
			t.Errorf("%s: %d pages in %s: %s", tc.name, got, took, body)
		}
	}
}

// slowQueue takes its time for pages of the queue, unless who asks is gone.
type slowQueue struct {
	*fakeAPI
	first, later time.Duration
}

func (s *slowQueue) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/admin/queue" {
		wait := s.first
		if r.URL.Query().Has("cursor") {
			wait = s.later
		}
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
	}
	s.fakeAPI.ServeHTTP(w, r)
}

// TestTheOverviewIsShortWhateverWaits: of very many that wait for somebody those that wait longest are shown, and the queue has the rest.
func TestTheOverviewIsShortWhateverWaits(t *testing.T) {
	t.Parallel()
	api := calmAPI()
	apps := make([]string, heldShown+5)
	for i := range apps {
		apps[i] = fmt.Sprint("app-", i)
	}
	page := queueOf(`null`, "queue_paused", apps...)
	last := strings.LastIndex(page, "3600")
	api.answers["GET /api/admin/queue"] = page[:last] + "7200" + page[last+4:]
	body := ask(open(t, api), "GET", Root, nil).Body.String()
	_, rest, _ := strings.Cut(body, `id="h-held"`)
	part, _, _ := strings.Cut(rest, `</section>`)
	if got := strings.Count(part, "<tr>") - 1; got != heldShown || !strings.Contains(part, apps[len(apps)-1]+"<") || !strings.Contains(plain(part), "5 more wait like that") || !slices.Contains(linksIn(part), queuePath) {
		t.Errorf("%d are shown: %s", got, part)
	}
}
