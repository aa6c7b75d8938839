package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/commserver/commserver/internal/backlog"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/metrics"
	"github.com/commserver/commserver/internal/store"
)

// measured says where metrics are read from, once every part is there.
func (a *App) measured() {
	from := metrics.Sources{Receipts: a.receipts, Webhooks: a.webhooks, Feed: a.feed, Leads: a.leads, Store: a.store, Waits: backlog.New(a.store, backlog.Rules{})}
	if a.dispatcher != nil {
		from.Dispatcher = a.dispatcher
	}
	from.Filed, _ = a.store.(store.Filed)
	from.Pooled, _ = a.store.(store.Pooled)
	a.metered.Watch(from)
}

// profileTime is how long one profile may take.
const profileTime = 10 * time.Minute

// listenInside opens the private listener, when there is to be one: metrics, profiles, and whether the process answers.
func (a *App) listenInside(ctx context.Context) (err error) {
	if a.cfg.InternalAddr == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metered.Handler())
	mux.Handle("/debug/pprof/", httpserver.Profiles())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	if a.inside, err = httpserver.Listen(ctx, httpserver.Config{Addr: a.cfg.InternalAddr, Log: a.log, Drain: time.Second, AnswerTime: profileTime, Handler: mux}); err != nil {
		return fmt.Errorf("listen (COMMS_INTERNAL_ADDR): %w", err)
	}
	a.onClose(a.inside.Close)
	return nil
}
