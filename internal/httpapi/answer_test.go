package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// unread is a client that takes nothing of its answer, as HTTP/2 lets it, until it has gone.
type unread struct {
	header http.Header
	gone   chan struct{}
	took   func(n int)
}

func (u *unread) Header() http.Header { return u.header }
func (u *unread) WriteHeader(int)     {}
func (u *unread) Write(b []byte) (int, error) {
	u.took(len(b))
	<-u.gone
	return 0, http.ErrHandlerTimeout
}

func (w *world) read(ctx context.Context, who tenant, path string, into http.ResponseWriter) {
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	r.Header.Set("X-App-ID", who.app.Slug)
	r.Header.Set("X-API-Key", who.key)
	w.handler.ServeHTTP(into, r)
}

// TestAnswersThatNobodyReadsStayBounded: memory for answers is booked before they are
// read from the store, so that an app whose clients do not read has its share of it and
// others are answered.
func TestAnswersThatNobodyReadsStayBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	big := strings.Repeat("x", 15<<10)
	var id string
	for range 100 {
		got := w.do(one, "POST", "/api/v1/messages", sms(`"metadata":{"x":"`+big+`"}`), nil)
		if id = got.str("id"); got.status != 202 {
			t.Fatalf("%d %s", got.status, got.raw)
		}
	}
	mail := w.do(one, "POST", "/api/v1/messages", email(`"body":"`+strings.Repeat("y", 500<<10)+`"`), nil).str("id")
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan struct{})
	var mu sync.Mutex
	held := 0
	var wg sync.WaitGroup
	for n := range 300 {
		path := "/api/v1/messages?limit=100"
		if n%2 == 0 {
			path = "/api/v1/messages/" + mail
		}
		wg.Go(func() {
			w.read(ctx, one, path, &unread{header: http.Header{}, gone: gone, took: func(n int) { mu.Lock(); held += n; mu.Unlock() }})
		})
	}
	settled := func() int { mu.Lock(); defer mu.Unlock(); return held }
	for before := -1; before != settled() || before == 0; time.Sleep(300 * time.Millisecond) {
		before = settled()
	}
	if n := settled(); n > bodyRoom/2 {
		t.Errorf("the answers of one app hold %d MiB", n>>20)
	}
	for path, want := range map[string]string{"/api/v1/messages": one.app.Slug, "/api/v1/messages?limit=100": ""} {
		began := time.Now()
		if got := w.do(two, "GET", path, "", nil); got.status != 200 || time.Since(began) > 5*time.Second {
			t.Errorf("another app's %s beside %s: %d after %v", path, want, got.status, time.Since(began))
		}
	}
	if got := w.do(one, "GET", "/api/v1/messages/"+id, "", nil); got.status != 200 {
		t.Errorf("a small message of the app itself: %d %s", got.status, got.raw)
	}
	cancel()
	close(gone)
	wg.Wait()
	w.api.bodies.empty(t)
	if strings.Contains(w.log.String(), "level=ERROR") {
		t.Errorf("clients that went away are errors in the log: %.300s", w.log.String())
	}
}

// canceled is a store whose reader's client has gone.
type canceled struct{ store.Messages }

func (canceled) List(ctx context.Context, _ comm.ID, _ store.Filter) ([]comm.Message, error) {
	return nil, fmt.Errorf("list messages: %w", ctx.Err())
}

// TestWhoWentAwayIsNoError: any client can give its requests up, as often as it likes.
func TestWhoWentAwayIsNoError(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	if got := w.do(one, "GET", "/api/v1/messages", "", nil); got.status != 200 { // the key is remembered from here on
		t.Fatalf("%d %s", got.status, got.raw)
	}
	w.api.cfg.Messages = canceled{w.store}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 20 {
		w.read(ctx, one, "/api/v1/messages", httptest.NewRecorder())
	}
	if log := w.log.String(); strings.Contains(log, "request failed") || strings.Contains(log, "refused for now") {
		t.Errorf("log: %s", log)
	}
}

// shelf is a store with captures of a given size.
type shelf struct {
	store.Messages
	bodies []int // newest first
	most   int   // rows of one answer, for the test
}

func (s *shelf) Captures(_ context.Context, _ comm.ID, f store.Filter) (out []comm.Message, _ error) {
	s.most = max(s.most, f.Limit)
	for i, n := range s.bodies {
		m := comm.Message{State: comm.State{ID: comm.NewID(comm.Micros(1_000_000_000 - i*1000)), Channel: comm.Email, SentAt: 1}}
		m.State.ID = comm.ID{0xff, byte(0xff - i>>8), byte(0xff - i)} // older ones are less
		if !f.Before.IsZero() && m.State.ID.Compare(f.Before) >= 0 || len(out) == f.Limit {
			continue
		}
		m.Content.Body = strings.Repeat("b", n)
		out = append(out, m)
	}
	return out, nil
}

// Search answers the same where captures are asked for with their bodies.
func (s *shelf) Search(ctx context.Context, app comm.ID, f store.Filter) (found store.Found, err error) {
	if !f.Captured || !f.Whole || f.Recipient == "" {
		return found, errors.New("captures are not asked for")
	}
	f.Limit++ // as stores read
	if found.Messages, err = s.Captures(ctx, app, f); len(found.Messages) == f.Limit {
		found.Messages = found.Messages[:f.Limit-1]
		found.Before = found.Messages[f.Limit-2].State.ID
	}
	return found, err
}

// TestPagesOfCapturesAreCutBySize: bodies may be half a megabyte each; every capture is on exactly one page.
func TestPagesOfCapturesAreCutBySize(t *testing.T) {
	t.Parallel()
	for _, filter := range []string{"", "&to=ama@example.com"} {
		pagesOfCaptures(t, filter)
	}
}

func pagesOfCaptures(t *testing.T, filter string) {
	t.Helper()
	for name, size := range map[string]int{"large": 400 << 10, "small": 100, "middling": 30 << 10} {
		name += filter
		w := newWorld(t)
		one := w.tenant("one", comm.AllScopes)
		s := &shelf{Messages: w.store}
		for range 130 {
			s.bodies = append(s.bodies, size)
		}
		w.api.cfg.Messages = s
		seen, pages, cursor := 0, 0, ""
		for {
			got := w.do(one, "GET", "/api/v1/sandbox/messages?limit=100"+filter+cursor, "", nil)
			if got.status != 200 || len(got.raw) > 4<<20 {
				t.Fatalf("%s: %d, %d bytes", name, got.status, len(got.raw))
			}
			seen, pages = seen+len(got.body["data"].([]any)), pages+1
			next, _ := got.body["nextCursor"].(string)
			if next == "" {
				break
			}
			cursor = "&cursor=" + next
		}
		if seen != len(s.bodies) {
			t.Errorf("%s: %d captures on %d pages, %d are there", name, seen, pages, len(s.bodies))
		}
		if size == 100 && pages != 2 {
			t.Errorf("%s: %d pages", name, pages)
		}
	}
}
