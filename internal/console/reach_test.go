package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/chain"
)

// How live messages of email end up, as the API says it; SMS is sent by the server's providers.
const (
	byOwn     = `"level":"APP"`
	byServer  = `"level":"SERVER"`
	captured  = `"level":null,"sandbox":true,"warnings":[{"code":"no_provider","message":"x"}]`
	failing   = `"level":null,"noProvider":true,"warnings":[{"code":"no_provider","message":"x"}]`
	switchOff = `"level":null,"waitingFor":"provider_off","warnings":[{"code":"provider_off","message":"x"}]`
)

func liveChain(email string) string {
	return `200 {"data":[{"channel":"EMAIL",` + email + `},{"channel":"SMS",` + byServer + `}],"nextCursor":null}`
}

// TestEndingAProviderSaysWhereMessagesGo: the next one, the server's, a wait, the sandbox or nowhere, as the API has it; where they are lost, the app's name is
// typed first.
func TestEndingAProviderSaysWhereMessagesGo(t *testing.T) {
	t.Parallel()
	const others = "Nothing else sends email of "
	for name, one := range map[string]struct {
		chain, query, app, active, want string
		typed                           string
	}{
		"next":               {byOwn, "?app=shop", "", "true", "Messages go to the next one of the chain.", ""},
		"the server's":       {byServer, "?app=shop", "", "true", "Shop has no other provider for email that is on: the server&#39;s chain takes over", ""},
		"wait":               {switchOff, "?app=shop", "", "true", others + "Shop: 3 messages that wait and all that come wait until a provider", ""},
		"sandbox":            {captured, "?app=shop", "", "true", others + "Shop: 3 messages that wait and all that come are captured by the sandbox, marked sent, and reach nobody.", "shop"},
		"fail":               {failing, "?app=shop", "", "true", others + "Shop: 3 messages that wait and all that come fail.", "shop"},
		"sandbox of an off":  {captured, "?app=shop", "", "false", "are captured by the sandbox", "shop"},
		"off, others on":     {byOwn, "?app=shop", "", "false", "It is off already: no message goes by it.", ""},
		"app in the sandbox": {captured, "?app=shop", `,"sandboxMode":true`, "true", "Shop is in the sandbox, where nothing is sent. " + others[:len(others)-4] + " of it once it is live", ""},
		"of the server":      {byServer, "", "", "true", "Messages go to the next one of the chain.", ""},
		"last of the server": {captured, "", "", "true", others + "live apps without a provider of their own: what waits of them and all messages that come are captured", "Relay"},
	} {
		api := chainAPI()
		api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop"` + one.app + `}`
		api.answers["GET /api/admin/chains"] = liveChain(one.chain)
		api.answers["GET /api/admin/queue"] = `200 {"data":[{"channel":"EMAIL","due":1,"later":2}],"totals":{}}`
		config := `200 {"id":"` + oneID + `","providerType":"SMTP","channel":"EMAIL","name":"Relay","isActive":` + one.active + `,"config":{}}`
		path := ofApp
		if one.query == "" {
			path = ofAll
		}
		api.answers["GET "+path+"/"+oneID] = config
		c := open(t, api)
		for act, suppose := range map[string]string{"delete": "without=" + oneID, "off": "off=" + oneID} {
			at := providersPath + "/" + oneID + "/do/" + act + one.query
			body := ask(c, "GET", at, nil).Body.String()
			if !strings.Contains(body, one.want) || strings.Contains(body, "where there is none, they wait") {
				t.Errorf("%s, %s: no %q in %s", name, act, one.want, body)
			}
			if strings.Contains(body, `name="confirm"`) != (one.typed != "") {
				t.Errorf("%s, %s: something has to be typed: %v", name, act, one.typed == "")
			}
			asks := suppose
			if one.query != "" {
				asks = "app=shop&" + suppose
			}
			if !slices.ContainsFunc(api.calls, func(call string) bool {
				at, _, _ := strings.Cut(strings.TrimPrefix(call, "GET /api/admin/chains?"), " ")
				q, err := url.ParseQuery(at)
				return err == nil && strings.HasPrefix(call, "GET /api/admin/chains?") && q.Encode() == asks
			}) {
				t.Errorf("%s, %s: the API was not asked for %s: %v", name, act, asks, api.calls)
			}
			before := len(api.calls)
			status, _, said := post(t, c, at, url.Values{})
			done := slices.ContainsFunc(api.calls[before:], func(call string) bool { return strings.HasPrefix(call, "DELETE ") || strings.HasPrefix(call, "PATCH ") })
			if done != (one.typed == "") || one.typed != "" && (status != http.StatusOK || !strings.Contains(said, "It means more now than when you were asked. Nothing was changed.")) {
				t.Errorf("%s, %s: %d, done %v", name, act, status, done)
			}
			if one.typed == "" {
				continue
			}
			if _, _, said := post(t, c, at, url.Values{"confirm": {"other"}}); !strings.Contains(said, "What was typed is not "+one.typed) {
				t.Errorf("%s, %s: something else was typed: %s", name, act, said)
			}
			if status, _, _ := post(t, c, at, url.Values{"confirm": {one.typed}}); status != http.StatusSeeOther {
				t.Errorf("%s, %s: typed, and not done: %d", name, act, status)
			}
		}
	}
}

// toastOf is the cookie by which an answer leaves what was done.
func toastOf(w *httptest.ResponseRecorder) string {
	for _, one := range w.Result().Cookies() {
		if one.Name == toastCookie {
			return toastCookie + "=" + one.Value
		}
	}
	return ""
}

const nothingFor = "here is nothing to send email with: such messages are captured by the sandbox, marked sent, and reach nobody."

// TestTakingAnAppLive: before the act and after it people are told what has nothing to be sent with, and only what was accepted live counts as waiting.
func TestTakingAnAppLive(t *testing.T) {
	t.Parallel()
	both := strings.ReplaceAll(liveChain(captured), byServer, captured)
	waits := func(more string, live ...bool) string {
		var all []string
		for _, one := range live {
			if one {
				all = append(all, `{"id":"m","sandbox":false}`)
			} else {
				all = append(all, `{"id":"m","sandbox":true}`)
			}
		}
		return `200 {"data":[` + strings.Join(all, ",") + `],"nextCursor":` + more + `}`
	}
	for name, one := range map[string]struct {
		chains, waits string
		warned        bool
		want, not     []string
	}{
		"sent": {liveChain(byOwn), waits("null", false, false, false), false, []string{"Shop: From now on its messages go to real people.", "Email goes out by the app&#39;s own providers.", "SMS goes out by the server&#39;s providers", "nothing of what waits at this moment goes out"},
			[]string{"nothing to send", "wait to be sent"}},
		"accepted live":         {liveChain(byOwn), waits("null", true, false, true), false, []string{"2 messages that were accepted live wait and go out."}, []string{"At least"}},
		"one accepted live":     {liveChain(byOwn), waits("null", true), false, []string{". 1 message that was accepted live waits and goes out."}, nil},
		"accepted live, or so":  {liveChain(byOwn), waits(`"abc"`, true, true), false, []string{"At least 2 messages"}, nil},
		"perhaps accepted live": {liveChain(byOwn), waits(`"abc"`, false), false, []string{"only messages that were accepted live go out"}, []string{"nothing of what waits"}},
		"half":                  {liveChain(captured), waits("null"), true, []string{"Shop: From now on its messages by SMS go to real people.", "T" + nothingFor}, []string{"its messages go to real people", "Email goes out"}},
		"nothing":               {both, waits("null", true), true, []string{"Shop: Its messages still reach nobody.", "There is nothing to send email or SMS with: such messages are captured"}, []string{"real people", "go out", "goes out"}},
	} {
		api := &fakeAPI{answers: empty()}
		api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop","sandboxMode":true,"isActive":true,"queueState":"RUNNING"}`
		api.answers["GET /api/admin/chains"], api.answers["GET /api/admin/messages"] = one.chains, one.waits
		api.answers["PATCH /api/admin/apps/a"] = `200 {"id":"a","slug":"shop"}`
		c, at := open(t, api), appsPath+"/shop/do/live"
		body := ask(c, "GET", at, nil).Body.String()
		for _, want := range one.want {
			if !strings.Contains(body, want) {
				t.Errorf("%s: no %q in %s", name, want, body)
			}
		}
		for _, not := range one.not {
			if strings.Contains(body, not) {
				t.Errorf("%s: %q in %s", name, not, body)
			}
		}
		w := ask(c, "POST", at, url.Values{"_token": {token(t, c)}})
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != appsPath+"/shop" || !slices.Equal(api.asked("PATCH /api/admin/apps/a"), []string{`{"sandboxMode":false}`}) {
			t.Fatalf("%s: %d to %s", name, w.Code, w.Header().Get("Location"))
		}
		told := ask(c, "GET", appsPath, nil, "Cookie", cookie+"; "+toastOf(w)).Body.String()
		if !strings.Contains(told, "The app is live.") || strings.Contains(told, "toast-bad") != one.warned || strings.Contains(told, "here is nothing to send") != one.warned {
			t.Errorf("%s: told %s", name, told)
		}
	}
}

// TestWhatLacksStandsOnThePages: one note, in the same words, on every page of an app that is live and has nothing to send a channel with; none in the sandbox.
func TestWhatLacksStandsOnThePages(t *testing.T) {
	t.Parallel()
	for _, path := range []string{appsPath + "/shop", providersPath + "?app=shop", sandboxPath + "?app=shop"} {
		for name, one := range map[string]struct {
			app, chains string
			want        bool
		}{"live": {`"sandboxMode":false`, liveChain(captured), true}, "live and sent": {`"sandboxMode":false`, liveChain(byOwn), false}, "in the sandbox": {`"sandboxMode":true`, liveChain(captured), false}} {
			api := &fakeAPI{answers: empty()}
			api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop","isActive":true,"queueState":"RUNNING",` + one.app + `}`
			api.answers["GET /api/admin/chains"] = one.chains
			w := ask(open(t, api), "GET", path, nil)
			if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "Live, but t"+nothingFor) != one.want {
				t.Errorf("%s, %s: %d %s", path, name, w.Code, w.Body)
			}
			if one.want && strings.Contains(w.Body.String(), "its messages go to real providers") {
				t.Errorf("%s says that they go to real providers", path)
			}
		}
	}
}

// TestALiveMessageOfTheSandboxIsNotShownAsSent: in lists, among what happens, on its page with the timeline, and on the overview; one that was accepted in the
// sandbox, or that a provider took, is.
func TestALiveMessageOfTheSandboxIsNotShownAsSent(t *testing.T) {
	t.Parallel()
	const label, sent = `<span class="badge tone-warn">Captured</span>`, `<span class="badge tone-info">Sent</span>`
	for name, one := range map[string]struct {
		is   string
		want bool
	}{"live, of the sandbox": {`"sandbox":false,"providerName":"sandbox","provider":"sandbox"`, true}, "accepted in the sandbox": {`"sandbox":true,"providerName":"sandbox","provider":"sandbox"`, false},
		"live": {`"sandbox":false,"providerName":"smtp","provider":"smtp"`, false}} {
		api := &fakeAPI{answers: empty()}
		m := `{"id":"` + oneID + `","channel":"SMS","status":"SENT","toAddress":"233241234567",` + one.is + `,"app":{"id":"a","slug":"shop","name":"Shop"},"createdAt":"2026-07-03T09:00:00Z","updatedAt":"2026-07-03T09:00:00Z",
			"events":[{"sequence":1,"type":"accepted","to":"QUEUED"},{"sequence":2,"type":"provider_accepted","from":"SENDING","to":"SENT",` + one.is + `}]}`
		api.answers["GET /api/admin/messages"], api.answers["GET /api/admin/messages/*"] = `200 {"data":[`+m+`],"nextCursor":null}`, `200 `+m
		api.answers["GET /api/admin/events"] = `200 {"data":[{"app":{"slug":"shop"},"messageId":"` + oneID + `","channel":"SMS","type":"provider_accepted","from":"SENDING","to":"SENT",` + one.is + `}],"looked":1,"nextCursor":"A"}`
		c := open(t, api)
		for path, n := range map[string]int{messagesPath: 1, nowPath: 1, messagesPath + "/" + oneID: 2} {
			body := ask(c, "GET", path, nil).Body.String()
			got, other := strings.Count(body, label), strings.Count(body, sent)
			if one.want && (got != n || other != 0) || !one.want && (got != 0 || other != n) {
				t.Errorf("%s, %s: captured %d times, sent %d times", name, path, got, other)
			}
		}
		if body := ask(c, "GET", Root, nil).Body.String(); strings.Contains(body, "</a>, captured.") != one.want {
			t.Errorf("%s: the overview: %s", name, body)
		}
		if body := ask(c, "GET", messagesPath+"/"+oneID, nil).Body.String(); strings.Contains(body, "tell-warn") != one.want {
			t.Errorf("%s: the tone of its page", name)
		}
	}
}

// TestAChannelWithoutAProviderHasItsPlace: the page of a chain says of each channel without a configuration what becomes of its messages.
func TestAChannelWithoutAProviderHasItsPlace(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]struct{ query, sms, want, not string }{
		"the server's": {"?app=shop", byServer, `Shop has none of its own for this channel: the server&#39;s are used. <a href="/console/providers#h-SMS">`, "Nothing to send with"},
		"the sandbox":  {"?app=shop", captured, "Nothing to send with: live messages are captured by the sandbox, marked sent, and reach nobody.", "The server's chain"},
		"of all":       {"", failing, "Nothing to send with: live messages of apps that have no provider of their own fail.", "The server's chain"},
	} {
		api := chainAPI()
		api.answers["GET /api/admin/chains"] = strings.ReplaceAll(liveChain(byOwn), byServer, one.sms)
		body := ask(open(t, api), "GET", providersPath+one.query, nil).Body.String()
		if !strings.Contains(body, `<h2 id="h-SMS">SMS</h2>`) || !strings.Contains(body, one.want) || strings.Contains(body, one.not) {
			t.Errorf("%s: %s", name, body)
		}
	}
}

// TestTheOnlyProviderIsSaid: that a second configuration would help is said where messages wait for the only one, and where nobody can tell it is not.
func TestTheOnlyProviderIsSaid(t *testing.T) {
	t.Parallel()
	const down = `"health":{"state":"DOWN","reason":"provider_down","carried":[],"nodes":[],"outages":[]}`
	for email, said := range map[string]bool{`"candidates":1`: true, `"candidates":2`: false, byOwn: false, "": false} {
		api := chainAPI()
		for _, path := range []string{ofAll, ofApp} {
			api.answers["GET "+path+"/"+oneID] = `200 {"id":"` + oneID + `","providerType":"SMTP","channel":"EMAIL","name":"Relay","isActive":true,"config":{},` + down + `}`
		}
		api.answers["GET /api/admin/messages/"+hookID] = `200 {"id":"` + hookID + `","channel":"EMAIL","status":"QUEUED","waitingFor":"provider_down","app":{"id":"a","slug":"shop","name":"Shop"}}`
		if api.answers["GET /api/admin/chains"] = liveChain(email); email == "" {
			api.answers["GET /api/admin/chains"] = `503 {"error":"x","details":{"code":"unavailable"}}`
		}
		for _, at := range []string{providersPath + "/" + oneID, providersPath + "/" + oneID + "?app=shop", messagesPath + "/" + hookID} {
			w := ask(open(t, api), "GET", at, nil)
			if page := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(page, "verify the configuration.") || strings.Contains(page, "verify the configuration. "+chain.Alone) != said {
				t.Errorf("%s: %s: %d, says %v", email, at, w.Code, !said)
			}
		}
	}
}
