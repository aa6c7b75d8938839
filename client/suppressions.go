package client

import (
	"cmp"
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
	PageSize                    int // 0: 100, which is most
}

// Suppressions goes through the app's list, newest first, page by page. An error ends it.
func (c *Client) Suppressions(ctx context.Context, q SuppressionQuery) iter.Seq2[Suppression, error] {
	query := ListOptions{Channel: q.Channel, CreatedAfter: q.CreatedAfter, CreatedBefore: q.CreatedBefore, PageSize: cmp.Or(q.PageSize, 100)}.query()
	for name, value := range map[string]string{"address": q.Address, "reason": q.Reason} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return walkFrom[Suppression](ctx, c, call{method: http.MethodGet, path: suppressionsPath, query: query, safe: true})
}
