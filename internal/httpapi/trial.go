package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/strictjson"
)

// verifyView answers a verification.
type verifyView struct {
	OK     bool        `json:"ok"`
	Checks []checkView `json:"checks"`
	TookMs int64       `json:"tookMs"`
}

type checkView struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// testView answers a test message.
type testView struct {
	OK              bool   `json:"ok"`
	Class           string `json:"class"`
	Code            text   `json:"code"`
	Text            text   `json:"text"`
	Reference       text   `json:"reference"`
	MayHaveBeenSent bool   `json:"mayHaveBeenSent"` // nobody can tell: the outcome is ambiguous
	TookMs          int64  `json:"tookMs"`
}

// verifyProvider is POST /api/v1/provider-configs/{id}/verify and /api/admin/provider-configs/{id}/verify.
func (a *API) verifyProvider(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if r.ContentLength != 0 {
		var none struct{}
		if err := a.decode(w, r, &none, nil); err != nil {
			return err
		}
	}
	v, err := a.cfg.Trial.Verify(r.Context(), ownerOf(caller), id)
	if err != nil {
		return err
	}
	out := verifyView{OK: v.OK, Checks: make([]checkView, len(v.Checks)), TookMs: v.Took.Milliseconds()}
	for i, c := range v.Checks {
		out.Checks[i] = checkView(c)
	}
	write(w, http.StatusOK, out)
	return nil
}

// testProvider is POST /api/v1/provider-configs/{id}/test and /api/admin/provider-configs/{id}/test.
func (a *API) testProvider(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		To strictjson.Opt[string] `json:"to"`
	}
	if err := a.decode(w, r, &body, map[string]string{"to": "invalid_to"}); err != nil {
		return err
	}
	t, err := a.cfg.Trial.Test(r.Context(), ownerOf(caller), id, body.To.Value)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, testView{OK: t.OK(), Class: t.Class.String(), Code: text(t.Code), Text: text(t.Text), Reference: text(t.Ref),
		MayHaveBeenSent: t.Class == provider.Ambiguous, TookMs: t.Took.Milliseconds()})
	return nil
}
