package httpapi

import (
	"net/http"
	"strings"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
)

// metrics is GET /metrics: what Prometheus reads.
func (a *API) metrics(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	if a.cfg.Metrics == nil {
		return comm.E("not_found")
	}
	a.cfg.Metrics.ServeHTTP(w, r)
	return nil
}

// scraped is a request's headers with a bearer token in the place of the admin key, unless both are there.
func scraped(h http.Header) http.Header {
	const scheme = "Bearer "
	all := h["Authorization"]
	if len(all) != 1 || len(h["X-Admin-Key"]) != 0 || len(all[0]) < len(scheme) || !strings.EqualFold(all[0][:len(scheme)], scheme) {
		return h
	}
	h = h.Clone()
	delete(h, "Authorization")
	h["X-Admin-Key"] = []string{all[0][len(scheme):]}
	return h
}

// class is a route's class in metrics: few, so that they can be looked at together, and what lasts by its nature apart.
func (route Route) class() string {
	switch path := route.Path; {
	case path == "/api/v1/messages" && route.Method == http.MethodPost:
		return "send"
	case path == "/api/v1/messages/batch":
		return "batch"
	case strings.HasSuffix(path, "/stream"):
		return "stream"
	case strings.HasSuffix(path, "/wait"):
		return "wait"
	case path == "/healthz", path == "/readyz":
		return "health"
	case path == "/metrics":
		return "metrics"
	case strings.HasPrefix(path, "/api/callbacks/"):
		return "callback"
	case strings.HasPrefix(path, "/api/provision/"):
		return "provision"
	case strings.HasPrefix(path, "/api/admin/"):
		return "admin"
	case strings.HasSuffix(path, "/test"), strings.HasSuffix(path, "/verify"):
		return "trial"
	case strings.HasSuffix(path, "/import"), strings.HasSuffix(path, "/export"):
		return "transfer"
	case strings.HasPrefix(path, "/api/v1/") && route.Method == http.MethodGet:
		return "read"
	case strings.HasPrefix(path, "/api/v1/"):
		return "change"
	}
	return readByPeople
}

// readByPeople is the class of pages, and of the contract: nothing of it is about anybody's messages.
const readByPeople = "page"

// otherClass is the class of what no route of the API answers.
func (a *API) otherClass(path string) string {
	if a.doorOf(path) >= 0 {
		return readByPeople
	}
	return "unknown"
}
