package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

type actorKey struct{}

// WithActor notes in a request's context who makes its changes. A door does so
// once it knows; what stores a change reads it with ActorOf.
func WithActor(ctx context.Context, a comm.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf is who makes the changes of this context: the server by itself where no door said otherwise.
func ActorOf(ctx context.Context) comm.Actor {
	if a, ok := ctx.Value(actorKey{}).(comm.Actor); ok && a.Kind != "" {
		return a
	}
	return comm.Actor{Kind: comm.ActorSystem}
}
