package scale

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
)

// TestTheQueueIsSeenAndClearedBesideAccepts: with a long backlog and clients posting, the
// administrator's view of the queue is answered within 50 ms (95 of 100), and while the
// backlog is being cancelled the slowest hundredth of the accepts takes at most half as long again.
func TestTheQueueIsSeenAndClearedBesideAccepts(t *testing.T) {
	views, most := size(40, 1000), size(30_000, 100_000) // fewer are over within one stall of a disk, which is then the slowest hundredth
	for _, kind := range []string{"SQLite", "PostgreSQL"} {
		t.Run(kind, func(t *testing.T) {
			w, b := onBacklog(t, kind)
			w.pause(&b.big, true)
			w.pause(&b.other, true) // accepts alone are measured
			p := w.serve()
			s := startPosts(p.url, b.other)
			defer s.end()
			time.Sleep(500 * time.Millisecond) // connections and plans
			machine := w.meter()
			var seen figures
			for i := range views {
				query := url.Values{"limit": {"100"}}
				if i%2 == 1 {
					query = url.Values{"app": {"big"}, "lane": {"BULK"}}
				}
				at := time.Now()
				var got map[string]any
				w.admin(p, client.Request{Method: http.MethodGet, Path: "/api/admin/queue", Query: query}, &got)
				seen = append(seen, time.Since(at))
				if data, _ := got["data"].([]any); len(data) == 0 {
					t.Fatalf("%v", got)
				}
				time.Sleep(10 * time.Millisecond)
			}
			if bound := machine.bound(50 * time.Millisecond); seen.at(.95) > bound {
				t.Errorf("p95 of the view is %s, the bound is %s", seen.at(.95), bound)
			}
			w.clears(p, s, most, seen)
			if bad := s.end(); bad != "" {
				t.Error(bad)
			}
			p.end()
		})
	}
}

// clears cancels most messages of the backlog, a call and a calm second in turn, and compares the accepts of both.
func (w *world) clears(p *process, s *posts, most int, seen figures) {
	w.t.Helper()
	machine := w.meter()
	var calm, busy figures
	body := map[string]any{"action": "CANCEL", "app": "big", "confirm": "big"}
	cancelled, spent := 0.0, time.Duration(0)
	for cancelled < float64(most) {
		s.take()
		time.Sleep(time.Second)
		calm = append(calm, s.take()...)
		at := time.Now()
		var got map[string]any
		w.admin(p, client.Request{Method: http.MethodPost, Path: "/api/admin/queue", Body: body}, &got)
		spent += time.Since(at)
		busy = append(busy, s.take()...)
		n, _ := got["cancelled"].(float64)
		cancelled += n
		next, more := got["nextCursor"].(string)
		if !more {
			break
		}
		body["cursor"] = next
	}
	w.t.Logf("view beside accepts %s; %.0f cancelled, %.0f a second; accepts: calm %s, meanwhile %s", seen, cancelled, cancelled/spent.Seconds(), calm, busy)
	if cancelled < float64(most) {
		w.t.Errorf("%.0f were cancelled, of %d", cancelled, most)
	}
	// Under 20 ms the hundredth slowest is a matter of single flushes.
	if bound := machine.bound(max(calm.at(.99)*3/2, 20*time.Millisecond)); busy.at(.99) > bound {
		w.t.Errorf("p99 of accepts is %s while the backlog is cancelled, %s without; the bound is %s", busy.at(.99), calm.at(.99), bound)
	}
}

// posts are clients that post at an even pace and note how long each answer took.
type posts struct {
	stop chan struct{}
	once sync.Once
	wg   sync.WaitGroup
	mu   sync.Mutex
	took figures
	bad  string
}

func startPosts(base string, who tenant) *posts {
	s := &posts{stop: make(chan struct{})}
	for c := range 4 {
		s.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-s.stop:
					return
				case <-time.After(8 * time.Millisecond):
				}
				name := fmt.Sprintf("q%dx%d", c, i)
				at := time.Now()
				status, _, answer, err := post(base, who, mail(name, "NORMAL", name, ""))
				took := time.Since(at)
				s.mu.Lock()
				if s.took = append(s.took, took); status != http.StatusAccepted {
					s.bad = fmt.Sprintf("%d %s %v", status, answer, err)
				}
				s.mu.Unlock()
			}
		})
	}
	return s
}

// take answers what was noted since the last call.
func (s *posts) take() figures {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := slices.Clone(s.took)
	s.took = s.took[:0]
	return out
}

// end stops the clients and answers the last wrong answer, if any.
func (s *posts) end() string {
	s.once.Do(func() { close(s.stop) })
	s.wg.Wait()
	return s.bad
}
