package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/strictjson"
)

// pathApp reads the app that the path names by id or slug.
func (a *API) pathApp(r *http.Request) (*comm.App, error) {
	return a.cfg.Registry.AppNamed(r.Context(), r.PathValue("app"))
}

// listApps is GET /api/admin/apps.
func (a *API) listApps(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	const list = "apps"
	q, err := readQuery(r, "search", "active", "limit", "cursor")
	if err != nil {
		return err
	}
	f := registry.AppFilter{Prefix: q["search"]}
	if f.Limit, err = q.pageSize(); err != nil {
		return err
	}
	if f.After, err = q.last(comm.ID{}, list); err != nil {
		return err
	}
	switch s, given := q["active"]; {
	case !given:
	case s == "true" || s == "false":
		f.Active = new(s == "true")
	default:
		return badQuery("active", "must be true or false")
	}
	apps, next, err := a.cfg.Registry.Apps(r.Context(), f)
	if err != nil {
		return err
	}
	out := listView[appView]{Data: make([]appView, len(apps))}
	for i := range apps {
		out.Data[i] = newApp(&apps[i], a.now())
	}
	if !next.IsZero() {
		out.NextCursor = text(q.cursor(comm.ID{}, list, next))
	}
	write(w, http.StatusOK, out)
	return nil
}

// appBody is what the administrator may say of an app, but for its name and slug.
type appBody struct {
	SandboxMode      strictjson.Opt[bool]        `json:"sandboxMode"`
	RatePerMinute    strictjson.Opt[int64]       `json:"ratePerMinute"`
	OnUnknownOutcome strictjson.Opt[string]      `json:"onUnknownOutcome"`
	WebhookURL       strictjson.Nullable[string] `json:"webhookUrl"` // null: no webhooks
	WebhookSecret    strictjson.Opt[string]      `json:"webhookSecret"`
	AllowedSenders   strictjson.Opt[[]string]    `json:"allowedSenders"`
	SMSPerDay        strictjson.Nullable[int64]  `json:"smsPerDay"` // null: no cap
	SMSPrefixes      strictjson.Opt[[]string]    `json:"smsPrefixes"`
	SMSByPrefix      strictjson.Opt[givenPerDay] `json:"smsPerDayByPrefix"`
}

// givenPerDay are numbers of segments by the beginning of the phone number; none may be null.
type givenPerDay map[string]strictjson.Opt[int64]

// numbers is nil when nothing was given.
func (g givenPerDay) numbers() map[string]int64 {
	if g == nil {
		return nil
	}
	out := make(map[string]int64, len(g))
	for prefix, n := range g {
		out[prefix] = n.Value
	}
	return out
}

// change is what the body asks for.
func (b *appBody) change() (c registry.AppChange, err error) {
	c = registry.AppChange{Sandbox: given(b.SandboxMode), Rate: given(b.RatePerMinute), WebhookURL: given(b.WebhookURL.Opt),
		WebhookSecret: given(b.WebhookSecret), AllowedFrom: given(b.AllowedSenders),
		SMSPerDay: limit(b.SMSPerDay), SMSPrefixes: given(b.SMSPrefixes), SMSByPrefix: b.SMSByPrefix.Value.numbers()}
	if b.SMSPerDay.Given && b.SMSPerDay.Value < 1 { // which would be read as no cap at all
		return c, comm.E("invalid_field").Field("smsPerDay", "must be 1 to 100000000 segments, or null for any number")
	}
	if b.WebhookURL.Null {
		c.WebhookURL = new(string)
	}
	c.OnUnknown, err = unknownPolicy(b.OnUnknownOutcome)
	return c, err
}

// unknownPolicy reads onUnknownOutcome; nil when it was absent.
func unknownPolicy(o strictjson.Opt[string]) (*comm.UnknownPolicy, error) {
	if !o.Given {
		return nil, nil
	}
	policy, ok := comm.ParseUnknownPolicy(o.Value)
	if !ok {
		return nil, comm.E("invalid_field").Field("onUnknownOutcome", "must be RETRY or FAIL")
	}
	return &policy, nil
}

// createApp is POST /api/admin/apps.
func (a *API) createApp(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		appBody
		Name   strictjson.Opt[string]   `json:"name"`
		Slug   strictjson.Opt[string]   `json:"slug"`
		Scopes strictjson.Opt[[]string] `json:"scopes"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	c, err := body.change()
	if err != nil {
		return err
	}
	made, err := a.cfg.Registry.CreateApp(r.Context(), registry.AppSpec{
		Name: body.Name.Value, Slug: body.Slug.Value, Sandbox: c.Sandbox, Rate: c.Rate, OnUnknown: c.OnUnknown, WebhookURL: c.WebhookURL,
		WebhookSecret: c.WebhookSecret, AllowedFrom: body.AllowedSenders.Value, SMSPerDay: c.SMSPerDay, SMSPrefixes: body.SMSPrefixes.Value,
		SMSByPrefix: c.SMSByPrefix, Scopes: body.Scopes.Value, HasScopes: body.Scopes.Given,
	})
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, struct {
		App           appView `json:"app"`
		APIKey        string  `json:"apiKey"`
		WebhookSecret string  `json:"webhookSecret,omitzero"` // only when it was generated just now
	}{newApp(made.App, a.now()), made.APIKey, made.WebhookSecret})
	return nil
}

// getAnyApp is GET /api/admin/apps/{app}.
func (a *API) getAnyApp(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	app, err := a.pathApp(r)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newApp(app, a.now()))
	return nil
}

// changeAnyApp is PATCH /api/admin/apps/{app}.
func (a *API) changeAnyApp(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	app, err := a.pathApp(r)
	if err != nil {
		return err
	}
	var body struct {
		appBody
		Name     strictjson.Opt[string] `json:"name"`
		IsActive strictjson.Opt[bool]   `json:"isActive"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	change, err := body.change()
	if err != nil {
		return err
	}
	change.Name, change.Active = given(body.Name), given(body.IsActive)
	return a.updateApp(w, r, app.ID, change)
}

// updateApp applies a change and answers the app after it.
func (a *API) updateApp(w http.ResponseWriter, r *http.Request, app comm.ID, change registry.AppChange) error {
	changed, err := a.cfg.Registry.UpdateApp(r.Context(), app, change)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, struct {
		appView
		WebhookSecret string        `json:"webhookSecret,omitzero"` // only when it was generated just now
		Warnings      []warningView `json:"warnings"`
	}{newApp(changed.App, a.now()), changed.WebhookSecret, warningViews(changed.Warnings)})
	return nil
}

// deleteApp is DELETE /api/admin/apps/{app}?confirm=<slug>.
func (a *API) deleteApp(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "confirm")
	if err != nil {
		return err
	}
	app, err := a.pathApp(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Registry.DeleteApp(r.Context(), app, q["confirm"]); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// keyView is an API key; the key itself is not known any more.
type keyView struct {
	ID          comm.ID  `json:"id"`
	Name        text     `json:"name"`
	Prefix      string   `json:"prefix"`
	LastFour    string   `json:"lastFour"`
	Scopes      []string `json:"scopes"`
	Provisioned bool     `json:"provisioned"`
	CreatedBy   text     `json:"createdBy"`
	CreatedAt   instant  `json:"createdAt"`
	ExpiresAt   instant  `json:"expiresAt"`
	RevokedAt   instant  `json:"revokedAt"`
	LastUsedAt  instant  `json:"lastUsedAt"`
}

func newKey(k *comm.Key) keyView {
	return keyView{
		ID: k.ID, Name: text(k.Name), Prefix: k.Prefix, LastFour: k.LastFour, Scopes: k.Scopes.Names(), Provisioned: k.Provisioned, CreatedBy: text(k.CreatedBy),
		CreatedAt: instant(k.CreatedAt), ExpiresAt: instant(k.ExpiresAt), RevokedAt: instant(k.RevokedAt), LastUsedAt: instant(k.LastUsedAt),
	}
}

// listKeys is GET /api/admin/apps/{app}/keys.
func (a *API) listKeys(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	const list = "keys"
	q, err := readQuery(r, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.pageSize()
	if err != nil {
		return err
	}
	app, err := a.pathApp(r)
	if err != nil {
		return err
	}
	after, err := q.last(app.ID, list)
	if err != nil {
		return err
	}
	keys, err := a.cfg.Registry.KeyList(r.Context(), app.ID, after, limit+1)
	if err != nil {
		return err
	}
	out := listView[keyView]{Data: []keyView{}}
	for i := range keys[:min(limit, len(keys))] {
		out.Data = append(out.Data, newKey(&keys[i]))
	}
	if len(keys) > limit {
		out.NextCursor = text(q.cursor(app.ID, list, keys[limit-1].ID))
	}
	write(w, http.StatusOK, out)
	return nil
}

// issuedView is a new key with its text, which is shown this once.
type issuedView struct {
	keyView
	APIKey string `json:"apiKey"`
}

// createKey is POST /api/admin/apps/{app}/keys.
func (a *API) createKey(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	app, err := a.pathApp(r)
	if err != nil {
		return err
	}
	var body struct {
		Name      strictjson.Opt[string]   `json:"name"`
		Scopes    strictjson.Opt[[]string] `json:"scopes"`
		ExpiresAt strictjson.Opt[string]   `json:"expiresAt"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	spec := registry.KeySpec{Name: body.Name.Value, Scopes: body.Scopes.Value, HasScopes: body.Scopes.Given}
	if body.ExpiresAt.Given {
		at, _, why := intake.ParseTime(body.ExpiresAt.Value)
		if why != "" {
			return comm.E("invalid_field").Field("expiresAt", why)
		}
		spec.ExpiresAt = max(at, 1) // 0 would be "never"
	}
	issued, err := a.cfg.Registry.CreateKey(r.Context(), app, spec)
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, issuedView{newKey(issued.Key), issued.Text})
	return nil
}

// rotateKey is POST /api/admin/apps/{app}/keys/{id}/rotate.
func (a *API) rotateKey(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	app, id, err := a.pathKey(r)
	if err != nil {
		return err
	}
	var body struct {
		OverlapSeconds strictjson.Opt[int64] `json:"overlapSeconds"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	issued, err := a.cfg.Registry.RotateKey(r.Context(), app, id, body.OverlapSeconds.Value)
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, issuedView{newKey(issued.Key), issued.Text})
	return nil
}

// revokeKey is DELETE /api/admin/apps/{app}/keys/{id}.
func (a *API) revokeKey(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	app, id, err := a.pathKey(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Registry.RevokeKey(r.Context(), app.ID, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pathKey reads the app and the id of one of its keys.
func (a *API) pathKey(r *http.Request) (*comm.App, comm.ID, error) {
	id, err := pathID(r)
	if err != nil {
		return nil, id, err
	}
	app, err := a.pathApp(r)
	return app, id, err
}
