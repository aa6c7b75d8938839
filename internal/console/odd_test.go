package console

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Identifiers that nothing has: of the first the client makes no path.
var (
	noPath = []string{".", "..", " ", "\n"}
	odd    = []string{"/", "a/b", "a//", "\x00", "a\x00b", "%2e%2e", "?", "\xff", strings.Repeat("a", 3000)}
)

var wildcard = regexp.MustCompile(`\{[a-z]+\}`)

// TestOddIdentifiers asks every route for each of them, in each place of its path that is filled in, and as the app of the query and of the
// form: what is no identifier is nothing's, and no fault of the server.
func TestOddIdentifiers(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: full()})
	good := token(t, c)
	for _, one := range c.table {
		if one.open {
			continue
		}
		form := url.Values{"_token": {good}, pressKey: {"p"}, "action": {"retry"}, "status": {"FAILED"}}
		for _, place := range wildcard.FindAllString(one.path, -1) {
			for _, id := range noPath {
				path := filled(strings.Replace(one.path, place, url.PathEscape(id), 1)) + queries[one.path]
				if code := askOdd(t, c, one.method, path, form); code != http.StatusNotFound && one.method == http.MethodGet {
					t.Errorf("%q: %d", path, code)
				}
			}
			for _, id := range odd {
				askOdd(t, c, one.method, filled(strings.Replace(one.path, place, url.PathEscape(id), 1))+queries[one.path], form)
			}
		}
		for _, id := range []string{".", "..", "a/b", "\x00"} {
			form.Set("app", id)
			askOdd(t, c, one.method, filled(one.path)+"?app="+url.QueryEscape(id), form)
		}
	}
}

func askOdd(t *testing.T, c *Console, method, path string, form url.Values) int {
	t.Helper()
	if method == http.MethodGet {
		form = nil
	}
	w := ask(c, method, path, form)
	if w.Code >= http.StatusInternalServerError {
		t.Errorf("%s %.150q: %d", method, path, w.Code)
	}
	return w.Code
}
