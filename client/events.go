package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// FeedEvent is what became of a message, as webhooks tell it: the message as it was then.
type FeedEvent struct {
	Event   string `json:"event"`
	Message struct {
		ID                string          `json:"id"`
		Channel           string          `json:"channel"`
		Status            string          `json:"status"`
		ToAddress         string          `json:"toAddress"`
		ProviderName      string          `json:"providerName"`
		ProviderMessageID string          `json:"providerMessageId"`
		ErrorMessage      string          `json:"errorMessage"`
		Attempts          int             `json:"attempts"`
		SentAt            time.Time       `json:"sentAt"`
		Metadata          json.RawMessage `json:"metadata"`
	} `json:"message"`
	EventID   string    `json:"eventId"`
	Sequence  int       `json:"sequence"`
	Type      string    `json:"type"`
	CreatedAt time.Time `json:"createdAt"`
}

// EventPage is a page of the feed; the next one begins behind NextCursor, which is always there.
type EventPage struct {
	Data       []FeedEvent `json:"data"`
	NextCursor string      `json:"nextCursor"`
}

// Events reads the app's events behind a cursor in one order without gaps, from the oldest on with ""; limit 0 leaves
// the size of the page to the server. A page without events leads to the end for now.
func (c *Client) Events(ctx context.Context, after string, limit int) (*EventPage, error) {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	if limit != 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	out := &EventPage{}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: "/api/v1/events", query: q, safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Feed walks through the app's events behind a cursor, page by page, up to the end for now: what it yields last is
// a page without events. Keep each page's NextCursor when its events are dealt with, and begin there the next
// time. It stops at the first error, which comes with an empty page.
func (c *Client) Feed(ctx context.Context, after string) iter.Seq2[EventPage, error] {
	return func(yield func(EventPage, error) bool) {
		for {
			p, err := c.Events(ctx, after, feedPage)
			if err != nil {
				yield(EventPage{}, err)
				return
			}
			if !yield(*p, nil) || len(p.Data) == 0 {
				return
			}
			after = p.NextCursor
		}
	}
}

// feedPage is how many events Feed asks for at a time: as many as there can be.
const feedPage = 100
