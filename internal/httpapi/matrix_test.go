package httpapi

import (
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// probe is how the matrix calls a route: with a valid body, and with {id}
// replaced by something that belongs to the first app.
type probe struct {
	body   string
	query  string
	id     string // "message", "provider", "webhook", "template" or "" when the path has no id
	status int    // with every scope, as the owner
}

// atVersion fills the other name that a path may hold.
var atVersion = strings.NewReplacer("{version}", "1")

// probes must name every route that an app can call: a route without an entry fails the test.
func probes() map[string]probe {
	config := `{"providerType":"SMTP","name":"Company SMTP","priority":1,"config":{"host":"mail.example.com","port":587,"username":"u","password":"secret-of-one","from":"MyApp <no-reply@example.com>"}}`
	return map[string]probe{
		"POST /api/v1/messages":                              {body: sms(""), status: 202},
		"POST /api/v1/messages/batch":                        {body: `{"messages":[` + sms("") + `]}`, status: 202},
		"POST /api/v1/messages/preview":                      {body: sms(""), status: 200},
		"GET /api/v1/messages":                               {status: 200},
		"GET /api/v1/messages/{id}":                          {id: "message", status: 200},
		"PATCH /api/v1/messages/{id}":                        {body: `{"action":"CANCEL"}`, id: "message", status: 200},
		"GET /api/v1/sandbox/messages":                       {status: 200},
		"GET /api/v1/sandbox/messages/wait":                  {status: 400},                // it names nobody
		"GET /api/v1/sandbox/messages/{id}":                  {id: "message", status: 404}, // nothing was captured
		"GET /api/v1/sandbox/messages/{id}/source":           {id: "message", status: 404},
		"GET /api/v1/events":                                 {status: 200},
		"GET /api/v1/events/stream":                          {query: "?timeout=0", status: 200},
		"GET /api/v1/stats":                                  {status: 200},
		"GET /api/v1/app":                                    {status: 200},
		"PATCH /api/v1/app":                                  {body: `{"onUnknownOutcome":"FAIL"}`, status: 200},
		"POST /api/v1/provider-configs":                      {body: config, status: 201},
		"GET /api/v1/provider-configs":                       {status: 200},
		"GET /api/v1/provider-configs/{id}":                  {id: "provider", status: 200},
		"PATCH /api/v1/provider-configs/{id}":                {body: `{"name":"Renamed"}`, id: "provider", status: 200},
		"DELETE /api/v1/provider-configs/{id}":               {id: "provider", status: 204},
		"POST /api/v1/provider-configs/{id}/rotate-callback": {body: `{"overlapSeconds":60}`, id: "provider", status: 409}, // nothing is reported to SMTP

		"GET /api/v1/webhooks":                                    {status: 200},
		"POST /api/v1/webhooks":                                   {body: `{"name":"another","url":"https://hooks.example.com/in"}`, status: 201},
		"GET /api/v1/webhooks/{id}":                               {id: "webhook", status: 200},
		"PATCH /api/v1/webhooks/{id}":                             {body: `{"tags":[]}`, id: "webhook", status: 200},
		"DELETE /api/v1/webhooks/{id}":                            {id: "webhook", status: 204},
		"POST /api/v1/webhooks/{id}/rotate-secret":                {body: `{}`, id: "webhook", status: 200},
		"POST /api/v1/webhooks/{id}/test":                         {id: "webhook", status: 202},
		"POST /api/v1/webhooks/{id}/replay":                       {body: `{"createdAfter":"2026-07-03T10:00:00Z","createdBefore":"2026-07-04T10:00:00Z"}`, id: "webhook", status: 202},
		"GET /api/v1/webhooks/{id}/deliveries":                    {id: "webhook", status: 200},
		"GET /api/v1/webhooks/{id}/deliveries/{delivery}":         {id: "webhook", status: 200},
		"POST /api/v1/webhooks/{id}/deliveries/{delivery}/replay": {id: "webhook", status: 202},
		"POST /api/v1/templates":                                  {body: `{"key":"another","channel":"SMS","body":"Hi {{firstName}}"}`, status: 201},
		"GET /api/v1/templates":                                   {status: 200},
		"GET /api/v1/templates/{id}":                              {id: "template", status: 200},
		"PATCH /api/v1/templates/{id}":                            {body: `{"body":"Hi {{firstName}}, {{reference}} is done"}`, id: "template", status: 200},
		"DELETE /api/v1/templates/{id}":                           {id: "template", status: 204},
		"GET /api/v1/templates/{id}/versions":                     {id: "template", status: 200},
		"GET /api/v1/templates/{id}/versions/{version}":           {id: "template", status: 200},
		"POST /api/v1/templates/{id}/rollback":                    {body: `{"version":1}`, id: "template", status: 200},
		"POST /api/v1/templates/{id}/preview":                     {body: `{"variables":{"firstName":"Ama","reference":"R"}}`, id: "template", status: 200},
		"POST /api/v1/provider-configs/{id}/verify":               {id: "provider", status: 200},
		"POST /api/v1/provider-configs/{id}/test":                 {body: `{"to":"ama@example.com"}`, id: "provider", status: 200},
		"POST /api/v1/suppressions":                               {body: `{"channel":"SMS","address":"+233241234599"}`, status: 201},
		"GET /api/v1/suppressions":                                {status: 200},
		"POST /api/v1/suppressions/import":                        {status: 415}, // nothing is sent
		"GET /api/v1/suppressions/export":                         {status: 200},
		"DELETE /api/v1/suppressions":                             {status: 400}, // it names nothing
		"POST /api/v1/erasures":                                   {body: `{"address":"erased@example.com"}`, status: 202},
		"GET /api/v1/erasures/{id}":                               {id: "erasure", status: 200},
		"GET /api/v1/persons/export":                              {status: 400}, // it names nobody
	}
}

// TestEveryRouteIsClosed holds every route against: no credentials, every
// single scope, and another app's key with this app's ids.
func TestEveryRouteIsClosed(t *testing.T) {
	t.Parallel()
	routes := newWorld(t).api.Routes()
	for _, wrong := range unmatched(routes, probes(), adminProbes()) {
		t.Error(wrong)
	}
	for _, route := range routes {
		name := route.Method + " " + route.Path
		if p, ok := probes()[name]; ok {
			t.Run(name, func(t *testing.T) { t.Parallel(); closed(t, route, p) })
		}
	}
}

// unmatched is what routes and the two matrices say of each other that cannot be.
func unmatched(routes []Route, ofApps, ofAdmin map[string]probe) (wrong []string) {
	ofApps, ofAdmin = maps.Clone(ofApps), maps.Clone(ofAdmin)
	for _, route := range routes {
		name := route.Method + " " + route.Path
		matrix := map[Who]map[string]probe{AnApp: ofApps, Admin: ofAdmin}[route.Who]
		switch {
		case route.Who < Anyone || route.Who > Scraper:
			wrong = append(wrong, name+": nobody is named who may use it")
			continue
		case strings.HasPrefix(route.Path, "/api/admin") && !strings.HasPrefix(route.Path, sessionPath) != (route.Who == Admin):
			wrong = append(wrong, name+": the paths of /api/admin are the administrator's")
		case strings.HasPrefix(route.Path, "/api/v1") && route.Who != AnApp:
			wrong = append(wrong, name+": the paths of /api/v1 are the apps'")
		case route.Who == ASession && !strings.HasPrefix(route.Path, sessionPath):
			wrong = append(wrong, name+": what needs a session and no role is below "+sessionPath)
		case (route.Role != 0) != (route.Who == AnApp || route.Who == Admin || route.Who == ASession):
			wrong = append(wrong, name+": a session needs a role to use it, and nobody else")
		case route.Who == AnApp && route.Scope == 0:
			wrong = append(wrong, name+": an app's route needs a scope")
		}
		if matrix == nil {
			continue // open, or provisioning's: named by tests of their own
		}
		if _, ok := matrix[name]; !ok {
			wrong = append(wrong, name+": no entry in the matrix")
		}
		delete(matrix, name)
	}
	for _, rest := range []map[string]probe{ofApps, ofAdmin} {
		for name := range rest {
			wrong = append(wrong, name+": in the matrix, not in the routes")
		}
	}
	return wrong
}

// TestTheMatrixFindsWhatItLacks alters the table of routes: each way to forget something is found, once.
func TestTheMatrixFindsWhatItLacks(t *testing.T) {
	t.Parallel()
	routes := newWorld(t).api.Routes()
	for name, change := range map[string]func([]Route) []Route{
		"a route of apps without an entry": func(r []Route) []Route {
			return append(r, Route{Method: "GET", Path: "/api/v1/secrets", Who: AnApp, Scope: comm.ScopeRead, Role: view})
		},
		"a method of a path that has others": func(r []Route) []Route {
			return append(r, Route{Method: "DELETE", Path: "/api/v1/messages/{id}", Who: AnApp, Scope: comm.ScopeSend, Role: act})
		},
		"a route of the administrator's": func(r []Route) []Route {
			return append(r, Route{Method: "GET", Path: "/api/admin/secrets", Who: Admin, Role: view})
		},
		"a route that names nobody": func(r []Route) []Route { return append(r, Route{Method: "GET", Path: "/x"}) },
		"an entry whose route is gone": func(r []Route) []Route {
			return slices.DeleteFunc(r, func(x Route) bool { return x.Method == "PATCH" && x.Path == "/api/v1/app" })
		},
		"an administrator's entry likewise": func(r []Route) []Route {
			return slices.DeleteFunc(r, func(x Route) bool { return x.Path == "/api/admin/audit" })
		},
		"a route without a role":          func(r []Route) []Route { return altered(r, "GET /api/v1/app", func(x *Route) { x.Role = 0 }) },
		"a route of sessions' elsewhere":  func(r []Route) []Route { return append(r, Route{Method: "GET", Path: "/x", Who: ASession, Role: view}) },
		"a route of apps without a scope": func(r []Route) []Route { return altered(r, "GET /api/v1/app", func(x *Route) { x.Scope = 0 }) },
	} {
		if wrong := unmatched(change(slices.Clone(routes)), probes(), adminProbes()); len(wrong) != 1 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	for name, who := range map[string]Who{"opened to anyone": Anyone, "given to provisioning": Provisioner} { // and its entry is left over
		open := altered(slices.Clone(routes), "GET /api/v1/app", func(x *Route) { x.Who, x.Role = who, 0 })
		if wrong := unmatched(open, probes(), adminProbes()); len(wrong) != 2 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
}

func altered(routes []Route, name string, change func(*Route)) []Route {
	for i := range routes {
		if routes[i].Method+" "+routes[i].Path == name {
			change(&routes[i])
		}
	}
	return routes
}

func closed(t *testing.T, route Route, p probe) {
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	ids := map[string]string{
		"message":  w.do(one, "POST", "/api/v1/messages", sms(""), nil).str("id"),
		"provider": w.do(one, "POST", "/api/v1/provider-configs", probes()["POST /api/v1/provider-configs"].body, nil).str("id"),
		"template": w.template(one, "request-approved"),
		"webhook":  w.webhook(one),
		"erasure":  w.do(one, "POST", "/api/v1/erasures", probes()["POST /api/v1/erasures"].body, nil).str("id"),
	}
	delivery := w.do(one, "POST", "/api/v1/webhooks/"+ids["webhook"]+"/test", "", nil).str("id")
	path := atVersion.Replace(strings.NewReplacer("{id}", ids[p.id], "{delivery}", delivery).Replace(route.Path)) + p.query
	if got := w.do(tenant{}, route.Method, path, p.body, nil); got.status != 401 || string(got.raw) != unauthenticatedBody {
		t.Errorf("without credentials: %d %s", got.status, got.raw)
	}
	if got := w.do(tenant{one.app, two.key}, route.Method, path, p.body, nil); got.status != 401 {
		t.Errorf("with another app's key: %d %s", got.status, got.raw)
	}
	for _, name := range comm.AllScopes.Names() {
		scope, _ := comm.ParseScope(name)
		if scope == route.Scope {
			continue
		}
		got := w.do(tenant{one.app, w.key(one.app, scope)}, route.Method, path, p.body, nil)
		if got.status != 403 || got.code() != "insufficient_scope" || !strings.Contains(string(got.raw), route.Scope.String()) {
			t.Errorf("with scope %s alone: %d %s", name, got.status, got.raw)
		}
	}
	if p.id != "" {
		got := w.do(two, route.Method, path, p.body, nil)
		absent := w.do(two, route.Method, atVersion.Replace(strings.Replace(route.Path, "{id}", comm.NewID(1_795_000_000_000_000).String(), 1)), p.body, nil)
		if got.status != 404 || string(got.raw) != string(absent.raw) {
			t.Errorf("as another app: %d %s, for an unknown id %s", got.status, got.raw, absent.raw)
		}
	}
	for name, h := range map[string]map[string]string{
		"a wrong admin key": {"X-Admin-Key": "wrong"}, "the provisioning key": {"X-Admin-Key": provisioningKey}, "an app's key": {"X-Admin-Key": one.key},
	} {
		if got := w.do(tenant{one.app, ""}, route.Method, path, p.body, h); got.status != 401 || string(got.raw) != unauthenticatedBody {
			t.Errorf("with %s: %d %s", name, got.status, got.raw)
		}
	}
	if got := w.do(one, route.Method, path, p.body, map[string]string{"X-Admin-Key": adminKey}); got.status != 401 || string(got.raw) != unauthenticatedBody {
		t.Errorf("with both keys: %d %s", got.status, got.raw)
	}
	if got := w.do(tenant{two.app, ""}, route.Method, path, p.body, map[string]string{"X-Admin-Key": adminKey}); p.id != "" && got.status != 404 {
		t.Errorf("the administrator acting for another app: %d %s", got.status, got.raw)
	}
	if got := w.do(tenant{}, route.Method, path, p.body, map[string]string{"X-Admin-Key": adminKey, "X-App-ID": "nobody"}); got.status != 404 {
		t.Errorf("the administrator acting for an unknown app: %d %s", got.status, got.raw)
	}
	if got := w.do(tenant{}, route.Method, path, p.body, map[string]string{"X-Admin-Key": adminKey}); got.status != 401 {
		t.Errorf("the administrator acting for no app: %d %s", got.status, got.raw)
	}
	owner := tenant{one.app, w.key(one.app, route.Scope)}
	if got := w.do(owner, route.Method, path, p.body, nil); got.status != p.status {
		t.Errorf("as the owner with %s alone: %d %s", route.Scope, got.status, got.raw)
	}
}

func TestPanicAnswers500AndTheProcessLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	w.api.cfg.Messages = nil // every read panics now
	got := w.do(one, "GET", "/api/v1/messages", "", nil)
	details, _ := got.body["details"].(map[string]any)
	if got.status != 500 || got.code() != "internal" || details["requestId"] != got.header.Get("X-Request-Id") || strings.Contains(string(got.raw), "nil pointer") {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if !strings.Contains(w.log.String(), "a handler panicked") {
		t.Error("the panic is not in the log")
	}
	r := httptest.NewRequest("GET", "/healthz", nil)
	if got := w.send(r); got.status != 200 {
		t.Errorf("afterwards: %d", got.status)
	}
}
