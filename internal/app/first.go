package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/commserver/commserver/internal/apikey"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store"
)

// demoSlug names the sandbox app that a new installation starts with.
const demoSlug = "demo"

// demoKeyFile holds the demo app's key inside the data folder, where it is not to be printed.
const demoKeyFile = "demo-key"

func demoKeyIn(cfg config.Config) *secretFile {
	return &secretFile{what: "key of the demo app", path: filepath.Join(cfg.DataDir, demoKeyFile)}
}

// firstApp makes the demo app and its key in a database without apps; nil
// when there are apps already. The key is known only here and now, and to the file keep unless that is nil.
func firstApp(ctx context.Context, s store.Store, keep *secretFile) (*First, error) {
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
	first := &First{AppID: demoSlug, APIKey: minted.Text}
	if keep != nil {
		// The file comes first: a key that nobody can read would be lost. One that is there opens nothing: it is of a start that was killed, or of another database.
		if err := os.Remove(keep.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("put the %s into a file: %w", keep.what, err)
		}
		if err := keep.write(minted.Text); err != nil {
			return nil, err
		}
		first.APIKey, first.APIKeyFile = "", keep.path
	}
	created, err := s.CreateApp(ctx, app, &comm.Key{ID: comm.NewID(now), App: app.ID, Hash: minted.Hash, Prefix: minted.Prefix, LastFour: minted.Last4,
		Scopes: comm.AllScopes, Provisioned: true, CreatedAt: now, CreatedBy: comm.ActorSystem}) // so that rotateKey ends it
	if err != nil {
		return nil, fmt.Errorf("make the demo app: %w", err)
	}
	if !created { // another node was first
		return nil, nil
	}
	return first, nil
}
