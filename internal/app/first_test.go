package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/test/pgtest"
)

// A shared database gets no app by itself; every start says so until there is one (decision 0005).
func TestPostgreSQLWithoutAppsSaysSo(t *testing.T) {
	t.Parallel()
	const key = "the-key-of-setup-jobs-0123456789"
	url := pgtest.Database(t)
	ring, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	told := func(use func(base string), env ...string) []First {
		cfg, err := config.Load(config.Source{Env: append(env, "COMMS_ADDR=localhost:0", "COMMS_DATABASE_URL="+url, "COMMS_ADMIN_KEY=the-key-of-the-admin-0123456789abc",
			"COMMS_ENCRYPTION_KEYS="+ring.Reveal())})
		if err != nil {
			t.Fatal(err)
		}
		var all []First
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		a, err := New(ctx, cfg, Options{Version: "test", Log: slog.New(slog.DiscardHandler), OnFirst: func(f First) { all = append(all, f) }})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		if use != nil {
			use(a.base)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return all
	}
	provision := func(base string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/api/provision/apps", strings.NewReader(`{"name":"My app","slug":"my-app","scopes":["SEND","READ","PROVIDERS"]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Provisioning-Key", key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusCreated || err != nil {
			t.Errorf("provisioning answers %d: %s %v", res.StatusCode, body, err)
		}
	}
	if got := told(nil); len(got) != 1 || got[0].APIKey != "" || got[0].BaseURL == "" || got[0].Provisioning {
		t.Errorf("the first start, without a provisioning key, tells %+v", got)
	}
	if got := told(nil, "COMMS_ROLE=worker", "COMMS_PROVISIONING_KEY="+key); len(got) != 0 {
		t.Errorf("a worker, which serves no API, tells %+v", got)
	}
	if got := told(provision, "COMMS_PROVISIONING_KEY="+key); len(got) != 1 || !got[0].Provisioning {
		t.Errorf("a start with a provisioning key tells %+v", got)
	}
	if got := told(nil); len(got) != 0 {
		t.Errorf("with an app there, a start tells %+v", got)
	}
}
