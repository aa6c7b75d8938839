// Package httpserver is the listener: limits on slow and large clients, TLS,
// a graceful end, and what every answer has (request id, security headers, a
// line in the access log, an answer even when a handler panics).
//
// It promises that no request can hold a connection longer than the timeouts
// say, that no client takes more
// connections than it may, that a running request is allowed to end when the server stops, and that
// logs hold neither query strings nor addresses of messages. It knows no route
// and no error text: the handler below writes them.
package httpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Limits of a connection.
const (
	HeaderTimeout  = 5 * time.Second
	ReadTimeout    = 30 * time.Second
	WriteTimeout   = 60 * time.Second
	IdleTimeout    = 60 * time.Second
	MaxHeaderBytes = 32 << 10
	// maxStreams is how many requests one HTTP/2 connection may have under way.
	maxStreams = 64
	// DefaultDrain is how long running requests may take to end.
	DefaultDrain = 30 * time.Second
)

// Config describes a Server.
type Config struct {
	Addr            string // host:port; port 0 picks a free one
	TLSCert, TLSKey string // PEM files; both empty: plain HTTP
	Handler         http.Handler
	Drain           time.Duration // 0: DefaultDrain
	// AnswerTime bounds the time for a request and its answer; 0: WriteTimeout.
	AnswerTime time.Duration
	// PerAddress is how many connections one client address may have open; 0: any number.
	PerAddress int
	// TrustedProxies may have any number: they speak for many clients.
	TrustedProxies []netip.Prefix
	Log            *slog.Logger
}

// Server is a listener with its limits.
type Server struct {
	cfg      Config
	listener net.Listener
	http     *http.Server
}

// Listen opens the address, so that a busy port fails at the start and the
// address is known before Run.
func Listen(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Drain <= 0 {
		cfg.Drain = DefaultDrain
	}
	if cfg.AnswerTime <= 0 {
		cfg.AnswerTime = WriteTimeout
	}
	s := &Server{cfg: cfg}
	s.http = &http.Server{
		Handler: cfg.Handler, ReadHeaderTimeout: HeaderTimeout, ReadTimeout: ReadTimeout, WriteTimeout: cfg.AnswerTime,
		IdleTimeout: IdleTimeout, MaxHeaderBytes: MaxHeaderBytes - headerSlop,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	if cfg.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("load the TLS certificate: %w", err)
		}
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("%w; stop the program that listens there, or choose a free address of this machine, such as localhost:3010", err)
	}
	s.listener = listener
	if cfg.PerAddress > 0 {
		s.listener = newCrowd(listener, cfg.PerAddress, cfg.TrustedProxies, cfg.Log)
	}
	return s, nil
}

// headerSlop is what net/http adds to MaxHeaderBytes before it refuses.
const headerSlop = 4096

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops listening without Run. After Run it does nothing.
func (s *Server) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Run serves until ctx ends, then lets running requests end, for at most
// Config.Drain; those that have not ended by then are cut off and an error says so.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			stopped <- s.http.ServeTLS(s.listener, "", "")
			return
		}
		stopped <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Drain)
	defer cancel()
	err := s.http.Shutdown(drain)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests did not end within %v: %w", s.cfg.Drain, err), s.http.Close())
	}
	<-stopped
	return err
}
