package httpapi

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// TestAnOutageDoesNotFillTheLog: refusals write one line a second, with the
// number of those left out, and every one of them says when to come back.
func TestAnOutageDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	now := time.Unix(1_800_000_000, 0)
	a := New(Config{Log: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return now }})
	refuse := func() {
		w := httptest.NewRecorder()
		a.fail(w, httptest.NewRequest(http.MethodPost, "/api/v1/messages", nil), comm.E("unavailable").Because(errors.New("the disk is almost full")))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
			t.Fatalf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
	}
	for range 1000 {
		refuse()
	}
	now = now.Add(time.Second)
	refuse()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[1], "unsaid=999") {
		t.Fatalf("%d lines: %s", len(lines), log.String())
	}
}
