// Package load puts an HTTP server under load over kept-alive connections and
// measures how long each answer takes.
//
// It promises that both sides of a comparison are driven by the same code with
// the same bytes, that it costs little beside what it measures (no HTTP
// library: one write and about one read for each request), and that it ends:
// by count, by time or by its context. It keeps one request in flight on each
// connection, so the rate is what the server gives (a closed loop).
//
// It speaks only what CommServer and the baseline answer: HTTP/1.1 with a
// Content-Length. It does not follow redirects, retry or use TLS.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Target is what is put under load.
type Target struct {
	// Addr is host:port.
	Addr string
	// Request appends the n-th whole request, head and body, to b; n counts
	// from 0 over all connections. It is called concurrently.
	Request func(b []byte, n uint64) []byte
}

// Options say how much load. At least one of Duration and Count is set.
type Options struct {
	Connections int
	Duration    time.Duration
	Count       uint64        // requests in all; 0 = no bound
	Pause       time.Duration // between an answer and the next request on a connection
}

// Result is what a run measured.
type Result struct {
	Answered  uint64 // with a 2xx status
	Refused   uint64 // with any other status
	FirstOdd  int    // the status of the first refusal; 0 = none
	Elapsed   time.Duration
	Latencies Histogram // of the 2xx answers
}

// PerSecond is the rate of 2xx answers.
func (r *Result) PerSecond() float64 { return float64(r.Answered) / r.Elapsed.Seconds() }

// grace is how long a single answer may take before a run gives up.
const grace = 30 * time.Second

// Run drives the target. It fails when a connection cannot be made or breaks;
// answers that are not 2xx are counted instead.
func Run(ctx context.Context, t Target, o Options) (*Result, error) {
	conns, err := dialAll(ctx, t.Addr, o.Connections)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.Close()
		}
	})
	defer stop()
	var next atomic.Uint64
	started := time.Now()
	workers := make([]worker, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns {
		w := &workers[i]
		w.conn, w.target, w.opts, w.next, w.until = c, &t, &o, &next, started.Add(o.Duration)
		wg.Go(func() {
			defer c.Close()
			if err := w.run(); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	out := &Result{Elapsed: time.Since(started)}
	for i := range workers {
		w := &workers[i]
		out.Answered += w.answered
		out.Refused += w.refused
		if out.FirstOdd == 0 {
			out.FirstOdd = w.odd
		}
		out.Latencies.Merge(&w.latencies)
	}
	if err := context.Cause(ctx); err != nil {
		return out, fmt.Errorf("load on %s: %w", t.Addr, err)
	}
	return out, nil
}

func dialAll(ctx context.Context, addr string, n int) ([]net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	conns := make([]net.Conn, 0, n)
	for range max(n, 1) {
		c, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, fmt.Errorf("connect to %s: %w", addr, err)
		}
		conns = append(conns, c)
	}
	return conns, nil
}

// worker is one connection.
type worker struct {
	conn   net.Conn
	target *Target
	opts   *Options
	next   *atomic.Uint64
	until  time.Time

	answered, refused uint64
	odd               int
	latencies         Histogram
}

func (w *worker) run() error {
	in := reader{conn: w.conn, buf: make([]byte, 0, 4096)}
	var out []byte
	var deadline time.Time
	for {
		now := time.Now()
		if w.opts.Duration > 0 && !now.Before(w.until) {
			return nil
		}
		n := w.next.Add(1) - 1
		if w.opts.Count > 0 && n >= w.opts.Count {
			return nil
		}
		if now.Add(grace / 2).After(deadline) { // moving the deadline at every request would cost as much as the request
			deadline = now.Add(grace)
			if err := w.conn.SetDeadline(deadline); err != nil {
				return err
			}
		}
		out = w.target.Request(out[:0], n)
		sent := time.Now()
		if _, err := w.conn.Write(out); err != nil {
			return err
		}
		status, err := in.answer()
		if err != nil {
			return err
		}
		if status/100 == 2 {
			w.answered++
			w.latencies.Add(time.Since(sent))
		} else if w.refused++; w.odd == 0 {
			w.odd = status
		}
		if w.opts.Pause > 0 {
			time.Sleep(w.opts.Pause)
		}
	}
}

var errAnswer = errors.New("the answer is not HTTP/1.1 with a Content-Length")
