package registry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// A change is made anew at most editTries times because somebody else's of the same thing
// came between, after a pause at random of up to editPause for each time before, editLongest at most.
const (
	editTries   = 50
	editPause   = time.Millisecond
	editLongest = 20 * time.Millisecond
)

// anew reads a thing, changes it and stores it if it is still what was read. Of two changes
// at once, on any nodes, neither undoes the other, and none is refused for the other: the
// later one is made on what the first one left. An error of change is an answer; after store's the thing is read again if it is a Conflict.
func anew[T any](ctx context.Context, read func() (T, error), change func(T) error, store func(T) error) (thing T, err error) {
	for try := 1; ; try++ {
		if thing, err = read(); err != nil {
			return thing, err
		}
		if err = change(thing); err != nil {
			return thing, err
		}
		if err = store(thing); !comm.IsKind(err, comm.Conflict) || try == editTries {
			return thing, err
		}
		pause := time.NewTimer(rand.N(min(time.Duration(try)*editPause, editLongest)))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return thing, context.Cause(ctx)
		}
	}
}
