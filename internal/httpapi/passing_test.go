package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// state is an error of a database server.
type state string

func (s state) Error() string    { return "the server says " + string(s) }
func (s state) SQLState() string { return string(s) }

// unsent is an error of a connection that was closed before anything was sent.
type unsent bool

func (unsent) Error() string       { return "conn closed" }
func (u unsent) SafeToRetry() bool { return bool(u) }

// TestADatabaseThatIsAwayIsNotOurMistake: a client repeats after 503, and gives up after 500.
func TestADatabaseThatIsAwayIsNotOurMistake(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		status int
	}{
		"connection refused":      {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, 503},
		"connection cut":          {io.ErrUnexpectedEOF, 503},
		"too slow":                {context.DeadlineExceeded, 503},
		"answer to a commit lost": {store.ErrUncertain, 503},
		"shutting down":           {state("57P01"), 503},
		"too many connections":    {state("53300"), 503},
		"connection failure":      {state("08006"), 503},
		"closed already":          {unsent(true), 503},
		"sent, and failed":        {unsent(false), 500},
		"a statement is wrong":    {state("42601"), 500},
		"anything else":           {errors.New("a bug"), 500},
		"ours":                    {comm.E("not_found"), 404},
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
