package console

import (
	"html"
	"net/url"
	"strings"
	"testing"

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
		links := linksIn(card(ask(c, "GET", Root, nil).Body.String()))
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
