package feed

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/outage"
	"github.com/commserver/commserver/internal/store"
)

// TailConfig is what a Tail needs. Zero durations take the defaults in brackets.
type TailConfig struct {
	// Heads answers each app's last position.
	Heads func(ctx context.Context, apps []comm.ID) ([]int64, error)
	// Owned is what the node owns now: of these apps it is told what was stamped [nothing].
	Owned func() (node string, leases []store.Lease)
	// Every is between two looks at apps that other nodes stamp [500 ms], Seldom at all apps [5 s].
	Every, Seldom time.Duration
	Log           *slog.Logger
}

// Tail wakes those who wait for an app's events. However many wait, one loop looks for all of them, and only at what other nodes
// stamp: nobody waits at the cost of a query. It is safe for concurrent use.
type Tail struct {
	cfg     TailConfig
	looking outage.Report

	mu    sync.Mutex
	apps  map[comm.ID]*awaited
	ended bool
}

// awaited is an app that somebody waits for.
type awaited struct {
	head    int64
	waiters map[*waiter]struct{}
}

type waiter struct {
	wake  chan struct{}
	leave func()
}

// NewTail makes a Tail; Run looks.
func NewTail(cfg TailConfig) *Tail {
	cfg.Every, cfg.Seldom = max(cfg.Every, 0), max(cfg.Seldom, 0)
	if cfg.Every == 0 {
		cfg.Every = 500 * time.Millisecond
	}
	if cfg.Seldom == 0 {
		cfg.Seldom = 5 * time.Second
	}
	if cfg.Owned == nil {
		cfg.Owned = func() (string, []store.Lease) { return "", nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Tail{cfg: cfg, apps: map[comm.ID]*awaited{},
		looking: outage.Report{Log: cfg.Log, Level: slog.LevelWarn, Failing: "it cannot be seen whether there are new events; streams wait", Works: "streams of events go on"}}
}

// Listen answers a channel in which there is something when the app may have events that were not there at the last receive. It is
// closed when Run ends, which calls leaving, once, from another goroutine. Call stop in the end.
func (t *Tail) Listen(app comm.ID, leaving func()) (wake <-chan struct{}, stop func()) {
	w := &waiter{make(chan struct{}, 1), leaving}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		close(w.wake)
		return w.wake, func() {}
	}
	a := t.apps[app]
	if a == nil {
		a = &awaited{waiters: map[*waiter]struct{}{}}
		t.apps[app] = a
	}
	a.waiters[w] = struct{}{}
	return w.wake, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if delete(a.waiters, w); len(a.waiters) == 0 && t.apps[app] == a {
			delete(t.apps, app)
		}
	}
}

// Stamped says that events have their places. It never blocks.
func (t *Tail) Stamped(runs []store.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range runs {
		t.reached(runs[i].App, runs[i].Last)
	}
}

// reached wakes who waits for an app whose last position is another one now.
func (t *Tail) reached(app comm.ID, head int64) {
	a := t.apps[app]
	if a == nil || a.head == head {
		return
	}
	a.head = head
	for w := range a.waiters {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Run looks until ctx ends; then everybody is sent away.
func (t *Tail) Run(ctx context.Context) error {
	tick := time.NewTicker(t.cfg.Every)
	defer tick.Stop()
	var all time.Time // when to look at all apps next
	for {
		select {
		case <-ctx.Done():
			t.end()
			return nil
		case <-tick.C:
		}
		now := time.Now()
		err := t.look(ctx, !now.Before(all))
		switch {
		case ctx.Err() != nil:
		case err != nil:
			t.looking.Failed(err)
		default:
			t.looking.Worked()
			if !now.Before(all) {
				all = now.Add(t.cfg.Seldom)
			}
		}
	}
}

func (t *Tail) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	for _, a := range t.apps {
		for w := range a.waiters {
			w.leave()
			close(w.wake)
		}
	}
	clear(t.apps)
}

// appsAtOnce bounds one question.
const appsAtOnce = 500

// look asks how far apps are: those that others stamp, or all of them.
func (t *Tail) look(ctx context.Context, all bool) error {
	_, leases := t.cfg.Owned()
	ours := [comm.ShardCount]bool{}
	for _, l := range leases {
		ours[l.Shard] = true
	}
	var apps []comm.ID
	t.mu.Lock()
	for app := range t.apps {
		if all || !ours[comm.ShardOf(app, comm.ID{}, 1)] {
			apps = append(apps, app)
		}
	}
	t.mu.Unlock()
	for len(apps) > 0 {
		part := apps[:min(len(apps), appsAtOnce)]
		heads, err := t.cfg.Heads(ctx, part)
		if err != nil {
			return err
		}
		t.mu.Lock()
		for i, app := range part {
			t.reached(app, heads[i])
		}
		t.mu.Unlock()
		apps = apps[len(part):]
	}
	return nil
}
