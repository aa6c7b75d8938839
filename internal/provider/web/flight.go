package web

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/reach"
	"github.com/commserver/commserver/internal/provider/veil"
)

// flight is a request on its way: how far it came decides what its failure means.
type flight struct {
	load       load
	body       bool        // there is one
	encrypting atomic.Bool // a new connection is not encrypted yet
	err        error

	mu     sync.Mutex
	gotten bool  // it was given a connection
	reused bool  // which had served another request before
	wire   *wire // nil: not its own (HTTP/2), so that bytes cannot be told apart
	mark   int64 // bytes that the connection had carried before
	heard  bool  // there is an answer
	gaveUp bool  // because the provider answers nobody
}

// quit gives the request up unless all of it may have left, or an answer came; nothing more of it leaves then.
func (f *flight) quit() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.heard || !f.load.quit() && f.gotten {
		return false
	}
	f.gaveUp = true
	return true
}

func (f *flight) hurried() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gaveUp
}

// answered notes that the answer has begun.
func (f *flight) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = true
}

// taken notes the connection that the request was given.
func (f *flight) taken(info httptrace.GotConnInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gotten, f.reused = true, info.Reused
	f.wire, f.mark = nil, 0
	if w, ok := info.Conn.(*wire); ok {
		f.wire, f.mark = w, w.written()
	}
}

// sent says whether the whole request may have left. It makes sure that nothing more
// of it leaves. A body of which the network's side did not take the last byte is one
// that no server acts on; a connection that took no byte at all carried no request.
func (f *flight) sent() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	whole := f.load.end() || !f.body
	switch {
	case !f.gotten, !whole:
		return false
	case f.wire != nil:
		return f.wire.end() != f.mark
	}
	return !unprocessed(f.err)
}

// unprocessed says that the peer of an HTTP/2 connection vouches for not having acted on the request: it refused the stream
// (RFC 9113, 8.7), or went away naming an earlier one as the last that it looked at (6.8). The transport has these
// errors as texts alone, and begins likewise where it could not repeat a request for another reason.
func unprocessed(err error) bool {
	text := err.Error()
	why, kept := strings.CutPrefix(text, "http2: Transport: cannot retry err [")
	if !kept {
		return strings.HasPrefix(text, "http2: Transport received GOAWAY from server ErrCode:")
	}
	_, stream, _ := strings.Cut(why, "stream error: stream ID ")
	_, code, _ := strings.Cut(stream, "; ")
	return strings.HasPrefix(why, "http2: Transport received Server's graceful shutdown GOAWAY]") || strings.HasPrefix(code, "REFUSED_STREAM")
}

// untouched says that a kept connection, which the request had to itself, took no byte of it.
func (f *flight) untouched() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reused && f.wire != nil && f.wire.end() == f.mark
}

// fault names a call without an answer.
func (f *flight) fault(ctx context.Context, v veil.Veil) *provider.Error {
	if f.sent() {
		return &provider.Error{Class: provider.Ambiguous, Code: "outcome_unknown", Cause: cause(f.err, v),
			Text: "the connection failed after the message was handed over and before the provider's answer; it may have been sent"}
	}
	p := f.problem(ctx)
	return &provider.Error{Class: p.Class, Code: p.Code, Text: p.What, Cause: cause(f.err, v)}
}

// problem names a failure before anything was sent.
func (f *flight) problem(ctx context.Context) reach.Problem {
	f.mu.Lock()
	gotten, shared, hurried := f.gotten, f.gotten && f.wire == nil, f.gaveUp
	f.mu.Unlock()
	if hurried {
		return reach.Problem{Code: "no_answer", Class: provider.Transient, What: "the provider has stopped answering; nothing was sent"}
	}
	if errors.Is(f.err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled) {
		return reach.Problem{Code: "cancelled", Class: provider.Transient, What: "the attempt was stopped before the message was handed over"}
	}
	if p, ok := reach.Name(f.err, "provider"); ok {
		return p
	}
	if shared && unprocessed(f.err) {
		return reach.Problem{Code: "not_processed", Class: provider.Transient, What: "the provider turned the call away before it looked at it; nothing was sent"}
	}
	late := reach.TimedOut(f.err) || ctx.Err() != nil
	switch {
	case errors.As(f.err, new(tls.RecordHeaderError)):
		return reach.Problem{Code: "tls_error", Class: provider.Account, What: "the provider's address does not speak TLS: check baseUrl"}
	case gotten && late:
		return reach.Problem{Code: "timeout", Class: provider.Transient, What: "the provider did not take the whole message in time; nothing was sent"}
	case gotten:
		return reach.Problem{Code: "connection_lost", Class: provider.Transient, What: "the connection broke before the whole message was handed over; nothing was sent"}
	case late:
		return reach.Problem{Code: "connect_timeout", Class: provider.Transient, What: "no connection to the provider in time; nothing was sent"}
	case f.encrypting.Load():
		return reach.Problem{Code: "tls_error", Class: provider.Transient, What: "encryption with the provider failed; nothing was sent"}
	}
	return reach.Problem{Code: "connect_failed", Class: provider.Transient, What: "no connection to the provider"}
}

// cause is an error fit for the log. What the guard refused stays as it is, for it tells the
// operator more (guard.Blocked); everything else may repeat what the peer said.
func cause(err error, v veil.Veil) error {
	var blocked interface {
		error
		Code() string
	}
	if errors.As(err, &blocked) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errors.New(veil.Cut(v.Redact(err.Error()), veil.MaxText))
}

// errEnded is what the network's side reads of a body whose call was given up.
var errEnded = errors.New("the call has ended")

// load is a request's body that knows whether the network's side took it whole.
type load struct {
	mu    sync.Mutex
	rest  []byte
	ended bool
}

// Read implements io.Reader.
func (l *load) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return 0, errEnded
	case len(l.rest) == 0:
		return 0, io.EOF
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// quit gives no more out, unless everything was.
func (l *load) quit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) == 0 {
		return false
	}
	l.ended = true
	return true
}

// end gives no more out and answers whether everything was.
func (l *load) end() (whole bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	return len(l.rest) == 0
}
