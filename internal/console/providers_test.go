package console

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
)

const (
	oneID = "c00000000000000000000001a"
	twoID = "c00000000000000000000005a"
	ofApp = "/api/v1/provider-configs"
	ofAll = "/api/admin/provider-configs"
)

func chainAPI() *fakeAPI {
	api := &fakeAPI{answers: full()}
	api.answers["GET /api/admin/apps/shop"] = `200 {"id":"a","slug":"shop","name":"Shop"}`
	one := `{"id":"` + oneID + `","providerType":"SMTP","channel":"EMAIL","name":"Relay","priority":10,"isActive":true,"config":{"host":"a.example.com","port":587,"username":"u","password":"****"}}`
	two := `{"id":"` + twoID + `","providerType":"RESEND","channel":"EMAIL","name":"Resend","priority":20,"isActive":true,"config":{}}`
	api.answers["GET "+ofAll], api.answers["GET "+ofApp] = `200 {"data":[`+one+`,`+two+`]}`, `200 {"data":[`+one+`]}`
	api.answers["GET "+ofAll+"/"+oneID], api.answers["GET "+ofApp+"/"+oneID] = `200 `+one, `200 `+one
	for _, path := range []string{ofAll, ofApp} {
		api.answers["PATCH "+path+"/"+oneID], api.answers["PATCH "+path+"/"+twoID] = `200 `+one, `200 `+two
		api.answers["DELETE "+path+"/"+oneID] = `204 `
	}
	return api
}

// orderAPI is a chain whose configurations stand in the order of their priorities. meanwhile happens at each change, if it is set;
// what it answers other than "" is the answer.
type orderAPI struct {
	*fakeAPI
	chain     []client.Provider
	meanwhile func(id string) string
}

func (o *orderAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if id, one := strings.CutPrefix(r.URL.Path, ofAll+"/"); one && r.Method == http.MethodPatch {
		answer := ""
		if o.meanwhile != nil {
			answer = o.meanwhile(id)
		}
		if o.answers["PATCH "+ofAll+"/*"] = answer; answer == "" {
			o.answers["PATCH "+ofAll+"/*"] = "200 {}"
			at := slices.IndexFunc(o.chain, func(p client.Provider) bool { return p.ID == id })
			body, _ := io.ReadAll(r.Body)
			_ = json.Unmarshal(body, &o.chain[at])
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
	}
	slices.SortStableFunc(o.chain, func(a, b client.Provider) int { return a.Priority - b.Priority })
	text, _ := json.Marshal(listing[client.Provider]{Data: o.chain})
	o.answers["GET "+ofAll] = "200 " + string(text)
	o.fakeAPI.ServeHTTP(w, r)
}

func (o *orderAPI) order() string {
	var out []string
	for _, p := range o.chain {
		out = append(out, p.ID)
	}
	return strings.Join(out, " ")
}

func TestOrderOfAChain(t *testing.T) {
	t.Parallel()
	link := func(id string, priority int) client.Provider {
		return client.Provider{ID: id, Name: id, Channel: client.Email, Priority: priority}
	}
	away := `503 {"error":"the database is away","details":{"code":"unavailable"}}`
	for name, tc := range map[string]struct {
		form             url.Values // beside what the page showed: a b c
		between          func(o *orderAPI)
		meanwhile        func(o *orderAPI, n int) string
		order, told, bad string
		patches          int
	}{
		"down":                    {form: url.Values{"down": {"a"}}, order: "b a c", told: "The order is changed.", patches: 2},
		"dragged":                 {form: url.Values{"order": {"c a b"}}, order: "c a b", told: "The order is changed.", patches: 3},
		"by the first of two":     {form: url.Values{"up": {"c"}}, between: func(o *orderAPI) { o.chain[1].Priority = 35 }, order: "a c b", told: "The order is changed."},
		"another order":           {form: url.Values{"up": {"b"}}, between: func(o *orderAPI) { o.chain[1].Priority = 35 }, order: "a c b", bad: "was changed meanwhile"},
		"one more":                {form: url.Values{"up": {"b"}}, between: func(o *orderAPI) { o.chain = append(o.chain, link("d", 40)) }, order: "a b c d", bad: "was changed meanwhile"},
		"one less":                {form: url.Values{"up": {"b"}}, between: func(o *orderAPI) { o.chain = o.chain[:2] }, order: "a b", bad: "was changed meanwhile"},
		"one of somebody else's":  {form: url.Values{"order": {"a b x"}}, order: "a b c", bad: "was changed meanwhile"},
		"one twice":               {form: url.Values{"order": {"b b a"}}, order: "a b c", bad: "was changed meanwhile"},
		"a form that says little": {form: url.Values{"was": {""}, "up": {"b"}}, order: "a b c", bad: "was changed meanwhile"},
		"none":                    {form: url.Values{"was": {""}, "order": {""}}, order: "a b c", bad: "was changed meanwhile"},
		"it fails in the middle": {form: url.Values{"order": {"c a b"}}, meanwhile: func(_ *orderAPI, n int) string {
			if n == 2 {
				return away
			}
			return ""
		}, order: "a b c", bad: "in part only. The database is away. This is how it is now", patches: 2},
		"somebody else at the same moment": {form: url.Values{"up": {"c"}}, meanwhile: func(o *orderAPI, _ int) string {
			o.chain[slices.IndexFunc(o.chain, func(p client.Provider) bool { return p.ID == "a" })].Priority = 90
			return ""
		}, order: "c b a", bad: "at the same moment", patches: 2},
	} {
		api := &orderAPI{fakeAPI: chainAPI(), chain: []client.Provider{link("a", 10), link("b", 20), link("c", 30)}}
		c := open(t, api.fakeAPI)
		c.inside = newInside(api)
		form, n := shownOn(t, c, providersPath, tc.form), 0
		if tc.between != nil {
			tc.between(api)
		}
		api.meanwhile = func(string) string {
			if n++; tc.meanwhile != nil {
				return tc.meanwhile(api, n)
			}
			return ""
		}
		form.Set("_token", token(t, c))
		w := ask(c, "POST", providersPath, form)
		page := ask(c, "GET", providersPath, nil, "Cookie", cookie+"; "+strings.Split(w.Header().Get("Set-Cookie"), ";")[0]).Body.String()
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != providersPath || api.order() != tc.order || n != tc.patches {
			t.Errorf("%s: %d, %s after %d changes", name, w.Code, api.order(), n)
		}
		if !strings.Contains(page, tc.told+tc.bad) || strings.Contains(page, "toast-bad") != (tc.bad != "") {
			t.Errorf("%s: %q is not told", name, tc.told+tc.bad)
		}
	}
	for name, one := range map[string]struct {
		order, up, down string
		want            string
	}{"up": {"a b c", "c", "", "a c b"}, "down": {"a b c", "", "a", "b a c"}, "first up": {"a b", "a", "", "a b"}, "last down": {"a b", "", "b", "a b"}, "unknown": {"a b", "x", "", "a b"}, "dragged": {"b a", "", "", "b a"}} {
		if got := strings.Join(moved(strings.Fields(one.order), one.up, one.down), " "); got != one.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAddingAProvider(t *testing.T) {
	t.Parallel()
	api := chainAPI()
	api.answers["POST "+ofApp] = `400 {"error":"A field is wrong.","details":{"code":"invalid_field","fields":{"config.host":"is needed"}}}`
	c := open(t, api)
	if body := ask(c, "GET", providersPath+"/new?app=shop", nil).Body.String(); !strings.Contains(body, "type=SMTP&amp;app=shop") || !strings.Contains(body, "type=TWILIO") {
		t.Error("not every type is offered")
	}
	form := url.Values{"name": {"Relay"}, "config.host": {""}, "config.port": {"587"}, "config.username": {"u"}, "config.password": {" a secret"}, "ratePerDay": {"100"}}
	status, _, body := post(t, c, providersPath+"/new?app=shop&type=SMTP", form)
	if status != http.StatusBadRequest || !strings.Contains(body, "Is needed.") || strings.Contains(body, "a secret") || !strings.Contains(body, `value="587"`) {
		t.Errorf("refused: %d", status)
	}
	api.answers["POST "+ofApp] = `201 {"id":"` + oneID + `"}`
	status, to, _ := post(t, c, providersPath+"/new?app=shop&type=SMTP", form)
	sent := api.asked("POST " + ofApp)
	if status != http.StatusSeeOther || to != providersPath+"/"+oneID+"?app=shop" || !strings.Contains(sent[1], `"password":" a secret"`) || !strings.Contains(sent[1], `"port":587`) || !strings.Contains(sent[1], `"priority":20`) || !strings.Contains(sent[1], `"ratePerDay":100`) || strings.Contains(sent[1], `"host"`) {
		t.Errorf("%d to %s: %q", status, to, sent)
	}
}

func TestChangingAProvider(t *testing.T) {
	t.Parallel()
	api := chainAPI()
	c := open(t, api)
	at := providersPath + "/" + oneID
	if body := ask(c, "GET", at+"/edit", nil).Body.String(); !strings.Contains(body, `value="a.example.com"`) || strings.Contains(body, "****") || !strings.Contains(body, "leave this empty to keep it") {
		t.Error("the form does not show what is set, or shows what is secret")
	}
	status, to, _ := post(t, c, at+"/edit", shownOn(t, c, at+"/edit", url.Values{"name": {"Relay"}, "config.host": {"b.example.com"}, "config.username": {""}, "config.password": {""}}))
	if sent := api.asked("PATCH " + ofAll + "/" + oneID); status != http.StatusSeeOther || to != at || len(sent) != 1 || !strings.Contains(sent[0], `"host":"b.example.com"`) || !strings.Contains(sent[0], `"username":null`) || strings.Contains(sent[0], "password") || strings.Contains(sent[0], "ratePerDay") || strings.Contains(sent[0], `"name"`) {
		t.Errorf("%d to %s: %q", status, to, sent)
	}
	for act, want := range map[string]string{"pin": `{"pinned":true}`, "off": `{"isActive":false}`} {
		status, to, _ := post(t, c, at+"/do/"+act+"?app=shop", url.Values{})
		if status != http.StatusSeeOther || to != at+"?app=shop" || !slices.Contains(api.asked("PATCH "+ofApp+"/"+oneID), want) {
			t.Errorf("%s: %d to %s: %q", act, status, to, api.asked("PATCH "+ofApp+"/"+oneID))
		}
	}
	if status, to, _ := post(t, c, at+"/do/delete", url.Values{}); status != http.StatusSeeOther || to != providersPath || len(api.asked("DELETE "+ofAll+"/"+oneID)) != 1 {
		t.Errorf("delete: %d to %s", status, to)
	}
}

func TestTryingAProvider(t *testing.T) {
	t.Parallel()
	api := chainAPI()
	api.answers["POST "+ofAll+"/"+oneID+"/verify"] = `200 {"ok":false,"checks":[{"name":"connect","ok":true,"detail":"to 192.0.2.1"},{"name":"login","ok":false,"detail":"535 wrong password"}],"tookMs":12}`
	api.answers["POST "+ofAll+"/"+oneID+"/test"] = `200 {"ok":false,"class":"ambiguous","code":null,"text":"no answer","reference":null,"mayHaveBeenSent":true,"tookMs":900}`
	c := open(t, api)
	at := providersPath + "/" + oneID
	if status, _, body := post(t, c, at+"/verify", url.Values{}); status != http.StatusOK || !strings.Contains(body, "A check failed") || !strings.Contains(body, "535 wrong password") {
		t.Errorf("verify: %d", status)
	}
	if status, _, body := post(t, c, at+"/test", url.Values{pressKey: {"k"}, "to": {"ama@example.com"}}); status != http.StatusOK || !strings.Contains(body, "Nobody knows whether the provider took it") || !slices.Equal(api.asked("POST "+ofAll+"/"+oneID+"/test"), []string{`{"to":"ama@example.com"}`}) {
		t.Errorf("test: %d", status)
	}
	api.answers["POST "+ofAll+"/"+oneID+"/test"] = `400 {"error":"A field is wrong.","details":{"code":"invalid_recipient","fields":{"to":"is no address"}}}`
	if status, _, body := post(t, c, at+"/test", url.Values{pressKey: {"k"}, "to": {"ama"}}); status != http.StatusBadRequest || !strings.Contains(body, "Is no address.") || !strings.Contains(body, `value="ama"`) {
		t.Errorf("no address: %d", status)
	}
}

// TestALiveAnswerOfAForm: what answers a form on a page that updates by itself is stopped, and goes on, at the page that it stood on.
func TestALiveAnswerOfAForm(t *testing.T) {
	t.Parallel()
	api := chainAPI()
	api.answers["GET "+ofAll+"/"+oneID] = `200 {"id":"` + oneID + `","providerType":"SMTP","channel":"EMAIL","name":"Relay","isActive":true,"config":{},"health":{"state":"DOWN","reason":"provider_down","carried":[],"nodes":[],"outages":[]}}`
	api.answers["POST "+ofAll+"/"+oneID+"/verify"] = `200 {"ok":true,"checks":[],"tookMs":12}`
	c, at := open(t, api), providersPath+"/"+oneID
	if _, _, body := post(t, c, at+"/verify", url.Values{"_back": {at}}); !strings.Contains(body, `href="`+at+`?live=off"`) || !strings.Contains(body, "hx-trigger") {
		t.Error("it cannot be stopped where it can be opened")
	}
	if _, _, body := post(t, c, at+"/verify", url.Values{"_back": {at + "?live=off"}}); !strings.Contains(body, `href="`+at+`" data-live`) || strings.Contains(body, "hx-trigger") {
		t.Error("what was stopped goes on")
	}
}

// TestAProviderSaysHowItIs: whether it works and since when, what it said, when it is tried again, and what carried the messages.
func TestAProviderSaysHowItIs(t *testing.T) {
	t.Parallel()
	for state, want := range map[string][]string{
		`"health":{"state":"WORKS","since":"2026-07-03T09:00:00Z","carried":[],"nodes":[],"outages":[{"since":"2026-07-03T08:00:00Z","endedAt":"2026-07-03T09:00:00Z","code":"timeout","answer":"no answer","carried":[{"id":"b","name":"Spare","messages":12}]}]}`: {"It works.", "since <time", "1 h ago", "<b>12</b> Spare", "timeout", "no answer", "1 h<"},
		`"health":{"state":"WORKS","carried":[],"nodes":[],"outages":[]}`: {"It works.", "No outage of it is known."},
		`"health":{"state":"DOWN","since":"2026-07-03T09:52:00Z","reason":"provider_down","code":"connect_failed","answer":"refused","nextTryAt":"2026-07-03T10:00:40Z","carried":[{"id":"b","name":"Spare","messages":1312}],
			"nodes":[{"node":"worker-1","state":"DOWN","since":"2026-07-03T09:52:00Z"}],"outages":[]}`: {"It is down, and messages pass it by.", "8 min ago", "connect_failed", "refused", "in 40 s", "1\u202f312", "Spare", `hx-trigger="every 5s"`},
		`"pinned":true,"health":{"state":"FAILING","since":"2026-07-03T09:52:00Z","carried":[],"nodes":[],"outages":[]}`:                                                           {"Its last calls failed.", "It is pinned", "with the next message", "nothing yet"},
		`"health":{"state":"UNUSABLE","since":"2026-07-03T09:52:00Z","reason":"credentials_unavailable","carried":[],"nodes":[],"outages":[]}`:                                     {"It cannot be used", "check the encryption keys", "when it is mended"},
		`"health":{"state":"WORKS","throttledUntil":"2026-07-03T10:00:40Z","lately":{"calls":40,"failed":12},"carried":[],"nodes":[],"outages":[]}`:                                {"The provider asked us to slow down.", "Slowed down", "It is left alone until <time", "in 40 s", "<b>12 of 40</b> calls failed in the last minute, on the nodes where any failed", `hx-trigger="every 5s"`},
		`"health":{"state":"FAILING","since":"2026-07-03T09:52:00Z","throttledUntil":"2026-07-03T10:00:40Z","lately":{"calls":4,"failed":0},"carried":[],"nodes":[],"outages":[]}`: {"Its last calls failed.", "The provider asked us to slow down. It is left alone until"},
		`"health":{"state":"WORKS","lately":{"calls":1400,"failed":3},"carried":[],"nodes":[],"outages":[]}`:                                                                       {"It works.", "<b>3 of 1\u202f400</b> calls failed", `hx-trigger="every 5s"`},
		`"health":{"state":"OFF","carried":[],"nodes":[],"outages":[]}`:                                                                                                            {"It is switched off."},
		`"health":{"state":"OF_TOMORROW","reason":"of_tomorrow","carried":[],"nodes":[],"outages":[]}`:                                                                             {"Of tomorrow."},
	} {
		api := chainAPI()
		api.answers["GET "+ofAll+"/"+oneID] = `200 {"id":"` + oneID + `","providerType":"SMTP","channel":"EMAIL","name":"Relay","isActive":true,"config":{},` + state + `}`
		body := ask(open(t, api), "GET", providersPath+"/"+oneID, nil).Body.String()
		for _, words := range want {
			if !strings.Contains(body, words) {
				t.Errorf("%s: %q is missing", state, words)
			}
		}
		if stopped := ask(open(t, api), "GET", providersPath+"/"+oneID+"?live=off", nil).Body.String(); strings.Contains(stopped, "hx-trigger") || strings.Contains(body, "hx-trigger") != strings.Contains(stopped, "Update by itself") {
			t.Errorf("%s: it cannot be stopped", state)
		}
		if part := ask(open(t, api), "GET", providersPath+"/"+oneID, nil, "HX-Request", "true", "HX-Target", "health").Body.String(); !strings.HasPrefix(part, `<div id="health"`) {
			t.Errorf("%s: the part is %.60q", state, part)
		}
	}
}

// TestValuesAreShownAsTheyAreEntered: a port in groups of digits is copied wrongly.
func TestValuesAreShownAsTheyAreEntered(t *testing.T) {
	t.Parallel()
	if got := valueWords([]any{2525.0, "x", nil}); got != "2525, x, " {
		t.Errorf("%q", got)
	}
}
