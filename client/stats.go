package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// StatsCounts is how many messages came to a status within a time.
type StatsCounts struct {
	Accepted   int64 `json:"accepted"`
	Retried    int64 `json:"retried"`
	Sent       int64 `json:"sent"`
	Delivered  int64 `json:"delivered"`
	Failed     int64 `json:"failed"`
	Suppressed int64 `json:"suppressed"`
	Cancelled  int64 `json:"cancelled"`
}

// StatsWait is how long messages took, in milliseconds and to within 10 %; zero when there were none.
type StatsWait struct {
	Count int64 `json:"count"`
	P50   int64 `json:"p50Ms"`
	P95   int64 `json:"p95Ms"`
	P99   int64 `json:"p99Ms"`
}

// StatsLatency is how long messages took until they were SENT: from acceptance, of
// those that were to be sent at once, and from when each was due, of all.
type StatsLatency struct {
	Accepted StatsWait `json:"accepted"`
	Due      StatsWait `json:"due"`
}

// Stats is what was counted in a window that ends at To.
type Stats struct {
	Window        string        `json:"window"`
	From          time.Time     `json:"from"`
	To            time.Time     `json:"to"`
	BucketSeconds int64         `json:"bucketSeconds"`
	Counts        StatsCounts   `json:"counts"`
	Latency       StatsLatency  `json:"latency"`
	Channels      []StatsOf     `json:"channels"`
	Providers     []StatsCalls  `json:"providers"`
	Buckets       []StatsBucket `json:"buckets"` // the oldest first
	// Apps is those that accepted most, most first: in the administrator's figures of all apps only.
	Apps []StatsApp `json:"apps"`
}

// StatsOf is the part of a channel.
type StatsOf struct {
	Channel string       `json:"channel"`
	Counts  StatsCounts  `json:"counts"`
	Latency StatsLatency `json:"latency"`
}

// StatsCalls is what became of the attempts with a type of provider.
type StatsCalls struct {
	Provider  string `json:"provider"`
	Channel   string `json:"channel"`
	Attempts  int64  `json:"attempts"`
	Sent      int64  `json:"sent"`
	Failed    int64  `json:"failed"`
	Throttled int64  `json:"throttled"`
	Unknown   int64  `json:"unknown"`
}

// StatsBucket is one step of the window.
type StatsBucket struct {
	At      time.Time    `json:"at"`
	Counts  StatsCounts  `json:"counts"`
	Latency StatsLatency `json:"latency"` // of what was sent in it
}

// StatsApp is the part of an app. Slug and Name are empty when it is deleted.
type StatsApp struct {
	ID     string      `json:"id"`
	Slug   string      `json:"slug"`
	Name   string      `json:"name"`
	Counts StatsCounts `json:"counts"`
}

// Stats reads what became of the app's messages lately; window is 1h, 24h, 7d, 30d, or "" for 24h.
func (c *Client) Stats(ctx context.Context, window string) (*Stats, error) {
	return c.stats(ctx, call{path: "/api/v1/stats"}, window)
}

// Stats is that of all apps, or of one, named by its id or slug.
func (a *Admin) Stats(ctx context.Context, window, app string) (*Stats, error) {
	q := call{path: "/api/admin/stats", admin: true, query: url.Values{}}
	if app != "" {
		q.query.Set("app", app)
	}
	return a.c.stats(ctx, q, window)
}

func (c *Client) stats(ctx context.Context, q call, window string) (*Stats, error) {
	q.method, q.safe = http.MethodGet, true
	if window != "" {
		if q.query == nil {
			q.query = url.Values{}
		}
		q.query.Set("window", window)
	}
	out := &Stats{}
	if _, err := c.do(ctx, q, out); err != nil {
		return nil, err
	}
	return out, nil
}
