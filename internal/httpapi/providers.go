package httpapi

import (
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/strictjson"
)

// providerView is a provider configuration; secrets are masked.
type providerView struct {
	ID             comm.ID        `json:"id"`
	ProviderType   string         `json:"providerType"`
	Channel        string         `json:"channel"`
	Name           string         `json:"name"`
	Priority       int            `json:"priority"`
	IsActive       bool           `json:"isActive"`
	Config         map[string]any `json:"config"`
	CallbackURL    text           `json:"callbackUrl"`            // null: this type of provider reports nothing later
	PreviousEndsAt instant        `json:"previousCallbackEndsAt"` // null: no other URL is taken
	RatePerSecond  number         `json:"ratePerSecond"`
	RatePerDay     number         `json:"ratePerDay"`
	MaxConcurrency number         `json:"maxConcurrency"`
	Pinned         bool           `json:"pinned"`
	CreatedAt      instant        `json:"createdAt"`
	UpdatedAt      instant        `json:"updatedAt"`
	Warnings       []warningView  `json:"warnings,omitempty"`
	Health         *healthView    `json:"health,omitempty"`
}

func newProvider(p *registry.Provider) providerView {
	return providerView{
		ID: p.ID, ProviderType: p.Type, Channel: p.Channel.String(), Name: p.Name, Priority: p.Priority, IsActive: p.Active, Config: p.Fields,
		RatePerSecond: number(p.Limits.RatePerSecond), RatePerDay: number(p.Limits.RatePerDay), MaxConcurrency: number(p.Limits.MaxConcurrent),
		Pinned: p.Limits.Pinned, CreatedAt: instant(p.CreatedAt), UpdatedAt: instant(p.UpdatedAt), CallbackURL: text(p.CallbackURL), PreviousEndsAt: instant(p.PreviousCallbackEndsAt),
		Warnings: warningViews(p.Warnings),
	}
}

// readableProvider is with its health, and leaves the callback URL out for who may not change the configuration: whoever knows it can report.
func readableProvider(r *http.Request, caller *auth.Caller, p *registry.Provider) providerView {
	v := newProvider(p)
	v.Health = healthOf(p, seesNodes(r, caller))
	if s := sessionOf(r); s != nil && s.Require(comm.Operator) != nil {
		v.CallbackURL = ""
	}
	return v
}

// providerBody is what POST and PATCH take.
type providerBody struct {
	ProviderType   strictjson.Opt[string]     `json:"providerType"`
	Name           strictjson.Opt[string]     `json:"name"`
	Priority       strictjson.Opt[int64]      `json:"priority"`
	IsActive       strictjson.Opt[bool]       `json:"isActive"`
	Config         strictjson.Opt[configBody] `json:"config"`
	RatePerSecond  strictjson.Nullable[int64] `json:"ratePerSecond"`
	RatePerDay     strictjson.Nullable[int64] `json:"ratePerDay"`
	MaxConcurrency strictjson.Nullable[int64] `json:"maxConcurrency"`
	Pinned         strictjson.Opt[bool]       `json:"pinned"`
}

// maxConfigMembers is several times what any type of provider has fields.
const maxConfigMembers = 100

// configBody is the member config: its number of members is bounded before they are kept.
type configBody map[string]any

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (c *configBody) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return comm.E("invalid_config").Field("config", "must be an object")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	*c = configBody{}
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if len(*c) == maxConfigMembers {
			return comm.E("invalid_config").Field("config", fmt.Sprintf("has more than %d members", maxConfigMembers))
		}
		member := name.String() // the token's memory is used again
		var value any
		if err := json.UnmarshalDecode(d, &value); err != nil {
			return err
		}
		(*c)[member] = value
	}
	_, err := d.ReadToken()
	return err
}

func (a *API) readProvider(w http.ResponseWriter, r *http.Request) (c registry.ProviderChange, err error) {
	var b providerBody
	codes := map[string]string{}
	for _, name := range []string{"providerType", "name", "priority", "isActive", "config", "ratePerSecond", "ratePerDay", "maxConcurrency", "pinned"} {
		codes[name] = "invalid_config"
	}
	if err := a.decode(w, r, &b, codes); err != nil {
		return c, err
	}
	c = registry.ProviderChange{
		Type: given(b.ProviderType), Name: given(b.Name), Priority: given(b.Priority), Active: given(b.IsActive), Config: b.Config.Value,
		PerSecond: limit(b.RatePerSecond), PerDay: limit(b.RatePerDay), MaxConcurrency: limit(b.MaxConcurrency), Pinned: given(b.Pinned),
	}
	return c, nil
}

// limit reads null as "no limit", which is stored as zero.
func limit(o strictjson.Nullable[int64]) *int64 {
	if o.Null {
		return new(int64)
	}
	return given(o.Opt)
}

// ownerOf is whose configurations a request is about: the app's, or with the zero
// id those of the server-level chain, which the administrator's own routes name.
func ownerOf(caller *auth.Caller) (app comm.ID) {
	if caller != nil {
		app = caller.App.ID
	}
	return app
}

// createProvider is POST /api/v1/provider-configs and /api/admin/provider-configs.
func (a *API) createProvider(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	change, err := a.readProvider(w, r)
	if err != nil {
		return err
	}
	p, err := a.cfg.Registry.CreateProvider(r.Context(), ownerOf(caller), change)
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, newProvider(&p))
	return nil
}

// listProviders is GET /api/v1/provider-configs and /api/admin/provider-configs: all of them (at most 100), in the order of the chain.
func (a *API) listProviders(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	list, err := a.cfg.Registry.ProviderList(r.Context(), ownerOf(caller))
	if err != nil {
		return err
	}
	out := listView[providerView]{Data: make([]providerView, len(list))}
	for i := range list {
		out.Data[i] = readableProvider(r, caller, &list[i])
	}
	write(w, http.StatusOK, out)
	return nil
}

// getProvider is GET /api/v1/provider-configs/{id} and /api/admin/provider-configs/{id}.
func (a *API) getProvider(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	p, err := a.cfg.Registry.ProviderByID(r.Context(), ownerOf(caller), id)
	if err != nil {
		return err
	}
	v := readableProvider(r, caller, &p)
	if v.Health != nil {
		outages, err := a.cfg.Alerts.OutagesOf(r.Context(), id)
		if err != nil { // the configuration is worth more than its history
			a.cfg.Log.Warn("a provider configuration is shown without its outages", "config", id, "err", err)
		}
		v.Health.look(outages)
	}
	write(w, http.StatusOK, v)
	return nil
}

// changeProvider is PATCH /api/v1/provider-configs/{id} and /api/admin/provider-configs/{id}.
func (a *API) changeProvider(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	change, err := a.readProvider(w, r)
	if err != nil {
		return err
	}
	p, err := a.cfg.Registry.UpdateProvider(r.Context(), ownerOf(caller), id, change)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newProvider(&p))
	return nil
}

// rotateCallback is POST /api/v1/provider-configs/{id}/rotate-callback and /api/admin/provider-configs/{id}/rotate-callback.
func (a *API) rotateCallback(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		OverlapSeconds strictjson.Opt[int64] `json:"overlapSeconds"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	p, err := a.cfg.Registry.RotateCallback(r.Context(), ownerOf(caller), id, body.OverlapSeconds.Value)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newProvider(&p))
	return nil
}

// deleteProvider is DELETE /api/v1/provider-configs/{id} and /api/admin/provider-configs/{id}.
func (a *API) deleteProvider(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Registry.DeleteProvider(r.Context(), ownerOf(caller), id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
