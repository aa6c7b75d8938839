package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/strictjson"
)

// appView is an app as it sees itself.
type appView struct {
	ID               comm.ID          `json:"id"`
	Slug             string           `json:"slug"`
	Name             string           `json:"name"`
	SandboxMode      bool             `json:"sandboxMode"`
	IsActive         bool             `json:"isActive"`
	QueueState       string           `json:"queueState"`
	RatePerMinute    int              `json:"ratePerMinute"`
	OnUnknownOutcome string           `json:"onUnknownOutcome"`
	WebhookURL       text             `json:"webhookUrl"`
	AllowedSenders   []string         `json:"allowedSenders"`
	SMSPerDay        number           `json:"smsPerDay"`
	SMSPrefixes      []string         `json:"smsPrefixes"`
	SMSByPrefix      map[string]int64 `json:"smsPerDayByPrefix"`
	SMSToday         *int64           `json:"smsToday"`
	TodayByPrefix    map[string]int64 `json:"smsTodayByPrefix"`
	SMSAlarmAt       instant          `json:"smsAlarmAt"`
	CreatedAt        instant          `json:"createdAt"`
	UpdatedAt        instant          `json:"updatedAt"`
}

func newApp(app *comm.App, now comm.Micros) appView {
	view := appView{
		ID: app.ID, Slug: app.Slug, Name: app.Name, SandboxMode: app.Sandbox, IsActive: app.Active, QueueState: app.QueueState(), RatePerMinute: app.RatePerMinute,
		OnUnknownOutcome: app.OnUnknown.String(), WebhookURL: text(app.WebhookURL), AllowedSenders: app.AllowedFrom,
		SMSPerDay: number(app.SMSPerDay), SMSPrefixes: app.SMSPrefixes, SMSByPrefix: map[string]int64{}, TodayByPrefix: map[string]int64{}, SMSAlarmAt: instant(app.SMSDays.LastAlarm()),
		CreatedAt: instant(app.CreatedAt), UpdatedAt: instant(app.UpdatedAt),
	}
	if app.SMSPerDay > 0 {
		view.SMSToday = new(app.SMSDays.Today("", now))
	}
	for _, c := range app.SMSPrefixCaps {
		view.SMSByPrefix[c.Prefix] = int64(c.PerDay)
		view.TodayByPrefix[c.Prefix] = app.SMSDays.Today(c.Prefix, now)
	}
	return view
}

// warningView is a warning in an answer.
type warningView struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func warningViews(list []comm.Warning) []warningView {
	out := make([]warningView, len(list))
	for i, w := range list {
		out[i] = warningView{w.Code, w.Text}
	}
	return out
}

// getApp is GET /api/v1/app. It reads the app afresh, so that it shows what was just changed on another node.
func (a *API) getApp(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	app, err := a.cfg.Registry.App(r.Context(), caller.App.ID)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newApp(app, a.now()))
	return nil
}

// changeApp is PATCH /api/v1/app.
func (a *API) changeApp(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	var body struct {
		SandboxMode      strictjson.Opt[bool]        `json:"sandboxMode"`
		OnUnknownOutcome strictjson.Opt[string]      `json:"onUnknownOutcome"`
		WebhookURL       strictjson.Nullable[string] `json:"webhookUrl"` // null: no webhooks
		RatePerMinute    strictjson.Nullable[int64]  `json:"ratePerMinute"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	change := registry.AppChange{Sandbox: given(body.SandboxMode), WebhookURL: given(body.WebhookURL.Opt)}
	if body.WebhookURL.Null {
		change.WebhookURL = new(string)
	}
	if body.RatePerMinute.Given || body.RatePerMinute.Null {
		return comm.E("invalid_field").Field("ratePerMinute", "is read only; ask the administrator, or provision with updateExisting")
	}
	var err error
	if change.OnUnknown, err = unknownPolicy(body.OnUnknownOutcome); err != nil {
		return err
	}
	return a.updateApp(w, r, caller.App.ID, change)
}

// provision is POST /api/provision/apps.
func (a *API) provision(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		Name                 strictjson.Opt[string]   `json:"name"`
		Slug                 strictjson.Opt[string]   `json:"slug"`
		RatePerMinute        strictjson.Opt[int64]    `json:"ratePerMinute"`
		Scopes               strictjson.Opt[[]string] `json:"scopes"`
		WebhookURL           strictjson.Opt[string]   `json:"webhookUrl"`
		WebhookSecret        strictjson.Opt[string]   `json:"webhookSecret"`
		RotateKey            strictjson.Opt[bool]     `json:"rotateKey"`
		UpdateExisting       strictjson.Opt[bool]     `json:"updateExisting"`
		RotateOverlapSeconds strictjson.Opt[int64]    `json:"rotateOverlapSeconds"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	got, err := a.cfg.Registry.Provision(r.Context(), registry.Provision{
		Name: body.Name.Value, Slug: body.Slug.Value, Rate: given(body.RatePerMinute), Scopes: body.Scopes.Value, HasScopes: body.Scopes.Given,
		WebhookURL: given(body.WebhookURL), WebhookSecret: given(body.WebhookSecret), RotateKey: body.RotateKey.Value,
		UpdateExisting: body.UpdateExisting.Value, OverlapSeconds: body.RotateOverlapSeconds.Value,
	})
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if got.AlreadyRegistered {
		status = http.StatusOK
	}
	write(w, status, struct {
		App               appView `json:"app"`
		APIKey            text    `json:"apiKey"`
		AlreadyRegistered bool    `json:"alreadyRegistered"`
		WebhookSecret     string  `json:"webhookSecret,omitzero"` // only when it was generated just now
	}{newApp(got.App, a.now()), text(got.APIKey), got.AlreadyRegistered, got.WebhookSecret})
	return nil
}

// given is the member's value, nil when it was absent.
func given[T any](o strictjson.Opt[T]) *T {
	if !o.Given {
		return nil
	}
	return &o.Value
}
