package dispatch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commserver/commserver/internal/store"
)

// watchedQueue notes how many turns the store works on at once, and how large they are.
type watchedQueue struct {
	store.Queue
	mu       sync.Mutex
	underway int
	most     int
	beside   []int // sizes of turns that began while another was under way
}

func (q *watchedQueue) Turn(ctx context.Context, t store.Turn) (store.TurnResult, error) {
	q.mu.Lock()
	q.underway++
	q.most = max(q.most, q.underway)
	if q.underway > 1 {
		q.beside = append(q.beside, len(t.Finishes)+len(t.Starts))
	}
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.underway--
	}()
	return q.Queue.Turn(ctx, t)
}

// TestTurnsOverlapOnlyInWholeGroups: a backlog keeps two turns at the store, so
// that it never waits for this node; a few messages never make more than one.
func TestTurnsOverlapOnlyInWholeGroups(t *testing.T) {
	for _, tc := range []struct {
		name      string
		backlog   int
		overlap   bool
		took      time.Duration
		trickling int
	}{
		{name: "backlog, instant provider", backlog: 20_000, overlap: true},
		{name: "backlog, quick provider", backlog: 20_000, overlap: true, took: 100 * time.Millisecond},
		{name: "a few at a time", trickling: 500},
		{name: "less than a whole group", backlog: wholeGroup - 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &pacedSender{took: tc.took}
				w, boot := crowd(t, 20*time.Millisecond, p)
				q := &watchedQueue{}
				edit := w.edit
				w.edit = func(c *Config) {
					edit(c)
					q.Queue, c.Queue = c.Queue, q
				}
				a := w.app(nil, emailConfig("PACED", 1))
				if tc.backlog > 0 {
					w.backlog(a, tc.backlog)
				}
				srv := boot()
				time.Sleep(time.Second) // its shards are its own
				for range tc.trickling {
					w.send(srv, a, nil)
					time.Sleep(time.Millisecond)
				}
				time.Sleep(5 * time.Second)
				w.stopAll()
				if overlap := q.most > 1; overlap != tc.overlap || q.most > turnsAhead {
					t.Errorf("%d turns were under way at once: %v", q.most, q.beside)
				}
				small := 0
				for _, n := range q.beside {
					if n < wholeGroup/2 {
						small++
					}
				}
				if small > 2+len(q.beside)/5 { // heads that turn out to be known already make a few
					t.Errorf("small turns went beside others: %v", q.beside)
				}
				if sent := p.calls; sent < min(tc.backlog, 1000)+tc.trickling {
					t.Errorf("only %d messages were sent", sent)
				}
			})
		})
	}
}
