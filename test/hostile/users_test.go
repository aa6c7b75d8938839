package hostile

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/commserver/commserver/internal/openapi"
	"github.com/commserver/commserver/test/softkey"
)

// sessionURL is where users sign in, and change what they sign in with.
const sessionURL = "/api/admin/session"

func isOfSession(path string) bool { return strings.HasPrefix(path, sessionURL) }

// somebody is a user who is signed in. Name and password are as long as they may be.
type somebody struct {
	id, name, password, cookie string
	code                       string // one that is right, if there is a second factor
	codes                      []any  // of recovery; code is the first of them
	key                        *softkey.Key
	keyID, answer              string // answer is what the key says to what it was asked, as long as it may be
}

// strong is a password of n characters that is not one of those that are tried first.
func strong(n int) string {
	const words = "zug brot lampe kiesel vierzig nebel "
	return strings.Repeat(words, n/len(words)+1)[:n-1] + "x"
}

// users are those whom a world has for all its tenants.
type users struct {
	once sync.Once
	// signed does what its user may do, thing is the one whom paths name, and start is signed in with the password of an administrator.
	signed, thing, start *somebody
	key                  string // the cookie of a session that the administrator's key opened
}

func (w *world) somebodies(t *testing.T) *users {
	t.Helper()
	w.users.once.Do(func() {
		w.users.signed, w.users.thing, w.users.start = w.somebody(t), w.newUser(t), w.newUser(t)
		w.users.start.signIn(t, w)
		w.newUser(t) // the list of users has another page
		w.users.key = w.session(t, `{"adminKey":`+quoted(adminKey)+`}`)
	})
	return &w.users
}

// newUser makes a user, who has not signed in.
func (w *world) newUser(t *testing.T) *somebody {
	t.Helper()
	name := unique() + "."
	p := &somebody{name: name + strings.Repeat("n", 64-len(name)), password: strong(256)}
	p.id = w.admin(t, "POST", "/api/admin/users", `{"name":`+quoted(p.name)+`,"role":"VIEWER","password":`+quoted(p.password)+`}`).made(t)
	return p
}

// somebody makes a user with a password of their own.
func (w *world) somebody(t *testing.T) *somebody {
	t.Helper()
	p := w.newUser(t)
	p.signIn(t, w)
	next := "s" + p.password[1:]
	p.do(t, w, "/password", `{"current":`+quoted(p.password)+`,"new":`+quoted(next)+`}`)
	p.password = next
	return p
}

func (p *somebody) signIn(t *testing.T, w *world) {
	t.Helper()
	p.cookie = w.session(t, `{"name":`+quoted(p.name)+`,"password":`+quoted(p.password)+`}`)
}

// session begins one and answers its cookie.
func (w *world) session(t *testing.T, body string) string {
	t.Helper()
	got := w.send(t, &request{method: "POST", path: sessionURL, body: []byte(body), header: jsonType()})
	cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
	if got.status != 201 || !strings.Contains(cookie, "=") {
		t.Fatalf("sign in: %d %s", got.status, got.raw)
	}
	return cookie
}

// do makes a call of the user's session that must succeed.
func (p *somebody) do(t *testing.T, w *world, path, body string) answer {
	t.Helper()
	got := w.send(t, &request{method: "POST", path: sessionURL + path, body: []byte(body), header: with(jsonType(), map[string]string{"Cookie": p.cookie})})
	if got.status >= 300 {
		t.Fatalf("%s: %d %s", path, got.status, got.raw)
	}
	return got
}

// enrol gives the user a second factor, and lets them confirm it where the operation is about one that is in use.
// Codes are written with spaces or dashes until they are as long as they may be.
func (p *somebody) enrol(t *testing.T, w *world, confirm bool) {
	t.Helper()
	const most = 32
	proof := `{"password":` + quoted(p.password) + `}`
	if p.key != nil {
		proof = `{"password":` + quoted(p.password) + `,"code":` + quoted(p.code) + `}`
	}
	secret := p.do(t, w, "/second-factor", proof).str("secret")
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p.code = padded(code)(most)
	if confirm {
		codes, _ := p.do(t, w, "/second-factor/confirm", `{"code":`+quoted(p.code)+`}`).body["recoveryCodes"].([]any)
		if p.key != nil {
			codes = p.codes[1:] // those of the key stay, but for the one that proved it
		}
		p.recover(codes)
	}
}

// recover takes the first recovery code to be the code.
func (p *somebody) recover(codes []any) {
	const most = 32
	p.codes = codes
	p.code = fmt.Sprint(codes[0])
	p.code += strings.Repeat("-", most-len(p.code))
}

// say makes the key's answer as long as it may be.
func (p *somebody) say(answer string) {
	const most = 16384
	p.answer = answer + strings.Repeat(" ", most-len(answer))
}

// make lets a new security key answer what it is asked; register registers it.
func (p *somebody) make(t *testing.T, w *world) {
	t.Helper()
	p.key = softkey.New(t, site)
	p.say(p.key.Make(t, p.do(t, w, "/security-keys/options", `{"password":`+quoted(p.password)+`}`).str("options")))
}

func (p *somebody) register(t *testing.T, w *world) {
	t.Helper()
	p.make(t, w)
	made := p.do(t, w, "/security-keys", `{"name":"blue","securityKey":`+quoted(p.answer)+`}`)
	p.keyID = made.str("id")
	codes, _ := made.body["recoveryCodes"].([]any)
	p.recover(codes)
}

// sign lets the key answer what a call asks of whom it takes the password.
func (p *somebody) sign(t *testing.T, w *world, path, body string) {
	t.Helper()
	got := w.send(t, &request{method: "POST", path: path, body: []byte(body), header: with(jsonType(), map[string]string{"Cookie": p.cookie})})
	details, _ := got.body["details"].(map[string]any)
	options, _ := details["securityKey"].(string)
	if options == "" {
		t.Fatalf("%s asks no key: %d %s", path, got.status, got.raw)
	}
	p.say(p.key.Sign(t, options))
}

// signedFor is who makes a call of the session's paths: what is right ends sessions and uses things up, so that it is somebody new.
func (x *limitsOf) signedFor(right bool, at *place) *somebody {
	w := x.a.w
	if !right {
		return w.somebodies(x.t).signed
	}
	p := w.somebody(x.t)
	path, signs := strings.TrimPrefix(x.o.Path, sessionURL), at.name == "securityKey"
	if signs && path != "/security-keys" || path == "/security-keys/{id}/remove" {
		p.register(x.t, w)
	}
	switch path {
	case "/security-keys":
		p.make(x.t, w)
		return p
	case "/second-factor/confirm":
		p.enrol(x.t, w, false)
	case "/second-factor/remove":
		p.enrol(x.t, w, true)
	}
	if signs {
		body := `{"password":` + quoted(p.password) + `}`
		if path == "" {
			body = `{"name":` + quoted(p.name) + `,"password":` + quoted(p.password) + `}`
		}
		p.sign(x.t, w, strings.Replace(x.o.Path, "{id}", p.keyID, 1), body)
	}
	return p
}

// inPlace writes what the user knows into a body.
func (p *somebody) inPlace(body string) string {
	return strings.NewReplacer("{user}", p.name, "{current}", p.password, "{code}", p.code, `"{answer}"`, quoted(p.answer)).Replace(body)
}

// usersBody is a right body of the operations of users, sessions and the hold; nil for other schemas.
func usersBody(of string, p *place) map[string]any {
	switch of {
	case "NewSession":
		if p.name == "adminKey" || p.name == "securityKey" {
			return map[string]any{}
		}
		return parsed(`{"name":"{user}","password":"{current}"}`)
	case "PasswordChange":
		return map[string]any{"current": "{current}", "new": "t" + strong(40)}
	case "NewSecondFactor", "SecurityKeyRequest":
		if p.name == "securityKey" {
			return map[string]any{}
		}
		return parsed(`{"password":"{current}"}`)
	case "NewSecurityKey":
		return parsed(`{"name":"blue","securityKey":"{answer}"}`)
	case "SecondFactorCode":
		return parsed(`{"code":"{code}"}`)
	case "SecondFactorRemoval", "SecurityKeyRemoval":
		if p.name == "securityKey" {
			return map[string]any{}
		}
		return parsed(`{"password":"{current}","code":"{code}"}`)
	case "NewUser":
		return map[string]any{"name": unique(), "role": "VIEWER", "password": strong(12)}
	case "HoldRelease":
		return parsed(`{"action":"RELEASE","doubtful":"POLICY"}`)
	}
	return nil
}

// usersOnly are the values that are right where only what the user knows is.
func usersOnly(of string, p *place) []any {
	switch of + " " + p.name {
	case "NewSession adminKey":
		return []any{adminKey}
	case "NewSession name":
		return []any{"{user}"}
	case "NewSession password", "PasswordChange current", "NewSecondFactor password", "SecondFactorRemoval password", "SecurityKeyRequest password", "SecurityKeyRemoval password":
		return []any{"{current}"}
	case "SecondFactorCode code", "SecondFactorRemoval code", "SecurityKeyRemoval code":
		return []any{"{code}"}
	case "NewSession securityKey", "NewSecondFactor securityKey", "SecondFactorRemoval securityKey", "SecurityKeyRequest securityKey", "SecurityKeyRemoval securityKey", "NewSecurityKey securityKey":
		return []any{"{answer}"}
	}
	return nil
}

// foreign is the call as a page of another site makes it.
func foreign(q *request) { q.header["Sec-Fetch-Site"] = "cross-site" }

// moreOfUsers are requests for the statuses that operations of users and sessions have beside the usual ones.
func moreOfUsers(x *limitsOf, good *request) []*request {
	as := func(cookie, body string) *request {
		q := *good
		q.header, q.body = with(good.header, map[string]string{"Cookie": cookie}), []byte(body)
		return &q
	}
	u := x.a.w.somebodies(x.t)
	const wrong = `{"name":"nobody","password":"nothing"}`
	switch x.o.Name() {
	case "POST " + sessionURL:
		return []*request{as("", wrong)}
	case "POST " + sessionURL + "/password":
		return []*request{as(u.key, `{"current":"x","new":`+quoted(strong(20))+`}`)}
	case "POST " + sessionURL + "/second-factor":
		return []*request{as(u.key, `{"password":"x"}`)}
	case "POST " + sessionURL + "/second-factor/confirm":
		return []*request{as(u.key, `{"code":"123456"}`)}
	case "POST " + sessionURL + "/second-factor/remove":
		return []*request{as(u.key, `{"password":"x","code":"123456"}`)}
	case "GET " + sessionURL + "/second-factor":
		return []*request{as(u.key, "")}
	case "POST " + sessionURL + "/security-keys":
		return []*request{as(u.key, `{"name":"x","securityKey":"{}"}`)}
	case "POST " + sessionURL + "/security-keys/options", "POST " + sessionURL + "/security-keys/{id}/remove":
		return []*request{as(u.key, `{"password":"x"}`)}
	case "POST /api/admin/users":
		return []*request{good} // the name is taken
	case "PATCH /api/admin/users/{id}":
		q := *good
		q.body = []byte(`{"name":` + quoted(u.signed.name) + `}`)
		return []*request{&q}
	}
	return nil
}

// tooOften tries what nobody may try so often: whether the name is anybody's makes no difference.
func (w *world) tooOften(t *testing.T, r *reached, o openapi.Operation, good *request) {
	t.Helper()
	const tries = 10
	bodies := map[string]string{"": `{"name":"nobody","password":"nothing"}`, "/password": `{"current":"x","new":` + quoted(strong(20)) + `}`, "/second-factor": `{"password":"x"}`,
		"/second-factor/confirm": `{"code":"1"}`, "/second-factor/remove": `{"password":"x","code":"1"}`, "/security-keys/options": `{"password":"x"}`, "/security-keys/{id}/remove": `{"password":"x"}`}
	good.body = []byte(bodies[strings.TrimPrefix(o.Path, sessionURL)])
	for n := range tries + 1 {
		got := w.send(t, good)
		r.note(o, got.status)
		if (got.status == 429) != (n == tries) {
			t.Errorf("%s, try %d: %d %s", o.Name(), n+1, got.status, got.raw)
		}
	}
}

// captured is the id of a mail that the sandbox keeps: nobody else's call erases it.
func (a *tenant) captured(t *testing.T) string {
	t.Helper()
	id := a.do(t, "POST", messagesURL, email("to", `"kept@example.com"`)).made(t)
	a.waitFor(t, id, "SENT")
	return id
}
