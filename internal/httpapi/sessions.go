package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/identity"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/strictjson"
)

const sessionPath = "/api/admin/session"

// cookie is what a session is kept in.
type cookie struct {
	name   string
	secure bool
}

// cookieOf is the cookie of a server at this address. Where connections are encrypted its name keeps every other host, path and
// unencrypted connection from setting it.
func cookieOf(publicURL string) cookie {
	if strings.HasPrefix(publicURL, "https://") {
		return cookie{"__Host-commserver", true}
	}
	return cookie{"commserver", false}
}

// read is the session's id that a request brings, unless it brings a key as well: then the key counts.
func (c cookie) read(r *http.Request) (id string, ok bool) {
	if len(r.Header["X-Admin-Key"])+len(r.Header["X-Api-Key"])+len(r.Header["Authorization"]) > 0 {
		return "", false
	}
	switch all := r.CookiesNamed(c.name); len(all) {
	case 0:
		return "", false
	case 1:
		return all[0].Value, true
	}
	return "", true // more than one are nobody's
}

func (c cookie) set(w http.ResponseWriter, id string) {
	http.SetCookie(w, &http.Cookie{Name: c.name, Value: id, Path: "/", Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func (c cookie) remove(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: c.name, Path: "/", MaxAge: -1, Secure: c.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// ownSite refuses what a page of another site sends.
func (a *API) ownSite(r *http.Request) error {
	if err := a.sites.Check(r); err != nil {
		return comm.E("cross_site").Because(err)
	}
	// The cookie also comes with a link that is followed from there: it changes nothing, but a backup or an export would begin.
	if reads := r.Method == http.MethodGet || r.Method == http.MethodHead; reads && httpserver.OtherSite(r) {
		return comm.E("cross_site")
	}
	return nil
}

func notSignedIn() error {
	return comm.E("unauthenticated", "Nobody is signed in, or the session has ended: sign in with POST /api/admin/session.")
}

// takesSessions says whether a session opens the route.
func (route Route) takesSessions() bool { return route.Role != 0 }

// sessionKey is where a request's context keeps the session that admitted it.
type sessionKey struct{}

// sessionOf is the session that admitted the request; nil where a key did.
func sessionOf(r *http.Request) *identity.Session {
	s, _ := r.Context().Value(sessionKey{}).(*identity.Session)
	return s
}

// admitSession checks the session of a request that came without a key.
func (a *API) admitSession(route Route, r *http.Request, id string) (*auth.Caller, comm.Actor, error) {
	ctx := r.Context()
	s, err := a.cfg.Identity.Session(ctx, id)
	switch {
	case err != nil:
		return nil, comm.Actor{}, err
	case s == nil && route.Who == ASession:
		return nil, comm.Actor{}, notSignedIn()
	case s == nil && route.Who == Admin:
		return nil, comm.Actor{}, a.cfg.Auth.Admin(ctx, r.Header, httpserver.ClientAddr(ctx)) // as if there were no cookie
	case s == nil:
		_, err := a.cfg.Auth.App(ctx, r.Header, httpserver.ClientAddr(ctx))
		return nil, comm.Actor{}, err
	}
	if err := a.ownSite(r); err != nil {
		return nil, comm.Actor{}, err
	}
	*r = *r.WithContext(context.WithValue(ctx, sessionKey{}, s))
	if route.Who == ASession {
		return nil, s.Actor(), nil
	}
	if err := s.Require(route.Role); err != nil {
		return nil, comm.Actor{}, err
	}
	if route.Who == Admin {
		return nil, s.Actor(), nil
	}
	caller, err := a.cfg.Auth.For(ctx, r.Header, s)
	return caller, s.Actor(), err
}

// sessionView is who is signed in and until when.
type sessionView struct {
	User struct {
		ID   text   `json:"id"` // null: the holder of the admin key
		Name string `json:"name"`
		Role string `json:"role"`
	} `json:"user"`
	ExpiresAt          instant `json:"expiresAt"`
	MustChangePassword bool    `json:"mustChangePassword"`
	SecondFactor       bool    `json:"secondFactor"`
	CSRFToken          string  `json:"csrfToken"`
}

func newSession(s *identity.Session, id string) (v sessionView) {
	if !s.User.IsZero() {
		v.User.ID = text(s.User.String())
	}
	v.User.Name, v.User.Role = s.Name, s.Role.String()
	v.ExpiresAt, v.MustChangePassword, v.SecondFactor, v.CSRFToken = instant(s.ExpiresAt), s.MustChange, s.Protected, identity.FormToken(id)
	return v
}

// signInBody is what opens a session: name and password, perhaps with a code, or one of the others alone.
type signInBody struct {
	AdminKey strictjson.Opt[string] `json:"adminKey"`
	Name     strictjson.Opt[string] `json:"name"`
	Password strictjson.Opt[string] `json:"password"`
	Code     strictjson.Opt[string] `json:"code"`
	// SecurityKey is the answer of one that was asked for after name and password.
	SecurityKey strictjson.Opt[string] `json:"securityKey"`
}

// check refuses what is missing, or does not go together.
func (body *signInBody) check() error {
	e := comm.E("invalid_field")
	if body.AdminKey.Given && body.SecurityKey.Given {
		e.Field("securityKey", "does not go with adminKey")
	}
	for field, o := range map[string]strictjson.Opt[string]{"name": body.Name, "password": body.Password, "code": body.Code} {
		switch {
		case body.AdminKey.Given && o.Given:
			e.Field(field, "does not go with adminKey")
		case body.SecurityKey.Given && o.Given:
			e.Field(field, "does not go with securityKey")
		case !body.AdminKey.Given && !body.SecurityKey.Given && !o.Given && field != "code":
			e.Field(field, "is missing; give name and password, or adminKey")
		}
	}
	if len(body.AdminKey.Value) > maxAdminKey {
		e.Field("adminKey", "is longer than any there is")
	}
	if len(e.Fields) > 0 {
		return e
	}
	return nil
}

// signIn is POST /api/admin/session.
func (a *API) signIn(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	if err := a.ownSite(r); err != nil { // nobody is signed in as somebody else by another site's page
		return err
	}
	if _, err := readQuery(r); err != nil { // a name or a password in an address would be kept by proxies
		return err
	}
	var body signInBody
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	from := httpserver.ClientAddr(r.Context())
	ctx := a.signed(r, comm.Actor{Kind: comm.ActorClient})
	var opened *identity.Opened
	var err error
	switch {
	case body.AdminKey.Given:
		if err := a.cfg.Auth.Admin(ctx, http.Header{"X-Admin-Key": {body.AdminKey.Value}}, from); err != nil {
			if comm.IsKind(err, comm.Unauthenticated) {
				return comm.E("unauthenticated", "This is not the admin key.")
			}
			return err
		}
		opened, err = a.cfg.Identity.OpenForAdmin(ctx)
	case body.SecurityKey.Given:
		opened, err = a.cfg.Identity.SignInWithKey(ctx, body.SecurityKey.Value, from, a.site(r))
	default:
		opened, err = a.cfg.Identity.SignIn(ctx, identity.Attempt{Name: body.Name.Value, Password: body.Password.Value, Code: body.Code.Value, Site: a.site(r), From: from})
	}
	if err != nil {
		return err
	}
	if old, ok := a.cookie.read(r); ok { // the session that this one follows
		if s, err := a.cfg.Identity.Session(ctx, old); err == nil && s != nil {
			if err := a.cfg.Identity.SignOut(store.WithActor(ctx, s.Actor()), s); err != nil {
				return err
			}
		}
	}
	a.cookie.set(w, opened.ID)
	write(w, http.StatusCreated, newSession(opened.Session, opened.ID))
	return nil
}

// maxAdminKey is longer than any configuration would have one.
const maxAdminKey = 256

// getSession is GET /api/admin/session.
func (a *API) getSession(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	id, _ := a.cookie.read(r)
	write(w, http.StatusOK, newSession(sessionOf(r), id))
	return nil
}

// signOut is DELETE /api/admin/session.
func (a *API) signOut(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	if err := a.cfg.Identity.SignOut(r.Context(), sessionOf(r)); err != nil {
		return err
	}
	a.cookie.remove(w)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// required notes which of the fields are missing.
func required(fields map[string]strictjson.Opt[string]) error {
	e := comm.E("invalid_field")
	for field, o := range fields {
		if !o.Given {
			e.Field(field, "is required")
		}
	}
	if len(e.Fields) > 0 {
		return e
	}
	return nil
}

// changePassword is POST /api/admin/session/password.
func (a *API) changePassword(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		Current strictjson.Opt[string] `json:"current"`
		New     strictjson.Opt[string] `json:"new"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	if err := required(map[string]strictjson.Opt[string]{"current": body.Current, "new": body.New}); err != nil {
		return err
	}
	if err := a.cfg.Identity.ChangePassword(r.Context(), sessionOf(r), httpserver.ClientAddr(r.Context()), body.Current.Value, body.New.Value); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// enrolFactor is POST /api/admin/session/second-factor.
func (a *API) enrolFactor(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	p, err := a.proof(w, r)
	if err != nil {
		return err
	}
	made, err := a.cfg.Identity.Enrol(r.Context(), sessionOf(r), p)
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, struct {
		Secret string `json:"secret"`
		URI    string `json:"uri"`
	}{made.Secret, made.URI})
	return nil
}

// confirmFactor is POST /api/admin/session/second-factor/confirm.
func (a *API) confirmFactor(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		Code strictjson.Opt[string] `json:"code"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	if err := required(map[string]strictjson.Opt[string]{"code": body.Code}); err != nil {
		return err
	}
	codes, err := a.cfg.Identity.Confirm(r.Context(), sessionOf(r), httpserver.ClientAddr(r.Context()), body.Code.Value)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, struct {
		RecoveryCodes []string `json:"recoveryCodes"`
	}{append([]string{}, codes...)})
	return nil
}

// removeFactor is POST /api/admin/session/second-factor/remove.
func (a *API) removeFactor(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	p, err := a.proof(w, r)
	if err != nil {
		return err
	}
	if err := a.cfg.Identity.RemoveFactor(r.Context(), sessionOf(r), p); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
