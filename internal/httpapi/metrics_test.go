package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// classed is a Meter that remembers the class of the last answer.
type classed struct{ last string }

func (*classed) InFlight(int) {}

func (c *classed) Request(route string, _ int, _ time.Duration) { c.last = route }

// TestEveryAnswerHasAClass: what other doors answer is not counted as paths that are not there.
func TestEveryAnswerHasAClass(t *testing.T) {
	t.Parallel()
	m := &classed{}
	cfg := Config{Meter: m, Beside: []Door{{Serves: func(path string) bool { return strings.HasPrefix(path, "/docs") }, Handler: http.NotFoundHandler()}}}
	w := newWorld(t)
	cfg.Auth, cfg.Log = w.api.cfg.Auth, w.api.cfg.Log
	for _, x := range []struct {
		only       bool
		path, want string
	}{
		{path: "/docs/states", want: "page"}, {path: "/docs", want: "page"}, {path: "/doc", want: "unknown"}, {path: "/healthz", want: "health"}, {path: "/api/v1/messages", want: "read"},
		{only: true, path: "/docs/states", want: "unknown"}, {only: true, path: "/healthz", want: "health"},
	} {
		cfg.HealthOnly = x.only
		New(cfg).Handler().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", x.path, nil))
		if m.last != x.want {
			t.Errorf("%s counts as %q, want %q", x.path, m.last, x.want)
		}
	}
}
