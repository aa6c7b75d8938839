package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/commserver/commserver/internal/comm"
)

const (
	startPassword = "seven otters sing at dusk"
	ownPassword   = "a plum tree beside the canal"
)

// signIn signs in and answers the cookie.
func (w *world) signIn(body string) (answer, string) {
	w.t.Helper()
	got := w.do(tenant{}, "POST", sessionPath, body, nil)
	pair, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
	return got, pair
}

// with sends with a session.
func (w *world) with(cookie, method, path, body string) answer {
	w.t.Helper()
	return w.do(tenant{}, method, path, body, map[string]string{"Cookie": cookie})
}

func (w *world) wants(got answer, status int, code string) {
	w.t.Helper()
	if got.status != status || got.code() != code {
		w.t.Fatalf("%d %s, want %d %s", got.status, got.raw, status, code)
	}
}

func credentials(password, code string) string {
	if code != "" {
		return `{"name":"ama","password":"` + password + `","code":"` + code + `"}`
	}
	return `{"name":"ama","password":"` + password + `"}`
}

// TestSessionsFromSigningInToTheEnd goes the way of a user: the start password, the own one, a second factor, and each way a session ends.
func TestSessionsFromSigningInToTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant("one", comm.AllScopes)
	made := w.root("POST", "/api/admin/users", `{"name":"ama","role":"OPERATOR","password":"`+startPassword+`"}`)
	w.wants(made, 201, "")
	user := "/api/admin/users/" + made.str("id")
	if strings.Contains(string(made.raw), "argon2") || made.str("startPasswordUntil") == "" || made.body["secondFactor"] != false {
		t.Errorf("%s", made.raw)
	}
	w.wants(w.do(tenant{}, "POST", sessionPath+"?name=ama", credentials(startPassword, ""), nil), 400, "invalid_query")
	got, cookie := w.signIn(credentials(startPassword, ""))
	w.wants(got, 201, "")
	if set := got.header.Get("Set-Cookie"); !strings.HasSuffix(set, "; Path=/; HttpOnly; SameSite=Lax") || !strings.HasPrefix(set, "commserver=u.") || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%q", set)
	}
	if got.body["mustChangePassword"] != true || got.str("csrfToken") == "" || got.body["user"].(map[string]any)["role"] != "OPERATOR" {
		t.Errorf("%s", got.raw)
	}
	if again := w.with(cookie, "GET", sessionPath, ""); again.status != 200 || string(again.raw) != string(got.raw) {
		t.Errorf("%d %s", again.status, again.raw)
	}
	// Nothing else before a password was chosen; what is no good one is refused.
	w.wants(w.with(cookie, "GET", "/api/admin/apps", ""), 403, "password_change_required")
	change := func(cookie, current, next string) answer {
		return w.with(cookie, "POST", sessionPath+"/password", `{"current":"`+current+`","new":"`+next+`"}`)
	}
	for _, next := range []string{"short", "Password123!", startPassword, strings.Repeat("ß", 257), "ama-ama-ama-ama"} {
		w.wants(change(cookie, startPassword, next), 400, "invalid_field")
	}
	w.wants(change(cookie, ownPassword, ownPassword+"!"), 400, "invalid_field")
	_, other := w.signIn(credentials(startPassword, ""))
	w.wants(change(cookie, startPassword, ownPassword), 204, "")
	w.wants(w.with(other, "GET", sessionPath, ""), 401, "unauthenticated") // every other session has ended
	w.wants(w.with(cookie, "GET", "/api/admin/apps", ""), 200, "")
	w.wants(w.with(cookie, "GET", "/api/admin/users", ""), 403, "insufficient_role")
	if got, _ := w.signIn(credentials(startPassword, "")); got.status != 401 {
		t.Errorf("the old password: %d %s", got.status, got.raw)
	}
	// What is done is in the audit log under the name.
	app := w.do(tenant{}, "POST", "/api/v1/templates", `{"key":"k","channel":"SMS","body":"x"}`, map[string]string{"Cookie": cookie, "X-App-ID": "one"})
	w.wants(app, 201, "")
	log := w.root("GET", "/api/admin/audit?action=template_created", "").body["data"].([]any)[0].(map[string]any)
	if log["actor"] != "user" || log["actorName"] != "ama" || log["requestId"] != app.header.Get("X-Request-Id") {
		t.Errorf("%v", log)
	}
	w.secondFactor(cookie)
	// Role, end and sign-out are seen at once where they are made.
	_, cookie = w.signIn(credentials(ownPassword, ""))
	w.wants(w.root("PATCH", user, `{"role":"VIEWER"}`), 200, "")
	w.wants(w.with(cookie, "POST", "/api/admin/queue", `{"action":"PAUSE","app":"one"}`), 403, "insufficient_role")
	next, follows := w.signIn(credentials(ownPassword, ""))
	r := w.do(tenant{}, "POST", sessionPath, credentials(ownPassword, ""), map[string]string{"Cookie": follows})
	if r.status != 201 || next.status != 201 || w.with(follows, "GET", sessionPath, "").status != 401 {
		t.Error("the session that was signed in from goes on")
	}
	out := w.with(cookie, "DELETE", sessionPath, "")
	if w.wants(out, 204, ""); !strings.Contains(out.header.Get("Set-Cookie"), "Max-Age=0") {
		t.Errorf("%v", out.header)
	}
	w.wants(w.with(cookie, "GET", sessionPath, ""), 401, "unauthenticated")
	_, cookie = w.signIn(credentials(ownPassword, ""))
	w.wants(w.root("PATCH", user, `{"isActive":false}`), 200, "")
	w.wants(w.with(cookie, "GET", "/api/admin/apps", ""), 401, "unauthenticated")
	if got, _ := w.signIn(credentials(ownPassword, "")); got.status != 401 {
		t.Errorf("a user who is switched off: %d %s", got.status, got.raw)
	}
	w.wants(w.root("PATCH", user, `{"isActive":true,"password":"`+startPassword+`"}`), 200, "")
	_, cookie = w.signIn(credentials(startPassword, ""))
	w.wants(w.root("DELETE", user, ""), 204, "")
	w.wants(w.with(cookie, "GET", sessionPath, ""), 401, "unauthenticated")
	for _, secret := range []string{startPassword, ownPassword, strings.TrimPrefix(cookie, "commserver=")} {
		if strings.Contains(w.log.String(), secret) {
			t.Error("the log holds a secret")
		}
	}
}

// secondFactor enrols one for ama, uses it, and removes it again.
func (w *world) secondFactor(cookie string) {
	t := w.t
	t.Helper()
	const path = sessionPath + "/second-factor"
	w.wants(w.with(cookie, "POST", path+"/confirm", `{"code":"123456"}`), 409, "invalid_state")
	w.wants(w.with(cookie, "POST", path+"/remove", `{"password":"`+ownPassword+`","code":"123456"}`), 409, "invalid_state")
	long := strings.Repeat("1", 33) // no code has so many, whatever there is to confirm or remove
	w.wants(w.with(cookie, "POST", path+"/confirm", `{"code":"`+long+`"}`), 400, "invalid_field")
	w.wants(w.with(cookie, "POST", path+"/remove", `{"password":"`+ownPassword+`","code":"`+long+`"}`), 400, "invalid_field")
	w.wants(w.with(cookie, "POST", path, `{"password":"not it"}`), 400, "invalid_field")
	made := w.with(cookie, "POST", path, `{"password":"`+ownPassword+`"}`)
	w.wants(made, 201, "")
	if !strings.HasPrefix(made.str("uri"), "otpauth://totp/CommServer:ama?") || !strings.Contains(made.str("uri"), made.str("secret")) {
		t.Errorf("%s", made.raw)
	}
	if got, _ := w.signIn(credentials(ownPassword, "")); got.status != 201 { // it is not asked for before it was confirmed
		t.Errorf("%d %s", got.status, got.raw)
	}
	code := func() string {
		text, err := totp.GenerateCode(made.str("secret"), w.time())
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	w.wants(w.with(cookie, "POST", path+"/confirm", `{"code":"12345"}`), 400, "invalid_field")
	used := code() // it stays this one, however long the test takes
	done := w.with(cookie, "POST", path+"/confirm", `{"code":"`+used+`"}`)
	w.wants(done, 200, "")
	codes := done.body["recoveryCodes"].([]any)
	if len(codes) != 10 {
		t.Errorf("%s", done.raw)
	}
	w.wants(w.with(cookie, "POST", path, `{"password":"`+ownPassword+`"}`), 409, "invalid_state")
	for text, want := range map[string]string{"": "second_factor_required", used: "unauthenticated", "000 000": "unauthenticated", "AAAA-BBBB-CCCC-DDDD": "unauthenticated"} {
		got, _ := w.signIn(credentials(ownPassword, text)) // the code of the confirmation was used
		w.wants(got, 401, want)
	}
	if got, _ := w.signIn(credentials(startPassword, code())); got.code() != "unauthenticated" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	recovery := strings.ToLower(codes[3].(string))
	for i, want := range []int{201, 401} {
		if got, _ := w.signIn(credentials(ownPassword, recovery)); got.status != want {
			t.Errorf("recovery code, try %d: %d %s", i, got.status, got.raw)
		}
	}
	w.ahead.Add(int64(2 * time.Minute)) // the next codes
	used = code()
	for i, want := range []int{201, 401} {
		if got, _ := w.signIn(credentials(ownPassword, used)); got.status != want {
			t.Errorf("code, try %d: %d %s", i, got.status, got.raw)
		}
	}
	w.ahead.Add(int64(2 * time.Minute))
	w.wants(w.with(cookie, "POST", path+"/remove", `{"password":"`+ownPassword+`","code":"000000"}`), 400, "invalid_field")
	w.wants(w.with(cookie, "POST", path+"/remove", `{"password":"`+ownPassword+`","code":"`+code()+`"}`), 204, "")
	for _, e := range w.root("GET", "/api/admin/audit?limit=100", "").body["data"].([]any) {
		if strings.Contains(e.(map[string]any)["action"].(string), "secret") {
			t.Error(e)
		}
	}
}

// TestNobodyPassesByTheirOwnProofs: an administrator's session is enough to help others, and not to change what the own account asks a password for.
func TestNobodyPassesByTheirOwnProofs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := w.root("POST", "/api/admin/users", `{"name":"ama","role":"ADMIN","password":"`+startPassword+`"}`)
	w.wants(made, 201, "")
	_, cookie := w.signIn(credentials(startPassword, ""))
	w.wants(w.with(cookie, "POST", sessionPath+"/password", `{"current":"`+startPassword+`","new":"`+ownPassword+`"}`), 204, "")
	own, other := "/api/admin/users/"+made.str("id"), w.root("POST", "/api/admin/users", `{"name":"kofi","role":"ADMIN","password":"`+startPassword+`"}`)
	w.wants(other, 201, "")
	others := "/api/admin/users/" + other.str("id")
	for _, body := range []string{`{"secondFactor":false}`, `{"password":"` + startPassword + `"}`} {
		w.wants(w.with(cookie, "PATCH", own, body), 400, "invalid_field")
		w.wants(w.with(cookie, "PATCH", others, body), 200, "")
	}
	w.wants(w.with(cookie, "PATCH", own, `{"name":"ama","role":"ADMIN"}`), 200, "")
	w.wants(w.with(cookie, "GET", sessionPath, ""), 200, "")
	w.wants(w.root("PATCH", own, `{"secondFactor":false,"password":"`+startPassword+`"}`), 200, "") // whoever has the admin key has everything
}

// TestASessionOfTheAdminKey is everything but a user's.
func TestASessionOfTheAdminKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant("one", comm.AllScopes)
	got, _ := w.signIn(`{"adminKey":"not-the-key-at-all"}`)
	w.wants(got, 401, "unauthenticated")
	got, cookie := w.signIn(`{"adminKey":"` + adminKey + `"}`)
	w.wants(got, 201, "")
	who := got.body["user"].(map[string]any)
	if who["id"] != nil || who["name"] != "admin key" || who["role"] != "ADMIN" || got.body["mustChangePassword"] != false {
		t.Errorf("%s", got.raw)
	}
	w.wants(w.with(cookie, "GET", "/api/admin/users", ""), 200, "")
	w.wants(w.with(cookie, "PATCH", "/api/admin/apps/one", `{"ratePerMinute":7}`), 200, "")
	if e := w.root("GET", "/api/admin/audit?action=app_updated", "").body["data"].([]any)[0].(map[string]any); e["actor"] != "admin" || e["actorName"] != nil {
		t.Errorf("%v", e)
	}
	for path, body := range map[string]string{"/password": `{"current":"x","new":"` + ownPassword + `"}`, "/second-factor": `{"password":"x"}`, "/second-factor/confirm": `{"code":"123456"}`,
		"/second-factor/remove": `{"password":"x","code":"123456"}`, "/security-keys": `{"name":"x","securityKey":"{}"}`, "/security-keys/options": `{"password":"x"}`,
		"/security-keys/" + comm.NewID(1).String() + "/remove": `{"password":"x"}`} {
		w.wants(w.with(cookie, "POST", sessionPath+path, body), 409, "invalid_state")
	}
	w.wants(w.with(cookie, "GET", sessionPath+"/second-factor", ""), 409, "invalid_state")
	for _, bad := range []string{`{}`, `{"name":"ama"}`, `{"password":"x"}`, `{"adminKey":"x","name":"y"}`, `{"name":"` + strings.Repeat("x", 65) + `","password":"x"}`, `{"adminKey":"` + strings.Repeat("x", 257) + `"}`} {
		got, _ := w.signIn(bad)
		w.wants(got, 400, "invalid_field")
	}
	w.wants(w.do(tenant{}, "POST", sessionPath, `{"adminKey":"`+adminKey+`"}`, map[string]string{"Sec-Fetch-Site": "cross-site"}), 403, "cross_site")
	w.wants(w.do(tenant{}, "DELETE", sessionPath, "", map[string]string{"Cookie": cookie, "Origin": "https://evil.example"}), 403, "cross_site")
	w.wants(w.with("", "DELETE", sessionPath, ""), 401, "unauthenticated")
	w.wants(w.with(cookie, "DELETE", sessionPath, ""), 204, "")
}

// TestSessionsEndByThemselves: after half an hour without use, and after twelve hours whatever happens.
func TestSessionsEndByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.member("ama", comm.Viewer, 0)
	idle, used := w.session(u), w.session(u)
	for passed := time.Duration(0); passed < comm.SessionLifetime; passed += 25 * time.Minute {
		if got := w.with(used, "GET", sessionPath, ""); got.status != 200 {
			t.Fatalf("after %s in use: %d %s", passed, got.status, got.raw)
		}
		if got := w.with(idle, "GET", sessionPath, ""); passed == 50*time.Minute && got.status != 200 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		if passed == 50*time.Minute {
			break
		}
		w.ahead.Add(int64(25 * time.Minute))
	}
	w.ahead.Add(int64(comm.SessionIdle + time.Minute))
	w.wants(w.with(idle, "GET", sessionPath, ""), 401, "unauthenticated")
	long := w.session(u)
	for range 28 {
		w.wants(w.with(long, "GET", sessionPath, ""), 200, "")
		w.ahead.Add(int64(25 * time.Minute))
	}
	w.ahead.Add(int64(20 * time.Minute))
	w.wants(w.with(long, "GET", sessionPath, ""), 401, "unauthenticated")
	if n, err := w.store.TrimSessions(t.Context(), comm.At(w.time().Add(-comm.SessionIdle)), comm.At(w.time()), 10); err != nil || n != 3 {
		t.Errorf("%d %v", n, err)
	}
}

// TestCookiesOfEncryptedServers have the prefix that no other host can set.
func TestCookiesOfEncryptedServers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.api.cookie = cookieOf("https://comms.example.com")
	got, cookie := w.signIn(`{"adminKey":"` + adminKey + `"}`)
	if set := got.header.Get("Set-Cookie"); !strings.HasPrefix(set, "__Host-commserver=k.") || !strings.HasSuffix(set, "; Path=/; HttpOnly; Secure; SameSite=Lax") {
		t.Errorf("%q", set)
	}
	w.wants(w.with(cookie, "GET", sessionPath, ""), 200, "")
	w.wants(w.with(strings.Replace(cookie, "__Host-", "", 1), "GET", sessionPath, ""), 401, "unauthenticated")
}

// TestTooManyTries: one answer for whoever there is and is not, then a wait, and then the right password again.
func TestTooManyTries(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wants(w.root("POST", "/api/admin/users", `{"name":"ama","role":"VIEWER","password":"`+startPassword+`"}`), 201, "")
	bodies := map[string]string{"ama": "", "nobody": ""}
	for name := range bodies {
		for range 10 {
			got, _ := w.signIn(`{"name":"` + name + `","password":"wrong"}`)
			w.wants(got, 401, "unauthenticated")
			bodies[name] = string(got.raw)
		}
		got, _ := w.signIn(`{"name":"` + strings.ToUpper(name) + `","password":"` + startPassword + `"}`)
		w.wants(got, 429, "too_many_failures")
		if got.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if bodies["ama"] != bodies["nobody"] {
		t.Errorf("%v", bodies)
	}
	w.ahead.Add(int64(15*time.Minute + time.Second))
	got, _ := w.signIn(credentials(startPassword, ""))
	w.wants(got, 201, "")
}

// TestACallUnderWayEndsWithItsSession, on whatever node it ended.
func TestACallUnderWayEndsWithItsSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant("one", comm.AllScopes)
	u := w.member("ama", comm.Viewer, 0)
	cookie := w.session(u)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/api/v1/events/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", cookie)
	r.Header.Set("X-App-ID", "one")
	res, err := server.Client().Do(r)
	if err != nil || res.StatusCode != 200 {
		t.Fatal(res, err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := w.store.DeleteUser(t.Context(), u.ID); err != nil { // as another node does it
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	for {
		if _, err := res.Body.Read(buf); err != nil {
			return // the test's own limit ends one that never ends
		}
	}
}
