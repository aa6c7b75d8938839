package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/identity"
	"github.com/commserver/commserver/internal/strictjson"
)

// site is where the browser of a request finds this server.
func (a *API) site(r *http.Request) identity.Site {
	return identity.SiteOf(a.cfg.BrowsersAt, r.Host)
}

// proofBody is what changes of the own second factors are asked with.
type proofBody struct {
	Password    strictjson.Opt[string] `json:"password"`
	Code        strictjson.Opt[string] `json:"code"`
	SecurityKey strictjson.Opt[string] `json:"securityKey"`
}

// proof reads one.
func (a *API) proof(w http.ResponseWriter, r *http.Request) (p identity.Proof, err error) {
	var body proofBody
	if err := a.decode(w, r, &body, nil); err != nil {
		return p, err
	}
	return a.proofIn(r, body)
}

// proofIn checks one that a request brought.
func (a *API) proofIn(r *http.Request, body proofBody) (p identity.Proof, err error) {
	e := comm.E("invalid_field")
	switch {
	case body.SecurityKey.Given && (body.Password.Given || body.Code.Given):
		e.Field("securityKey", "goes alone: it was asked for after the password")
	case body.SecurityKey.Given && body.SecurityKey.Value == "":
		e.Field("securityKey", "is empty")
	case !body.SecurityKey.Given && !body.Password.Given:
		e.Field("password", "is required")
	}
	if len(e.Fields) > 0 {
		return p, e
	}
	return identity.Proof{Password: body.Password.Value, Code: body.Code.Value, Key: body.SecurityKey.Value, From: httpserver.ClientAddr(r.Context()), Site: a.site(r)}, nil
}

// securityKeyView is a security key.
type securityKeyView struct {
	ID        comm.ID `json:"id"`
	Name      string  `json:"name"`
	CreatedAt instant `json:"createdAt"`
	UsedAt    instant `json:"usedAt"` // null: not since it was registered
}

func newSecurityKeyView(k *comm.SecurityKey) securityKeyView {
	return securityKeyView{k.ID, k.Name, instant(k.CreatedAt), instant(k.UsedAt)}
}

// getFactors is GET /api/admin/session/second-factor.
func (a *API) getFactors(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	f, err := a.cfg.Identity.Factors(r.Context(), sessionOf(r))
	if err != nil {
		return err
	}
	out := struct {
		Authenticator     bool              `json:"authenticator"`
		RecoveryCodesLeft int               `json:"recoveryCodesLeft"`
		SecurityKeys      []securityKeyView `json:"securityKeys"`
	}{f.Codes, f.Recovery, []securityKeyView{}}
	for i := range f.Keys {
		out.SecurityKeys = append(out.SecurityKeys, newSecurityKeyView(&f.Keys[i]))
	}
	write(w, http.StatusOK, out)
	return nil
}

// keyOptions is POST /api/admin/session/security-keys/options.
func (a *API) keyOptions(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		proofBody
		Name strictjson.Opt[string] `json:"name"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	p, err := a.proofIn(r, body.proofBody)
	if err != nil {
		return err
	}
	if body.Name.Given {
		if err := identity.CheckKeyName(body.Name.Value); err != nil {
			return err
		}
	}
	options, err := a.cfg.Identity.KeyOptions(r.Context(), sessionOf(r), p)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, struct {
		Options string `json:"options"`
	}{options})
	return nil
}

// addKey is POST /api/admin/session/security-keys.
func (a *API) addKey(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		Name        strictjson.Opt[string] `json:"name"`
		SecurityKey strictjson.Opt[string] `json:"securityKey"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	if err := required(map[string]strictjson.Opt[string]{"name": body.Name, "securityKey": body.SecurityKey}); err != nil {
		return err
	}
	made, codes, err := a.cfg.Identity.AddKey(r.Context(), sessionOf(r), a.site(r), body.Name.Value, body.SecurityKey.Value)
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, struct {
		securityKeyView
		RecoveryCodes []string `json:"recoveryCodes"`
	}{newSecurityKeyView(made), append([]string{}, codes...)})
	return nil
}

// removeKey is POST /api/admin/session/security-keys/{id}/remove.
func (a *API) removeKey(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	p, err := a.proof(w, r)
	if err != nil {
		return err
	}
	if err := a.cfg.Identity.RemoveKey(r.Context(), sessionOf(r), id, p); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
