package prove

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// app is a live app of the run.
type app struct {
	slug, key, policy string
}

// moods is how providers treat a share of the messages, in percent; the rest is plain.
var moods = [...]struct {
	name  string
	share int
}{{"drop", 4}, {"busy", 3}, {"slow", 3}, {"bad", 2}, {"here", 4}}

func mood(rnd *rand.Rand) string {
	n := rnd.IntN(100)
	for _, m := range moods {
		if n -= m.share; n < 0 {
			return "+" + m.name
		}
	}
	return ""
}

// client sends one message after another to any node until ctx ends. A fifth
// of its requests repeat an earlier one.
func (r *run) client(ctx context.Context, number uint64) {
	rnd := rand.New(rand.NewPCG(r.cfg.Seed, number+1))
	web := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4, DialContext: (&net.Dialer{Timeout: 2 * time.Second}).DialContext}, Timeout: 20 * time.Second}
	defer web.CloseIdleConnections()
	every := time.Duration(0)
	if r.cfg.Rate > 0 {
		every = time.Duration(r.cfg.Clients) * time.Second / time.Duration(r.cfg.Rate)
	}
	type sent struct {
		app  int
		key  string
		name string
	}
	var earlier []sent
	for i := 0; ctx.Err() == nil; i++ {
		at := time.Now()
		var s sent
		if len(earlier) > 0 && rnd.IntN(5) == 0 {
			s = earlier[rnd.IntN(len(earlier))]
		} else {
			s = sent{rnd.IntN(len(r.apps)), fmt.Sprintf("k-%d-%d", number, i), fmt.Sprintf("n%dx%d%s", number, i, mood(rnd))}
			if earlier = append(earlier, s); len(earlier) > 200 {
				earlier = earlier[1:]
			}
		}
		if rnd.IntN(50) == 0 {
			r.misuse(ctx, web, rnd, s.app, s.key)
		}
		e := r.history.invoke(s.app, s.key, s.name)
		// A client that gets no answer or a 503 sends the same request again, as the guide says.
		for try := 0; try < 4 && ctx.Err() == nil; try++ {
			if r.post(ctx, web, rnd.IntN(len(r.nodes)), e, e.Name) {
				break
			}
			pause(ctx, time.Duration(20+rnd.IntN(80))*time.Millisecond)
		}
		if left := every - time.Since(at); left > 0 {
			pause(ctx, left)
		}
	}
}

// post sends the entry's request once; true when the answer settles it.
func (r *run) post(ctx context.Context, web *http.Client, node int, e *Entry, name string) bool {
	status, body, err := r.call(ctx, web, node, r.apps[e.App], http.MethodPost, "/api/v1/messages", map[string]any{
		"channel": "EMAIL", "to": name + "@prove.example.com", "subject": "Proof " + name, "body": "<p>" + name + "</p>",
		"from": "Prove <prove@example.com>", "idempotencyKey": e.Key})
	if err != nil {
		r.history.silent(e)
		return false
	}
	switch status {
	case http.StatusAccepted, http.StatusOK:
		var answer struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		}
		if err := json.Unmarshal(body, &answer); err != nil || answer.ID == "" || answer.Status == "" {
			r.history.bad(e, "answer %d without id or status: %.200s", status, body)
		}
		r.history.answered(e, answer.ID, status == http.StatusAccepted)
		return true
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		r.history.refuse(status)
		return false
	}
	r.history.refuse(status)
	r.history.bad(e, "answer %d: %.200s", status, bytes.TrimSpace(body))
	return true
}

// misuse repeats a key with another request: it must never be taken.
func (r *run) misuse(ctx context.Context, web *http.Client, rnd *rand.Rand, app int, key string) {
	e := r.history.stored(app, key)
	if e == nil {
		return // the key is not known to be stored: the other request might rightly be the first
	}
	status, body, err := r.call(ctx, web, rnd.IntN(len(r.nodes)), r.apps[app], http.MethodPost, "/api/v1/messages", map[string]any{
		"channel": "EMAIL", "to": "other@prove.example.com", "subject": "Another request", "body": "x", "from": "Prove <prove@example.com>", "idempotencyKey": key})
	if err == nil && status < 300 {
		r.history.bad(e, "the same key with another request was answered %d: %.200s", status, body)
	}
}

// call makes one request and reads the whole answer.
func (r *run) call(ctx context.Context, web *http.Client, node int, a app, method, path string, body any) (int, []byte, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.nodes[node].addr+path, payload)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.key != "" {
		req.Header.Set("X-App-ID", a.slug)
		req.Header.Set("X-API-Key", a.key)
	} else {
		req.Header.Set("X-Provisioning-Key", provisioningKey)
	}
	resp, err := web.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return resp.StatusCode, out, err
}

// makeApps registers live apps, half of them with policy FAIL, each with both sinks as its chain.
func (r *run) makeApps(ctx context.Context) error {
	web := &http.Client{Timeout: 20 * time.Second}
	for i := range r.cfg.Apps {
		a := app{slug: fmt.Sprintf("prove-%d-%d", r.cfg.Seed, i), policy: "RETRY"}
		if i%2 == 1 {
			a.policy = "FAIL"
		}
		status, body, err := r.call(ctx, web, 0, app{}, http.MethodPost, "/api/provision/apps", map[string]any{"name": "Prove", "slug": a.slug,
			"ratePerMinute": 1_000_000, "scopes": []string{"SEND", "READ", "PROVIDERS"}})
		if err != nil || status != http.StatusCreated {
			return fmt.Errorf("provision: %d %s %w", status, body, err)
		}
		var made struct {
			APIKey string `json:"apiKey"`
		}
		if err := json.Unmarshal(body, &made); err != nil {
			return err
		}
		a.key = made.APIKey
		for p, s := range r.sinks {
			host, port, _ := net.SplitHostPort(s.Addr)
			var n int
			fmt.Sscan(port, &n)
			status, body, err = r.call(ctx, web, 0, a, http.MethodPost, "/api/v1/provider-configs", map[string]any{"providerType": "SMTP", "name": fmt.Sprintf("Sink %d", p),
				"priority": p + 1, "maxConcurrency": 32, "config": map[string]any{"host": host, "port": n, "from": "Prove <prove@example.com>"}})
			if err != nil || status != http.StatusCreated {
				return fmt.Errorf("provider configuration: %d %s %w", status, body, err)
			}
		}
		status, body, err = r.call(ctx, web, 0, a, http.MethodPatch, "/api/v1/app", map[string]any{"sandboxMode": false, "onUnknownOutcome": a.policy})
		if err != nil || status != http.StatusOK {
			return fmt.Errorf("leave the sandbox: %d %s %w", status, body, err)
		}
		r.apps = append(r.apps, a)
	}
	return nil
}
