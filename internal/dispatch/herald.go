package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// heraldPace is the least time between two announcements; what comes meanwhile goes with the next.
const heraldPace = 5 * time.Millisecond

// heraldPatience bounds one announcement, so that a database that hangs holds none of the next ones up for longer.
const heraldPatience = 5 * time.Second

// maxTold bounds what waits to be announced; the rest is found by polling.
const maxTold = 10_000

// Herald tells other nodes of rows in units that they own and of changed settings. A node that accepts
// without dispatching has a Herald alone. What gathers while an announcement is
// under way goes with the next; losing one costs at most the owner's polling
// interval. It is safe for concurrent use.
type Herald struct {
	to   store.Announcer // nil: nobody can be told
	log  *slog.Logger
	mu   sync.Mutex
	box  map[comm.Unit]comm.Micros
	wake chan struct{}
}

// NewHerald makes a herald; Run does its work.
func NewHerald(to store.Announcer, log *slog.Logger) *Herald {
	return &Herald{to: to, log: log, box: map[comm.Unit]comm.Micros{}, wake: make(chan struct{}, 1)}
}

// Tell queues an announcement. It never blocks.
func (h *Herald) Tell(w store.Wake) {
	if h.to == nil {
		return
	}
	h.mu.Lock()
	if due, ok := h.box[w.Unit]; ok && due <= w.Due || !ok && len(h.box) >= maxTold {
		h.mu.Unlock()
		return
	}
	h.box[w.Unit] = w.Due
	h.mu.Unlock()
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Run announces until ctx ends.
func (h *Herald) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.wake:
		}
		h.mu.Lock()
		wakes := make([]store.Wake, 0, len(h.box))
		for u, due := range h.box {
			wakes = append(wakes, store.Wake{Unit: u, Due: due})
		}
		clear(h.box)
		h.mu.Unlock()
		if len(wakes) == 0 {
			continue
		}
		bounded, cancel := context.WithTimeout(ctx, heraldPatience)
		err := h.to.Announce(bounded, wakes)
		cancel()
		if err != nil && ctx.Err() == nil {
			h.log.Debug("announcement lost; polling finds the messages", "units", len(wakes), "err", err)
		}
		sleep(ctx, heraldPace)
	}
}

// listen hears the announcements of other nodes until ctx ends.
func (d *Dispatcher) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.cfg.Announcer.Listen(ctx, func(wakes []store.Wake) { d.heard(wakes) })
		if ctx.Err() == nil {
			d.log.Warn("announcements of other nodes are not heard; polling goes on", "err", err)
			sleep(ctx, time.Second)
		}
	}
}
