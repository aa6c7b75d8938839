package console

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider/all"
)

// nasty is shown in every field of the full answers: it must never become markup.
const nasty = `"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}`

// fakeAPI stands in for the API: sessions by their cookie, and answers by "METHOD path", with a query for that alone. What it was asked is in calls.
type fakeAPI struct {
	answers    map[string]string // "GET /api/admin/apps": "200 {…}"; a path's last part may be *
	role       string
	mustChange bool
	mu         sync.Mutex // of what follows: an act on many messages asks several things at once
	calls      []string
	bodies     []string
}

const cookie = "commserver=of-a-test"

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.mu.Lock()
	f.calls, f.bodies = append(f.calls, r.Method+" "+r.URL.RequestURI()+" "+r.Header.Get("X-App-ID")), append(f.bodies, string(body))
	f.mu.Unlock()
	answer := `404 {"error":"` + comm.E("not_found").Text + `","details":{"code":"not_found"}}`
	signedIn := strings.Contains(r.Header.Get("Cookie"), cookie)
	switch key := r.Method + " " + r.URL.Path; {
	case r.Header.Get("X-Admin-Key") != "" || r.Header.Values("X-Api-Key") != nil:
		answer = `500 {"error":"The console brought a key."}`
	case key == "POST /api/admin/session" && strings.Contains(string(body), "right"):
		w.Header().Set("Set-Cookie", cookie+"; Path=/; HttpOnly")
		answer = `200 {}`
	case !signedIn:
		answer = `401 {"error":"Sign in.","details":{"code":"unauthenticated"}}`
	case key == "GET /api/admin/session":
		answer = `200 {"user":{"id":"u1","name":"Ama","role":"` + f.role + `"},"expiresAt":"2026-07-03T12:00:00Z","mustChangePassword":` + fmt.Sprint(f.mustChange) + `,"secondFactor":false,"csrfToken":"token of ` + r.Header.Get("Cookie") + `"}`
	case f.answers[r.Method+" "+r.URL.RequestURI()] != "":
		answer = f.answers[r.Method+" "+r.URL.RequestURI()]
	case f.answers[key] != "":
		answer = f.answers[key]
	case f.answers[key[:strings.LastIndex(key, "/")]+"/*"] != "":
		answer = f.answers[key[:strings.LastIndex(key, "/")]+"/*"]
	}
	status, text, _ := strings.Cut(answer, " ")
	w.Header().Set("Content-Type", "application/json")
	var code int
	_, _ = fmt.Sscan(status, &code)
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text)
}

func now() time.Time { return time.Date(2026, 7, 3, 10, 0, 0, 0, time.UTC) }

// open makes a console over the fake.
func open(t *testing.T, api *fakeAPI) *Console {
	t.Helper()
	if api.role == "" {
		api.role = "ADMIN"
	}
	c, err := New(Config{API: api, PublicURL: "http://localhost:3008", Adapters: all.Adapters(), Version: "test", Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask makes a request of somebody who is signed in.
func ask(c *Console, method, path string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Cookie", cookie)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.Handler().ServeHTTP(w, r)
	return w
}

// token reads the session's token out of a page.
func token(t *testing.T, c *Console) string {
	t.Helper()
	found := regexp.MustCompile(`name="_token" value="([^"]+)"`).FindStringSubmatch(ask(c, "GET", accountPath, nil).Body.String())
	if found == nil {
		t.Fatal("a page has no token")
	}
	return found[1]
}

// sample are values for the wildcards of routes.
var sample = map[string]string{"{id}": "c00000000000000000000001a", "{action}": "retry", "{act}": "delete", "{app}": "shop", "{key}": "c00000000000000000000002a", "{n}": "1", "{version}": "2", "{delivery}": "c00000000000000000000004a"}

func filled(path string) string {
	for name, value := range sample {
		path = strings.ReplaceAll(path, name, value)
	}
	return path
}

// queries are what some pages need to show anything.
var queries = map[string]string{holdPath + "/release": "?doubtful=FAIL", suppressionsPath: "?app=shop", appsPath + "/{app}/persons/erase": "?channel=EMAIL&address=ama@example.com", appsPath + "/{app}/persons/export": "?channel=EMAIL&address=ama@example.com", messagesPath + "/bulk": "?action=retry&status=FAILED"}

// TestEveryPage walks the table: each page answers with empty and with full data, says what it must in its head, is well formed
// where it matters, has no markup of others in it, nothing inline, and no link that leads nowhere.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]map[string]string{"empty": empty(), "full": full()} {
		c := open(t, &fakeAPI{answers: answers})
		for _, one := range c.table {
			if one.method != http.MethodGet {
				continue
			}
			path := filled(one.path) + queries[one.path]
			w := ask(c, "GET", path, nil)
			if one.handsOut() {
				checkStored(t, name, path, w)
				if w := ask(c, "GET", path, nil, "Sec-Fetch-Site", "cross-site"); w.Code != http.StatusForbidden {
					t.Errorf("%s by a link of another site: %d", path, w.Code)
				}
				continue
			}
			frame := one.framed()
			if w.Code != http.StatusOK && (!frame || name != "empty") {
				t.Errorf("%s %s: %d %.300s", name, path, w.Code, w.Body)
				continue
			}
			checkHead(t, path, w.Header(), frame)
			if !frame {
				checkPage(t, c, name+" "+path, w.Body.String())
			}
		}
	}
}

func checkHead(t *testing.T, path string, h http.Header, frame bool) {
	t.Helper()
	want := policy
	if frame {
		want = framePolicy
	}
	for name, value := range map[string]string{"Content-Security-Policy": want, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
		"Cross-Origin-Opener-Policy": "same-origin"} {
		if h.Get(name) != value {
			t.Errorf("%s: %s is %q", path, name, h.Get(name))
		}
	}
}

// inTags are attributes that would need what the policy does not give.
func checkPage(t *testing.T, c *Console, path, body string) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(path, err)
	}
	ids, headings, labels, inputs := map[string]bool{}, 0, map[string]bool{}, []string{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s: <%s %s>", path, n.Data, a.Key)
			}
		}
		if id := attr["id"]; id != "" {
			if ids[id] {
				t.Errorf("%s: two elements are #%s", path, id)
			}
			ids[id] = true
		}
		switch n.Data {
		case "script":
			if attr["src"] == "" || n.FirstChild != nil {
				t.Errorf("%s: an inline script", path)
			}
		case "style":
			t.Errorf("%s: an inline style", path)
		case "h1":
			headings++
		case "label":
			labels[attr["for"]] = true
		case "img":
			if _, said := attr["alt"]; !said || attr["onerror"] != "" {
				t.Errorf("%s: an image without alt: %v", path, attr)
			}
		case "a":
			checkLink(t, c, path, attr["href"])
		case "form":
			checkForm(t, c, path, attr, n)
		case "input", "select", "textarea":
			if attr["type"] != "hidden" && attr["aria-label"] == "" && attr["id"] != "" {
				inputs = append(inputs, attr["id"])
			}
		}
	}
	if headings != 1 {
		t.Errorf("%s: %d headings of the first level", path, headings)
	}
	for _, id := range inputs {
		if !labels[id] && !insideLabel(doc, id) {
			t.Errorf("%s: #%s has no label", path, id)
		}
	}
}

func insideLabel(doc *html.Node, id string) bool {
	for n := range doc.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "id" && a.Val == id {
				for p := n.Parent; p != nil; p = p.Parent {
					if p.Data == "label" {
						return true
					}
				}
			}
		}
	}
	return false
}

// checkLink: a link leads to a route of the table, or to a place of the same page.
func checkLink(t *testing.T, c *Console, from, href string) {
	t.Helper()
	u, err := url.Parse(href)
	if err != nil || u.Host != "" || u.Scheme != "" {
		t.Errorf("%s: a link to %q", from, href)
		return
	}
	if u.Path != "" && !leads(c, http.MethodGet, u.Path) {
		t.Errorf("%s: nothing is at %s", from, href)
	}
}

func checkForm(t *testing.T, c *Console, from string, attr map[string]string, form *html.Node) {
	t.Helper()
	method := strings.ToUpper(attr["method"])
	u, err := url.Parse(attr["action"])
	if err != nil || !leads(c, method, u.Path) {
		t.Errorf("%s: nothing takes %s %s", from, method, attr["action"])
	}
	if method != http.MethodPost {
		return
	}
	for n := range form.Descendants() {
		for _, a := range n.Attr {
			if a.Key == "name" && a.Val == "_token" {
				return
			}
		}
	}
	t.Errorf("%s: the form to %s has no token", from, attr["action"])
}

// muxes are the tables of consoles, for looking paths up.
var muxes sync.Map

// leads says whether the table has a route there.
func leads(c *Console, method, path string) bool {
	if strings.HasPrefix(path, "/docs") {
		return true // served by another package
	}
	mux, made := muxes.Load(c)
	if !made {
		all := http.NewServeMux()
		for _, one := range c.table {
			all.HandleFunc(one.method+" "+one.path, func(http.ResponseWriter, *http.Request) {})
		}
		mux, _ = muxes.LoadOrStore(c, all)
	}
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = path
	_, pattern := mux.(*http.ServeMux).Handler(r)
	return pattern != ""
}

func TestWhoIsNotSignedIn(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: full()})
	for _, one := range c.table {
		if one.open {
			continue
		}
		w := ask(c, one.method, filled(one.path)+"?x=1", url.Values{"_back": {messagesPath + "?status=FAILED"}}, "Cookie", "other=1")
		if one.framed() {
			checkFrameSays(t, one.path, w, http.StatusUnauthorized, "You are not signed in any more.")
			continue
		}
		at := w.Header().Get("Location")
		if w.Code != http.StatusSeeOther || !strings.HasPrefix(at, Root+"/sign-in") {
			t.Errorf("%s %s: %d %s", one.method, one.path, w.Code, at)
		}
		if one.method == "POST" && !strings.HasSuffix(at, "next="+url.QueryEscape(messagesPath+"?status=FAILED")) {
			t.Errorf("%s %s leads back to %s", one.method, one.path, at)
		}
	}
	w := ask(c, "GET", messagesPath, nil, "Cookie", "other=1", "HX-Request", "true")
	if w.Code != http.StatusNoContent || !strings.HasPrefix(w.Header().Get("HX-Redirect"), Root+"/sign-in") {
		t.Errorf("a part: %d %v", w.Code, w.Header())
	}
}

func TestSigningIn(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	c := open(t, api)
	w := ask(c, "POST", Root+"/sign-in", url.Values{"adminKey": {"right"}, "next": {messagesPath + "?status=FAILED"}}, "Cookie", "")
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != messagesPath+"?status=FAILED" || !strings.Contains(strings.Join(w.Header().Values("Set-Cookie"), " "), cookie) {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if api.bodies[0] != `{"adminKey":"right"}` {
		t.Errorf("%s", api.bodies[0])
	}
	for _, elsewhere := range []string{"https://evil.example/console", "//evil.example/console", "/console/../x", `/\evil.example`, "javascript:alert(1)", "/consoles", "/api/admin/apps"} {
		w := ask(c, "POST", Root+"/sign-in", url.Values{"adminKey": {"right"}, "next": {elsewhere}}, "Cookie", "")
		if at := w.Header().Get("Location"); at != Root && !strings.HasPrefix(at, Root+"/") {
			t.Errorf("%q leads to %q", elsewhere, at)
		}
	}
	w = ask(c, "POST", Root+"/sign-in", url.Values{"with": {"name"}, "name": {"Ama"}, "password": {"wrong"}, "code": {"123456"}}, "Cookie", "")
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "Sign in.") || !strings.Contains(w.Body.String(), `value="Ama"`) || strings.Contains(w.Body.String(), "wrong") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if last := api.bodies[len(api.bodies)-1]; last != `{"code":"123456","name":"Ama","password":"wrong"}` {
		t.Errorf("%s", last)
	}
}

// TestForms: nothing is changed by a form of another site, without the session's token, or with that of another session.
func TestForms(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{answers: full()}
	c := open(t, api)
	good := token(t, c)
	for _, one := range c.table {
		if one.method != http.MethodPost || one.open {
			continue
		}
		for name, try := range map[string][]string{
			"no token":        {""},
			"a broken token":  {good[:len(good)-2]},
			"another session": {good, "Cookie", cookie + "2"},
			"another site":    {good, "Sec-Fetch-Site", "cross-site"},
			"another origin":  {good, "Origin", "https://evil.example"},
		} {
			before := len(api.calls)
			w := ask(c, "POST", filled(one.path), url.Values{"_token": {try[0]}, "action": {"retry"}, "status": {"FAILED"}, "confirm": {"shop"}}, try[1:]...)
			if w.Code != http.StatusForbidden {
				t.Errorf("%s with %s: %d", one.path, name, w.Code)
			}
			for _, call := range api.calls[before:] {
				if !strings.HasPrefix(call, "GET ") {
					t.Errorf("%s with %s called %s", one.path, name, call)
				}
			}
		}
	}
}

// TestRoles: what a role may not do is neither shown nor passed on.
func TestRoles(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{})
	for role, may := range map[string][]act{"VIEWER": {actSee}, "OPERATOR": {actSee, actOperate}, "ADMIN": {actSee, actOperate, actRule}, "OF_TOMORROW": {actSee}} {
		api := &fakeAPI{answers: full(), role: role}
		c.inside = newInside(api)
		good := token(t, c)
		allowed := map[act]bool{}
		for _, a := range may {
			allowed[a] = true
		}
		for _, one := range c.table {
			if one.open || allowed[one.may] {
				continue
			}
			before := len(api.calls)
			w := ask(c, one.method, filled(one.path)+queries[one.path], url.Values{"_token": {good}})
			if w.Code != http.StatusForbidden || len(api.calls) != before+1 {
				t.Errorf("%s: %s %s: %d %v", role, one.method, one.path, w.Code, api.calls[before:])
			}
		}
		page := ask(c, "GET", messagesPath+"/"+sample["{id}"], nil).Body.String()
		if strings.Contains(page, "/retry") != allowed[actOperate] {
			t.Errorf("%s: the act is wrongly shown or not", role)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: map[string]string{
		"GET /api/admin/apps":         `200 {"data":[]}`,
		"GET /api/admin/messages":     `400 {"error":"The query is wrong.","details":{"code":"invalid_query","fields":{"to":"is no address"}}}`,
		"GET /api/admin/messages/c1":  `503 {"error":"The database is away.","details":{"code":"unavailable"}}`,
		"GET /api/admin/messages/c2":  `200 {nonsense`,
		"GET /api/admin/messages/c3":  `403 {"error":"Not for you.","details":{"code":"forbidden"}}`,
		"PATCH /api/admin/messages/*": `409 {"error":"Only a QUEUED message can be cancelled; this one is SENT.","details":{"code":"invalid_state"}}`,
	}})
	for path, want := range map[string]string{
		messagesPath + "/nothing":  "404 There is no such message.",
		messagesPath + "/c1":       "503 The database is away.",
		messagesPath + "/c2":       "500 Something went wrong",
		messagesPath + "/c3":       "403 Not for you.",
		messagesPath + "?find=x":   "200 Is no address.",
		Root + "/nowhere":          "404 There is no such page.",
		messagesPath + "/c1/paint": "404 There is no such page.",
		messagesPath + "/bulk":     "400 Choose which messages first.",
	} {
		w := ask(c, "GET", path, nil)
		status, words, _ := strings.Cut(want, " ")
		if fmt.Sprint(w.Code) != status || !strings.Contains(w.Body.String(), words) {
			t.Errorf("%s: %d %.2000s", path, w.Code, w.Body)
		}
		checkHead(t, path, w.Header(), false)
	}
	w := ask(c, "POST", messagesPath+"/c1/cancel", url.Values{"_token": {token(t, c)}})
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != messagesPath+"/c1" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	var left string
	for _, one := range w.Result().Cookies() {
		if one.Name == toastCookie {
			left = one.Value
		}
	}
	page := ask(c, "GET", Root+"/nowhere", nil, "Cookie", cookie+"; "+toastCookie+"="+left)
	if !strings.Contains(page.Body.String(), "this one is SENT") {
		t.Error("nobody is told why")
	}
	if w := ask(c, "PUT", messagesPath, nil); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := ask(c, "GET", Root+"/", nil); w.Header().Get("Location") != Root {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{})
	total := 0
	all, err := c.files()
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range all.byName {
		plain := ask(c, "GET", path, nil, "Cookie", "")
		zipped := ask(c, "GET", path, nil, "Cookie", "", "Accept-Encoding", "br, gzip")
		if plain.Code != http.StatusOK || plain.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || plain.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", name, plain.Code, plain.Header())
		}
		if zipped.Body.Len() >= plain.Body.Len() && zipped.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s is larger compressed", name)
		}
		total += zipped.Body.Len()
	}
	const most = 60 << 10 // of the 150 kB that the first view of a page may take
	if total > most {
		t.Errorf("the assets take %d bytes", total)
	}
	for _, path := range []string{assetsPath + "console.css", assetsPath + "vendor/README.md", assetsPath + "../console.go", assetsPath} {
		if w := ask(c, "GET", path, nil); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestVendoredFiles holds what others wrote to the checksums beside it.
func TestVendoredFiles(t *testing.T) {
	t.Parallel()
	notes, err := assetFiles.ReadFile("assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := assetFiles.ReadDir("assets/vendor")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		data, err := assetFiles.ReadFile("assets/vendor/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(data)
		if strings.HasSuffix(entry.Name(), ".js") && !strings.Contains(string(notes), "`"+entry.Name()+"` | npm") || strings.HasSuffix(entry.Name(), ".js") && !strings.Contains(string(notes), hex.EncodeToString(sum[:])) {
			t.Errorf("%s is not the noted one: %x", entry.Name(), sum)
		}
	}
}

func TestTheme(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{})
	w := ask(c, "POST", Root+"/theme", url.Values{"theme": {"dark"}, "_back": {messagesPath}}, "Cookie", "")
	if w.Header().Get("Location") != messagesPath || !strings.Contains(w.Header().Get("Set-Cookie"), themeCookie+"=dark") {
		t.Errorf("%v", w.Header())
	}
	if w := ask(c, "GET", Root+"/sign-in", nil, "Cookie", themeCookie+"=dark"); !strings.Contains(w.Body.String(), `data-theme="dark"`) {
		t.Error("the theme is not shown")
	}
	if w := ask(c, "GET", Root+"/sign-in", nil, "Cookie", themeCookie+`="><x`); strings.Contains(w.Body.String(), "data-theme") {
		t.Error("any theme is shown")
	}
}

func TestWelcome(t *testing.T) {
	t.Parallel()
	h := Welcome(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for _, tc := range []struct {
		method, path, accept string
		want                 int
	}{
		{"GET", "/", "text/html,application/xhtml+xml", http.StatusSeeOther}, {"GET", "/", "*/*", http.StatusTeapot}, {"GET", "/", "", http.StatusTeapot},
		{"POST", "/", "text/html", http.StatusTeapot}, {"GET", "/healthz", "text/html", http.StatusTeapot},
	} {
		r := httptest.NewRequest(tc.method, tc.path, nil)
		r.Header.Set("Accept", tc.accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("%+v: %d", tc, w.Code)
		}
	}
}
