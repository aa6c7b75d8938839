package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/config"
)

// Profiles are off unless they have an address, and never on the public one (S30).
func TestProfilesAreOnThePrivateAddressAlone(t *testing.T) {
	t.Parallel()
	for name, inside := range map[string]string{"off": "", "on": "127.0.0.1:0"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(config.Source{Env: []string{"COMMS_ADDR=localhost:0", "COMMS_DATA_DIR=" + t.TempDir(), "COMMS_INTERNAL_ADDR=" + inside}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			defer stop()
			a, err := New(ctx, cfg, Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- a.Run(ctx) }()
			look := func(base, path string) (status int, body string) {
				res, err := http.Get(base + path) //nolint:noctx // a test
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = res.Body.Close() }()
				b, err := io.ReadAll(res.Body)
				if err != nil {
					t.Fatal(err)
				}
				return res.StatusCode, string(b)
			}
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1"} {
				if status, _ := look(a.base, path); status != http.StatusNotFound {
					t.Errorf("the public address answers %s with %d", path, status)
				}
				if inside == "" {
					continue
				}
				if status, _ := look("http://"+a.inside.Addr().String(), path); status != http.StatusOK {
					t.Errorf("the private address answers %s with %d", path, status)
				}
			}
			if inside != "" {
				if status, body := look("http://"+a.inside.Addr().String(), "/api/openapi"); status != http.StatusNotFound || strings.Contains(body, "openapi") {
					t.Errorf("the private address serves the API: %d", status)
				}
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
