package prove

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// app is a live app of the run.
type app struct {
	slug, key, policy string
	endpoint          string // of its webhook; "": it has none
}

// makeApps registers live apps, half of them with policy FAIL, each with both sinks as its chain,
// and two of four with the run's receiver as their webhook.
func (r *run) makeApps(ctx context.Context) error {
	web := &http.Client{Timeout: 20 * time.Second}
	for i := range r.cfg.Apps {
		a := app{slug: fmt.Sprintf("prove-%d-%d", r.cfg.Seed, i), policy: "RETRY"}
		if i%2 == 1 {
			a.policy = "FAIL"
		}
		wanted := map[string]any{"name": "Prove", "slug": a.slug, "ratePerMinute": 1_000_000, "scopes": []string{"SEND", "READ", "PROVIDERS"}}
		hooked := i%4 < 2
		if hooked {
			wanted["webhookUrl"], wanted["webhookSecret"] = r.hooks.url(i), hookSecret
		}
		status, body, err := r.call(ctx, web, 0, app{}, http.MethodPost, "/api/provision/apps", wanted)
		if err != nil || status != http.StatusCreated {
			return fmt.Errorf("provision: %d %s %w", status, body, err)
		}
		var made struct {
			APIKey string `json:"apiKey"`
			App    struct {
				ID string `json:"id"`
			} `json:"app"`
		}
		if err := json.Unmarshal(body, &made); err != nil {
			return err
		}
		if a.key = made.APIKey; hooked {
			a.endpoint = made.App.ID // as the default endpoint of every app
		}
		for p, addr := range r.sinks.sim.Relays() {
			host, port, _ := net.SplitHostPort(addr)
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
