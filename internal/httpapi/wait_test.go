package httpapi

import (
	"context"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// inbox is a store in which the sandbox takes a message at its own time.
type inbox struct {
	store.Messages
	mu     sync.Mutex
	looks  []store.Filter
	apps   []comm.ID
	after  int // looks after which the message is there; before that it is queued
	id     comm.ID
	before comm.ID       // what a look leads to before the message is there
	gate   chan struct{} // nil: looks do not wait
	// inside counts those that came to the gate
	inside atomic.Int64
}

func (s *inbox) Search(ctx context.Context, app comm.ID, f store.Filter) (store.Found, error) {
	if s.gate != nil {
		s.inside.Add(1)
		select {
		case <-s.gate:
		case <-ctx.Done():
			return store.Found{}, ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks, s.apps = append(s.looks, f), append(s.apps, app)
	m := comm.Message{State: comm.State{ID: s.id, App: app, Channel: comm.SMS}}
	if len(s.looks) > s.after {
		m.State.Provider, m.State.SentAt = chain.Sandbox, 1_000_000
	} else if f.Captured {
		return store.Found{Before: s.before}, nil
	}
	return store.Found{Messages: []comm.Message{m}}, nil
}

func (s *inbox) Message(_ context.Context, app, id comm.ID) (*comm.Message, error) {
	if id != s.id {
		return nil, comm.E("not_found")
	}
	m := &comm.Message{State: comm.State{ID: id, App: app, Channel: comm.SMS, Provider: chain.Sandbox, SentAt: 1_000_000}}
	m.Content.Body = "Your code is 482913"
	return m, nil
}

// wait asks without a socket.
func (w *world) wait(ctx context.Context, who tenant, query string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/sandbox/messages/wait?"+query, nil)
	r.Header.Set("X-App-ID", who.app.Slug)
	r.Header.Set("X-API-Key", who.key)
	out := httptest.NewRecorder()
	w.handler.ServeHTTP(out, r)
	return out
}

func TestWaitingForACapture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for name, c := range map[string]struct {
		query        string
		after, looks int
		status       int
		says         string
	}{
		"it is there":          {"to=%2B233241234567&channel=SMS", 0, 1, 200, "482913"},
		"it comes":             {"to=233241234567&timeout=10", 3, 4, 200, "482913"},
		"it does not come":     {"to=233241234567&timeout=1", 1000, 0, 404, "in 1 second of waiting."},
		"nobody waits":         {"to=233241234567&timeout=0", 1, 1, 404, "in 0 seconds of waiting."},
		"nobody is named":      {"timeout=1", 0, 0, 400, `"to"`},
		"a wrong recipient":    {"to=nobody", 0, 0, 400, "invalid_query"},
		"too long":             {"to=233241234567&timeout=51", 0, 0, 400, `"timeout"`},
		"no number of seconds": {"to=233241234567&timeout=1s", 0, 0, 400, `"timeout"`},
		"a parameter of lists": {"to=233241234567&limit=5", 0, 0, 400, "invalid_query"},
	} {
		s := &inbox{Messages: w.store, after: c.after, id: comm.NewID(5)}
		w.api.cfg.Messages = s
		got := w.wait(t.Context(), one, c.query)
		if got.Code != c.status || got.Code == 404 && !strings.Contains(got.Body.String(), `"nothing_captured"`) || !strings.Contains(got.Body.String(), c.says) {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
		if c.status == 404 && c.after > 1 {
			if n := len(s.looks); n < 2 || n > 10 {
				t.Errorf("%s: %d looks in a second", name, n)
			}
		} else if len(s.looks) != c.looks {
			t.Errorf("%s: %d looks, want %d", name, len(s.looks), c.looks)
		}
		for i, f := range s.looks {
			age := w.api.now() - f.CreatedAfter
			if s.apps[i] != one.app.ID || f.Recipient != "233241234567" || f.Limit != 1 || !f.Captured || age < comm.Micros(59e6) || age > comm.Micros(75e6) {
				t.Errorf("%s: looked for %+v of app %v", name, f, s.apps[i])
			}
		}
	}
}

// TestWaitingTakesItsPlacesOnly: one app's waiting requests leave room for others', and one whose client is gone gives its place back.
func TestWaitingTakesItsPlacesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	s := &inbox{Messages: w.store, after: 1 << 30, id: comm.NewID(5), gate: make(chan struct{})}
	w.api.cfg.Messages = s
	ctx, leave := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range waitsOfApp {
		waiting.Go(func() { w.wait(ctx, one, "to=233241234567") })
	}
	for end := time.Now().Add(10 * time.Second); s.inside.Load() < waitsOfApp; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("only %d of %d wait", s.inside.Load(), waitsOfApp)
		}
	}
	if got := w.wait(t.Context(), one, "to=233241234567&timeout=0"); got.Code != 503 || got.Header().Get("Retry-After") == "" {
		t.Errorf("without a place: %d %s", got.Code, got.Body)
	}
	close(s.gate)
	if got := w.wait(t.Context(), two, "to=233241234567&timeout=0"); got.Code != 404 {
		t.Errorf("another app: %d %s", got.Code, got.Body)
	}
	leave()
	waiting.Wait()
	if got := w.wait(t.Context(), one, "to=233241234567&timeout=0"); got.Code != 404 {
		t.Errorf("after they left: %d %s", got.Code, got.Body)
	}
}

// A process that stops sends those who wait away, instead of being held up by them.
func TestAStopSendsWaitingRequestsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	w.api.cfg.Messages = &inbox{Messages: w.store, after: 1 << 30, id: comm.NewID(5)}
	leaving := make(chan struct{})
	w.api.cfg.Leaving = leaving
	time.AfterFunc(100*time.Millisecond, func() { close(leaving) })
	if got := w.wait(t.Context(), one, "to=233241234567&timeout=50"); got.Code != 503 || got.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", got.Code, got.Body)
	}
}

// What waits, or was sent for real, to the same recipient lies before what the sandbox took, however much it is.
func TestAWaitLooksPastWhatWasNotCaptured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	s := &inbox{Messages: w.store, after: waitPages - 1, id: comm.NewID(5), before: comm.NewID(6)}
	w.api.cfg.Messages = s
	if got := w.wait(t.Context(), one, "to=233241234567&timeout=0"); got.Code != 200 {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	for i, f := range s.looks {
		if f.Before.IsZero() != (i == 0) || i > 0 && f.Before != s.before {
			t.Errorf("look %d begins behind %s", i, f.Before)
		}
	}
	s = &inbox{Messages: w.store, after: 1 << 30, id: comm.NewID(5), before: comm.NewID(6)}
	w.api.cfg.Messages = s
	if got := w.wait(t.Context(), one, "to=233241234567&timeout=0"); got.Code != 404 || len(s.looks) != waitPages {
		t.Errorf("%d after %d pages", got.Code, len(s.looks))
	}
}
