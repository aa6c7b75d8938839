package client

import (
	"context"
	"net/http"
	"net/url"
)

// LiveChain is what a live message of a channel would be sent with, as far as settings tell.
type LiveChain struct {
	Channel    string    `json:"channel"`
	Level      string    `json:"level"`      // APP, SERVER, or "" when no configuration can be tried
	Candidates int       `json:"candidates"` // how many configurations can be tried, one after the other
	Sandbox    bool      `json:"sandbox"`    // the sandbox takes it: marked sent, and reaches nobody
	NoProvider bool      `json:"noProvider"` // it fails
	Why        string    `json:"why"`
	WaitingFor string    `json:"waitingFor"` // what it waits for; "" for nothing
	Warnings   []Warning `json:"warnings"`
}

// Supposed is a change to provider configurations that nobody has made. Empty ids change nothing.
type Supposed struct {
	Without string // as if it were deleted
	Off     string // as if it were switched off
}

// LiveChains answers what live messages of an app take, for each channel, also while the app is in the sandbox; "" is any app that has
// no configuration of its own.
func (a *Admin) LiveChains(ctx context.Context, app string, suppose Supposed) ([]LiveChain, error) {
	query := url.Values{}
	for name, value := range map[string]string{"app": app, "without": suppose.Without, "off": suppose.Off} {
		if value != "" {
			query.Set(name, value)
		}
	}
	out := &page[LiveChain]{}
	if _, err := a.c.do(ctx, call{method: http.MethodGet, path: "/api/admin/chains", query: query, safe: true, admin: true}, out); err != nil {
		return nil, err
	}
	return out.Data, nil
}
