package httpapi

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
)

const webhooksURL = "/api/v1/webhooks"

func TestWebhookEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", webhooksURL, `{"name":"crm","url":"https://HOOKS.example.com./in","statuses":["FAILED","FAILED","SENT"],"channels":["SMS"],"tags":["otp"]}`, nil)
	secret := made.str("secret")
	if raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_")); made.status != 201 || err != nil || len(raw) != 32 || !strings.HasPrefix(secret, "whsec_") {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	if made.str("url") != "https://hooks.example.com/in" || fmt.Sprint(made.body["statuses"], made.body["channels"], made.body["tags"]) != "[FAILED SENT] [SMS] [otp]" || made.body["isActive"] != true {
		t.Errorf("%s", made.raw)
	}
	path := webhooksURL + "/" + made.str("id")
	own := w.do(one, "POST", webhooksURL, `{"name":"own","url":"https://hooks.example.com/own","secret":"sixteen bytes ok","isActive":false}`, nil)
	if _, shown := own.body["secret"]; own.status != 201 || shown || own.body["isActive"] != false || strings.Contains(string(own.raw), "sixteen") || fmt.Sprint(own.body["tags"]) != "[]" {
		t.Errorf("%d %s", own.status, own.raw)
	}
	list := w.do(one, "GET", webhooksURL, "", nil)
	if list.status != 200 || strings.Contains(string(list.raw), "whsec_") || strings.Index(string(list.raw), `"crm"`) > strings.Index(string(list.raw), `"own"`) {
		t.Errorf("%d %s", list.status, list.raw)
	}
	if got := w.do(one, "PATCH", path, `{"name":"renamed","statuses":[],"channels":[],"tags":[]}`, nil); got.status != 200 || got.str("name") != "renamed" || fmt.Sprint(got.body["statuses"]) != "[]" || got.str("url") == "" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "PATCH", path, `{"name":"own"}`, nil); got.status != 409 || got.code() != "already_exists" || !strings.Contains(string(got.raw), `"name":"is taken"`) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "DELETE", path, "", nil); got.status != 204 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "GET", path, "", nil); got.status != 404 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestWhatAWebhookEndpointMustNotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	path := webhooksURL + "/" + w.webhook(one)
	const url = `"url":"https://hooks.example.com/"`
	for body, field := range map[string]string{
		`{` + url + `}`: "name",
		`{"name":"x"}`:  "url",
		`{"name":"","url":"https://hooks.example.com/"}`:                         "name",
		`{"name":" x","url":"https://hooks.example.com/"}`:                       "name",
		`{"name":"x","url":""}`:                                                  "url",
		`{"name":"x","url":"https://169.254.169.254/"}`:                          "url",
		`{"name":"x","url":"https://[::1]/"}`:                                    "url",
		`{"name":"x","url":"https://u:p@example.com/"}`:                          "url",
		`{"name":"x",` + url + `,"secret":"fifteen bytes!!"}`:                    "secret",
		`{"name":"x",` + url + `,"secret":"` + strings.Repeat("s", 201) + `"}`:   "secret",
		`{"name":"x",` + url + `,"statuses":["sent"]}`:                           "statuses[0]",
		`{"name":"x",` + url + `,"channels":["SMS","FAX"]}`:                      "channels[1]",
		`{"name":"x",` + url + `,"tags":["a"," b"]}`:                             "tags[1]",
		`{"name":"x",` + url + `,"tags":["` + strings.Repeat("t", 65) + `"]}`:    "tags[0]",
		`{"name":"x",` + url + `,"tags":[` + strings.Repeat(`"t",`, 20) + `""]}`: "tags",
	} {
		if got := w.do(one, "POST", webhooksURL, body, nil); got.status != 400 || !strings.Contains(string(got.raw), `"`+field+`":"`) {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
	}
	for _, body := range []string{`{"url":"https://10.0.0.1/"}`, `{"name":"default"}`, `{"secret":"a secret is rotated"}`, `{"isActive":"no"}`, `{"id":"x"}`} {
		if got := w.do(one, "PATCH", path, body, nil); got.status != 400 {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
	}
	for _, body := range []string{`{"overlapSeconds":-1}`, `{"overlapSeconds":86401}`, `{"secret":"short"}`} {
		if got := w.do(one, "POST", path+"/rotate-secret", body, nil); got.status != 400 {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
	}
	for i := range 18 {
		if got := w.do(one, "POST", webhooksURL, fmt.Sprintf(`{"name":"%d",%s}`, i, url), nil); got.status != 201 {
			t.Fatalf("%d: %d %s", i, got.status, got.raw)
		}
	}
	if got := w.do(one, "POST", webhooksURL, `{"name":"one more",`+url+`}`, nil); got.status != 400 || got.code() != "too_many_endpoints" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "PATCH", "/api/v1/app", `{"webhookUrl":"https://hooks.example.com/default"}`, nil); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// TestWebhookURLIsTheDefaultEndpoint changes one by the other, in every way that there is.
func TestWebhookURLIsTheDefaultEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.do(one, "GET", "/api/v1/app", "", nil).str("id")
	path := webhooksURL + "/" + id
	is := func(address string) {
		t.Helper()
		app, e := w.do(one, "GET", "/api/v1/app", "", nil), w.do(one, "GET", path, "", nil)
		want := map[bool]int{true: 404, false: 200}[address == ""]
		if app.str("webhookUrl") != address || e.status != want || want == 200 && (e.str("url") != address || e.str("name") != "default" || e.body["isActive"] != true) {
			t.Fatalf("want %q: %s\n%s", address, app.raw, e.raw)
		}
	}
	is("")
	set := w.do(one, "PATCH", "/api/v1/app", `{"webhookUrl":"https://hooks.example.com/1"}`, nil)
	first := set.str("webhookSecret")
	if !strings.HasPrefix(first, "whsec_") {
		t.Fatalf("%s", set.raw)
	}
	is("https://hooks.example.com/1")
	if got := w.do(one, "PATCH", path, `{"url":"https://hooks.example.com/2","statuses":["FAILED"]}`, nil); got.status != 200 {
		t.Fatalf("%s", got.raw)
	}
	is("https://hooks.example.com/2")
	for _, body := range []string{`{"name":"other"}`, `{"name":""}`} {
		if got := w.do(one, "PATCH", path, body, nil); got.status != 400 || !strings.Contains(string(got.raw), `"name":"cannot be changed`) {
			t.Errorf("%d %s", got.status, got.raw)
		}
	}
	if got := w.do(one, "PATCH", "/api/v1/app", `{"webhookUrl":null}`, nil); got.status != 200 {
		t.Fatalf("%s", got.raw)
	}
	is("")
	if got := w.do(one, "PATCH", "/api/v1/app", `{"webhookUrl":"https://hooks.example.com/3"}`, nil); got.str("webhookSecret") != "" {
		t.Errorf("the secret was remembered, and another one generated: %s", got.raw)
	}
	is("https://hooks.example.com/3")
	if current := secretsOf(w, id); current[0] != first {
		t.Errorf("%q, want %q", current, first)
	}
	if got := w.do(one, "DELETE", path, "", nil); got.status != 204 {
		t.Fatalf("%s", got.raw)
	}
	is("")
	if got := w.do(one, "POST", webhooksURL, `{"name":"default","url":"https://hooks.example.com/4"}`, nil); got.status != 201 || got.str("id") != id || got.str("secret") == "" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	is("https://hooks.example.com/4")
	if got := w.root("PATCH", "/api/admin/apps/one", `{"webhookUrl":"https://hooks.example.com/5","webhookSecret":"a secret of the administrator's"}`); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	is("https://hooks.example.com/5")
	if got := secretsOf(w, id); got[0] != "a secret of the administrator's" {
		t.Errorf("%q", got)
	}
}

// secretsOf are what the app's default endpoint signs with.
func secretsOf(w *world, id string) (out []string) {
	w.t.Helper()
	app, err := comm.ParseID(id)
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := w.store.Endpoint(w.t.Context(), app, app)
	if err != nil {
		w.t.Fatal(err)
	}
	packed := [][]byte{e.Secret}
	for _, r := range e.Replaced {
		packed = append(packed, r.Secret)
	}
	for _, packed := range packed {
		plain, err := w.ring.For(store.WebhookSecrets().Purpose).Open(seal.Unpack(packed), store.WebhookSecrets().Place(app, app))
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, string(plain))
	}
	return out
}

func TestRotationOfAWebhookSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	made := w.do(one, "POST", webhooksURL, `{"name":"default","url":"https://hooks.example.com/1"}`, nil)
	id, first := made.str("id"), made.str("secret")
	rotate := func(body string) answer { return w.do(one, "POST", webhooksURL+"/"+id+"/rotate-secret", body, nil) }
	got := rotate(`{"overlapSeconds":3600}`)
	second := got.str("secret")
	ends, err := time.Parse(time.RFC3339, got.str("previousSecretEndsAt"))
	if got.status != 200 || second == first || !strings.HasPrefix(second, "whsec_") || err != nil || time.Until(ends) < 59*time.Minute || time.Until(ends) > 61*time.Minute {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if got := secretsOf(w, id); !slices.Equal(got, []string{second, first}) {
		t.Errorf("%q", got)
	}
	if got := w.do(one, "PATCH", webhooksURL+"/"+id, `{"statuses":["SENT"]}`, nil); got.str("previousSecretEndsAt") == "" {
		t.Errorf("another change ends the overlap: %s", got.raw)
	}
	got = rotate(`{"secret":"a secret of our own"}`)
	if _, shown := got.body["secret"]; got.status != 200 || shown || got.body["previousSecretEndsAt"] != nil {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := secretsOf(w, id); !slices.Equal(got, []string{"a secret of our own"}) {
		t.Errorf("%q", got)
	}
	if rotate(`{"overlapSeconds":1}`); secretsOf(w, id)[1] != "a secret of our own" {
		t.Errorf("%q", secretsOf(w, id))
	}
	time.Sleep(1100 * time.Millisecond)
	if w.do(one, "GET", webhooksURL+"/"+id, "", nil).body["previousSecretEndsAt"] != nil {
		t.Error("the overlap has no end")
	}
}

// TestAnEndpointThatWasSwitchedOff comes back by isActive or by another address, and says meanwhile why.
func TestAnEndpointThatWasSwitchedOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.do(one, "POST", webhooksURL, `{"name":"default","url":"https://hooks.example.com/1"}`, nil).str("id")
	path := webhooksURL + "/" + id
	app, err := comm.ParseID(id)
	if err != nil {
		t.Fatal(err)
	}
	off := func() {
		t.Helper()
		e, err := w.reg.Endpoint(t.Context(), app, app)
		if err != nil {
			t.Fatal(err)
		}
		if done, err := w.store.SwitchOff(t.Context(), e, comm.EndpointGone); err != nil || !done {
			t.Fatal(done, err)
		}
		if got := w.do(one, "GET", path, "", nil); got.body["isActive"] != false || got.str("disabledReason") != "gone" || got.str("disabledAt") == "" {
			t.Fatalf("%s", got.raw)
		}
	}
	for _, change := range []struct{ path, body string }{
		{path, `{"isActive":true}`}, {path, `{"url":"https://hooks.example.com/2"}`}, {"/api/v1/app", `{"webhookUrl":"https://hooks.example.com/3"}`},
	} {
		off()
		w.do(one, "PATCH", change.path, change.body, nil)
		if got := w.do(one, "GET", path, "", nil); got.body["isActive"] != true || got.body["disabledReason"] != nil || got.body["disabledAt"] != nil {
			t.Errorf("%s: %s", change.body, got.raw)
		}
	}
	w.do(one, "PATCH", path, `{"isActive":false}`, nil)
	for _, change := range []struct{ path, body string }{{path, `{"url":"https://hooks.example.com/4"}`}, {"/api/v1/app", `{"webhookUrl":"https://hooks.example.com/5"}`}} {
		w.do(one, "PATCH", change.path, change.body, nil)
		if got := w.do(one, "GET", path, "", nil); got.body["isActive"] != false {
			t.Errorf("who switched it off did not switch it on: %s", got.raw)
		}
	}
}

// TestDeliveriesOfAnEndpoint: what an endpoint answered is shown to the administrator alone.
func TestDeliveriesOfAnEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	url := webhooksURL + "/" + w.webhook(one)
	var made []string
	for range 3 {
		got := w.do(one, "POST", url+"/test", "", nil)
		if got.status != 202 || got.str("state") != "waiting" || got.body["status"] != nil || got.str("nextAttemptAt") == "" {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		made = append(made, got.str("id"))
	}
	endpoint, id := parsedID(t, strings.TrimPrefix(url, webhooksURL+"/")), parsedID(t, made[0])
	now := comm.At(time.Now())
	if err := w.store.Record(t.Context(), []store.Attempted{{App: one.app.ID, Endpoint: endpoint, ID: id, Attempt: 1, Try: 1, At: now, State: store.DeliveryExhausted,
		Line: `{"attempt":1,"at":"` + now.String() + `","tookMs":7,"status":500,"answer":"inner secret"}` + "\n"}}); err != nil {
		t.Fatal(err)
	}
	got := w.do(one, "GET", url+"/deliveries/"+made[0], "", nil)
	if got.status != 200 || got.str("state") != "failed" || strings.Contains(string(got.raw), "inner secret") || !strings.Contains(string(got.raw), `"tookMs":7,"status":500`) ||
		got.body["body"].(map[string]any)["event"] != "webhook.test" || got.body["body"].(map[string]any)["eventId"] != got.str("eventId") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.as("one", "GET", url+"/deliveries/"+made[0], ""); !strings.Contains(string(got.raw), `"answer":"inner secret"`) {
		t.Errorf("the administrator: %d %s", got.status, got.raw)
	}
	for query, want := range map[string]int{"": 3, "?state=failed": 1, "?state=waiting": 2, "?state=delivered": 0, "?messageId=" + got.str("messageId"): 1,
		"?createdAfter=2040-01-01T00:00:00Z": 0, "?createdBefore=2040-01-01T00:00:00Z": 3} {
		if list := w.do(one, "GET", url+"/deliveries"+query, "", nil); list.status != 200 || len(rowsOf(list)) != want {
			t.Errorf("%s: %d %s", query, list.status, list.raw)
		}
	}
	first := w.do(one, "GET", url+"/deliveries?limit=2", "", nil)
	rest := w.do(one, "GET", url+"/deliveries?limit=2&cursor="+first.str("nextCursor"), "", nil)
	if len(rowsOf(first)) != 2 || len(rowsOf(rest)) != 1 || rest.body["nextCursor"] != nil || rowsOf(rest)[0].(map[string]any)["id"] != made[0] {
		t.Errorf("%s\n%s", first.raw, rest.raw)
	}
	for _, query := range []string{"?state=done", "?messageId=x", "?status=FAILED", "?limit=0", "?cursor=" + first.str("nextCursor") + "A"} {
		if got := w.do(one, "GET", url+"/deliveries"+query, "", nil); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	const all = `{"createdAfter":"2020-01-01T00:00:00Z","createdBefore":"2040-01-01T00:00:00Z"}`
	if got := w.do(one, "POST", url+"/replay", all, nil); got.status != 202 || got.body["replayed"] != 1.0 || got.body["more"] != false || got.body["nextCursor"] != nil {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "GET", url+"/deliveries/"+made[0], "", nil); got.str("state") != "waiting" || got.body["endedAt"] != nil {
		t.Errorf("%s", got.raw)
	}
	if got := w.do(one, "POST", url+"/deliveries/"+made[1]+"/replay", "", nil); got.status != 202 || got.str("id") != made[1] {
		t.Errorf("%d %s", got.status, got.raw)
	}
	w.do(one, "PATCH", url, `{"isActive":false}`, nil)
	for _, path := range []string{"/test", "/replay", "/deliveries/" + made[1] + "/replay"} {
		body := map[bool]string{true: all}[path == "/replay"]
		if got := w.do(one, "POST", url+path, body, nil); got.status != 409 || got.code() != "invalid_state" {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
		if got := w.do(two, "POST", url+path, body, nil); got.status != 404 {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
}

// TestAFailingEndpoint: as soon as it is noted that its calls fail, it says since when, what waits and when it is tried again; and no longer once it works, or is off.
// Of each event the last call is told, its answer to the administrator alone.
func TestAFailingEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	url := webhooksURL + "/" + w.webhook(one)
	works := w.do(one, "POST", webhooksURL, `{"name":"works","url":"https://hooks.example.com/2"}`, nil).str("id")
	w.webhook(two)
	endpoint := parsedID(t, strings.TrimPrefix(url, webhooksURL+"/"))
	now := comm.At(time.Now())
	var due comm.Micros
	for n := range 2 {
		id := parsedID(t, w.do(one, "POST", url+"/test", "", nil).str("id"))
		due = now.Add(time.Duration(n+1) * time.Minute)
		for try := 1; try <= 2+n; try++ {
			if err := w.store.Record(t.Context(), []store.Attempted{{App: one.app.ID, Endpoint: endpoint, ID: id, Attempt: try, Try: try, At: now, State: store.DeliveryWaiting, Due: due,
				Line: `{"attempt":` + strconv.Itoa(try) + `,"at":"` + now.String() + `","tookMs":7,"status":503,"answer":"inner secret"}` + "\n"}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.store.SetTrouble(t.Context(), store.Trouble{App: one.app.ID, Endpoint: endpoint, Since: now}); err != nil {
		t.Fatal(err)
	}
	c := readContract(t)
	for path, got := range map[string]answer{"/api/v1/webhooks/{id}": w.do(one, "GET", url, "", nil), "/api/v1/webhooks": w.do(one, "GET", webhooksURL, "", nil)} {
		c.answer(t, "GET", path, got)
		want := `"failing":{"since":"` + now.String() + `","waiting":2,"atLeast":false,"attempts":5,"nextAttemptAt":"` + now.Add(time.Minute).String() + `"}`
		if !strings.Contains(string(got.raw), want) {
			t.Errorf("%s is not in %s", want, got.raw)
		}
	}
	for who, path := range map[*tenant]string{&one: webhooksURL + "/" + works, &two: webhooksURL} {
		if got := w.do(*who, "GET", path, "", nil); !strings.Contains(string(got.raw), `"failing":null`) || strings.Contains(string(got.raw), `"since"`) {
			t.Errorf("%s", got.raw)
		}
	}
	for who, shown := range map[string]bool{"": false, "one": true} {
		got := w.do(one, "GET", url+"/deliveries", "", nil)
		if who != "" {
			got = w.as(who, "GET", url+"/deliveries", "")
		}
		c.answer(t, "GET", "/api/v1/webhooks/{id}/deliveries", got)
		if !strings.Contains(string(got.raw), `"lastAttempt":{"attempt":3,"at":"`+now.String()+`","tookMs":7,"status":503,"fault":null,"answer":`) || strings.Contains(string(got.raw), "inner secret") != shown || strings.Contains(string(got.raw), `"attempt":1`) {
			t.Errorf("%q: %s", who, got.raw)
		}
	}
	if changed := w.do(one, "PATCH", url, `{"tags":["a"]}`, nil); changed.body["failing"] != nil {
		t.Errorf("what was wrong before somebody changed it is told: %s", changed.raw)
	}
	if err := w.store.SetTrouble(t.Context(), store.Trouble{App: one.app.ID, Endpoint: endpoint, Since: now}); err != nil {
		t.Fatal(err)
	}
	if again := w.do(one, "GET", url, "", nil); again.body["failing"] == nil {
		t.Errorf("%s", again.raw)
	}
	if err := w.store.SetTrouble(t.Context(), store.Trouble{App: one.app.ID, Endpoint: endpoint}); err != nil {
		t.Fatal(err)
	}
	if got := w.do(one, "GET", url, "", nil); got.body["failing"] != nil {
		t.Errorf("%s", got.raw)
	}
}

// TestAnEndpointThatIsLeftAlone: nothing that is told of a next try lies before the end of the rest, of an endpoint that fails or only asked for it; what is due later is due later.
func TestAnEndpointThatIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	url := webhooksURL + "/" + w.webhook(one)
	endpoint := parsedID(t, strings.TrimPrefix(url, webhooksURL+"/"))
	made, later := w.do(one, "POST", url+"/test", "", nil).str("id"), w.do(one, "POST", url+"/test", "", nil).str("id")
	now := comm.At(time.Now())
	due, until := now.Add(time.Hour), now.Add(4*time.Minute)
	if err := w.store.Record(t.Context(), []store.Attempted{{App: one.app.ID, Endpoint: endpoint, ID: parsedID(t, later), Attempt: 1, Try: 1, At: now, State: store.DeliveryWaiting, Due: due, Line: "{}\n"}}); err != nil {
		t.Fatal(err)
	}
	shown := func(want map[string]comm.Micros) {
		t.Helper()
		listed := w.do(one, "GET", url+"/deliveries", "", nil)
		for id, at := range want {
			for i, got := range []answer{w.do(one, "GET", url+"/deliveries/"+id, "", nil), listed} {
				if text := `"nextAttemptAt":"` + at.String() + `"`; !strings.Contains(string(got.raw), text) {
					t.Errorf("%d: %s is not in %s", i, text, got.raw)
				}
			}
		}
	}
	for _, since := range []comm.Micros{0, now} {
		if err := w.store.SetTrouble(t.Context(), store.Trouble{App: one.app.ID, Endpoint: endpoint, Since: since, RestsUntil: until}); err != nil {
			t.Fatal(err)
		}
		shown(map[string]comm.Micros{made: until, later: due})
		got := w.do(one, "GET", url, "", nil)
		if want := `"failing":{"since":"` + now.String() + `","waiting":2,"atLeast":false,"attempts":1,"nextAttemptAt":"` + until.String() + `"}`; strings.Contains(string(got.raw), want) != (since != 0) || since == 0 && got.body["failing"] != nil {
			t.Errorf("%s", got.raw)
		}
	}
	for _, path := range []string{"/test", "/deliveries/" + made + "/replay"} {
		if got := w.do(one, "POST", url+path, "", nil); got.str("nextAttemptAt") != until.String() {
			t.Errorf("%s: %s", path, got.raw)
		}
	}
	if changed := w.do(one, "PATCH", url, `{"tags":["a"]}`, nil); changed.status != 200 {
		t.Fatalf("%s", changed.raw)
	}
	if got := w.do(one, "GET", url+"/deliveries/"+made, "", nil); got.str("nextAttemptAt") >= until.String() {
		t.Errorf("somebody changed it: %s", got.raw)
	}
}

func parsedID(t *testing.T, text string) comm.ID {
	t.Helper()
	id, err := comm.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func rowsOf(page answer) []any {
	rows, _ := page.body["data"].([]any)
	return rows
}

// TestAnEndpointOfALaterVersion is shown for what it is, and can be replaced or deleted, not half changed.
func TestAnEndpointOfALaterVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	path := webhooksURL + "/" + w.webhook(one)
	e, err := w.store.Endpoint(t.Context(), one.app.ID, parsedID(t, strings.TrimPrefix(path, webhooksURL+"/")))
	if err != nil {
		t.Fatal(err)
	}
	e.Events = []comm.Status{200}
	if err := w.store.UpdateEndpoint(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if got := w.do(one, "GET", webhooksURL, "", nil); got.status != 200 || !strings.Contains(string(got.raw), `"isActive":false,"disabledReason":"unreadable"`) {
		t.Errorf("%d %s", got.status, got.raw)
	}
	for path, body := range map[string]string{path: `{"name":"other","isActive":true,"statuses":[],"channels":[]}`, path + "/rotate-secret": `{}`} {
		method := map[bool]string{true: "POST", false: "PATCH"}[strings.HasSuffix(path, "secret")]
		if got := w.do(one, method, path, body, nil); got.status != 409 || got.code() != "invalid_state" {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	if got := w.do(one, "PATCH", path, `{"isActive":true,"statuses":["SENT"],"channels":[],"tags":[]}`, nil); got.status != 200 || got.body["isActive"] != true || got.body["disabledReason"] != nil {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// TestALongRangeIsReplayedOnce: what one call leaves is the next one's, whatever became meanwhile of what the first made due.
func TestALongRangeIsReplayedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	url := webhooksURL + "/" + w.webhook(one)
	endpoint, now := parsedID(t, strings.TrimPrefix(url, webhooksURL+"/")), comm.At(time.Now())
	const n = 10_300
	// Stamped in few transactions: what it is made of is no matter here.
	w.owns()
	for from := 0; from < n; from += 1000 {
		st := store.Stamping{Node: "feed", Leases: w.owned}
		for i := from; i < min(n, from+1000); i++ {
			st.Made = append(st.Made, store.Delivery{EventRef: store.EventRef{App: one.app.ID, Message: comm.NewID(now), Sequence: 1}, Endpoint: endpoint, ID: comm.NewID(now), Shard: 1,
				Status: comm.Sent, Position: int64(i + 1), State: store.DeliveryDone, CreatedAt: now, EndedAt: now, Body: []byte("{}")})
		}
		if _, err := w.store.Stamp(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(more string) answer {
		return w.do(one, "POST", url+"/replay", `{"createdAfter":"2020-01-01T00:00:00Z","createdBefore":"2040-01-01T00:00:00Z","state":"delivered"`+more+`}`, nil)
	}
	seen := map[comm.ID]int{}
	calls := 0
	for cursor := ""; ; calls++ {
		got := ask(cursor)
		if got.status != 202 || got.body["more"] != (got.str("nextCursor") != "") {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		// All that is due is posted and done at once.
		due, err := w.store.DueDeliveries(t.Context(), store.DueEndpoint{Shard: 1, App: one.app.ID, Endpoint: endpoint}, comm.At(time.Now().Add(time.Hour)), 2*n)
		if err != nil || len(due) != int(got.body["replayed"].(float64)) {
			t.Fatalf("%d are due, %s, %v", len(due), got.raw, err)
		}
		var done []store.Attempted
		for _, d := range due {
			seen[d.ID]++
			done = append(done, store.Attempted{App: d.App, Endpoint: d.Endpoint, ID: d.ID, Attempt: d.Attempts + 1, Try: d.Tries + 1, At: now, State: store.DeliveryDone, Line: "{}\n"})
		}
		if err := w.store.Record(t.Context(), done); err != nil {
			t.Fatal(err)
		}
		if cursor = `,"cursor":"` + got.str("nextCursor") + `"`; got.body["more"] == false {
			break
		}
		if calls == 0 {
			if strange := w.do(two, "POST", webhooksURL+"/"+w.webhook(two)+"/replay", `{"createdAfter":"2020-01-01T00:00:00Z","createdBefore":"2040-01-01T00:00:00Z","state":"delivered"`+cursor+`}`, nil); strange.code() != "invalid_cursor" {
				t.Errorf("another app's: %d %s", strange.status, strange.raw)
			}
			if other := w.do(one, "POST", url+"/replay", `{"createdAfter":"2020-01-01T00:00:00Z","createdBefore":"2040-01-01T00:00:00Z"`+cursor+`}`, nil); other.code() != "invalid_cursor" {
				t.Errorf("another state's: %d %s", other.status, other.raw)
			}
		}
	}
	if len(seen) != n || calls < 1 {
		t.Errorf("%d of %d were replayed, in %d calls", len(seen), n, calls+1)
	}
	for id, k := range seen {
		if k != 1 {
			t.Fatalf("%s was replayed %d times", id, k)
		}
	}
}
