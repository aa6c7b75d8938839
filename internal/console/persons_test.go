package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestErasingAPerson: nothing is erased before the address is typed again, and the list says how far erasures are.
func TestErasingAPerson(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop"}`
	api.answers["POST /api/admin/erasures"] = `202 {"id":"c00000000000000000000006a","status":"RUNNING"}`
	c := open(t, api)
	const at = appsPath + "/shop/persons"
	body := ask(c, "GET", at+"/erase?channel=EMAIL&address=ama%40example.com", nil).Body.String()
	for _, want := range []string{"Erase this person?", "ama@example.com", "Kept: an opt-out", `name="confirm"`, "backups"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in %s", want, body)
		}
	}
	if w := ask(c, "GET", at+"/erase?channel=EMAIL&address=", nil); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "Say first whom it is about.") {
		t.Errorf("nobody: %d", w.Code)
	}
	status, _, body := post(t, c, at+"/erase", url.Values{"channel": {"EMAIL"}, "address": {"ama@example.com"}, "confirm": {"ama"}})
	if status != http.StatusOK || !strings.Contains(body, "Nothing was erased") || len(api.asked("POST /api/admin/erasures")) != 0 {
		t.Errorf("a slip of the keyboard: %d %v", status, api.calls)
	}
	status, to, _ := post(t, c, at+"/erase", url.Values{"channel": {"EMAIL"}, "address": {"ama@example.com"}, "confirm": {"ama@example.com"}})
	if status != http.StatusSeeOther || to != at || !slices.Equal(api.asked("POST /api/admin/erasures"), []string{`{"address":"ama@example.com","app":"a","channel":"EMAIL"}`}) {
		t.Errorf("%d to %s: %q", status, to, api.asked("POST /api/admin/erasures"))
	}
	api.answers["POST /api/admin/erasures"] = `503 {"error":"100 erasures are under way already.","details":{"code":"unavailable"}}`
	if status, _, body = post(t, c, at+"/erase", url.Values{"channel": {"EMAIL"}, "address": {"ama@example.com"}, "confirm": {"ama@example.com"}}); status != http.StatusServiceUnavailable || !strings.Contains(body, "100 erasures are under way") {
		t.Errorf("no room: %d %s", status, body)
	}
	for state, live := range map[string]bool{"RUNNING": true, "DONE": false} {
		api.answers["GET /api/admin/audit"] = `200 {"data":[{"action":"erasure_requested","actor":"user","actorName":"Ama","target":"c00000000000000000000006a"},{"action":"erasure_requested","actor":"app","target":"gone"}],"nextCursor":null}`
		api.answers["GET /api/admin/erasures/c00000000000000000000006a"], api.answers["GET /api/admin/erasures/gone"] = `200 {"channel":"EMAIL","status":"`+state+`","stage":"mentions","erased":1234,"createdAt":"2026-07-03T09:59:00Z"}`, `404 {"error":"Not there."}`
		body = ask(c, "GET", at, nil).Body.String()
		if strings.Contains(body, "hx-trigger") != live || strings.Contains(body, "looks for the address in other messages") != live || !strings.Contains(body, "1\u202f234") || !strings.Contains(body, "by Ama") {
			t.Errorf("%s: %s", state, body)
		}
	}
	if !slices.Contains(api.calls, "GET /api/admin/audit?action=erasure_requested&app=a&limit=10 ") {
		t.Errorf("%v", api.calls)
	}
}
