package scale

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// routes are all that can be opened in the console, as its own tables have them: a test there keeps the list.
func routes(t *testing.T) []string {
	t.Helper()
	all, err := os.ReadFile("../../internal/console/testdata/pages.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(all))
}

// noPages are the routes that are not measured, each with the reason.
var noPages = map[string]string{
	"/console/apps/{app}/persons/export":    "a file to be stored, as long as what is kept of the person",
	"/console/suppressions/{app}/export":    "a file to be stored, as long as the list",
	"/console/sandbox/{app}/{id}/source":    "a file to be stored, as long as the mail",
	"/console/sandbox/{app}/{id}/files/{n}": "a file to be stored, as long as the attachment",
	"/console/account/keys/new":             "a form of two fields, for users; who measures came with the admin key",
	"/console/account/keys/{key}/remove":    "the same",
}

// shown is what pages show: what wildcards stand for in each section of the console, what follows the path of a route where it is not
// asked for alone, and addresses of further things.
type shown struct {
	things map[string][]string // of a section: a wildcard, its value, another one …
	asks   map[string][]string // of a route: its queries, "" for none
	beside []string
}

// addresses are what is asked for, at least once of each route, so that a new one is measured or named in wrong: its wildcards need
// values, or it needs a reason why not.
func (s *shown) addresses(routes []string) (out, wrong []string) {
	mux, met := http.NewServeMux(), map[string]int{}
	for _, route := range routes {
		mux.HandleFunc("GET "+route, func(http.ResponseWriter, *http.Request) {})
		if noPages[route] != "" {
			continue
		}
		section, _, _ := strings.Cut(strings.TrimPrefix(route, "/console/"), "/")
		path := strings.NewReplacer(s.things[section]...).Replace(route)
		queries := s.asks[route]
		if queries == nil {
			queries = s.asks[section]
		}
		if queries == nil {
			queries = []string{""}
		}
		for _, query := range queries {
			out = append(out, path+query)
		}
	}
	out = append(out, s.beside...)
	for _, address := range out {
		if _, route := mux.Handler(httptest.NewRequest(http.MethodGet, address, nil)); !strings.Contains(address, "{") {
			met[strings.TrimPrefix(route, "GET ")]++
		}
	}
	for _, route := range routes {
		if met[route] == 0 && noPages[route] == "" {
			wrong = append(wrong, route+" is not measured: make what it shows in visitor.shown, or say in noPages why not")
		}
	}
	for route := range noPages {
		if !slices.Contains(routes, route) || met[route] > 0 {
			wrong = append(wrong, route+" is in noPages, but is no route, or is measured")
		}
	}
	for route := range s.asks {
		if strings.HasPrefix(route, "/") && met[route] < len(s.asks[route]) {
			wrong = append(wrong, fmt.Sprintf("of %s %d of %d are asked for", route, met[route], len(s.asks[route])))
		}
	}
	return out, wrong
}

// TestEveryPageIsMeasured: each route of the console is among what is measured, and one that nobody thought of fails.
func TestEveryPageIsMeasured(t *testing.T) {
	s := shows(ids{queued: "c1", failed: "c2", mail: "c3", sms: "c4", capture: "c5", key: "c6", config: "c7", template: "c8", hook: "c9", delivery: "c10", user: "c11"})
	all := routes(t)
	if out, wrong := s.addresses(all); len(wrong) > 0 || len(out) < len(all) {
		t.Errorf("%d addresses of %d routes: %q", len(out), len(all), wrong)
	}
	for _, added := range []string{"/console/news/{item}", "/console/apps/{app}/of/{colour}"} {
		if _, wrong := s.addresses(append(slices.Clone(all), added)); len(wrong) != 1 || !strings.HasPrefix(wrong[0], added+" ") {
			t.Errorf("%s is added: %q", added, wrong)
		}
	}
	if out, wrong := s.addresses(append(slices.Clone(all), "/console/apps/{app}/news")); len(wrong) > 0 || !slices.Contains(out, "/console/apps/lists/news") {
		t.Errorf("one whose wildcards are known is not asked for: %q", wrong)
	}
	if _, wrong := s.addresses(slices.DeleteFunc(slices.Clone(all), func(one string) bool { return one == "/console/live" })); len(wrong) != 1 {
		t.Errorf("one is gone: %q", wrong)
	}
}

// ids are of the things that the pages show.
type ids struct{ queued, failed, mail, sms, capture, key, config, template, hook, delivery, user string }

const (
	showcase = "showcase" // the app beside that of the history: its queue is not paused
	passerby = "ama@example.com"
)

// shows says which pages show these things.
func shows(x ids) *shown {
	const messages, lists = "/console/messages", "?app=lists"
	return &shown{
		things: map[string][]string{
			"messages": {"{id}", x.mail}, "sandbox": {"{app}", showcase, "{id}", x.capture}, "queue": {"{app}", "lists"}, "apps": {"{app}", "lists", "{key}", x.key}, "providers": {"{id}", x.config},
			"templates": {"{app}", "lists", "{id}", x.template, "{version}", "1"}, "suppressions": {"{app}", "lists"}, "webhooks": {"{app}", "lists", "{id}", x.hook, "{delivery}", x.delivery}, "users": {"{id}", x.user},
		},
		asks: map[string][]string{
			"/console":                           {"", "?window=1h", "?window=7d", "?window=30d"},
			"/console/sign-in":                   {"", "?with=name"},
			"/console/live":                      {"", "?only=problems", "?app=lists&channel=SMS"},
			messages:                             {"", "?status=FAILED", "?app=lists&tag=rare", "?find=" + url.QueryEscape("233241000001"), "?find=" + x.mail, "?channel=EMAIL&status=QUEUED"},
			messages + "/bulk":                   {"?action=cancel&status=QUEUED", "?action=cancel&status=QUEUED&app=lists", "?action=retry&status=FAILED", "?action=retry&status=CANCELLED&app=lists"},
			"/console/sandbox":                   {"", lists},
			"/console/queue":                     {"", lists},
			"/console/queue/{app}/clear":         {"", "?channel=EMAIL&lane=BULK"},
			"/console/hold/release":              {"?doubtful=FAIL"},
			"/console/apps/{app}/persons/erase":  {"?channel=EMAIL&address=" + url.QueryEscape("user000001@"+domain)},
			"providers":                          {lists}, // of every page of a configuration
			"/console/providers":                 {"", lists},
			"/console/providers/new":             {"", "?type=SMTP&app=lists"},
			"/console/templates":                 {"", lists},
			"/console/templates/{app}/new":       {"?channel=EMAIL", "?channel=SMS"},
			"/console/suppressions":              {"", lists},
			"/console/suppressions/{app}/remove": {"?channel=EMAIL&address=" + url.QueryEscape(optedOut)},
			"/console/webhooks":                  {"", lists},
			"/console/audit":                     {"", lists, "?action=app_created"},
		},
		beside: []string{messages + "/" + x.queued, messages + "/" + x.failed, messages + "/" + x.queued + "/cancel", messages + "/" + x.failed + "/retry",
			messages + "/" + x.mail + "?view=source", "/console/sandbox/lists/" + x.sms, "/console/sandbox/" + showcase + "/" + x.capture + "?view=source", "/console/apps/" + showcase + "/persons"},
	}
}

// shown makes what pages show that the history has not. None of it keeps the server busy while pages are measured.
func (v *visitor) shown(h *history) *shown {
	v.w.t.Helper()
	id := func(got map[string]any) string { return fmt.Sprint(got["id"]) }
	x := ids{queued: v.first(h, "?limit=1&status=QUEUED"), failed: v.first(h, "?limit=1&status=FAILED"), mail: v.first(h, "?limit=1&status=DELIVERED&channel=EMAIL")}
	x.sms = id(v.of(h.who, http.MethodGet, "/api/v1/sandbox/messages?limit=1", nil))
	x.key = id(v.of(tenant{}, http.MethodGet, "/api/admin/apps/lists/keys", nil))
	x.config = id(v.of(h.who, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "SMTP", "name": "Relay", "config": map[string]any{"host": "127.0.0.1", "port": 9, "from": "Lists <lists@example.com>"}}))
	x.template = id(v.of(h.who, http.MethodPost, "/api/v1/templates", map[string]any{"key": "shipped", "channel": "EMAIL", "name": "Order shipped", "subject": "Your order {{reference}}", "body": "<p>Dear {{name}}, it has left.</p>"}))
	v.of(h.who, http.MethodPatch, "/api/v1/templates/"+x.template, map[string]any{"body": "<p>Dear {{name}}, your order has left.</p>"})
	// Messages of the history have no such tag: their events, which are still being put into their order, are not posted.
	x.hook = id(v.of(h.who, http.MethodPost, "/api/v1/webhooks", map[string]any{"name": "orders", "url": v.hooks.URL, "tags": []string{"of-no-message"}}))
	x.delivery = id(v.of(h.who, http.MethodPost, "/api/v1/webhooks/"+x.hook+"/test", nil))
	x.user = id(v.of(tenant{}, http.MethodPost, "/api/admin/users", map[string]any{"name": "ama.boateng", "role": "OPERATOR", "password": "seven green kettles sing"}))

	made := v.of(tenant{}, http.MethodPost, "/api/admin/apps", map[string]any{"name": "Showcase", "slug": showcase, "sandboxMode": true, "scopes": []string{"SEND", "READ"}})
	who := tenant{key: fmt.Sprint(made["apiKey"])}
	who.app.Slug = showcase
	v.of(who, http.MethodPost, "/api/v1/messages", map[string]any{"channel": "EMAIL", "to": passerby, "subject": "Your order 4711", "body": "<h1>Good news</h1><p>It has left.</p>", "text": "It has left.",
		"attachments": []any{map[string]any{"filename": "invoice.txt", "contentType": "text/plain", "content": "MTIzNA=="}}})
	x.capture = id(v.of(who, http.MethodGet, "/api/v1/sandbox/messages/wait?timeout=20&to="+url.QueryEscape(passerby), nil))
	for i := range 10 { // as many as a page has: each is read by itself
		v.of(tenant{}, http.MethodPost, "/api/admin/erasures", map[string]any{"app": showcase, "channel": "EMAIL", "address": fmt.Sprintf("gone%d@example.com", i)})
	}
	return shows(x)
}

// of makes a call of an app, or of the administrator, and answers what it is about: of a list the first one.
func (v *visitor) of(who tenant, method, path string, body any) map[string]any {
	v.w.t.Helper()
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			v.w.t.Fatal(err)
		}
	}
	status, answer, err := call(v.base, who, method, path, sent)
	if err != nil || status >= http.StatusMultipleChoices {
		v.w.t.Fatalf("%s %s: %d %.300s %v", method, path, status, answer, err)
	}
	got := map[string]any{}
	if err := json.Unmarshal(answer, &got); err != nil {
		v.w.t.Fatalf("%s %s: %v: %.300s", method, path, err, answer)
	}
	if list, is := got["data"].([]any); is {
		if len(list) == 0 {
			v.w.t.Fatalf("%s %s: nothing is there", method, path)
		}
		got, _ = list[0].(map[string]any)
	}
	return got
}
