package store

import (
	"context"
	"strings"
	"unicode/utf8"

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
	if !Storable(name) {
		return nil, comm.E("not_found")
	}
	return apps.AppBySlug(ctx, name)
}

// Storable says whether every database takes a text. One that does not answers with a
// fault of its own, which would look like an outage.
func Storable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }
