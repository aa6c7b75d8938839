package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// TestNobodyIsOfferedWhatIsRefused looks at all links and buttons of every page that a role may open: none leads to what the role
// may not do.
func TestNobodyIsOfferedWhatIsRefused(t *testing.T) {
	t.Parallel()
	bare := empty() // an app with nothing in it
	bare["GET /api/admin/apps"], bare["GET /api/admin/apps/*"] = `200 {"data":[{"id":"a","slug":"shop","name":"Shop"}],"nextCursor":null}`, `200 {"id":"a","slug":"shop","name":"Shop"}`
	for _, role := range []string{"VIEWER", "OPERATOR", "ADMIN"} {
		for name, answers := range map[string]map[string]string{"empty": empty(), "bare": bare, "full": full()} {
			c := open(t, &fakeAPI{answers: answers, role: role})
			may := user{Role: role}
			asked := map[string]bool{}
			for _, one := range c.table {
				if one.method != http.MethodGet || one.handsOut() || !may.can(one.may) {
					continue
				}
				from := filled(one.path) + queries[one.path]
				w := ask(c, "GET", from, nil)
				if w.Code == http.StatusForbidden {
					continue // as an act of the path says
				}
				for _, to := range offersOf(t, w.Body.String()) {
					if asked[to] || !strings.Contains(to, " "+Root) {
						continue
					}
					asked[to] = true
					method, at, _ := strings.Cut(to, " ")
					if refuses(t, c, may, method, at) {
						t.Errorf("%s, %s, %s: %s is offered and would be refused", role, name, from, to)
					}
				}
			}
			if len(asked) < 20 {
				t.Errorf("%s, %s: only %d things are offered", role, name, len(asked))
			}
		}
	}
}

// refuses says whether a role is refused at a path: a page by asking for it, a form by the table.
func refuses(t *testing.T, c *Console, may user, method, at string) bool {
	t.Helper()
	if method == http.MethodGet {
		return ask(c, "GET", at, nil).Code == http.StatusForbidden
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	mux, needs := http.NewServeMux(), map[string]act{}
	for _, one := range c.table {
		mux.HandleFunc(one.method+" "+one.path, func(http.ResponseWriter, *http.Request) {})
		needs[one.method+" "+one.path] = one.may
	}
	_, pattern := mux.Handler(httptest.NewRequest(method, u.Path, nil))
	return !may.can(needs[pattern])
}

// offersOf are the links of a page, and what its buttons send forms to.
func offersOf(t *testing.T, body string) (out []string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	of := func(n *html.Node, key string) string {
		for _, a := range n.Attr {
			if a.Key == key {
				return a.Val
			}
		}
		return ""
	}
	for n := range doc.Descendants() {
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "a":
			out = append(out, "GET "+of(n, "href"))
		case n.Data == "form" && of(n, "method") == "post":
			for b := range n.Descendants() {
				if b.Type == html.ElementNode && b.Data == "button" && of(b, "type") != "button" {
					to := of(b, "formaction")
					if to == "" {
						to = of(n, "action")
					}
					out = append(out, "POST "+to)
				}
			}
		}
	}
	return out
}

// TestWhoeverReadsTheQueueMayLook: the link to what waits of an app only reads, so that every role has it; what changes the queue is the operator's.
func TestWhoeverReadsTheQueueMayLook(t *testing.T) {
	t.Parallel()
	for role, acts := range map[string]bool{"VIEWER": false, "OPERATOR": true, "ADMIN": true} {
		api := &fakeAPI{answers: full(), role: role}
		api.answers["GET /api/admin/queue"] = strings.Replace(api.answers["GET /api/admin/queue"], `"channel":"`, `"channel":"SMS","was":"`, 1)
		links := linksIn(ask(open(t, api), "GET", queuePath, nil).Body.String())
		if !slices.Contains(links, messagesPath+"?app=shop&status=QUEUED&channel=SMS") {
			t.Errorf("%s: nothing leads to what waits: %q", role, links)
		}
		if got := slices.ContainsFunc(links, func(to string) bool { return strings.HasPrefix(to, clearPath("shop")) }); got != acts {
			t.Errorf("%s: clearing the queue is offered: %t", role, got)
		}
	}
}
