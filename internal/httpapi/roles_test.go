package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// member makes a user whose password nobody knows; until, when it is not 0, an administrator set it.
func (w *world) member(name string, role comm.Role, until comm.Micros) *comm.User {
	w.t.Helper()
	now := comm.At(w.time())
	u := &comm.User{ID: comm.NewID(now), Name: name, Role: role, Active: true, Password: "$argon2id$", StartUntil: until, CreatedAt: now, UpdatedAt: now}
	if err := w.store.CreateUser(context.Background(), u); err != nil {
		w.t.Fatal(err)
	}
	return u
}

// session begins one of a user, and answers the cookie.
func (w *world) session(u *comm.User) string {
	w.t.Helper()
	now := comm.At(w.time())
	id := comm.NewID(now)
	text := "u." + base64.RawURLEncoding.EncodeToString(append(id[:], id[:]...))
	s := &store.Session{Hash: sha256.Sum256([]byte(text)), User: u.ID, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(comm.SessionLifetime)}
	if err := w.store.StartSession(context.Background(), s, u); err != nil {
		w.t.Fatal(err)
	}
	return "commserver=" + text
}

// TestEveryRouteAsksForItsRole holds every route that takes sessions against every role, against a user who has to choose a password
// first, and against pages of other sites. It is one world for all of them: what is refused changes nothing.
func TestEveryRouteAsksForItsRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	things := w.things(one)
	things["webhook"] = w.webhook(one)
	things["delivery"] = w.do(one, "POST", "/api/v1/webhooks/"+things["webhook"]+"/test", "", nil).str("id")
	c := &asked{world: w, roles: map[comm.Role]string{}, fresh: w.session(w.member("fresh", comm.Admin, comm.At(w.time())+1<<40))}
	for role := comm.Viewer; role <= comm.Admin; role++ {
		c.roles[role] = w.session(w.member(fmt.Sprint("user-", role), role, 0))
	}
	var routes []Route
	for _, route := range w.api.Routes() { // TestEveryRouteIsClosed finds what has no entry in the matrices
		if route.Who == AnApp || route.Who == Admin {
			routes = append(routes, route)
		}
	}
	if len(routes) < 80 {
		t.Errorf("only %d routes", len(routes))
	}
	for _, refused := range []bool{true, false} {
		for _, route := range routes {
			p, id := adminProbes()[route.Method+" "+route.Path], thingOf(route.Path)
			if route.Who == AnApp {
				p = probes()[route.Method+" "+route.Path]
				id = p.id
			}
			path := atVersion.Replace(strings.NewReplacer("{app}", "one", "{id}", things[id], "{delivery}", things["delivery"]).Replace(route.Path)) + p.query
			if refused {
				c.refused(route, path, p.body)
			} else {
				c.taken(route, path, p.body)
			}
		}
	}
}

// asked asks a world's routes with sessions.
type asked struct {
	*world
	roles map[comm.Role]string // cookies
	fresh string               // of a user who has to choose a password first
}

func (c *asked) ask(route Route, path, body, cookie string, more ...string) answer {
	c.t.Helper()
	all := map[string]string{"Cookie": cookie}
	if route.Who == AnApp {
		all["X-App-ID"] = "one"
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return c.do(tenant{}, route.Method, path, body, all)
}

func (c *asked) refused(route Route, path, body string) {
	t, name := c.t, route.Method+" "+route.Path
	want := func(got answer, status int, code, as string) {
		t.Helper()
		if got.status != status || got.code() != code {
			t.Errorf("%s, %s: %d %s", name, as, got.status, got.raw)
		}
	}
	want(c.ask(route, path, body, c.fresh), 403, "password_change_required", "before a password was chosen")
	want(c.ask(route, path, body, "commserver=u."+strings.Repeat("A", 43)), 401, "unauthenticated", "with a session that is none")
	want(c.ask(route, path, body, c.roles[comm.Admin]+"; "+c.roles[comm.Viewer]), 401, "unauthenticated", "with two sessions")
	for role := comm.Viewer; role < route.Role; role++ {
		got := c.ask(route, path, body, c.roles[role])
		want(got, 403, "insufficient_role", "as "+role.String())
		if !strings.Contains(string(got.raw), route.Role.String()) {
			t.Errorf("%s: %s does not say what is needed", name, got.raw)
		}
	}
	for _, h := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		if h[0] == "Origin" && route.Method == http.MethodGet {
			continue // browsers do not say it of links
		}
		want(c.ask(route, path, body, c.roles[comm.Admin], h...), 403, "cross_site", fmt.Sprint(h))
	}
}

// taken asks with the lowest role that may, and with the key, which no browser adds by itself. What the calls before have left of the
// thing does not matter here: who may is asked first.
func (c *asked) taken(route Route, path, body string) {
	if got := c.ask(route, path, body, c.roles[route.Role], "Sec-Fetch-Site", "same-origin"); got.status == 401 || got.status == 403 || got.status >= 500 {
		c.t.Errorf("%s %s, as %s: %d %s", route.Method, route.Path, route.Role, got.status, got.raw)
	}
	if got := c.ask(route, path, body, c.roles[comm.Viewer], "X-Admin-Key", adminKey, "Sec-Fetch-Site", "cross-site"); got.status == 401 || got.status == 403 || got.status >= 500 {
		c.t.Errorf("%s %s, with the admin key beside a session: %d %s", route.Method, route.Path, got.status, got.raw)
	}
}

// TestAViewerSeesNoCallbackURL: whoever knows it can report, which changes messages and lists.
func TestAViewerSeesNoCallbackURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.root("POST", "/api/admin/provider-configs", `{"providerType":"ARKESEL","config":{"apiKey":"k","senderId":"SHOP"}}`)
	url := made.str("callbackUrl")
	if made.status != http.StatusCreated || url == "" {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	for role, sees := range map[comm.Role]bool{comm.Viewer: false, comm.Operator: true, comm.Admin: true} {
		cookie := w.session(w.member(fmt.Sprint("user-", role), role, 0))
		for _, path := range []string{"/api/admin/provider-configs", "/api/admin/provider-configs/" + made.str("id")} {
			if got := w.with(cookie, "GET", path, ""); got.status != http.StatusOK || strings.Contains(string(got.raw), url) != sees {
				t.Errorf("%s of %s: %d %s", path, role, got.status, got.raw)
			}
		}
	}
}
