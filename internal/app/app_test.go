package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/config"
)

// started is a server that runs until it is told to stop, what it said at its first start, and how its run ended.
func started(t *testing.T, drain string) (a *App, first First, stop func(), ended chan error) {
	t.Helper()
	cfg, err := config.Load(config.Source{Env: []string{"COMMS_ADDR=localhost:0", "COMMS_DATA_DIR=" + t.TempDir(), drain}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	if a, err = New(ctx, cfg, Options{Version: "test", Log: slog.New(slog.DiscardHandler), OnFirst: func(f First) { first = f }}); err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	return a, first, stop, ended
}

// A client that sends half a request and then nothing once held the dispatcher
// up for a whole drain time, so that a stop took two of them.
func TestASlowClientDoesNotDoubleTheDrain(t *testing.T) {
	t.Parallel()
	const drain = 4 * time.Second
	a, first, stop, ended := started(t, fmt.Sprintf("COMMS_DRAIN_TIMEOUT=%s", drain))

	slow, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = slow.Close() }()
	half := "POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nX-App-ID: " + first.AppID + "\r\nX-API-Key: " + first.APIKey + "\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
	if _, err := io.WriteString(slow, half); err != nil {
		t.Fatal(err)
	}
	// A call that outlives the drain time: the sandbox takes ten seconds for this number.
	id := send(t, first, `{"channel":"SMS","to":"233000000007","body":"slow"}`)
	for !strings.Contains(get(t, first, "/api/v1/messages/"+id), `"status":"SENDING"`) {
		time.Sleep(5 * time.Millisecond)
	}
	began := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took >= 2*drain { // one after the other they take that long on any machine
		t.Errorf("the stop took %v with a drain time of %v", took, drain)
	}
}

// A request that waits for a capture, for up to 50 seconds, once held a stop up for the whole drain time.
func TestAStopDoesNotWaitForWaitingRequests(t *testing.T) {
	t.Parallel()
	_, first, stop, ended := started(t, "COMMS_DRAIN_TIMEOUT=20s")
	wait := func(seconds int) (status int) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("%s/api/v1/sandbox/messages/wait?to=233241234567&timeout=%d", first.BaseURL, seconds), nil)
		if err != nil {
			return 0
		}
		req.Header.Set("X-App-ID", first.AppID)
		req.Header.Set("X-API-Key", first.APIKey)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	const places = 32 // of an app
	answers := make(chan int, places)
	var stopping atomic.Bool
	for range places {
		go func() {
			status := wait(50)
			for status == http.StatusServiceUnavailable && !stopping.Load() { // the one that looks below had the place
				status = wait(50)
			}
			answers <- status
		}()
	}
	for refused := 0; refused < 3; time.Sleep(10 * time.Millisecond) { // until all places are taken, and none by an earlier look that has not left yet
		if refused++; wait(0) != http.StatusServiceUnavailable {
			refused = 0
		}
	}
	stopping.Store(true)
	began := time.Now()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the stop took %v", took)
	}
	for range places {
		if status := <-answers; status != http.StatusServiceUnavailable {
			t.Errorf("one that waited was answered %d", status)
		}
	}
}

func send(t *testing.T, f First, body string) (id string) {
	t.Helper()
	answer := exchange(t, f, http.MethodPost, "/api/v1/messages", body)
	_, rest, found := strings.Cut(answer, `"id":"`)
	if !found {
		t.Fatal(answer)
	}
	id, _, _ = strings.Cut(rest, `"`)
	return id
}

func get(t *testing.T, f First, path string) string {
	t.Helper()
	return exchange(t, f, http.MethodGet, path, "")
}

func exchange(t *testing.T, f First, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.BaseURL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-App-ID", f.AppID)
	req.Header.Set("X-API-Key", f.APIKey)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}
