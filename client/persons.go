package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Erasure is a person who is being forgotten.
type Erasure struct {
	ID         string     `json:"id"`
	App        string     `json:"app"` // "" = every app
	Channel    string     `json:"channel"`
	Status     string     `json:"status"` // RUNNING, DONE
	Stage      string     `json:"stage"`
	Erased     int        `json:"erased"`
	Cancelled  int        `json:"cancelled"`
	Masked     int        `json:"masked"`
	Waiting    int        `json:"waiting"`
	CreatedAt  time.Time  `json:"createdAt"`
	UpdatedAt  time.Time  `json:"updatedAt"`
	FinishedAt *time.Time `json:"finishedAt"`
}

// Done says that nothing of the person is left.
func (e *Erasure) Done() bool { return e.Status == "DONE" }

const erasuresPath = "/api/v1/erasures"

// ErasePerson asks that everything about an address is erased; an empty channel is told from
// the address. It goes on by itself: see Erasure. The request is not repeated by itself: a second one
// would take what was accepted in between, too.
func (c *Client) ErasePerson(ctx context.Context, channel, address string) (*Erasure, error) {
	return c.erase(ctx, erasuresPath, map[string]string{"channel": channel, "address": address})
}

func (c *Client) erase(ctx context.Context, path string, members map[string]string) (*Erasure, error) {
	body := map[string]string{}
	for name, value := range members {
		if value != "" {
			body[name] = value
		}
	}
	out := &Erasure{}
	_, err := c.do(ctx, call{method: http.MethodPost, path: path, body: body}, out)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Erasure reads how far an erasure is.
func (c *Client) Erasure(ctx context.Context, id string) (*Erasure, error) {
	out := &Erasure{}
	if _, err := c.do(ctx, call{method: http.MethodGet, path: erasuresPath + "/" + escape(id), safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// ExportPerson streams everything that is held about an address as JSON lines; the caller
// closes it. It is whole if its last line is of the kind "end".
func (c *Client) ExportPerson(ctx context.Context, channel, address string) (io.ReadCloser, error) {
	query := url.Values{"address": {address}}
	if channel != "" {
		query.Set("channel", channel)
	}
	return c.stream(ctx, http.MethodGet, "/api/v1/persons/export", query.Encode(), "", nil)
}

// ErasePerson is Client.ErasePerson for one app (id or slug) or, where app is empty, for all.
func (a *Admin) ErasePerson(ctx context.Context, app, channel, address string) (*Erasure, error) {
	return a.c.erase(ctx, "/api/admin/erasures", map[string]string{"app": app, "channel": channel, "address": address})
}

// Erasure reads how far an erasure is, whosever it is.
func (a *Admin) Erasure(ctx context.Context, id string) (*Erasure, error) {
	out := &Erasure{}
	if _, err := a.c.do(ctx, call{method: http.MethodGet, path: "/api/admin/erasures/" + escape(id), safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Upkeep is what retention has removed.
type Upkeep struct {
	RetainContentSeconds  int64        `json:"retainContentSeconds"`
	RetainMessagesSeconds int64        `json:"retainMessagesSeconds"`
	RunningSince          *time.Time   `json:"runningSince"`
	Erasures              int          `json:"erasures"`
	OldestErasureAt       *time.Time   `json:"oldestErasureAt"`
	Tasks                 []UpkeepTask `json:"tasks"`
}

// UpkeepTask is a part of it.
type UpkeepTask struct {
	Task        string     `json:"task"`
	StartedAt   *time.Time `json:"startedAt"`
	FinishedAt  *time.Time `json:"finishedAt"`
	ReachedAt   *time.Time `json:"reachedAt"`
	Done        int        `json:"done"`
	Total       int        `json:"total"`
	BusySeconds float64    `json:"busySeconds"`
	Failed      string     `json:"failed"`
}

// Upkeep reads what retention has removed, and how far it is.
func (a *Admin) Upkeep(ctx context.Context) (*Upkeep, error) {
	out := &Upkeep{}
	if _, err := a.c.do(ctx, call{method: http.MethodGet, path: "/api/admin/upkeep", safe: true}, out); err != nil {
		return nil, err
	}
	return out, nil
}
