package app

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// announcer tells worker nodes what a node without a dispatcher accepted. It
// joins what gathers while an announcement is under way; losing one costs at
// most the workers' polling interval.
type announcer struct {
	to   store.Announcer
	log  *slog.Logger
	mu   sync.Mutex
	due  map[comm.Unit]comm.Micros
	wake chan struct{}
}

func newAnnouncer(to store.Announcer, log *slog.Logger) *announcer {
	return &announcer{to: to, log: log, due: map[comm.Unit]comm.Micros{}, wake: make(chan struct{}, 1)}
}

// push notes a new queue row. It never blocks.
func (a *announcer) push(u comm.Unit, h store.Head) {
	a.mu.Lock()
	if due, ok := a.due[u]; !ok || h.Due < due {
		a.due[u] = h.Due
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *announcer) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		}
		a.mu.Lock()
		wakes := make([]store.Wake, 0, len(a.due))
		for u, due := range a.due {
			wakes = append(wakes, store.Wake{Unit: u, Due: due})
		}
		clear(a.due)
		a.mu.Unlock()
		sending, cancel := context.WithTimeout(ctx, 5*time.Second)
		if err := a.to.Announce(sending, wakes); err != nil && ctx.Err() == nil {
			a.log.Warn("workers were not told of new messages; they will find them by polling", "units", len(wakes), "error", err)
		}
		cancel()
	}
}
