package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestAKeyOffersWhatItMayDo: a first message where the key may send, and not where it takes the place of another one.
func TestAKeyOffersWhatItMayDo(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	const made = `201 {"apiKey":"cs_test_once","app":{"id":"a","slug":"shop","name":"Shop","sandboxMode":true}}`
	for _, call := range []string{"/apps", "/apps/a/keys", "/apps/shop/keys", "/apps/a/keys/c00000000000000000000002a/rotate"} {
		api.answers["POST /api/admin"+call] = made
	}
	c := open(t, api)
	for _, one := range []struct {
		path   string
		scopes []string
		want   bool
	}{
		{newAppPath, []string{"SEND", "READ"}, true}, {newAppPath, []string{"READ"}, false},
		{appsPath + "/shop/keys/new", []string{"SEND"}, true}, {appsPath + "/shop/keys/new", []string{"READ", "TEMPLATES"}, false},
		{appsPath + "/shop/keys/c00000000000000000000002a/rotate", nil, false},
	} {
		status, _, body := post(t, c, one.path, url.Values{"name": {"Shop"}, "scopes": one.scopes, "overlap": {"0"}})
		if status != http.StatusOK || !strings.Contains(body, "cs_test_once") || !strings.Contains(body, "For the program") {
			t.Errorf("%s: %d %.300s", one.path, status, body)
		}
		if got := strings.Contains(body, "Send the first message"); got != one.want || strings.Contains(body, "curl ") != one.want {
			t.Errorf("%s of a key that may %q: a first message is offered: %t", one.path, one.scopes, got)
		}
	}
}
