package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The door of a worker node once answered unknown paths in plain text and without a request id.
func TestHealthOnly(t *testing.T) {
	t.Parallel()
	handler := New(Config{HealthOnly: true, Log: slog.New(slog.DiscardHandler)}).Handler()
	for _, c := range []struct {
		name, method, path string
		status             int
		code               string
	}{
		{"alive", http.MethodGet, "/healthz", http.StatusOK, ""},
		{"ready", http.MethodGet, "/readyz", http.StatusOK, ""},
		{"no API", http.MethodPost, "/api/v1/messages", http.StatusNotFound, "not_found"},
		{"no provisioning", http.MethodPost, "/api/provision/apps", http.StatusNotFound, "not_found"},
		{"wrong method", http.MethodPost, "/healthz", http.StatusMethodNotAllowed, "method_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
			var body struct {
				Details struct{ Code string }
			}
			if err := json.Unmarshal(rec.Body.Bytes(), &body); err != nil {
				t.Fatalf("not JSON: %s", rec.Body)
			}
			if rec.Code != c.status || body.Details.Code != c.code || rec.Header().Get("X-Request-Id") == "" {
				t.Errorf("%d %s %v", rec.Code, rec.Body, rec.Header())
			}
		})
	}
}

// held is the hold of a database that was restored.
type held struct{ Hold }

func (held) Held() bool { return true }

// A server that was restored from a backup is ready, since it accepts, and says that it is held, on nodes without an API too.
func TestReadinessWarnsOfAHold(t *testing.T) {
	t.Parallel()
	for hold, want := range map[Hold]string{held{}: `"warnings":["held"]`, nil: `"warnings":[]`} {
		rec := httptest.NewRecorder()
		New(Config{HealthOnly: true, Hold: hold, Log: slog.New(slog.DiscardHandler)}).Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%d %s, want %s", rec.Code, rec.Body, want)
		}
		readContract(t).answer(t, "GET", "/readyz", answer{status: rec.Code, raw: rec.Body.Bytes(), header: rec.Header()})
	}
}
