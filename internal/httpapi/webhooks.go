package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/strictjson"
	"github.com/commserver/commserver/internal/webhook"
)

// endpointView is a webhook endpoint. An empty filter chooses all.
type endpointView struct {
	ID                   comm.ID  `json:"id"`
	Name                 string   `json:"name"`
	URL                  string   `json:"url"`
	Statuses             []string `json:"statuses"`
	Channels             []string `json:"channels"`
	Tags                 []string `json:"tags"`
	IsActive             bool     `json:"isActive"`
	DisabledReason       text     `json:"disabledReason"` // a word of comm.EndpointEnds, or comm.EndpointUnreadable; null: the server did not switch it off
	DisabledAt           instant  `json:"disabledAt"`
	Failing              *failing `json:"failing"`              // null: its calls do not fail, or it is off
	PreviousSecretEndsAt instant  `json:"previousSecretEndsAt"` // null: one secret signs
	CreatedAt            instant  `json:"createdAt"`
	UpdatedAt            instant  `json:"updatedAt"`
	Secret               string   `json:"secret,omitzero"` // only when it was generated just now
}

// failing is since when an endpoint's calls fail, and what waits for it.
type failing struct {
	Since         instant `json:"since"`
	Waiting       int     `json:"waiting"`
	AtLeast       bool    `json:"atLeast"` // more may wait
	Attempts      int     `json:"attempts"`
	NextAttemptAt instant `json:"nextAttemptAt"`
}

// answerEndpoint answers one endpoint, with how its calls go. What was done to it is done, so that a secret is not lost with that.
func (a *API) answerEndpoint(w http.ResponseWriter, r *http.Request, e *comm.Endpoint, secret string) error {
	ill, err := a.cfg.Deliveries.Failing(r.Context(), e.App)
	if err != nil && secret == "" {
		return err
	}
	write(w, http.StatusOK, a.newEndpoint(e, secret, ill))
	return nil
}

func (a *API) newEndpoint(e *comm.Endpoint, secret string, ill map[comm.ID]webhook.Failing) endpointView {
	v := endpointView{
		ID: e.ID, Name: e.Name, URL: e.URL, Statuses: words(e.Events), Channels: words(e.Channels), Tags: e.Tags, IsActive: e.Active,
		DisabledReason: text(e.Disabled), DisabledAt: instant(e.DisabledAt), CreatedAt: instant(e.CreatedAt), UpdatedAt: instant(e.UpdatedAt), Secret: secret,
	}
	if e.Unreadable != "" {
		v.IsActive, v.DisabledReason, v.DisabledAt = false, comm.EndpointUnreadable, instant(0)
	}
	v.PreviousSecretEndsAt = instant(comm.LastEnd(e.Replaced, a.now()))
	if f, fails := ill[e.ID]; fails && v.IsActive {
		v.Failing = &failing{instant(f.Since), f.Waiting, f.Waiting >= webhook.WaitingCounted, f.Attempts, instant(f.Next)}
	}
	return v
}

// words is a list as it is shown.
func words[T interface{ String() string }](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

// listEndpoints is GET /api/v1/webhooks: all of them (at most 20), by name.
func (a *API) listEndpoints(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	list, err := a.cfg.Registry.Endpoints(r.Context(), caller.App.ID)
	if err != nil {
		return err
	}
	ill, err := a.cfg.Deliveries.Failing(r.Context(), caller.App.ID)
	if err != nil {
		return err
	}
	out := listView[endpointView]{Data: make([]endpointView, len(list))}
	for i := range list {
		out.Data[i] = a.newEndpoint(&list[i], "", ill)
	}
	write(w, http.StatusOK, out)
	return nil
}

// createEndpoint is POST /api/v1/webhooks.
func (a *API) createEndpoint(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	var body struct {
		Name     strictjson.Opt[string]   `json:"name"`
		URL      strictjson.Opt[string]   `json:"url"`
		Secret   strictjson.Opt[string]   `json:"secret"`
		Statuses strictjson.Opt[[]string] `json:"statuses"`
		Channels strictjson.Opt[[]string] `json:"channels"`
		Tags     strictjson.Opt[[]string] `json:"tags"`
		IsActive strictjson.Opt[bool]     `json:"isActive"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	made, err := a.cfg.Registry.CreateEndpoint(r.Context(), caller.App.ID, registry.EndpointChange{
		Name: given(body.Name), URL: given(body.URL), Secret: given(body.Secret), Active: given(body.IsActive),
		Statuses: given(body.Statuses), Channels: given(body.Channels), Tags: given(body.Tags),
	})
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, a.newEndpoint(&made.Endpoint, made.NewSecret, nil))
	return nil
}

// getEndpoint is GET /api/v1/webhooks/{id}.
func (a *API) getEndpoint(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	e, err := a.cfg.Registry.Endpoint(r.Context(), caller.App.ID, id)
	if err != nil {
		return err
	}
	return a.answerEndpoint(w, r, e, "")
}

// changeEndpoint is PATCH /api/v1/webhooks/{id}.
func (a *API) changeEndpoint(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		Name     strictjson.Opt[string]   `json:"name"`
		URL      strictjson.Opt[string]   `json:"url"`
		Statuses strictjson.Opt[[]string] `json:"statuses"`
		Channels strictjson.Opt[[]string] `json:"channels"`
		Tags     strictjson.Opt[[]string] `json:"tags"`
		IsActive strictjson.Opt[bool]     `json:"isActive"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	e, err := a.cfg.Registry.UpdateEndpoint(r.Context(), caller.App.ID, id, registry.EndpointChange{
		Name: given(body.Name), URL: given(body.URL), Active: given(body.IsActive),
		Statuses: given(body.Statuses), Channels: given(body.Channels), Tags: given(body.Tags),
	})
	if err != nil {
		return err
	}
	return a.answerEndpoint(w, r, e, "")
}

// deleteEndpoint is DELETE /api/v1/webhooks/{id}.
func (a *API) deleteEndpoint(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Registry.DeleteEndpoint(r.Context(), caller.App.ID, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// rotateSecret is POST /api/v1/webhooks/{id}/rotate-secret.
func (a *API) rotateSecret(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		OverlapSeconds strictjson.Opt[int64]  `json:"overlapSeconds"`
		Secret         strictjson.Opt[string] `json:"secret"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	e, err := a.cfg.Registry.RotateSecret(r.Context(), caller.App.ID, id, body.OverlapSeconds.Value, given(body.Secret))
	if err != nil {
		return err
	}
	return a.answerEndpoint(w, r, &e.Endpoint, e.NewSecret)
}
