package httpapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/feed"
)

const streamURL = "/api/v1/events/stream"

// sse is what a reader of Server-Sent Events has.
type sse struct{ id, event, data string }

// reading is a stream that a client has open, over a connection of its own.
type reading struct {
	t    *testing.T
	res  *http.Response
	in   *bufio.Reader
	last string // the last event id
	beat int    // comments
	end  func()
}

// served is a real server over the world.
func (w *world) served(change func(*httptest.Server)) *httptest.Server {
	w.t.Helper()
	s := httptest.NewUnstartedServer(w.handler)
	if change != nil {
		change(s)
	}
	if s.EnableHTTP2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	w.t.Cleanup(s.Close)
	return s
}

// openStream opens one.
func openStream(t *testing.T, s *httptest.Server, who tenant, query, last string) *reading {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", s.URL+streamURL+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-App-ID", who.app.Slug)
	req.Header.Set("X-API-Key", who.key)
	req.Header.Set("Accept", "text/event-stream")
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	tr := s.Client().Transport.(*http.Transport).Clone()
	res, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	r := &reading{t: t, res: res, in: bufio.NewReader(res.Body), last: last, end: func() { cancel(); _ = res.Body.Close(); tr.CloseIdleConnections() }}
	t.Cleanup(r.end)
	if res.StatusCode == 200 && (res.Header.Get("Content-Type") != "text/event-stream" || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("X-Accel-Buffering") != "no") {
		t.Errorf("%v", res.Header)
	}
	return r
}

// next reads one event as WHATWG's algorithm does, or the error that ends the stream.
func (r *reading) next() (e sse, err error) {
	id := r.last
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			return e, err // what is not whole is no event
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if r.last = id; e.data != "" {
				e.id = id
				return e, nil
			}
			e = sse{}
		case name == "":
			r.beat++
		case name == "id":
			id = value
		case name == "event":
			e.event = value
		case name == "data":
			e.data += value
		case name != "retry":
			r.t.Errorf("%q", line)
		}
	}
}

func (r *reading) want(what string, n int) (all []sse) {
	r.t.Helper()
	for range n {
		e, err := r.next()
		if err != nil || e.event != "message.status" || !strings.Contains(e.data, what) {
			r.t.Fatalf("%+v, %v; want %q", e, err, what)
		}
		all = append(all, e)
	}
	return all
}

// ends wants the stream to end within a time, in order.
func (r *reading) ends(within time.Duration) {
	r.t.Helper()
	began := time.Now()
	for {
		if _, err := r.next(); err != nil {
			if !errors.Is(err, io.EOF) {
				r.t.Errorf("it broke off: %v", err)
			}
			break
		}
	}
	if took := time.Since(began); took > within {
		r.t.Errorf("it ended after %v", took)
	}
}

// accepted stores messages and gives their events their places.
func (w *world) accepted(who tenant, n int) (ids []string) {
	w.t.Helper()
	one := sms(`"metadata":{"a":"b\nc"}`)
	a := w.do(who, "POST", "/api/v1/messages/batch", `{"messages":[`+one+strings.Repeat(","+one, n-1)+`]}`, nil)
	for _, m := range a.items() {
		ids = append(ids, m["id"].(string))
	}
	if a.status != http.StatusAccepted || len(ids) != n {
		w.t.Fatalf("%d %s", a.status, a.raw)
	}
	w.stamped(n)
	return ids
}

func TestAStreamTellsWhatTheFeedHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	w.api.streaming.beat = 100 * time.Millisecond
	// The times of ordinary requests end no stream.
	s := w.served(func(s *httptest.Server) {
		s.Config.ReadTimeout, s.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	})
	two := w.served(func(s *httptest.Server) { s.EnableHTTP2 = true; s.Config.WriteTimeout = 300 * time.Millisecond })
	one, other := w.tenant("one", comm.AllScopes), w.tenant("two", comm.ScopeRead)
	ids := w.accepted(one, 3)
	r, h2, foreign := openStream(t, s, one, "", ""), openStream(t, two, one, "", ""), openStream(t, s, other, "", "")
	if h2.res.ProtoMajor != 2 {
		t.Fatal(h2.res.Proto)
	}
	first := r.want(`"QUEUED"`, 3)
	h2.want(`"QUEUED"`, 3)
	page, err := w.client(one).Events(t.Context(), "", 100)
	if err != nil || first[2].id != page.NextCursor || !strings.Contains(first[0].data, ids[0]) {
		t.Errorf("the last id is %q, the page's cursor %q, %v", first[2].id, page.NextCursor, err)
	}
	raw := w.do(one, "GET", "/api/v1/events", "", nil)
	if want := `{"data":[` + first[0].data + "," + first[1].data + "," + first[2].data + `],`; !strings.HasPrefix(string(raw.raw), want) {
		t.Errorf("%s\nwant %s", raw.raw, want)
	}
	time.Sleep(time.Second)
	w.accepted(one, 2) // told without being asked
	second := r.want(`"QUEUED"`, 2)
	h2.want(`"QUEUED"`, 2)
	if r.beat < 3 || h2.beat < 3 {
		t.Errorf("%d and %d heartbeats", r.beat, h2.beat)
	}
	// Who comes back goes on behind the last id, whatever the address says; others where the address says.
	if got := openStream(t, s, one, "?after="+first[0].id+"&timeout=0", first[2].id).want(`"QUEUED"`, 2); got[0] != second[0] || got[1] != second[1] {
		t.Errorf("%+v, want %+v", got, second)
	}
	at := openStream(t, s, one, "?timeout=0&after="+first[2].id, "")
	if got := at.want(`"QUEUED"`, 2); got[1] != second[1] {
		t.Errorf("%+v, want %+v", got, second)
	}
	at.ends(5 * time.Second)
	// A place that lies behind everything is of a database that was set back: the reader learns the end at once, and what comes is told.
	ended := openStream(t, s, one, "?timeout=0&after="+position(one.app.ID, 1<<50), "")
	if all, err := io.ReadAll(ended.res.Body); err != nil || !strings.HasSuffix(string(all), "\nid: "+second[1].id+"\n\n") {
		t.Errorf("who was behind the end is told %q, want %q", all, second[1].id)
	}
	lost := openStream(t, s, one, "?after="+position(one.app.ID, 1<<50), "")
	w.accepted(one, 1)
	lost.want(`"QUEUED"`, 1)
	r.want(`"QUEUED"`, 1)
	h2.want(`"QUEUED"`, 1)
	for path, field := range map[string]string{"?after=x": "after", "?after=": "after", "?timeout=51": "timeout", "?timeout=-1": "timeout", "?limit=1": "limit", "?after=" + first[0].id + "&after=" + first[0].id: "after"} {
		if a := w.do(one, "GET", streamURL+path, "", nil); a.status != 400 || !strings.Contains(string(a.raw), `"`+field+`"`) {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
	}
	for who, id := range map[*tenant]string{&one: "x", &other: first[0].id} {
		if a := w.do(*who, "GET", streamURL, "", map[string]string{"Last-Event-ID": id}); a.status != 400 || a.code() != "invalid_cursor" {
			t.Errorf("%q: %d %s", id, a.status, a.raw)
		}
	}
	if a := w.do(one, "HEAD", streamURL, "", nil); a.status != 200 {
		t.Errorf("HEAD: %d", a.status)
	}
	foreign.end()
	if _, err := foreign.next(); err == nil {
		t.Error("another app hears of it")
	}
}

// The connection is cut 200 times, wherever it happens to be: what was read is the feed, in order, nothing twice.
func TestAStreamThatIsCutAgainAndAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	s := w.served(nil)
	one := w.tenant("one", comm.AllScopes)
	const rounds, each = 200, 5
	var got []sse
	last, cuts, whole := "", 0, 0
	for n := range rounds {
		r := openStream(t, s, one, "", last)
		// Bytes may be cut off anywhere: inside a line, between two, within what was flushed at once, before any came.
		r.in = bufio.NewReader(io.LimitReader(r.res.Body, rand.Int64N(4*900)))
		if n%4 != 0 {
			w.accepted(one, each)
		}
		time.AfterFunc(rand.N(40*time.Millisecond), r.end)
		for {
			e, err := r.next()
			if err != nil {
				break
			}
			got, whole = append(got, e), whole+1
		}
		last = r.last
		r.end()
		cuts++
		if n == rounds-1 {
			r := openStream(t, s, one, "?timeout=0", last)
			for {
				e, err := r.next()
				if err != nil {
					break
				}
				got = append(got, e)
			}
		}
	}
	items, _, err := w.feed.Page(t.Context(), one.app.ID, 0, 10_000)
	if err != nil || len(items) != len(got) {
		t.Fatalf("%d events were read, the feed has %d, %v", len(got), len(items), err)
	}
	for i, x := range items {
		if string(x.Body) != got[i].data || got[i].id != position(one.app.ID, x.Position) {
			t.Fatalf("event %d is %+v, want %s at %d", i, got[i], x.Body, x.Position)
		}
	}
	if whole < rounds/2 {
		t.Errorf("%d events were read in %d rounds", whole, rounds)
	}
	t.Logf("%d cuts, %d events, %d of them before the last time", cuts, len(items), whole)
}

func TestAStreamEndsWithItsKeyItsAppAndTheProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	s := w.served(nil)
	one, two, three := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes), w.tenant("three", comm.AllScopes)
	w.accepted(three, 1)
	revoked, deleted, stays := openStream(t, s, one, "", ""), openStream(t, s, two, "", ""), openStream(t, s, three, "", "")
	stays.want(`"QUEUED"`, 1)
	keys := rowsOf(w.root("GET", "/api/admin/apps/one/keys", ""))
	if a := w.root("DELETE", "/api/admin/apps/one/keys/"+keys[0].(map[string]any)["id"].(string), ""); a.status > 299 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := w.root("DELETE", "/api/admin/apps/two?confirm=two", ""); a.status > 299 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	revoked.ends(5 * time.Second)
	deleted.ends(5 * time.Second)
	w.accepted(three, 1)
	stays.want(`"QUEUED"`, 1)
	// A process that stops ends its streams at once, also those whose readers take nothing.
	ctx, stop := context.WithCancel(t.Context())
	tail := feed.NewTail(feed.TailConfig{Heads: w.store.Heads})
	ran := make(chan error, 1)
	go func() { ran <- tail.Run(ctx) }()
	w.api.cfg.Tail = tail
	leaving := openStream(t, s, three, "", "")
	leaving.want(`"QUEUED"`, 2)
	stop()
	leaving.ends(5 * time.Second)
	if err := <-ran; err != nil {
		t.Error(err)
	}
	openStream(t, s, three, "", "").ends(5 * time.Second) // it came too late
}

func TestStreamsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	s := w.served(nil)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	w.accepted(one, 1)
	var open []*reading
	for range streamsOfApp {
		r := openStream(t, s, one, "", "")
		r.want(`"QUEUED"`, 1)
		open = append(open, r)
	}
	if a := w.do(one, "GET", streamURL, "", nil); a.status != 429 || a.code() != "too_many_streams" || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	if r := openStream(t, s, two, "?timeout=0", ""); r.res.StatusCode != 200 {
		t.Errorf("another app: %d", r.res.StatusCode)
	}
	open[3].end()
	for deadline := time.Now().Add(5 * time.Second); openStream(t, s, one, "?timeout=0", "").res.StatusCode != 200; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the place of a stream that ended is not free")
		}
	}
}

// A reader that takes nothing is cut off, and gives back its place and its room.
func TestAReaderThatTakesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.owns()
	w.api.streaming.take, w.api.streams.OfApp = 300*time.Millisecond, 1
	s := w.served(func(s *httptest.Server) {
		s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10)
			return ctx
		}
	})
	one := w.tenant("one", comm.AllScopes)
	for range 40 {
		a := w.do(one, "POST", "/api/v1/messages", sms(`"metadata":{"a":"`+strings.Repeat("x", 16000)+`"}`), nil)
		if a.status != http.StatusAccepted {
			t.Fatalf("%d %s", a.status, a.raw)
		}
	}
	w.stamped(40)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nX-App-ID: %s\r\nX-API-Key: %s\r\n\r\n", streamURL, one.app.Slug, one.key)
	open := func() (taken bool, room int64) {
		taken = w.api.streams.Take(one.app.ID)
		if taken {
			w.api.streams.Leave(one.app.ID)
		}
		w.api.bodies.mu.Lock()
		defer w.api.bodies.mu.Unlock()
		return taken, w.api.bodies.used
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if taken, _ := open(); !taken {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("the stream does not begin")
		}
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		free, room := open()
		if free && room == 0 {
			break
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("it has a place still, and %d bytes of room", room)
		}
	}
}
