package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// heraldPace is the least time between two announcements; what comes meanwhile goes with the next.
const heraldPace = 5 * time.Millisecond

// maxTold bounds what waits to be announced; the rest is found by polling.
const maxTold = 10_000

// herald tells other nodes what they own and we heard of, and listens to them.
type herald struct {
	d    *Dispatcher
	mu   sync.Mutex
	box  map[comm.Unit]comm.Micros
	wake chan struct{}
}

// tell queues an announcement. It never blocks.
func (h *herald) tell(w store.Wake) {
	if h.d.cfg.Announcer == nil {
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

func (h *herald) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
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
		if err := h.d.cfg.Announcer.Announce(ctx, wakes); err != nil && ctx.Err() == nil {
			h.d.log.Debug("announcement lost; polling finds the messages", "units", len(wakes), "err", err)
		}
		sleep(ctx, heraldPace)
	}
}

func (h *herald) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := h.d.cfg.Announcer.Listen(ctx, func(wakes []store.Wake) { h.d.heard(wakes) })
		if ctx.Err() == nil {
			h.d.log.Warn("announcements of other nodes are not heard; polling goes on", "err", err)
			sleep(ctx, time.Second)
		}
	}
}
