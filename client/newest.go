package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// NewestEvent is an event with what a line about it says of its message.
type NewestEvent struct {
	App       AppRef `json:"app"`
	MessageID string `json:"messageId"`
	Channel   string `json:"channel"`
	Sandbox   bool   `json:"sandbox"`
	ToAddress string `json:"toAddress"`
	Event
}

// NewestEvents is what happened since a look, the newest first.
type NewestEvents struct {
	Data   []NewestEvent `json:"data"`
	Looked int           `json:"looked"`
	// Passed is how many events since the look before are not shown; AtLeast: there may be more of them.
	Passed     int    `json:"passed"`
	AtLeast    bool   `json:"atLeast"`
	NextCursor string `json:"nextCursor"` // always there
}

// Looking narrows a look; empty members do not.
type Looking struct {
	App, Channel string
	Troubles     bool   // only what did not go well
	After        string // NextCursor of the look before
	Limit        int
}

// NewestEvents looks at what happens now in all apps, or in one. Ask again every few seconds; what an app must not miss it reads with Feed.
func (a *Admin) NewestEvents(ctx context.Context, l Looking) (*NewestEvents, error) {
	query := url.Values{}
	for name, value := range map[string]string{"app": l.App, "channel": l.Channel, "after": l.After} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if l.Troubles {
		query.Set("troubles", "true")
	}
	if l.Limit > 0 {
		query.Set("limit", strconv.Itoa(l.Limit))
	}
	out := &NewestEvents{}
	if _, err := a.c.do(ctx, call{method: http.MethodGet, path: "/api/admin/events", query: query, safe: true, admin: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}
