package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"

	"github.com/commserver/commserver/internal/provider"
)

// dialing opens a connection to an address, such as provider.Env's.
type dialing = func(ctx context.Context, network, address string) (net.Conn, error)

// plain makes connections that count what they took.
func plain(dial dialing) dialing {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &wire{Conn: conn}, nil
	}
}

// encrypted makes connections that count what they took of requests alone: the transport, if it encrypted by itself,
// would leave only a place below, where handshakes, keys and goodbyes pass as well. One that
// speaks HTTP/2 stays as it is, for many requests share it, and the transport wants to see it bare.
func (c *Client) encrypted(dial dialing) dialing {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn, err := c.encrypt(ctx, raw, address)
		switch {
		case err != nil:
			_ = raw.Close()
			return nil, err
		case conn.ConnectionState().NegotiatedProtocol == "h2":
			return conn, nil
		}
		return &wire{Conn: conn}, nil
	}
}

// encrypt shakes hands in bounded time, and tells the call's trace of it as the transport would.
func (c *Client) encrypt(ctx context.Context, raw net.Conn, address string) (*tls.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	conf := c.transport.TLSClientConfig.Clone()
	conf.ServerName, conf.NextProtos = host, []string{"h2", "http/1.1"}
	conn := tls.Client(raw, conf)
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	limit := handshakeTime
	if d, ok := provider.ConnectLimit(ctx); ok {
		limit = min(limit, d)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = conn.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(conn.ConnectionState(), err)
	}
	return conn, err
}

// wire is a connection that knows how much of what was written it took.
type wire struct {
	net.Conn
	mu    sync.Mutex
	taken int64
	ended bool
}

// Write implements net.Conn. Bytes count before they are written, and those that were
// not taken are taken back: what is under way may arrive.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		return 0, errEnded
	}
	w.taken += int64(len(p))
	w.mu.Unlock()
	n, err := w.Conn.Write(p)
	w.mu.Lock()
	w.taken -= int64(len(p) - n)
	w.mu.Unlock()
	return n, err
}

func (w *wire) written() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.taken
}

// end takes nothing more and answers how many bytes were taken, or are under way.
func (w *wire) end() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	return w.taken
}
