package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Suppression is an address that the app does not write to.
type Suppression struct {
	Channel   string    `json:"channel"`
	Address   string    `json:"address"`
	Reason    string    `json:"reason"` // manual, hard_bounce, complaint, unsubscribed
	Note      string    `json:"note"`
	Source    string    `json:"source"` // api, import, provider
	CreatedAt time.Time `json:"createdAt"`
}

// Suppress puts an address on the app's list; an empty reason is "manual". Added is
// false when it was there: the answer is then what is there.
func (c *Client) Suppress(ctx context.Context, channel, address, reason, note string) (s *Suppression, added bool, err error) {
	body := map[string]string{"channel": channel, "address": address}
	for name, value := range map[string]string{"reason": reason, "note": note} {
		if value != "" {
			body[name] = value
		}
	}
	s = &Suppression{}
	status, err := c.do(ctx, call{method: http.MethodPost, path: suppressionsPath, body: body, safe: true}, s)
	if err != nil {
		return nil, false, err
	}
	return s, status == http.StatusCreated, nil
}

const suppressionsPath = "/api/v1/suppressions"

// Unsuppress takes one address off the app's list; an *Error with the code not_found when it is not there.
func (c *Client) Unsuppress(ctx context.Context, channel, address string) error {
	_, err := c.do(ctx, call{method: http.MethodDelete, path: suppressionsPath, query: url.Values{"channel": {channel}, "address": {address}}}, nil)
	return err
}

// SuppressionQuery narrows a list of suppressions; empty members do not filter.
type SuppressionQuery struct {
	Channel, Address, Reason    string
	CreatedAfter, CreatedBefore time.Time
}

// Suppressions goes through the app's list, newest first, page by page. An error ends it.
func (c *Client) Suppressions(ctx context.Context, q SuppressionQuery) iter.Seq2[Suppression, error] {
	return func(yield func(Suppression, error) bool) {
		query := url.Values{"limit": {"100"}}
		for name, value := range map[string]string{"channel": q.Channel, "address": q.Address, "reason": q.Reason} {
			if value != "" {
				query.Set(name, value)
			}
		}
		for name, at := range map[string]time.Time{"createdAfter": q.CreatedAfter, "createdBefore": q.CreatedBefore} {
			if !at.IsZero() {
				query.Set(name, at.UTC().Format(time.RFC3339Nano))
			}
		}
		for {
			var page struct {
				Data       []Suppression `json:"data"`
				NextCursor string        `json:"nextCursor"`
			}
			if _, err := c.do(ctx, call{method: http.MethodGet, path: suppressionsPath, query: query, safe: true}, &page); err != nil {
				yield(Suppression{}, err)
				return
			}
			for _, s := range page.Data {
				if !yield(s, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			query.Set("cursor", page.NextCursor)
		}
	}
}
