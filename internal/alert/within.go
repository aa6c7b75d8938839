package alert

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// errStuck says that a call did not return although its time was over.
var errStuck = errors.New("a call to the database does not return")

// grace is how long a call may go on after its time.
const grace = time.Second

// once is a call of which one goes on at a time.
type once struct{ busy atomic.Bool }

// within makes a call that has so much time. One that does not return then is left behind, whatever it hangs on, and is
// not made again before it has.
func within[T any](ctx context.Context, o *once, limit time.Duration, call func(context.Context) (T, error)) (out T, err error) {
	if !o.busy.CompareAndSwap(false, true) {
		return out, errStuck
	}
	type result struct {
		out T
		err error
	}
	done := make(chan result, 1)
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	go func() {
		var r result
		r.out, r.err = call(limited)
		o.busy.Store(false)
		done <- r
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-limited.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.out, r.err
	case <-timer.C:
		return out, errStuck
	}
}
