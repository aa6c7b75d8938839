package app

import (
	"context"
	"fmt"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store"
)

// demoSlug names the sandbox app that a new installation starts with.
const demoSlug = "demo"

// firstApp makes the demo app and its key in a database without apps; nil
// when there are apps already. The key is known only here and now.
func firstApp(ctx context.Context, s store.Store) (*First, error) {
	apps, err := s.AppList(ctx, comm.ID{}, 1)
	if err != nil {
		return nil, fmt.Errorf("look for apps: %w", err)
	}
	if len(apps) > 0 {
		return nil, nil
	}
	now := comm.At(time.Now())
	app := registry.NewApp(demoSlug, "Demo", now)
	minted := apikey.Mint(false)
	created, err := s.CreateApp(ctx, app, &comm.Key{ID: comm.NewID(now), App: app.ID, Hash: minted.Hash, Prefix: minted.Prefix, LastFour: minted.Last4,
		Scopes: comm.AllScopes, Provisioned: true, CreatedAt: now, CreatedBy: comm.ActorSystem}) // so that rotateKey ends it
	if err != nil {
		return nil, fmt.Errorf("make the demo app: %w", err)
	}
	if !created { // another node was first
		return nil, nil
	}
	return &First{AppID: demoSlug, APIKey: minted.Text}, nil
}
