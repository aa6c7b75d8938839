package auth

import (
	"context"
	"sync"
	"time"
)

// remember is how long an app and its key are believed without asking: the
// bound on how late a revocation made by another node is noticed.
const remember = 5 * time.Second

// maxCached bounds the memory; past it everything is forgotten once.
const maxCached = 20_000

// cache remembers callers by the hash of their key. Unknown keys are not
// remembered: an attacker would choose what fills the memory.
type cache struct {
	load func(ctx context.Context, hash [32]byte) (*Caller, error)
	now  func() time.Time

	mu         sync.RWMutex
	generation int
	byHash     map[[32]byte]cached
	loading    map[[32]byte]*loading
}

type cached struct {
	caller *Caller
	asked  time.Time
}

// loading is one look-up that several requests wait for.
type loading struct {
	done   chan struct{}
	caller *Caller
	err    error
}

func newCache(load func(context.Context, [32]byte) (*Caller, error), now func() time.Time) *cache {
	return &cache{load: load, now: now, byHash: map[[32]byte]cached{}, loading: map[[32]byte]*loading{}}
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	clear(c.byHash)
	clear(c.loading) // later requests must not join a look-up that began before the change
}

// get answers the caller as it was less than age ago; nil when there is none.
func (c *cache) get(ctx context.Context, hash [32]byte, age time.Duration) (*Caller, error) {
	c.mu.RLock()
	got, ok := c.byHash[hash]
	c.mu.RUnlock()
	if ok && c.now().Sub(got.asked) < age {
		return got.caller, nil
	}
	c.mu.Lock()
	if got, ok := c.byHash[hash]; ok && c.now().Sub(got.asked) < age { // loaded between the two locks
		c.mu.Unlock()
		return got.caller, nil
	}
	l, running := c.loading[hash]
	if !running {
		l = &loading{done: make(chan struct{})}
		c.loading[hash] = l
	}
	generation := c.generation
	c.mu.Unlock()
	if !running {
		c.fill(context.WithoutCancel(ctx), hash, l, generation)
	}
	select {
	case <-l.done:
		return l.caller, l.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// loadTimeout bounds a look-up: others may wait for it, so it does not end with the request that began it.
const loadTimeout = 5 * time.Second

func (c *cache) fill(ctx context.Context, hash [32]byte, l *loading, generation int) {
	defer close(l.done)
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	asked := c.now() // the answer is as old as the question
	l.caller, l.err = c.load(ctx, hash)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loading[hash] == l {
		delete(c.loading, hash)
	}
	if l.err == nil && l.caller != nil && c.generation == generation {
		if len(c.byHash) >= maxCached {
			clear(c.byHash)
		}
		c.byHash[hash] = cached{l.caller, asked}
	}
}
