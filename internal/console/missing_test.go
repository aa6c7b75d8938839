package console

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// TestWhatIsNotThereIsNamed: every page about one thing says of which there is none; the API's sentence speaks of paths to who made the request.
func TestWhatIsNotThereIsNamed(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: map[string]string{"GET /api/admin/apps": `200 {"data":[{"id":"a","slug":"shop","name":"Shop"}]}`, "GET /api/admin/apps/shop": `200 {"id":"a","slug":"shop","name":"Shop"}`}})
	said := regexp.MustCompile(`There is no such ([a-z ]+)\.`)
	named := map[string]string{}
	for _, one := range c.table {
		if one.method != http.MethodGet || !strings.Contains(one.path, "{") {
			continue
		}
		w := ask(c, "GET", filled(one.path)+queries[one.path], nil)
		if strings.Contains(w.Body.String(), comm.E("not_found").Text) {
			t.Errorf("%s says what the API says", one.path)
		}
		if m := said.FindStringSubmatch(w.Body.String()); w.Code == http.StatusNotFound && m != nil {
			named[one.path] = m[1]
		} else if w.Code == http.StatusNotFound {
			t.Errorf("%s does not say what is missing", one.path)
		}
	}
	for path, want := range map[string]string{
		messagesPath + "/{id}": "message", usersPath + "/{id}": "user", sandboxPath + "/{app}/{id}": "captured message", templatesPath + "/{app}/{id}": "template", webhooksPath + "/{app}/{id}": "webhook",
		providersPath + "/{id}": "provider configuration", webhooksPath + "/{app}/{id}/deliveries/{delivery}": "delivery", templatesPath + "/{app}/{id}/versions/{version}": "version", appsPath + "/{app}/keys/{key}/rotate": "key", queuePath + "/{app}/clear": "app",
	} {
		if named[path] != want {
			t.Errorf("%s: there is no such %q, not %q", path, named[path], want)
		}
	}
}
