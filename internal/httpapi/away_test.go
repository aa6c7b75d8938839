package httpapi

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// TestADatabaseThatIsAwayIsNotOurMistake: a client repeats after 503, and gives up after 500.
func TestADatabaseThatIsAwayIsNotOurMistake(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"away":          {store.ErrUncertain, 503},
		"anything else": {errors.New("a bug"), 500},
		"ours":          {comm.E("not_found"), 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &API{cfg: Config{Log: slog.New(slog.DiscardHandler), Now: time.Now}}
			w := httptest.NewRecorder()
			a.fail(w, httptest.NewRequest(http.MethodGet, "/", nil), fmt.Errorf("read a message: %w", c.err))
			if w.Code != c.status {
				t.Fatalf("%d, want %d: %s", w.Code, c.status, w.Body)
			}
			if retry := w.Header().Get("Retry-After"); (c.status == 503) != (retry != "") {
				t.Fatalf("%d with Retry-After %q", w.Code, retry)
			}
		})
	}
}
