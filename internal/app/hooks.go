package app

import (
	"context"
	"fmt"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/webhook"
)

// hooks makes what brings events to endpoints and to those who ask for them.
func (a *App) hooks(opt Options, ring *seal.Ring, out doors) {
	owned := func() (string, []store.Lease) { return "", nil }
	if a.dispatcher != nil {
		owned = a.dispatcher.Owned
	}
	secrets := endpointSecrets{ring.For(store.WebhookSecrets().Purpose)}
	a.webhooks = webhook.New(webhook.Config{Store: a.store, Endpoints: switching{a.store, a.changed}, Owned: owned, Now: a.store.Now, Secrets: secrets.open, Meter: a.metered.Hooks(),
		Dial: out.web.DialContext, DialPlain: out.plain.DialContext, Version: opt.Version, Drain: a.cfg.DrainTimeout, Log: a.log})
	a.tail = feed.NewTail(feed.TailConfig{Heads: a.store.Heads, Owned: owned, Log: a.log})
	a.feed = feed.New(feed.Config{Store: a.store, Endpoints: a.store, Owned: owned, Now: a.store.Now, Made: a.webhooks.Made, Stamped: a.tail.Stamped, Log: a.log})
}

// endpointSecrets opens what endpoints are signed with.
type endpointSecrets struct{ sealer *seal.Sealer }

func (s endpointSecrets) open(e *comm.Endpoint) (secrets []string, err error) {
	place := store.WebhookSecrets().Place(e.App, e.ID)
	now, err := s.sealer.Open(seal.Unpack(e.Secret), place)
	if err != nil {
		return nil, fmt.Errorf("open an endpoint's secret: %w", err)
	}
	secrets = append(secrets, string(now))
	for _, r := range e.Replaced {
		before, err := s.sealer.Open(seal.Unpack(r.Secret), place)
		if err != nil {
			return nil, fmt.Errorf("open an endpoint's secret before its rotation: %w", err)
		}
		secrets = append(secrets, string(before))
	}
	return secrets, nil
}

// switching is the store's endpoints, of which it is told when one is switched off.
type switching struct {
	store.Endpoints
	changed func(app comm.ID)
}

// SwitchOff implements webhook.Endpoints.
func (s switching) SwitchOff(ctx context.Context, e *comm.Endpoint, why string) error {
	ctx = store.WithActor(ctx, comm.Actor{Kind: comm.ActorSystem})
	done, err := s.Endpoints.SwitchOff(ctx, e, why)
	if done {
		s.changed(e.App)
	}
	return err
}
