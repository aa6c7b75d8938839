package client

import (
	"context"
	"net/http"
	"time"
)

// App is the app's settings.
type App struct {
	ID               string   `json:"id"`
	Slug             string   `json:"slug"`
	Name             string   `json:"name"`
	SandboxMode      bool     `json:"sandboxMode"`
	IsActive         bool     `json:"isActive"`
	QueueState       string   `json:"queueState"` // RUNNING, PAUSED, DRAINING
	RatePerMinute    int      `json:"ratePerMinute"`
	OnUnknownOutcome string   `json:"onUnknownOutcome"`
	WebhookURL       string   `json:"webhookUrl"`
	AllowedSenders   []string `json:"allowedSenders"`
	// SMSPerDay is how many segments of SMS may be accepted in a UTC day while live; 0: any number.
	SMSPerDay   int      `json:"smsPerDay"`
	SMSPrefixes []string `json:"smsPrefixes"` // beginnings of allowed numbers; empty: any
	// SMSPerDayByPrefix is the same for numbers that begin so; 0: none may go there.
	SMSPerDayByPrefix map[string]int `json:"smsPerDayByPrefix"`
	SMSToday          int            `json:"smsToday"`
	SMSTodayByPrefix  map[string]int `json:"smsTodayByPrefix"`
	SMSAlarmAt        *time.Time     `json:"smsAlarmAt"` // when a day's SMS last passed five times the usual number, in all or under a prefix
	CreatedAt         time.Time      `json:"createdAt"`
	UpdatedAt         time.Time      `json:"updatedAt"`
	// WebhookSecret and Warnings come with UpdateApp only; the secret once, when it was generated.
	WebhookSecret string    `json:"webhookSecret"`
	Warnings      []Warning `json:"warnings"`
}

// AppChange changes what is not nil: client.AppChange{SandboxMode: new(false)}.
type AppChange struct {
	SandboxMode      *bool   `json:"sandboxMode,omitempty"`
	OnUnknownOutcome *string `json:"onUnknownOutcome,omitempty"` // RETRY or FAIL
	WebhookURL       *string `json:"webhookUrl,omitempty"`
}

// App reads the app's settings.
func (c *Client) App(ctx context.Context) (*App, error) {
	out := &App{}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/app", safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// UpdateApp changes the app's settings.
func (c *Client) UpdateApp(ctx context.Context, change AppChange) (*App, error) {
	out := &App{}
	safe := change.WebhookURL == nil // a repeat would lose the secret that was shown once
	if _, err := c.do(ctx, call{method: http.MethodPatch, path: "/api/v1/app", body: change, safe: safe}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Provider is a provider configuration; secrets in Config are masked.
type Provider struct {
	ID           string         `json:"id"`
	ProviderType string         `json:"providerType"`
	Channel      string         `json:"channel"`
	Name         string         `json:"name"`
	Priority     int            `json:"priority"`
	IsActive     bool           `json:"isActive"`
	Config       map[string]any `json:"config"`
	CallbackURL  string         `json:"callbackUrl"`
	// PreviousCallbackEndsAt is until when URLs from before a RotateCallback are taken too, the end of the last one; nil: none is.
	PreviousCallbackEndsAt *time.Time `json:"previousCallbackEndsAt"`
	RatePerSecond          int        `json:"ratePerSecond"`
	RatePerDay             int        `json:"ratePerDay"`
	MaxConcurrency         int        `json:"maxConcurrency"`
	Pinned                 bool       `json:"pinned"`
	CreatedAt              time.Time  `json:"createdAt"`
	UpdatedAt              time.Time  `json:"updatedAt"`
	Warnings               []Warning  `json:"warnings"` // such as provider_down
	// Health is whether it works now; nil in the answer to a change.
	Health *ProviderHealth `json:"health"`
}

// ProviderHealth is whether a provider configuration works, as the nodes say that send with it, a few seconds late.
type ProviderHealth struct {
	ProviderSaid
	// ThrottledUntil is until when nodes make no call that the provider asked for a slower pace; nil: it asked none.
	ThrottledUntil *time.Time `json:"throttledUntil"`
	// Lately is how the calls of the last minute went; nil where none failed and ThrottledUntil is nil.
	Lately  *ProviderCalls    `json:"lately"`
	Carried []ProviderCarrier `json:"carried"` // what others of the chain took since then
	Nodes   []ProviderNode    `json:"nodes"`   // for which it is out of order
	// Outages are the last ones, the newest first; nil in a list.
	Outages []ProviderOutage `json:"outages"`
}

// ProviderCalls counts calls of a provider, at the nodes of which any failed or which it asked to wait.
type ProviderCalls struct {
	Calls  int64 `json:"calls"`
	Failed int64 `json:"failed"` // through the provider's fault
}

// ProviderNode is what one node says of a provider configuration.
type ProviderNode struct {
	Node string `json:"node"` // "": it is gone, or not for who asks to know
	ProviderSaid
}

// ProviderSaid is what nodes say of a provider configuration.
type ProviderSaid struct {
	State     string     `json:"state"` // WORKS, FAILING, TRYING, DOWN, UNUSABLE or OFF
	Since     *time.Time `json:"since"`
	Reason    string     `json:"reason"`    // such as provider_down
	Code      string     `json:"code"`      // of the last answer
	Answer    string     `json:"answer"`    // in words, redacted
	NextTryAt *time.Time `json:"nextTryAt"` // nil: the next message is a try, unless the state is UNUSABLE or OFF
}

// ProviderCarrier is a configuration that took messages while another one did not work.
type ProviderCarrier struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Messages int64  `json:"messages"` // at least
}

// ProviderOutage is a time in which a provider configuration did not work.
type ProviderOutage struct {
	Since   time.Time         `json:"since"`
	EndedAt *time.Time        `json:"endedAt"` // nil while it lasts
	Reason  string            `json:"reason"`
	Code    string            `json:"code"`
	Answer  string            `json:"answer"`
	Carried []ProviderCarrier `json:"carried"`
}

// ProviderChange makes or changes a provider configuration. What is nil is left
// as it is, or takes its default in a new one; a nil value in Config removes that field.
type ProviderChange struct {
	ProviderType   string         `json:"providerType,omitempty"` // new ones only
	Name           *string        `json:"name,omitempty"`
	Priority       *int           `json:"priority,omitempty"`
	IsActive       *bool          `json:"isActive,omitempty"`
	Config         map[string]any `json:"config,omitempty"`
	RatePerSecond  *int           `json:"ratePerSecond,omitempty"`
	RatePerDay     *int           `json:"ratePerDay,omitempty"`
	MaxConcurrency *int           `json:"maxConcurrency,omitempty"`
	Pinned         *bool          `json:"pinned,omitempty"`
}

const providers = "/api/v1/provider-configs"

// Providers lists the app's provider configurations in failover order.
func (c *Client) Providers(ctx context.Context) ([]Provider, error) {
	var out page[Provider]
	if _, err := c.do(ctx, call{method: http.MethodGet, path: providers, safe: true}, &out); err != nil {
		return nil, err
	}
	return out.Data, nil
}

// Provider reads one provider configuration.
func (c *Client) Provider(ctx context.Context, id string) (*Provider, error) {
	return c.provider(ctx, call{method: http.MethodGet, path: providers + "/" + escape(id), safe: true})
}

// CreateProvider adds a provider configuration. It is not repeated by itself: a
// lost answer may stand for one that was added.
func (c *Client) CreateProvider(ctx context.Context, p ProviderChange) (*Provider, error) {
	return c.provider(ctx, call{method: http.MethodPost, path: providers, body: p})
}

// UpdateProvider changes a provider configuration; secrets that are not given stay.
func (c *Client) UpdateProvider(ctx context.Context, id string, change ProviderChange) (*Provider, error) {
	return c.provider(ctx, call{method: http.MethodPatch, path: providers + "/" + escape(id), body: change, safe: true})
}

// RotateCallback gives a provider configuration another callback URL; reports to the one before are taken until the overlap, in whole
// seconds and up to seven days, is over, those before it until their own ends; without an overlap all end at once. Enter the new one with the provider where it is registered there. It is not repeated by itself.
func (c *Client) RotateCallback(ctx context.Context, id string, overlap time.Duration) (*Provider, error) {
	return c.provider(ctx, rotateCallback(providers, id, overlap))
}

func rotateCallback(path, id string, overlap time.Duration) call {
	return call{method: http.MethodPost, path: path + "/" + escape(id) + "/rotate-callback", body: map[string]int64{"overlapSeconds": int64(overlap / time.Second)}}
}

// DeleteProvider removes a provider configuration.
func (c *Client) DeleteProvider(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: providers + "/" + escape(id)}, nil)
	return err
}

func (c *Client) provider(ctx context.Context, call call) (*Provider, error) {
	out := &Provider{}
	if _, err := c.do(ctx, call, out); err != nil {
		return nil, err
	}
	return out, nil
}

// NewApp asks for an app to exist.
type NewApp struct {
	Name                 string   `json:"name"`
	Slug                 string   `json:"slug"`
	RatePerMinute        int      `json:"ratePerMinute,omitempty"`
	Scopes               []string `json:"scopes,omitempty"`
	WebhookURL           string   `json:"webhookUrl,omitempty"`
	WebhookSecret        string   `json:"webhookSecret,omitempty"`
	RotateKey            bool     `json:"rotateKey,omitempty"`
	UpdateExisting       bool     `json:"updateExisting,omitempty"`
	RotateOverlapSeconds int      `json:"rotateOverlapSeconds,omitempty"`
}

// Provisioned answers Provision. APIKey is shown once; it is empty when none was issued.
type Provisioned struct {
	App               App    `json:"app"`
	APIKey            string `json:"apiKey"`
	AlreadyRegistered bool   `json:"alreadyRegistered"`
	WebhookSecret     string `json:"webhookSecret"`
}

// Provision makes an app, or finds it. Options.ProvisioningKey is needed. It is
// not repeated by itself: a lost answer may have held the key.
func (c *Client) Provision(ctx context.Context, app NewApp) (*Provisioned, error) {
	out := &Provisioned{}
	if _, err := c.do(ctx, call{method: http.MethodPost, path: "/api/provision/apps", body: app, provisioning: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}
