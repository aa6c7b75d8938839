package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/commserver/commserver/api"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/outage"
)

// healthz is GET /healthz: the process runs and answers.
func (a *API) healthz(w http.ResponseWriter, _ *http.Request, _ *auth.Caller) error {
	write(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

// warningHeld is the word of /readyz for a server that was restored from a backup, and accepts without sending.
const warningHeld = "held"

// readyz is GET /readyz: this node can accept and, if it is a worker, send. What is not as it should be and keeps no request from it is a warning.
func (a *API) readyz(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	checks, ok := a.ready.look(r.Context(), a.cfg.Now())
	status, word := http.StatusOK, "ready"
	if !ok {
		status, word = http.StatusServiceUnavailable, "unready"
	}
	warnings := []string{}
	if a.cfg.Hold != nil && a.cfg.Hold.Held() {
		warnings = append(warnings, warningHeld)
	}
	write(w, status, struct {
		Status   string            `json:"status"`
		Checks   map[string]string `json:"checks"`
		Warnings []string          `json:"warnings"`
	}{word, checks, warnings})
	return nil
}

// Readiness is looked at by anybody, without a key: its result is kept for a
// moment so that asking often costs nothing. "Not ready" is kept only briefly: a
// node that starts is asked before it holds its lease and is ready a moment later.
const (
	readyKept    = time.Second
	unreadyKept  = 20 * time.Millisecond
	readyTimeout = 2 * time.Second
)

type readiness struct {
	checks  []Check
	outages []outage.Report // of each check

	mu     sync.Mutex
	until  time.Time
	result map[string]string
	ok     bool
}

// of sets what is looked at.
func (c *readiness) of(checks []Check, log *slog.Logger) {
	c.checks, c.outages = checks, make([]outage.Report, len(checks))
	for i, check := range checks {
		r := &c.outages[i]
		r.Log, r.Level = log.With("check", check.Name), slog.LevelWarn
		r.Failing, r.Works = "not ready", "ready again"
	}
}

func (c *readiness) look(ctx context.Context, now time.Time) (map[string]string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.until) {
		return c.result, c.ok
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
	defer cancel()
	c.result, c.ok = map[string]string{}, true
	for i, check := range c.checks {
		c.result[check.Name] = "ok"
		if err := check.Run(ctx); err != nil {
			c.result[check.Name], c.ok = "failed", false
			c.outages[i].Failed(err)
			continue
		}
		c.outages[i].Worked()
	}
	c.until = now.Add(unreadyKept)
	if c.ok {
		c.until = now.Add(readyKept)
	}
	return c.result, c.ok
}

// openapi is GET /api/openapi: the contract.
func (a *API) openapi(w http.ResponseWriter, _ *http.Request, _ *auth.Caller) error {
	writeRaw(w, http.StatusOK, api.OpenAPI())
	return nil
}

// root is GET /: a hint for people who open the address in a browser.
func (a *API) root(w http.ResponseWriter, _ *http.Request, _ *auth.Caller) error {
	write(w, http.StatusOK, map[string]string{"name": "CommServer", "contract": a.cfg.PublicURL + "/api/openapi", "health": a.cfg.PublicURL + "/readyz"})
	return nil
}
