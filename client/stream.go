package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"strconv"
	"time"
)

// StreamedEvent is an event as the stream tells it.
type StreamedEvent struct {
	FeedEvent
	// Cursor is behind this event: Follow and Events go on there.
	Cursor string
}

// Follow yields the app's events behind a cursor as they happen, each once and in one order without gaps, from the oldest on with "".
// A connection that breaks, or on which nothing is heard for 45 seconds, is opened again behind the last event that was yielded,
// after the pause that the server asks for, longer while that fails. It ends without an error when ctx ends, and with the first
// refusal that does not pass by itself, such as a key that was revoked. Keep each Cursor when its event is dealt with.
func (c *Client) Follow(ctx context.Context, after string) iter.Seq2[StreamedEvent, error] {
	return func(yield func(StreamedEvent, error) bool) {
		for f, err := range c.follow(ctx, after) {
			e := StreamedEvent{Cursor: f.id}
			if err == nil {
				if err = json.Unmarshal(f.data, &e.FeedEvent); err != nil {
					err = fmt.Errorf("decode an event: %w", err)
				}
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Follow is Client.Follow with each event as it came over the wire, beside its cursor.
func (r *Raw) Follow(ctx context.Context, after string) iter.Seq2[Streamed, error] {
	o := r.c.o
	o.AdminKey = r.admin
	return func(yield func(Streamed, error) bool) {
		for f, err := range (&Client{base: r.c.base, o: o}).follow(ctx, after) {
			if !yield(Streamed{Cursor: f.id, Data: f.data}, err) {
				return
			}
		}
	}
}

// Streamed is an event of the stream as JSON.
type Streamed struct {
	Cursor string
	Data   json.RawMessage
}

// Times of a stream.
const (
	usualRetry = 3 * time.Second // until the server says another
	longRetry  = 30 * time.Second
	deaf       = 45 * time.Second // the server says something every 15
	maxFrame   = 8 << 20          // bytes of a line: more than an event can have
)

// frame is one event of a stream of Server-Sent Events (WHATWG HTML, 9.2).
type frame struct {
	id   string
	data []byte // nil: none, the id alone
}

// follow yields frames with data until ctx ends, the caller has enough, or the server refuses for good.
func (c *Client) follow(ctx context.Context, after string) iter.Seq2[frame, error] {
	return func(yield func(frame, error) bool) {
		s := &following{c: c, at: after, retry: usualRetry}
		for tries := 0; ; tries++ {
			s.heard = false
			err := s.listen(ctx, yield)
			switch {
			case errors.Is(err, errEnough) || ctx.Err() != nil:
				return
			case err != nil && !passes(err):
				yield(frame{}, err)
				return
			}
			if s.heard {
				tries = 0
			}
			if c.o.Wait(ctx, s.pause(err, tries)) != nil {
				return
			}
		}
	}
}

// errEnough says that the caller wants no more.
var errEnough = errors.New("enough")

// passes says of an error that another try may go well.
func passes(err error) bool {
	e, refused := errors.AsType[*Error](err)
	if !refused {
		return true
	}
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// following is one reader of the stream.
type following struct {
	c     *Client
	at    string // the id of the last whole event; "": from the oldest on
	retry time.Duration
	heard bool // anything, since the connection was opened
}

// pause is how long the reader stays away, after so many tries in a row that failed.
func (s *following) pause(err error, tries int) time.Duration {
	d := s.retry
	if tries > 0 {
		d = max(d, min(d<<min(tries, 10), longRetry))
		d += jitter(d / 4)
	}
	if e, ok := errors.AsType[*Error](err); ok {
		d = max(d, e.RetryAfter)
	}
	return d
}

// listen opens the stream once and yields what comes until it ends. A deaf connection ends, too.
func (s *following) listen(ctx context.Context, yield func(frame, error) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := time.AfterFunc(s.c.o.Timeout, cancel)
	defer watch.Stop()
	res, err := s.open(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(&listened{res.Body, func() { s.heard = true; watch.Reset(deaf) }})
	lines.Buffer(make([]byte, 0, 64<<10), maxFrame)
	lines.Split(wholeLines)
	var f frame
	id, named := "", false
	for lines.Scan() {
		if line := lines.Bytes(); len(line) > 0 {
			name, value, _ := bytes.Cut(line, []byte(":"))
			value = bytes.TrimPrefix(value, []byte(" "))
			switch string(name) {
			case "id":
				id, named = string(value), !bytes.ContainsRune(value, 0)
			case "data":
				if f.data != nil {
					f.data = append(f.data, '\n')
				}
				f.data = append(f.data, value...)
			case "retry":
				if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
					s.retry = time.Duration(ms) * time.Millisecond
				}
			}
			continue
		}
		// Only now the event is whole: one that was cut is told again.
		if named {
			s.at = id
		}
		whole := frame{s.at, f.data}
		f, named = frame{}, false
		if whole.data != nil && !yield(whole, nil) {
			return errEnough
		}
	}
	return lines.Err()
}

// open asks for what is behind the last event.
func (s *following) open(ctx context.Context) (*http.Response, error) {
	const path = "/api/v1/events/stream"
	target := s.c.base.JoinPath(path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	s.c.sign(req.Header, call{})
	req.Header.Set("Accept", "text/event-stream")
	if s.at != "" {
		req.Header.Set("Last-Event-ID", s.at)
	}
	res, err := s.c.o.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call GET %s: %w", path, err)
	}
	if kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type")); res.StatusCode == http.StatusOK && kind == "text/event-stream" {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }() // a refusal is short
	if res.StatusCode == http.StatusOK {
		return nil, &Error{Status: res.StatusCode, Message: "the answer of GET " + path + " is no stream of events; is this a CommServer?"}
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of GET %s: %w", path, err)
	}
	return nil, refusal(res, data)
}

// listened tells of everything that is read.
type listened struct {
	io.Reader
	heard func()
}

func (l *listened) Read(b []byte) (n int, err error) {
	if n, err = l.Reader.Read(b); n > 0 {
		l.heard()
	}
	return n, err
}

// wholeLines is bufio.ScanLines without a last line that has no end: it was cut.
func wholeLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	if atEOF && bytes.IndexByte(data, '\n') < 0 {
		return len(data), nil, nil
	}
	return bufio.ScanLines(data, atEOF)
}
