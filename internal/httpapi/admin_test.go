package httpapi

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// root sends as the administrator.
func (w *world) root(method, path, body string) answer {
	w.t.Helper()
	return w.do(tenant{}, method, path, body, map[string]string{"X-Admin-Key": adminKey})
}

// as sends as the administrator acting for an app.
func (w *world) as(app, method, path, body string) answer {
	w.t.Helper()
	return w.do(tenant{}, method, path, body, map[string]string{"X-Admin-Key": adminKey, "X-App-ID": app})
}

// things makes one of everything that has an id, by the words of thingOf.
func (w *world) things(one tenant) map[string]string {
	w.t.Helper()
	config := probes()["POST /api/v1/provider-configs"].body
	return map[string]string{
		"message":  w.do(one, "POST", "/api/v1/messages", sms(""), nil).str("id"),
		"provider": w.do(one, "POST", "/api/v1/provider-configs", config, nil).str("id"),
		"server":   w.root("POST", "/api/admin/provider-configs", config).str("id"),
		"template": w.template(one, "of-things"),
		"erasure":  w.root("POST", "/api/admin/erasures", `{"address":"erased@example.com"}`).str("id"),
		"user":     w.member("of-things", comm.Viewer, 0).ID.String(),
		"key":      w.root("POST", "/api/admin/apps/"+one.app.Slug+"/keys", `{}`).str("id"),
	}
}

// thingOf says what the {id} of a path is the id of.
func thingOf(path string) string {
	switch {
	case strings.Contains(path, "/admin/provider-configs"):
		return "server"
	case strings.Contains(path, "provider-configs"):
		return "provider"
	case strings.Contains(path, "/erasures/"):
		return "erasure"
	case strings.Contains(path, "/users/"):
		return "user"
	case strings.Contains(path, "/keys/"):
		return "key"
	case strings.Contains(path, "templates/{id}"):
		return "template"
	}
	return "message"
}

// adminProbes must name every route of the administrator: a route without an entry fails the test.
func adminProbes() map[string]probe {
	config := probes()["POST /api/v1/provider-configs"].body
	return map[string]probe{
		"POST /api/admin/provider-configs/{id}/rotate-callback": {body: `{"overlapSeconds":60}`, id: "server", status: 409}, // nothing is reported to SMTP
		"POST /api/admin/erasures":                              {body: `{"address":"erased@example.com","app":"one"}`, status: 202},
		"GET /api/admin/erasures/{id}":                          {id: "erasure", status: 200},
		"GET /api/admin/users":                                  {status: 200},
		"POST /api/admin/users":                                 {body: `{"name":"ama","role":"VIEWER","password":"seven otters sing at dusk"}`, status: 201},
		"GET /api/admin/users/{id}":                             {id: "user", status: 200},
		"PATCH /api/admin/users/{id}":                           {body: `{"role":"VIEWER"}`, id: "user", status: 200},
		"DELETE /api/admin/users/{id}":                          {id: "user", status: 204},
		"GET /api/admin/upkeep":                                 {status: 200},
		"GET /api/admin/backup":                                 {status: 200},
		"GET /api/admin/hold":                                   {status: 200},
		"POST /api/admin/hold":                                  {body: `{"action":"RELEASE","doubtful":"POLICY"}`, status: 409},
		"GET /api/admin/alerts":                                 {status: 200},
		"GET /api/admin/apps":                                   {status: 200},
		"POST /api/admin/apps":                                  {body: `{"name":"New","slug":"new-one"}`, status: 201},
		"GET /api/admin/apps/{app}":                             {status: 200},
		"PATCH /api/admin/apps/{app}":                           {body: `{"ratePerMinute":7}`, status: 200},
		"DELETE /api/admin/apps/{app}":                          {status: 400}, // without confirm
		"GET /api/admin/apps/{app}/keys":                        {status: 200},
		"POST /api/admin/apps/{app}/keys":                       {body: `{"name":"k"}`, status: 201},
		"POST /api/admin/apps/{app}/keys/{id}/rotate":           {body: `{}`, status: 201},
		"DELETE /api/admin/apps/{app}/keys/{id}":                {status: 204},
		"GET /api/admin/messages":                               {status: 200},
		"GET /api/admin/messages/{id}":                          {status: 200},
		"PATCH /api/admin/messages/{id}":                        {body: `{"action":"CANCEL"}`, status: 200},
		"GET /api/admin/events":                                 {status: 200},
		"GET /api/admin/suppressions":                           {status: 400}, // it names nothing
		"GET /api/admin/queue":                                  {status: 200},
		"POST /api/admin/queue":                                 {body: `{"action":"PAUSE","app":"one"}`, status: 200},
		"GET /api/admin/stats":                                  {status: 200},
		"GET /api/admin/audit":                                  {status: 200},
		"GET /api/admin/audit/verify":                           {status: 200},
		"GET /api/admin/chains":                                 {status: 200},
		"POST /api/admin/provider-configs":                      {body: config, status: 201},
		"GET /api/admin/provider-configs":                       {status: 200},
		"GET /api/admin/provider-configs/{id}":                  {status: 200},
		"PATCH /api/admin/provider-configs/{id}":                {body: `{"name":"Renamed"}`, status: 200},
		"DELETE /api/admin/provider-configs/{id}":               {status: 204},
		"POST /api/admin/provider-configs/{id}/verify":          {status: 200},
		"POST /api/admin/provider-configs/{id}/test":            {body: `{"to":"ama@example.com"}`, status: 200},
	}
}

const notAdminBody = `{"error":"Missing or invalid credentials: check X-Admin-Key, or sign in again.","details":{"code":"unauthenticated"}}` + "\n"

// TestEveryAdminRouteIsClosed holds every route of the administrator against
// everybody else's credentials, and against the contract.
func TestEveryAdminRouteIsClosed(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	for _, route := range newWorld(t).api.Routes() { // TestEveryRouteIsClosed finds what has no entry
		name := route.Method + " " + route.Path
		if p, ok := adminProbes()[name]; ok {
			t.Run(name, func(t *testing.T) { t.Parallel(); adminOnly(t, c, route, p) })
		}
	}
}

func adminOnly(t *testing.T, c *contract, route Route, p probe) {
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	things := w.things(one)
	at := func(app, id string) string { return strings.NewReplacer("{app}", app, "{id}", id).Replace(route.Path) }
	path := at("one", things[thingOf(route.Path)])
	for name, h := range map[string]map[string]string{
		"no key": {}, "a wrong key": {"X-Admin-Key": "wrong"}, "an empty key": {"X-Admin-Key": " "}, "an app's key": {"X-App-ID": "one", "X-API-Key": one.key},
		"an app's key as the admin's": {"X-Admin-Key": one.key}, "the provisioning key": {"X-Provisioning-Key": provisioningKey},
		"the provisioning key as the admin's": {"X-Admin-Key": provisioningKey}, "the admin key as a bearer": {"Authorization": "Bearer " + adminKey},
		"the admin key beside an app's": {"X-Admin-Key": adminKey, "X-App-ID": "one", "X-API-Key": one.key},
		"the admin key beside a bearer": {"X-Admin-Key": adminKey, "Authorization": "Bearer " + one.key},
	} {
		got := w.do(tenant{}, route.Method, path, p.body, h)
		if got.status != 401 || string(got.raw) != notAdminBody {
			t.Errorf("with %s: %d %s", name, got.status, got.raw)
		}
		c.answer(t, route.Method, route.Path, got)
	}
	if strings.Contains(route.Path, "{app}") {
		got := w.root(route.Method, at("nobody", things[thingOf(route.Path)]), p.body)
		if got.status != 404 {
			t.Errorf("of an unknown app: %d %s", got.status, got.raw)
		}
		c.answer(t, route.Method, route.Path, got)
	}
	if strings.Contains(route.Path, "{id}") {
		for _, id := range []string{"nothing", comm.NewID(1).String()} {
			if got := w.root(route.Method, at("one", id), p.body); got.status != 404 {
				t.Errorf("of the id %s: %d %s", id, got.status, got.raw)
			}
		}
	}
	if p.body != "" {
		for name, got := range map[string]answer{
			"unknown field": w.root(route.Method, path, `{"nope":1}`),
			"text/plain":    w.do(tenant{}, route.Method, path, p.body, map[string]string{"X-Admin-Key": adminKey, "Content-Type": "text/plain"}),
			"2 MiB":         w.root(route.Method, path, `"`+strings.Repeat("x", 2<<20)+`"`),
		} {
			if got.status < 400 || got.status > 499 {
				t.Errorf("%s: %d %s", name, got.status, got.raw)
			}
			c.answer(t, route.Method, route.Path, got)
		}
	}
	if got := w.root(route.Method, path+"?nope=1", p.body); got.status != 400 || got.code() != "invalid_query" {
		t.Errorf("an unknown parameter: %d %s", got.status, got.raw)
	}
	got := w.root(route.Method, path, p.body)
	if got.status != p.status {
		t.Errorf("as the administrator: %d %s", got.status, got.raw)
	}
	c.answer(t, route.Method, route.Path, got)
}

// TestTheAdministratorActsForAnApp: every scope, inactive apps too, and the log says who it was.
func TestTheAdministratorActsForAnApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	off := w.tenant("off", comm.ScopeRead, func(a *comm.App) { a.Active = false })
	for _, name := range []string{"off", off.app.ID.String()} {
		sent := w.as(name, "POST", "/api/v1/messages", sms(""))
		if sent.status != 202 {
			t.Fatalf("%d %s", sent.status, sent.raw)
		}
		path := "/api/v1/messages/" + sent.str("id")
		if got := w.as(name, "PATCH", path, `{"action":"CANCEL"}`); got.status != 200 {
			t.Errorf("%d %s", got.status, got.raw)
		}
		m, err := w.store.Message(t.Context(), off.app.ID, mustID(t, sent.str("id")))
		if err != nil || m.Events[len(m.Events)-1].Actor != "admin" {
			t.Errorf("%+v %v", m, err)
		}
	}
	if got := w.as("off", "PATCH", "/api/v1/app", `{"onUnknownOutcome":"FAIL"}`); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(off, "GET", "/api/v1/app", "", nil); got.status != 401 {
		t.Errorf("its own key: %d %s", got.status, got.raw)
	}
}

// TestServerProvidersAreNobodysOwn: an app sees nothing of them.
func TestServerProvidersAreNobodysOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	things := w.things(one)
	if got := w.do(one, "GET", "/api/v1/provider-configs/"+things["server"], "", nil); got.status != 404 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.root("GET", "/api/admin/provider-configs/"+things["provider"], ""); got.status != 404 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	got := w.root("GET", "/api/admin/provider-configs", "")
	if list := got.body["data"].([]any); len(list) != 1 || strings.Contains(string(got.raw), "secret-of-one") || !strings.Contains(string(got.raw), `"********"`) {
		t.Errorf("%s", got.raw)
	}
}

// TestAdminMakesAndChangesApps holds what the administrator may say of an app.
func TestAdminMakesAndChangesApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.root("POST", "/api/admin/apps", `{"name":"Billing","slug":"billing","sandboxMode":false,"ratePerMinute":7,"onUnknownOutcome":"FAIL","webhookUrl":"https://example.com/h",
		"allowedSenders":["billing@example.com","@example.org","example.net","BILLING"],"scopes":["READ"]}`)
	app, _ := got.body["app"].(map[string]any)
	if got.status != 201 || !strings.HasPrefix(got.str("apiKey"), "cs_live_") || app["sandboxMode"] != false || app["ratePerMinute"] != 7.0 || app["onUnknownOutcome"] != "FAIL" ||
		len(app["allowedSenders"].([]any)) != 4 || !strings.HasPrefix(got.str("webhookSecret"), "whsec_") {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	billing := tenant{&comm.App{Slug: "billing"}, got.str("apiKey")}
	if got := w.do(billing, "POST", "/api/v1/messages", sms(""), nil); got.status != 403 {
		t.Errorf("a key of READ alone: %d %s", got.status, got.raw)
	}
	if got := w.root("POST", "/api/admin/apps", `{"name":"Other","slug":"billing"}`); got.status != 409 || got.code() != "already_exists" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	for _, bad := range []string{
		`{"slug":"x2"}`, `{"name":"X"}`, `{"name":"X","slug":"Not One"}`, `{"name":"X","slug":"x2","allowedSenders":["no sender!"]}`, `{"name":"X","slug":"x2","allowedSenders":["a@"]}`,
		`{"name":"X","slug":"x2","allowedSenders":["@"]}`, `{"name":"X","slug":"x2","allowedSenders":[""]}`, `{"name":"X","slug":"x2","ratePerMinute":0}`, `{"name":"X","slug":"x2","scopes":["ROOT"]}`,
		`{"name":"X","slug":"x2","scopes":[]}`, `{"name":"X","slug":"x2","onUnknownOutcome":"MAYBE"}`, `{"name":"X","slug":"x2","webhookUrl":"http://10.0.0.1"}`, `{"name":"X","slug":"x2","isActive":false}`,
		`{"name":"X","slug":"x2","allowedSenders":[` + strings.Repeat(`"a@example.com",`, 100) + `"b@example.com"]}`,
	} {
		if got := w.root("POST", "/api/admin/apps", bad); got.status != 400 {
			t.Errorf("%s: %d %s", bad, got.status, got.raw)
		}
	}
	for _, bad := range []string{`{"slug":"other"}`, `{"name":""}`, `{"ratePerMinute":1000001}`, `{"isActive":"no"}`, `{"allowedSenders":["x y z w v u t s"]}`, `{"webhookSecret":"short"}`, `{"sandboxMode":null}`} {
		if got := w.root("PATCH", "/api/admin/apps/billing", bad); got.status != 400 {
			t.Errorf("%s: %d %s", bad, got.status, got.raw)
		}
	}
	if got := w.root("PATCH", "/api/admin/apps/billing", `{"name":"Bills","ratePerMinute":9,"allowedSenders":[],"webhookSecret":"a secret of our own"}`); got.status != 200 || got.body["name"] != "Bills" ||
		got.body["ratePerMinute"] != 9.0 || len(got.body["allowedSenders"].([]any)) != 0 || strings.Contains(string(got.raw), "a secret") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	// An inactive app: its key is refused and what waits tells why.
	sent := w.as("billing", "POST", "/api/v1/messages", sms(""))
	if got := w.root("PATCH", "/api/admin/apps/billing", `{"isActive":false}`); got.status != 200 || got.body["isActive"] != false {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(billing, "GET", "/api/v1/app", "", nil); got.status != 401 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.as("billing", "GET", "/api/v1/messages/"+sent.str("id"), ""); got.body["status"] != "QUEUED" || got.body["waitingFor"] != "app_paused" {
		t.Errorf("%s", got.raw)
	}
	w.root("PATCH", "/api/admin/apps/billing", `{"isActive":true}`)
	if got := w.do(billing, "GET", "/api/v1/app", "", nil); got.status != 200 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

// TestKeysFromCreationToEnd: the text once, scopes, mode, expiry, rotation, revocation.
func TestKeysFromCreationToEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	const keys = "/api/admin/apps/one/keys"
	works := func(key string) int { return w.do(tenant{one.app, key}, "GET", "/api/v1/app", "", nil).status }
	made := w.root("POST", keys, `{"name":"Dashboard","scopes":["READ"],"expiresAt":"2126-01-01T01:00:00+01:00"}`)
	if made.status != 201 || made.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(made.str("apiKey"), made.str("prefix")) || !strings.HasSuffix(made.str("apiKey"), made.str("lastFour")) ||
		!strings.HasPrefix(made.str("prefix"), "cs_test_") || made.str("expiresAt") != "2126-01-01T00:00:00.000Z" || made.str("createdBy") != "admin" || made.body["provisioned"] != false || works(made.str("apiKey")) != 200 {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	list := w.root("GET", keys, "")
	if list.status != 200 || strings.Contains(string(list.raw), made.str("apiKey")) || strings.Contains(string(list.raw), "apiKey") || len(list.body["data"].([]any)) != 2 {
		t.Errorf("%s", list.raw)
	}
	for _, bad := range []string{`{"expiresAt":"2020-01-01T00:00:00Z"}`, `{"expiresAt":"1970-01-01T00:00:00Z"}`, `{"expiresAt":"soon"}`, `{"expiresAt":null}`, `{"scopes":[]}`, `{"scopes":["ADMIN"]}`, `{"name":" x"}`, `{"name":"` + strings.Repeat("x", 101) + `"}`} {
		if got := w.root("POST", keys, bad); got.status != 400 {
			t.Errorf("%s: %d %s", bad, got.status, got.raw)
		}
	}
	path := keys + "/" + made.str("id")
	for _, bad := range []string{`{"overlapSeconds":-1}`, `{"overlapSeconds":86401}`, `{"overlapSeconds":"1"}`, `{"name":"x"}`} {
		if got := w.root("POST", path+"/rotate", bad); got.status != 400 {
			t.Errorf("%s: %d %s", bad, got.status, got.raw)
		}
	}
	foreign := "/api/admin/apps/two/keys/" + made.str("id")
	if a, b := w.root("POST", foreign+"/rotate", `{}`), w.root("DELETE", foreign, ""); a.status != 404 || b.status != 404 || works(made.str("apiKey")) != 200 {
		t.Errorf("through another app: %d %d", a.status, b.status)
	}
	w.root("PATCH", "/api/admin/apps/one", `{"sandboxMode":false}`)
	next := w.root("POST", path+"/rotate", `{"overlapSeconds":3600}`)
	if next.status != 201 || next.str("name") != "Dashboard" || next.str("expiresAt") != made.str("expiresAt") || !strings.HasPrefix(next.str("apiKey"), "cs_live_") || works(next.str("apiKey")) != 200 || works(made.str("apiKey")) != 200 {
		t.Errorf("%d %s", next.status, next.raw)
	}
	last := w.root("POST", keys+"/"+next.str("id")+"/rotate", `{}`)
	if last.status != 201 || works(last.str("apiKey")) != 200 || works(next.str("apiKey")) != 401 {
		t.Errorf("%d %s", last.status, last.raw)
	}
	if got := w.root("POST", keys+"/"+next.str("id")+"/rotate", `{}`); got.status != 409 || got.code() != "invalid_state" {
		t.Errorf("a key that has ended: %d %s", got.status, got.raw)
	}
	for _, k := range []answer{last, made, made} { // the last one a second time
		if got := w.root("DELETE", keys+"/"+k.str("id"), ""); got.status != 204 || works(k.str("apiKey")) != 401 {
			t.Errorf("%d %s", got.status, got.raw)
		}
	}
	if got := w.do(two, "GET", "/api/v1/app", "", nil); got.status != 200 {
		t.Errorf("another app's key: %d", got.status)
	}
	ids, cursor := map[string]bool{}, ""
	for {
		page := w.root("GET", keys+"?limit=2"+cursor, "")
		for _, k := range page.body["data"].([]any) {
			ids[k.(map[string]any)["id"].(string)] = true
		}
		if page.body["nextCursor"] == nil {
			break
		}
		cursor = "&cursor=" + page.str("nextCursor")
		if got := w.root("GET", "/api/admin/apps/two/keys?limit=2"+cursor, ""); got.code() != "invalid_cursor" {
			t.Errorf("a cursor of another app: %d %s", got.status, got.raw)
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d keys", len(ids))
	}
	// A key that provisioning issued stays one when it is rotated by hand.
	made = provision(w, flowbase)
	keyOf := w.root("GET", "/api/admin/apps/flowbase/keys", "").body["data"].([]any)[0].(map[string]any)
	if keyOf["createdBy"] != "provisioning" || keyOf["provisioned"] != true {
		t.Errorf("%v", keyOf)
	}
	rotated := w.root("POST", "/api/admin/apps/flowbase/keys/"+keyOf["id"].(string)+"/rotate", `{}`)
	provision(w, `{"name":"FlowBase","slug":"flowbase","rotateKey":true}`)
	if got := w.do(tenant{&comm.App{Slug: "flowbase"}, rotated.str("apiKey")}, "GET", "/api/v1/app", "", nil); got.status != 401 {
		t.Errorf("rotateKey left a key of provisioning: %d", got.status)
	}
}

// TestDeletingAnApp: nothing of it is left for anybody, and its slug begins anew.
func TestDeletingAnApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.root("POST", "/api/admin/apps", `{"name":"One","slug":"one","scopes":["SEND","READ","PROVIDERS"]}`)
	one := tenant{&comm.App{Slug: "one"}, made.str("apiKey")}
	var ids []comm.ID
	for range 150 { // more than a slice
		ids = append(ids, mustID(t, w.do(one, "POST", "/api/v1/messages", sms(""), nil).str("id")))
	}
	kept := w.do(one, "POST", "/api/v1/messages", sms(`"idempotencyKey":"k"`), nil).str("id")
	config := w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil).str("id")
	for _, query := range []string{"", "?confirm=", "?confirm=two", "?confirm=ONE"} {
		if got := w.root("DELETE", "/api/admin/apps/one"+query, ""); got.status != 400 || got.code() != "invalid_query" {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	app := mustID(t, made.body["app"].(map[string]any)["id"].(string))
	if got := w.root("DELETE", "/api/admin/apps/"+app.String()+"?confirm=one", ""); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "GET", "/api/v1/app", "", nil); got.status != 401 || string(got.raw) != unauthenticatedBody {
		t.Errorf("its key: %d %s", got.status, got.raw)
	}
	for _, name := range []string{"one", app.String()} {
		for _, path := range []string{"", "/keys"} {
			if got := w.root("GET", "/api/admin/apps/"+name+path, ""); got.status != 404 {
				t.Errorf("%s%s: %d %s", name, path, got.status, got.raw)
			}
		}
		for _, path := range []string{"/api/v1/app", "/api/v1/messages/" + kept, "/api/v1/provider-configs/" + config, "/api/v1/messages"} {
			if got := w.as(name, "GET", path, ""); got.status != 404 {
				t.Errorf("%s %s: %d %s", name, path, got.status, got.raw)
			}
		}
	}
	if got := w.root("GET", "/api/admin/apps", ""); len(got.body["data"].([]any)) != 0 {
		t.Errorf("%s", got.raw)
	}
	if err := w.reg.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range append(ids, mustID(t, kept)) {
		m, err := w.store.Message(t.Context(), app, id)
		if err != nil || m.Status != comm.Cancelled {
			t.Fatalf("%+v %v", m, err)
		}
	}
	again := provision(w, `{"name":"One","slug":"one"}`)
	next := tenant{&comm.App{Slug: "one"}, again.str("apiKey")}
	if got := w.do(next, "POST", "/api/v1/messages", sms(`"idempotencyKey":"k"`), nil); again.status != 201 || got.status != 202 || got.str("id") == kept {
		t.Errorf("the slug's next app: %d %s", got.status, got.raw)
	}
	if got := w.do(next, "GET", "/api/v1/messages", "", nil); len(got.body["data"].([]any)) != 1 {
		t.Errorf("the slug's next app sees %s", got.raw)
	}
}

// TestRunCancelsForDeletedApps: nobody has to ask for it, and it goes on after the first.
func TestRunCancelsForDeletedApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- w.reg.Run(ctx) }()
	for _, slug := range []string{"one", "two"} {
		x := w.tenant(slug, comm.AllScopes)
		id := mustID(t, w.do(x, "POST", "/api/v1/messages", sms(""), nil).str("id"))
		if got := w.root("DELETE", "/api/admin/apps/"+slug+"?confirm="+slug, ""); got.status != 204 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			m, err := w.store.Message(t.Context(), x.app.ID, id)
			if err != nil {
				t.Fatal(err)
			}
			if m.Status == comm.Cancelled && m.Events[len(m.Events)-1].Actor == comm.ActorAdmin {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("still %s", m.Status)
			}
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// TestAppsAreSearched by the beginning of slug and name, page by page.
func TestAppsAreSearched(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, slug := range []string{"alpha", "beta", "alpine", "gamma"} {
		w.tenant(slug, comm.AllScopes, func(a *comm.App) { a.Name, a.Active = "Name of "+slug, slug != "alpine" })
	}
	w.tenant("zeta", comm.AllScopes, func(a *comm.App) { a.Name = "ALPs 100%_" })
	for query, want := range map[string]int{"": 5, "?search=alp": 3, "?search=ALP&active=true": 2, "?active=false": 1, "?search=alps%20100%25_": 1, "?search=%25": 0, "?search=lpha": 0, "?limit=1&search=name": 4} {
		n, cursor := 0, ""
		for {
			got := w.root("GET", "/api/admin/apps"+query+cursor, "")
			if got.status != 200 {
				t.Fatalf("%s: %d %s", query, got.status, got.raw)
			}
			n += len(got.body["data"].([]any))
			if got.body["nextCursor"] == nil {
				break
			}
			cursor = "&cursor=" + got.str("nextCursor")
		}
		if n != want {
			t.Errorf("%s: %d apps, want %d", query, n, want)
		}
	}
	for _, query := range []string{"limit=0", "limit=101", "active=yes", "cursor=x", "nope=1", "search=a&search=b"} {
		if got := w.root("GET", "/api/admin/apps?"+query, ""); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
}

func mustID(t *testing.T, text string) comm.ID {
	t.Helper()
	id, err := comm.ParseID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
