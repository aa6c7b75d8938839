package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// AppFinder looks apps up.
type AppFinder interface {
	AppByID(ctx context.Context, id comm.ID) (*comm.App, error)
	AppBySlug(ctx context.Context, slug string) (*comm.App, error)
}

// AppNamed looks an app up by its id or slug; not_found otherwise. No slug looks like an id.
func AppNamed(ctx context.Context, apps AppFinder, name string) (*comm.App, error) {
	if id, err := comm.ParseID(name); err == nil {
		return apps.AppByID(ctx, id)
	}
	return apps.AppBySlug(ctx, name)
}
