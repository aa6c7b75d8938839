package alert

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/signature"
)

func loopback() *guard.Dialer {
	return &guard.Dialer{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, OnlyAllowed: true}
}

func TestTheHookIsSigned(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-of-alerts-0001"
	var calls atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		b, err := io.ReadAll(r.Body)
		var n map[string]any
		if err != nil || json.Unmarshal(b, &n) != nil || n["alert"] != ProviderDown || n["state"] != Raised || n["subject"] != "x" || n["since"] != "2026-07-01T10:00:00.000Z" {
			t.Errorf("%s %v", b, err)
		}
		at, id := r.Header.Get("X-Comms-Timestamp"), r.Header.Get("Webhook-Id")
		if r.Header.Get("X-Comms-Signature") != signature.Guide(secret, at, b) || r.Header.Get("Webhook-Signature") != signature.Standard(id, at, b, secret) || id != n["id"] {
			t.Errorf("%v", r.Header)
		}
	}))
	defer s.Close()
	h := &Hook{URL: s.URL, Secret: secret, Dial: loopback().DialContext}
	n := &Note{ID: "alert_1", Alert: ProviderDown, State: Raised, Subject: "x", SinceText: "2026-07-01T10:00:00.000Z"}
	if err := h.Post(t.Context(), n); err != nil || calls.Load() != 1 {
		t.Errorf("%v, %d calls", err, calls.Load())
	}
}

// TestWhatTheHookRefuses: what is not 2xx is no delivery, nothing is followed, and no error shows the address.
func TestWhatTheHookRefuses(t *testing.T) {
	t.Parallel()
	var followed atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer other.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/redirect/token-0001":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/500/token-0001":
			w.WriteHeader(http.StatusInternalServerError)
		case "/hang/token-0001":
			<-r.Context().Done()
		}
	}))
	defer s.Close()
	for path, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
		"/redirect": loopback().DialContext, "/500": loopback().DialContext, "/hang": loopback().DialContext, "/blocked": (&guard.Dialer{Ports: guard.WebPorts()}).DialContext,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := (&Hook{URL: s.URL + path + "/token-0001", Dial: dial}).Post(ctx, &Note{})
		cancel()
		if err == nil || strings.Contains(err.Error(), "token-0001") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if followed.Load() != 0 {
		t.Error("a redirect was followed")
	}
}
