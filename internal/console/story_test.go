package console

import (
	"strings"
	"testing"
)

// messageOf is the page of the message with these members beside those that every message has.
func messageOf(t *testing.T, api *fakeAPI, members string) string {
	t.Helper()
	api.answers["GET /api/admin/messages/"+hookID] = `200 {"id":"` + hookID + `","toAddress":"ama@example.com","app":{"id":"a","slug":"shop","name":"Shop"},` + members + `}`
	w := ask(open(t, api), "GET", messagesPath+"/"+hookID, nil)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// holds says which of the words a page lacks.
func holds(t *testing.T, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(page, w) {
			t.Errorf("it does not have %s", w)
		}
	}
}

// TestCallsNameTheConfiguration: two relays are told apart, and each leads to its page.
func TestCallsNameTheConfiguration(t *testing.T) {
	t.Parallel()
	page := messageOf(t, &fakeAPI{answers: full()}, `"channel":"EMAIL","status":"SENT","events":[{"sequence":1,"type":"attempt_started","attempt":1,"provider":"smtp","at":"2026-07-03T09:00:00Z"}],"attemptLog":[
		{"attempt":1,"provider":"smtp","configId":"c00000000000000000000005a","configName":"Main relay","configLevel":"APP","startedAt":"2026-07-03T09:00:00Z","outcome":"failed"},
		{"attempt":2,"provider":"smtp","configId":"c00000000000000000000006a","configName":"House relay","configLevel":"SERVER","startedAt":"2026-07-03T09:00:00Z","outcome":"failed"},
		{"attempt":3,"provider":"resend","configId":"c00000000000000000000007a","startedAt":"2026-07-03T09:00:00Z","outcome":"accepted"}]`)
	holds(t, page, `<a href="/console/providers/c00000000000000000000005a?app=shop">Main relay</a>`, `<a href="/console/providers/c00000000000000000000006a">House relay</a>`, "<span>resend</span>", "(Main relay)")
	if strings.Contains(page, "c00000000000000000000007a") {
		t.Error("a configuration that is gone has a link")
	}
}
