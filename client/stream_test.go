package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// cutting is a server whose stream of events breaks off after any number of bytes.
type cutting struct {
	t      *testing.T
	events int
	mu     sync.Mutex
	rnd    *rand.Rand
	opened int
	refuse func(n int) int // a status for the n-th request; 0: none
}

// event is what the stream says of event n; some are of messages that are gone, and move on by an id alone.
func (s *cutting) event(n int) string {
	end := []string{"\n", "\r\n"}[n%2]
	if n%7 == 3 {
		return fmt.Sprintf("id: at-%d%s%s", n, end, end)
	}
	return strings.ReplaceAll(fmt.Sprintf(":a comment\nid: at-%d\nevent: message.status\ndata: {\"eventId\":\"e%d\",\ndata:  \"sequence\":%d}\n\n", n, n, n), "\n", end)
}

func (s *cutting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.opened++
	n, most := s.opened, s.rnd.IntN(900)
	s.mu.Unlock()
	if r.URL.Path != "/api/v1/events/stream" || r.Header.Get("X-API-Key") != "k" || r.Header.Get("X-App-ID") != "one" {
		s.t.Errorf("%s %v", r.URL, r.Header)
	}
	if status := s.refuse(n); status != 0 {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":"Not now.","details":{"code":"x%d"}}`, status)
		return
	}
	from := 0
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		at, err := strconv.Atoi(strings.TrimPrefix(id, "at-"))
		if err != nil {
			s.t.Errorf("Last-Event-ID: %q", id)
		}
		from = at + 1
	}
	var b strings.Builder
	b.WriteString("retry: 1234\n\n")
	for i := from; i < s.events && b.Len() < 2*most; i++ {
		b.WriteString(s.event(i))
	}
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	out := b.String()
	_, _ = w.Write([]byte(out[:min(most, len(out))]))
	_ = http.NewResponseController(w).Flush()
	if n%3 != 0 { // else it ends as if that were all
		panic(http.ErrAbortHandler)
	}
}

func newCutting(t *testing.T, events int) (*cutting, *Client, *[]time.Duration) {
	s := &cutting{t: t, events: events, rnd: rand.New(rand.NewPCG(1, uint64(events))), refuse: func(int) int { return 0 }}
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = nil
	server.Start()
	t.Cleanup(server.Close)
	var waits []time.Duration
	c, err := New(Options{BaseURL: server.URL, App: "one", Key: "k", Wait: func(ctx context.Context, d time.Duration) error {
		waits = append(waits, d)
		return ctx.Err()
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s, c, &waits
}

func TestFollowingAStreamThatBreaks(t *testing.T) {
	t.Parallel()
	s, c, waits := newCutting(t, 400)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	want := 0
	for e, err := range c.Follow(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		for want%7 == 3 {
			want++
		}
		if e.EventID != fmt.Sprint("e", want) || e.Sequence != want || e.Cursor != fmt.Sprint("at-", want) {
			t.Fatalf("event %d: %+v", want, e)
		}
		if want++; want == s.events-1 {
			cancel() // it is the last but for one without data
		}
	}
	if want != s.events-1 {
		t.Errorf("it ended before event %d", want)
	}
	if s.opened < 50 {
		t.Errorf("%d connections", s.opened)
	}
	heard := 0
	for _, d := range *waits {
		if d == 1234*time.Millisecond {
			heard++
		}
	}
	if heard < len(*waits)/2 {
		t.Errorf("it does not come back when the server says: %v", *waits)
	}
}

func TestFollowingFromACursor(t *testing.T) {
	t.Parallel()
	_, c, _ := newCutting(t, 100)
	for e, err := range c.Follow(t.Context(), "at-41") {
		if err != nil || e.Sequence != 42 {
			t.Fatalf("%+v %v", e, err)
		}
		break
	}
	raw := &Raw{c: c}
	for e, err := range raw.Follow(t.Context(), "at-41") {
		if err != nil || e.Cursor != "at-42" || !json.Valid(e.Data) || !strings.Contains(string(e.Data), `"e42"`) {
			t.Fatalf("%+v %v", e, err)
		}
		break
	}
}

func TestFollowingPassesBadTimes(t *testing.T) {
	t.Parallel()
	s, c, waits := newCutting(t, 3)
	s.refuse = func(n int) int {
		switch {
		case n <= 3:
			return []int{503, 429, 502}[n-1]
		case n > 10:
			return 401
		}
		return 0
	}
	var last error
	for _, err := range c.Follow(t.Context(), "") {
		last = err
	}
	if e, ok := errors.AsType[*Error](last); !ok || e.Status != 401 {
		t.Errorf("it ended by %v", last)
	}
	for i, d := range (*waits)[:3] {
		if d < 7*time.Second {
			t.Errorf("pause %d is %s", i, d)
		}
	}
}

func TestFollowingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	open := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		close(open)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	c, err := New(Options{BaseURL: server.URL, App: "one", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-open; cancel() }()
	for e, err := range c.Follow(ctx, "") {
		t.Errorf("%+v %v", e, err)
	}
}

func TestWhatIsNoStreamIsNotFollowed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	t.Cleanup(server.Close)
	c, err := New(Options{BaseURL: server.URL, App: "one", Key: "k"})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range c.Follow(t.Context(), "") {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), "no stream of events") {
		t.Errorf("%v", last)
	}
}
