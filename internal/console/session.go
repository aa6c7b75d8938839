package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

// sessionPath is the API's route of sessions: POST begins one, GET says whose it is, DELETE ends it.
const sessionPath = "/api/admin/session"

// user is who is signed in.
type user struct {
	ID, Name, Role string // without ID it is whoever holds the admin key
	MustChange     bool   // an administrator set the password: nothing else is open before it is changed
	Protected      bool   // by a second factor
	formToken      string // the API's, of the session
}

// errSignIn sends the browser to the sign-in page.
var errSignIn = errors.New("console: not signed in")

// signedIn asks the API whose the browser's session is.
func (v *visit) signedIn() error {
	if v.r.Header.Get("Cookie") == "" {
		return errSignIn
	}
	s, err := fetch[struct {
		User struct {
			ID   string `json:"id"`
			Name string `json:"name"`
			Role string `json:"role"`
		} `json:"user"`
		MustChange bool   `json:"mustChangePassword"`
		Protected  bool   `json:"secondFactor"`
		FormToken  string `json:"csrfToken"`
	}](v, "", sessionPath, nil)
	if err != nil {
		return err
	}
	if s.FormToken == "" {
		return errors.New("console: the API says nothing that binds forms to the session")
	}
	v.user = user{s.User.ID, s.User.Name, s.User.Role, s.MustChange, s.Protected, s.FormToken}
	return nil
}

// toSignIn sends the browser to the sign-in page, and back to where it was afterwards.
func (v *visit) toSignIn() {
	q := url.Values{}
	if back := v.here(); back != Root {
		q.Set("next", back)
	}
	at := Root + "/sign-in"
	if len(q) > 0 {
		at += "?" + q.Encode()
	}
	v.redirect(at)
}

// doorRoutes are those of getting in and out.
func (c *Console) doorRoutes() []route {
	return []route{
		{"GET", Root + "/sign-in", "", "", true, (*visit).showSignIn},
		{"POST", Root + "/sign-in", "", "", true, (*visit).signIn},
		{"POST", Root + "/sign-out", "", "", false, (*visit).signOut},
		{"POST", Root + "/theme", "", "", true, (*visit).setTheme},
	}
}

// signInForm is the page of signing in.
type signInForm struct {
	Next, With, Name string
	Key              string // what a security key of the user is to be asked; "" none
	Error            string
	Fields           map[string]string
}

func (v *visit) showSignIn() error {
	return v.signInPage(http.StatusOK, signInForm{Next: local(v.asked("next")), With: v.asked("with")})
}

func (v *visit) signInPage(status int, f signInForm) error {
	return v.showStatus(status, "sign-in", page{Title: "Sign in", Bare: true, Data: f})
}

// signIn begins a session; the API's cookie goes to the browser.
func (v *visit) signIn() error {
	in := v.r.PostForm
	f := signInForm{Next: local(in.Get("next")), With: in.Get("with"), Name: in.Get("name")}
	body := map[string]string{"adminKey": strings.TrimSpace(in.Get("adminKey"))}
	if f.With == "name" {
		body = map[string]string{"name": f.Name, "password": in.Get("password")}
		if code := strings.TrimSpace(in.Get("code")); code != "" {
			body["code"] = code
		}
		if key := in.Get("securityKey"); key != "" {
			body = map[string]string{"securityKey": key}
		}
	}
	err := send(v, "", http.MethodPost, sessionPath, body, nil)
	var e *client.Error
	switch {
	case err == nil:
		return v.done(f.Next, "")
	case !errors.As(err, &e):
		return err
	}
	f.Error, f.Fields = e.Message, e.Fields
	if e.Code == "second_factor_required" {
		f.Error = "This user has a second factor: enter the password again, and the code that the authenticator shows now, or a recovery code."
		if f.Key = keyAsked(err); f.Key != "" {
			f.Error = "This user has a second factor: use a security key, or enter the password again with a code."
		}
	}
	if e.RetryAfter > 0 {
		f.Error += " Try again in " + words(e.RetryAfter) + "."
	}
	return v.signInPage(e.Status, f)
}

func (v *visit) signOut() error {
	if err := send(v, "", http.MethodDelete, sessionPath, nil, nil); err != nil {
		return err
	}
	return v.done(Root+"/sign-in", "You are signed out.")
}

// tokenBytes is the length of a form's token before it is masked.
const tokenBytes = sha256.Size

// secret is what the session's forms must know: a hash of the API's own token of the session. It ends with the session, and is
// the same on every node.
func (v *visit) secret() [tokenBytes]byte {
	return sha256.Sum256([]byte("a form of the console\x00" + v.user.formToken))
}

// token is the secret as a page shows it: masked anew each time, so that compressing pages tells nothing of it.
func (v *visit) token() string {
	s := v.secret()
	var b [2 * tokenBytes]byte
	_, _ = rand.Read(b[:tokenBytes]) // never fails (Go 1.24)
	for i := range s {
		b[tokenBytes+i] = b[i] ^ s[i]
	}
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func (v *visit) tokenHolds() bool {
	b, err := base64.RawURLEncoding.DecodeString(v.r.PostForm.Get("_token"))
	if err != nil || len(b) != 2*tokenBytes {
		return false
	}
	s := v.secret()
	for i := range tokenBytes {
		b[i] ^= b[tokenBytes+i]
	}
	return subtle.ConstantTimeCompare(b[:tokenBytes], s[:]) == 1
}

const (
	themeCookie = "commserver_theme"
	toastCookie = "commserver_done"
	themeKept   = 400 * 24 * time.Hour // what browsers keep a cookie for at most
	toastKept   = time.Minute
)

// theme is what the user chose; "" follows the system.
func (v *visit) theme() string {
	if cookie, err := v.r.Cookie(themeCookie); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return ""
}

func (v *visit) setTheme() error {
	chosen, kept := v.r.PostForm.Get("theme"), int(themeKept/time.Second)
	if chosen != "light" && chosen != "dark" {
		chosen, kept = "", -1
	}
	v.setCookie(themeCookie, chosen, kept)
	return v.done(v.here(), "")
}

func (v *visit) setCookie(name, value string, kept int) {
	http.SetCookie(v.w, &http.Cookie{Name: name, Value: value, Path: Root, MaxAge: kept, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(v.c.cfg.PublicURL, "https://")})
}

// toast is what was done, told on the page that follows. It must not hold anything secret.
type toast struct {
	Text string
	Bad  bool
}

// maxToast keeps the cookie small.
const maxToast = 600

func (v *visit) leaveToast(t toast) {
	t.Text = t.Text[:min(len(t.Text), maxToast)]
	data, err := json.Marshal(t)
	if err != nil {
		return // two plain fields
	}
	v.setCookie(toastCookie, base64.RawURLEncoding.EncodeToString(data), int(toastKept/time.Second))
}

// takeToast reads what was done, and forgets it.
func (v *visit) takeToast() *toast {
	cookie, err := v.r.Cookie(toastCookie)
	if err != nil {
		return nil
	}
	v.setCookie(toastCookie, "", -1)
	data, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	out := &toast{}
	if err != nil || json.Unmarshal(data, out) != nil || out.Text == "" {
		return nil
	}
	return out
}
