package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/feed"
)

// Bounds of streams of events.
const (
	streamsAtOnce = 512 // of this process
	streamsOfApp  = 16
	streamPage    = 50          // events that are read at a time
	streamEnd     = time.Second // for the end of an answer
	// returnFrom and returnWithin are when a reader should come back, in milliseconds: after a restart not all at once.
	returnFrom, returnWithin = 1000, 2000
)

// streamTimes are the times of streams.
type streamTimes struct {
	beat  time.Duration // how often something is sent when nothing happens: whoever is gone is noticed, on both sides
	take  time.Duration // in which a reader must have taken what is written at a time
	again time.Duration // how long a stream waits when its events cannot be read; it stays open: a browser does not come back after a 503
}

func usualStreams() streamTimes { return streamTimes{15 * time.Second, 20 * time.Second, time.Second} }

// streamEvents is GET /api/v1/events/stream: the feed as Server-Sent Events (WHATWG HTML, 9.2).
func (a *API) streamEvents(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	app := caller.App.ID
	after, last, err := streamed(r, app)
	if err != nil {
		return err
	}
	if !a.streams.Take(app) {
		e := comm.E("too_many_streams", "Too many streams of events are open (at most %d of an app at once); close one, or read GET /api/v1/events.", streamsOfApp)
		e.RetryAfter = 5
		return e
	}
	defer a.streams.Leave(app)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	s := &stream{a: a, app: app, ctx: ctx, to: w, conn: http.NewResponseController(w), at: after}
	wake, stop := a.cfg.Tail.Listen(app, cancel)
	defer stop()
	defer s.let()
	waits := cutOff(ctx, s.conn) // nobody waits for a reader who takes nothing once its key, or the process, ends
	defer func() {
		waits()
		_ = s.conn.SetWriteDeadline(time.Now().Add(streamEnd)) // others see a whole answer
	}()
	more, err := s.read() // what cannot be read now is said with a status
	if err != nil {
		return err
	}
	if s.begin(); r.Method != http.MethodHead {
		s.follow(wake, more, last)
	}
	return nil
}

// streamed reads where a stream begins, and when it ends: at once when all is told, after a while, or (nil) never.
func streamed(r *http.Request, app comm.ID) (after int64, last <-chan time.Time, err error) {
	q, err := readQuery(r, "after", "timeout")
	if err != nil {
		return 0, nil, err
	}
	from, given := q["after"]
	where, name := "after", "is not the nextCursor of a page of this app's events, or the id of one"
	if ids := r.Header["Last-Event-Id"]; len(ids) > 0 { // of who comes back: it is further than the address says
		from, given, where = strings.Join(ids, ", "), true, "Last-Event-ID"
	}
	if given {
		var ok bool
		if after, ok = readPosition(app, from); !ok {
			return 0, nil, comm.E("invalid_cursor").Field(where, name)
		}
	}
	if s, ok := q["timeout"]; ok {
		seconds, err := strconv.Atoi(s)
		if err != nil || seconds < 0 || seconds > maxWait {
			return 0, nil, badQuery("timeout", "must be 0 to "+strconv.Itoa(maxWait)+" seconds")
		}
		last = time.After(time.Duration(seconds) * time.Second)
	}
	return after, last, nil
}

// stream is one that is open. It belongs to its request's goroutine.
type stream struct {
	a    *API
	app  comm.ID
	ctx  context.Context
	to   http.ResponseWriter
	conn *http.ResponseController
	at   int64 // everything up to here was told
	back bool  // at is before the place that the reader began at, and it does not know
	page []feed.Item
	next int64
	held *guest
}

// begin writes the head of the answer.
func (s *stream) begin() {
	_ = s.conn.SetReadDeadline(time.Time{}) // it is for requests that end; past it the connection counts as gone
	h := s.to.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events until they fill a page
	s.to.WriteHeader(http.StatusOK)
}

// follow tells what there is and what comes, until the reader, its key, its time or the process ends.
func (s *stream) follow(wake <-chan struct{}, more bool, last <-chan time.Time) {
	idle := time.NewTimer(s.a.streaming.beat)
	defer idle.Stop()
	if s.send(fmt.Appendf(nil, "retry: %d\n\n", returnFrom+time.Now().UnixMicro()%returnWithin)) != nil {
		return
	}
	var again <-chan time.Time
	over := false
	for {
		if err := s.tell(); err != nil {
			return
		}
		if more {
			more = s.reread(&again)
			idle.Reset(s.a.streaming.beat)
			continue
		}
		if over {
			return
		}
		select {
		case <-s.ctx.Done():
			return
		case <-s.a.cfg.Leaving:
			return
		case _, open := <-wake:
			if !open {
				return
			}
			more = true
		case <-again:
			again, more = nil, true
		case <-last:
			over, more = true, true // what came in the last moment
		case <-idle.C:
			if s.send([]byte(":\n\n")) != nil {
				return
			}
			idle.Reset(s.a.streaming.beat)
		}
	}
}

// reread reads on, and says whether there may be more; what cannot be read is tried again.
func (s *stream) reread(again *<-chan time.Time) bool {
	more, err := s.read()
	if err != nil {
		*again = time.After(s.a.streaming.again)
		return false
	}
	return more
}

// read reads the next page. more says that there was one.
func (s *stream) read() (more bool, err error) {
	if s.held, err = s.a.enter(s.ctx, s.app, streamPage*eventBytes); err == nil {
		s.page, s.next, err = s.a.cfg.Feed.Page(s.ctx, s.app, s.at, streamPage)
	}
	if err != nil {
		s.page, s.next = nil, s.at
	}
	if more = s.next > s.at; !more {
		s.let()
	}
	if s.next < s.at { // the database was set back to an earlier time: what comes now is behind its end
		s.at, s.back, more = s.next, true, true
	}
	return more, err
}

// let gives back the room of a page that was taken.
func (s *stream) let() {
	s.a.bodies.leave(s.held)
	s.held, s.page = nil, nil
}

// tell writes the page that was read.
func (s *stream) tell() error {
	if s.back { // else a reader that comes again before the next event would begin where nothing has been yet, and miss what came since
		s.back = false
		return s.send(fmt.Appendf(nil, "id: %s\n\n", position(s.app, s.at)))
	}
	if s.next <= s.at {
		return nil
	}
	defer s.let()
	var b bytes.Buffer
	at := s.at
	for _, x := range s.page {
		at = x.Position
		fmt.Fprintf(&b, "id: %s\nevent: %s\ndata: %s\n\n", position(s.app, at), feed.StatusEvent, x.Body)
	}
	if at < s.next { // the last ones are of messages that are gone: an id alone moves the reader on
		fmt.Fprintf(&b, "id: %s\n\n", position(s.app, s.next))
	}
	s.at = s.next
	return s.send(b.Bytes())
}

// send writes, and waits for a while until it is taken.
func (s *stream) send(b []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.a.streaming.take)) // where it cannot be set there is none
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if _, err := s.to.Write(b); err != nil {
		return err
	}
	err := s.conn.Flush()
	_ = s.conn.SetWriteDeadline(time.Time{}) // with HTTP/2 it would end a stream on which nothing happens
	return err
}
