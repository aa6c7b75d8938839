package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"time"
)

// Endpoint is a webhook endpoint. An empty filter chooses all. The one named default is the app's webhookUrl.
type Endpoint struct {
	ID                   string     `json:"id"`
	Name                 string     `json:"name"`
	URL                  string     `json:"url"`
	Statuses             []string   `json:"statuses"`
	Channels             []string   `json:"channels"`
	Tags                 []string   `json:"tags"`
	IsActive             bool       `json:"isActive"`
	DisabledReason       string     `json:"disabledReason"` // gone or failed: why the server switched it off; unreadable: this version cannot read it; "": neither
	DisabledAt           *time.Time `json:"disabledAt"`
	Failing              *Failing   `json:"failing"`              // nil: its calls do not fail, or it is off
	PreviousSecretEndsAt *time.Time `json:"previousSecretEndsAt"` // of the last one that was replaced; nil: one secret signs
	CreatedAt            time.Time  `json:"createdAt"`
	UpdatedAt            time.Time  `json:"updatedAt"`
	Secret               string     `json:"secret"` // only in the answer of the call that generated it
}

// Failing is since when every call of an endpoint fails, and what waits for it.
type Failing struct {
	Since         time.Time  `json:"since"`
	Waiting       int        `json:"waiting"`       // events
	AtLeast       bool       `json:"atLeast"`       // more may wait
	Attempts      int        `json:"attempts"`      // calls for those that were counted
	NextAttemptAt *time.Time `json:"nextAttemptAt"` // when the first is tried next: due, and not while the endpoint is left alone; nil: nothing waits
}

// EndpointChange makes or changes an endpoint. What is nil or empty is left as it is, or takes its default in
// a new one; a pointer to an empty list takes the filter away.
type EndpointChange struct {
	Name     string    `json:"name,omitempty"`
	URL      string    `json:"url,omitempty"`
	Secret   string    `json:"secret,omitempty"` // of a new one alone; RotateSecret changes it
	Statuses *[]string `json:"statuses,omitempty"`
	Channels *[]string `json:"channels,omitempty"`
	Tags     *[]string `json:"tags,omitempty"`
	IsActive *bool     `json:"isActive,omitempty"` // true also switches on what the server switched off
}

// Delivery is an event on its way to an endpoint. Lists hold neither its body nor its attempts.
type Delivery struct {
	ID            string     `json:"id"`
	EventID       string     `json:"eventId"`
	MessageID     string     `json:"messageId"`
	Status        string     `json:"status"` // that the message came to; "" for a test
	State         string     `json:"state"`  // waiting, delivered, failed
	Attempts      int        `json:"attempts"`
	NextAttemptAt *time.Time `json:"nextAttemptAt"` // due, and not while the endpoint is left alone; nil: it is not tried any more
	CreatedAt     time.Time  `json:"createdAt"`
	EndedAt       *time.Time `json:"endedAt"`
	LastAttempt   *Post      `json:"lastAttempt"` // nil: none yet
	// Body is what is posted: the same bytes at every attempt.
	Body       json.RawMessage `json:"body"`
	AttemptLog []Post          `json:"attemptLog"`
}

// Post is one call of an endpoint.
type Post struct {
	Attempt int       `json:"attempt"`
	At      time.Time `json:"at"`
	TookMs  int64     `json:"tookMs"`
	Status  int       `json:"status"` // 0: there was no answer
	Fault   string    `json:"fault"`  // why not
	Answer  string    `json:"answer"` // the answer's beginning; for the administrator alone
}

// DeliveryFilter narrows a list of deliveries; empty members do not.
type DeliveryFilter struct {
	State                       string // waiting, delivered, failed
	MessageID                   string
	CreatedAfter, CreatedBefore time.Time
	PageSize                    int // 0: the server's default of 20; at most 100
}

const webhooks = "/api/v1/webhooks"

func webhook(id string) string { return webhooks + "/" + escape(id) }

// Endpoints lists the app's webhook endpoints by name.
func (c *Client) Endpoints(ctx context.Context) ([]Endpoint, error) {
	var out page[Endpoint]
	if _, err := c.do(ctx, call{method: http.MethodGet, path: webhooks, safe: true}, &out); err != nil {
		return nil, err
	}
	return out.Data, nil
}

// Endpoint reads one webhook endpoint.
func (c *Client) Endpoint(ctx context.Context, id string) (*Endpoint, error) {
	return answered[Endpoint](ctx, c, call{method: http.MethodGet, path: webhook(id), safe: true})
}

// CreateEndpoint adds an endpoint; Name and URL are needed. A secret that is not given is generated and answered
// this once, so the call is not repeated by itself.
func (c *Client) CreateEndpoint(ctx context.Context, e EndpointChange) (*Endpoint, error) {
	return answered[Endpoint](ctx, c, call{method: http.MethodPost, path: webhooks, body: e})
}

// UpdateEndpoint changes an endpoint.
func (c *Client) UpdateEndpoint(ctx context.Context, id string, change EndpointChange) (*Endpoint, error) {
	return answered[Endpoint](ctx, c, call{method: http.MethodPatch, path: webhook(id), body: change, safe: true})
}

// DeleteEndpoint removes an endpoint, its secret and what waits for it; an *Error with the code not_found when it is not there.
func (c *Client) DeleteEndpoint(ctx context.Context, id string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: webhook(id)}, nil)
	return err
}

// RotateSecret gives an endpoint another secret; the old one signs beside it (in Webhook-Signature) until the overlap, in whole
// seconds, is over, those before it until their own ends; without an overlap all end at once. An empty secret is generated and answered this once, so the call is not repeated by itself.
func (c *Client) RotateSecret(ctx context.Context, id, secret string, overlap time.Duration) (*Endpoint, error) {
	body := map[string]any{"overlapSeconds": int64(overlap / time.Second)}
	if secret != "" {
		body["secret"] = secret
	}
	return answered[Endpoint](ctx, c, call{method: http.MethodPost, path: webhook(id) + "/rotate-secret", body: body})
}

// TestEndpoint posts a test event to an endpoint, soon after it answers; Delivery tells what became of it.
func (c *Client) TestEndpoint(ctx context.Context, id string) (*Delivery, error) {
	return answered[Delivery](ctx, c, call{method: http.MethodPost, path: webhook(id) + "/test"})
}

// Deliveries walks through what was and is to be posted to an endpoint, newest first. It stops at the first
// error, which comes with a zero delivery.
func (c *Client) Deliveries(ctx context.Context, endpoint string, f DeliveryFilter) iter.Seq2[Delivery, error] {
	query := ListOptions{CreatedAfter: f.CreatedAfter, CreatedBefore: f.CreatedBefore, PageSize: f.PageSize}.query()
	for name, value := range map[string]string{"state": f.State, "messageId": f.MessageID} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return walkFrom[Delivery](ctx, c, call{method: http.MethodGet, path: webhook(endpoint) + "/deliveries", query: query, safe: true})
}

// Delivery reads one delivery with its body and its attempts.
func (c *Client) Delivery(ctx context.Context, endpoint, id string) (*Delivery, error) {
	return answered[Delivery](ctx, c, call{method: http.MethodGet, path: webhook(endpoint) + "/deliveries/" + escape(id), safe: true})
}

// ReplayDelivery posts one delivery again, in the same bytes and under the same event id.
func (c *Client) ReplayDelivery(ctx context.Context, endpoint, id string) (*Delivery, error) {
	return answered[Delivery](ctx, c, call{method: http.MethodPost, path: webhook(endpoint) + "/deliveries/" + escape(id) + "/replay"})
}

// Replay posts again what was made for an endpoint from after until before, newest first, and answers how much. State
// is failed or delivered; "" is failed. It asks until the server says that there is no more; an error comes with what was replayed until then.
func (c *Client) Replay(ctx context.Context, endpoint string, after, before time.Time, state string) (replayed int, err error) {
	body := map[string]string{"createdAfter": after.UTC().Format(time.RFC3339Nano), "createdBefore": before.UTC().Format(time.RFC3339Nano)}
	if state != "" {
		body["state"] = state
	}
	for more := true; more; {
		got, err := answered[struct {
			Replayed   int
			More       bool
			NextCursor string
		}](ctx, c, call{method: http.MethodPost, path: webhook(endpoint) + "/replay", body: body})
		if err != nil {
			return replayed, err
		}
		replayed, more = replayed+got.Replayed, got.More && got.NextCursor != ""
		body["cursor"] = got.NextCursor
	}
	return replayed, nil
}

// answered makes a call and decodes its answer.
func answered[T any](ctx context.Context, c *Client, one call) (*T, error) {
	out := new(T)
	if _, err := c.do(ctx, one, out); err != nil {
		return nil, err
	}
	return out, nil
}
