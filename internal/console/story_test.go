package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/mime"
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

// TestTheStoryLeadsOn: to the suppression entry, the capture, the template and the app.
func TestTheStoryLeadsOn(t *testing.T) {
	t.Parallel()
	list := `href="/console/suppressions?address=ama%40example.com&amp;app=shop&amp;channel=EMAIL"`
	capture := `href="/console/sandbox/shop/` + hookID + `"`
	for name, c := range map[string]struct {
		members string
		list    bool
		capture bool
	}{
		"suppressed": {`"channel":"EMAIL","status":"SUPPRESSED"`, true, false},
		"bounced":    {`"channel":"EMAIL","status":"FAILED","events":[{"type":"report_failed","from":"SENT","to":"FAILED"}]`, true, false},
		"captured":   {`"channel":"EMAIL","status":"DELIVERED","sandbox":true,"providerName":"sandbox","sentAt":"2026-07-03T09:00:00Z"`, false, true},
		"refused":    {`"channel":"EMAIL","status":"FAILED","sandbox":true,"providerName":"sandbox","events":[{"type":"provider_rejected","from":"SENDING","to":"FAILED"}]`, false, false},
		"sent":       {`"channel":"EMAIL","status":"SENT","providerName":"smtp","sentAt":"2026-07-03T09:00:00Z"`, false, false},
	} {
		page := messageOf(t, &fakeAPI{answers: empty()}, c.members+`,"templateKey":"order-shipped","templateVersion":3`)
		holds(t, page, `<a href="/console/apps/a">Shop</a>`, `href="/console/templates?app=shop&amp;key=order-shipped"`)
		if strings.Contains(page, list) != c.list || strings.Contains(page, capture) != c.capture {
			t.Errorf("%s: the list %t, the capture %t", name, strings.Contains(page, list), strings.Contains(page, capture))
		}
	}
}

// TestTheStoryReadsTheList: where an address may be on the list the page says whether it is, and stands without the list.
func TestTheStoryReadsTheList(t *testing.T) {
	t.Parallel()
	const call = "GET /api/v1/suppressions"
	const bounced = `"channel":"EMAIL","status":"FAILED","events":[{"type":"report_failed","from":"SENT","to":"FAILED"}]`
	for answer, says := range map[string]string{
		`200 {"data":[{"channel":"EMAIL","address":"ama@example.com","reason":"hard_bounce","createdAt":"2026-07-03T09:00:00Z"}],"nextCursor":null}`: "held back: it is on the app&#39;s suppression list, as one that does not exist, since ",
		`200 {"data":[],"nextCursor":null}`:                         "Later messages to the address are sent: it is not on",
		`503 {"error":"Not now.","details":{"code":"unavailable"}}`: "the app&#39;s suppression list cannot be read now",
	} {
		api := &fakeAPI{answers: empty()}
		api.answers[call] = answer
		holds(t, messageOf(t, api, bounced), says)
		if !slices.Contains(api.calls, call+"?address=ama%40example.com&channel=EMAIL shop") {
			t.Errorf("asked %q", api.calls)
		}
	}
	api := &fakeAPI{answers: empty()}
	messageOf(t, api, `"channel":"EMAIL","status":"SENT","providerName":"smtp","sentAt":"2026-07-03T09:00:00Z"`)
	if strings.Contains(strings.Join(api.calls, "\n"), call) {
		t.Error("the list is read for a message that it does not matter to")
	}
}

// TestTextIsShownAsItIsSent: where somebody wrote no text, it is the one that a mail server gets.
func TestTextIsShownAsItIsSent(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: empty()}
	api.answers["GET /api/v1/sandbox/messages/"+hookID] = `200 {"id":"` + hookID + `","channel":"EMAIL","toAddress":"ama@example.com","subject":"Hi","body":"<p>Dear Ama,</p><p>see <a href=\"https://example.com/x\">this</a></p>"}`
	c := open(t, api)
	made := mime.TextOf(`<p>Dear Ama,</p><p>see <a href="https://example.com/x">this</a></p>`)
	holds(t, ask(c, "GET", sandboxPath+"/shop/"+hookID+"?view=text", nil).Body.String(), made)
	_, _, draft := post(t, c, templatesPath+"/shop/draft", url.Values{"channel": {"EMAIL"}, "subject": {"Hi"}, "body": {`<p>Dear {{name}},</p><p>see <a href="https://example.com/x">this</a></p>`}, "values": {"name = Ama"}, "as": {"text"}})
	holds(t, draft, made)
}

// TestTheTimelineNamesAConfigurationOnce: an attempt's start has its name as its detail.
func TestTheTimelineNamesAConfigurationOnce(t *testing.T) {
	t.Parallel()
	page := messageOf(t, &fakeAPI{answers: full()}, `"channel":"EMAIL","status":"SENDING","events":[{"sequence":1,"type":"attempt_started","attempt":1,"provider":"smtp","detail":"Main relay","at":"2026-07-03T09:00:00Z"}],
		"attemptLog":[{"attempt":1,"provider":"smtp","configName":"Main relay","startedAt":"2026-07-03T09:00:00Z","outcome":"running"}]`)
	if n := strings.Count(page, "(Main relay)"); n != 1 || strings.Contains(page, `<p class="tl-detail">Main relay</p>`) {
		t.Errorf("it is named %d times beside the words, or below them too", n)
	}
}

// TestWaysOnLeadSomewhere: what is offered beside a story is a page of this console, whatever the message waits for.
func TestWaysOnLeadSomewhere(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{})
	offered := 0
	for _, why := range chain.WaitReasons() {
		m := &client.AppMessage{Stored: client.Stored{ID: "m", Status: "QUEUED", Channel: client.Email, ToAddress: "ama@example.com", WaitingFor: why.Word}}
		m.App.ID, m.App.Slug = "a", "shop"
		for _, way := range waysOn(m) {
			offered++
			if path, _, _ := strings.Cut(way.Path, "?"); !leads(c, http.MethodGet, path) {
				t.Errorf("%s: nothing is at %s", why.Word, way.Path)
			}
		}
	}
	if offered < 5 {
		t.Errorf("%d ways are offered", offered)
	}
}
