package app

import (
	"fmt"
	"net/http"

	"github.com/commserver/commserver/internal/console"
	"github.com/commserver/commserver/internal/provider/all"
)

// withConsole puts the console before the API, on nodes that serve the API.
func (a *App) withConsole(opt Options, api http.Handler) (http.Handler, error) {
	if !a.cfg.Role.ServesAPI() {
		return api, nil
	}
	pages, err := console.New(console.Config{API: api, PublicURL: a.base, Version: opt.Version, Adapters: all.Adapters(), TrustedProxies: a.cfg.TrustedProxies, Log: a.log})
	if err != nil {
		return nil, fmt.Errorf("build the console: %w", err)
	}
	return console.Beside(api, pages), nil
}
