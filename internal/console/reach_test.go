package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
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
		"sandbox":            {captured, "?app=shop", "", "true", others + "Shop: 3 messages that wait and all that come are captured by the sandbox: marked sent, they reach nobody.", "shop"},
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
