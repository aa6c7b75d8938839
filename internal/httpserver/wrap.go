package httpserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Options describe Wrap.
type Options struct {
	Log *slog.Logger
	// TrustedProxies may say with X-Forwarded-For whom they speak for.
	TrustedProxies []netip.Prefix
	// Panicked writes the answer of a handler that panicked before it wrote one.
	Panicked func(w http.ResponseWriter, r *http.Request)
	// Refuse answers a request whose head is over a limit, with 414 or 431. Nil: there is no such limit.
	Refuse func(w http.ResponseWriter, r *http.Request, status int)
	// Meter is told of every answer [nobody is].
	Meter Meter
	// Route is the class of a request's route, for the Meter: of a few. It is asked once the request was answered.
	Route func(r *http.Request) string
	// HSTS tells browsers to come back by https only: set it when the public address is https.
	HSTS bool
}

// Meter is told of requests, for metrics. Its methods are called by many goroutines and must be quick.
type Meter interface {
	// InFlight is told of a request that begins (1) or ends (-1).
	InFlight(more int)
	// Request is told of an answer, by class of route. What was cut off has the status that it had begun with, or 0.
	Request(route string, status int, took time.Duration)
}

// Wrap gives every answer of next a request id, the security headers and a line
// in the access log, and survives its panics.
func Wrap(next http.Handler, o Options) http.Handler {
	return &wrapper{next: next, o: o, run: runName()}
}

type wrapper struct {
	next http.Handler
	o    Options
	run  string // of this process: ids of two nodes differ
	last atomic.Uint64
}

// runName is not a secret: it only keeps request ids of several processes apart.
func runName() string {
	var b [5]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// exchange is what Wrap knows of one request and its answer.
type exchange struct {
	http.ResponseWriter
	id     string
	from   netip.Addr
	status int
}

type exchangeKey struct{}

func (w *wrapper) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{ResponseWriter: rw, from: w.client(r)}
	x.id = "req_" + w.run + strconv.FormatUint(w.last.Add(1), 36)
	h := rw.Header()
	h["X-Request-Id"] = []string{x.id}
	h["X-Content-Type-Options"] = nosniff
	h["Cache-Control"] = noStore
	if w.o.HSTS {
		h["Strict-Transport-Security"] = oneYear
	}
	if len(r.TransferEncoding) > 0 {
		// It may have said a length too, which net/http passes over and does not show: then a proxy may have seen
		// another end of it, and what follows could be somebody else's (RFC 9112, 6.1: the connection ends).
		h["Connection"] = hangUp
	}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	if w.o.Meter != nil {
		w.o.Meter.InFlight(1)
		defer w.measure(x, r, start)
	}
	defer w.finish(x, r, start)
	if status := overlong(r); status != 0 && w.o.Refuse != nil {
		h["Connection"] = hangUp
		w.o.Refuse(x, r, status)
		return
	}
	w.next.ServeHTTP(x, r)
}

// Limits of a request's head, beside MaxHeaderBytes.
const (
	MaxHeaders     = 100
	MaxRequestLine = 8 << 10
)

// overlong is the status for a head that is over a limit, 0 for one within.
func overlong(r *http.Request) int {
	const blanks = 2 // between method, target and version
	if len(r.Method)+len(r.RequestURI)+len(r.Proto)+blanks > MaxRequestLine {
		return http.StatusRequestURITooLong
	}
	n := 0
	if r.Host != "" {
		n = 1 // net/http has taken it out
	}
	for _, values := range r.Header {
		n += len(values)
	}
	if n > MaxHeaders {
		return http.StatusRequestHeaderFieldsTooLarge
	}
	return 0
}

// Values of headers, shared by all answers: never written to.
var (
	nosniff = []string{"nosniff"}
	noStore = []string{"no-store"}
	oneYear = []string{"max-age=31536000"}
	hangUp  = []string{"close"}
)

// measure runs deferred, after finish: what that answers counts, and so does what it cuts off.
func (w *wrapper) measure(x *exchange, r *http.Request, start time.Time) {
	w.o.Meter.InFlight(-1)
	w.o.Meter.Request(w.o.Route(r), x.status, time.Since(start))
}

// finish runs deferred: it recovers, and writes the access log.
func (w *wrapper) finish(x *exchange, r *http.Request, start time.Time) {
	cause := recover()
	if cause != nil && isAbort(cause) {
		panic(cause) // a handler's way to cut the connection
	}
	if cause != nil {
		// The value may hold contents of a message: only its type is logged, and where it happened.
		w.o.Log.LogAttrs(r.Context(), slog.LevelError, "a handler panicked", slog.String("request", x.id),
			slog.String("panic", panicText(cause)), slog.String("stack", string(debug.Stack())))
		if x.status == 0 && w.o.Panicked != nil {
			w.o.Panicked(x, r)
		}
	}
	// Debug for every answer: whoever answers a 5xx logs its cause, and a second line
	// would only fill a disk that is running full.
	const level = slog.LevelDebug
	if !w.o.Log.Enabled(r.Context(), level) {
		return
	}
	route := r.Pattern
	if route == "" {
		route = "unknown"
	}
	w.o.Log.LogAttrs(r.Context(), level, "request", slog.String("request", x.id), slog.String("method", clip(r.Method)), slog.String("route", route),
		slog.Int("status", x.status), slog.Duration("took", time.Since(start)), slog.String("from", x.from.String()))
}

func isAbort(cause any) bool {
	err, ok := cause.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// panicText names a panic of the runtime; of any other value only the type.
func panicText(cause any) string {
	if fault, ok := cause.(runtime.Error); ok {
		return fault.Error()
	}
	return fmt.Sprintf("%T", cause)
}

const maxMethod = 16

func clip(s string) string { return s[:min(len(s), maxMethod)] }

// WriteHeader notes the status.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write notes that an answer was begun.
func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	return x.ResponseWriter.Write(b)
}

// Unwrap gives the connection's writer to http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// RequestID is the id that Wrap gave to the request, "" outside of Wrap.
func RequestID(ctx context.Context) string {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.id
	}
	return ""
}

// ClientAddr is the address that the request came from, behind trusted proxies
// the one they name. It is invalid outside of Wrap.
func ClientAddr(ctx context.Context) netip.Addr {
	if x, ok := ctx.Value(exchangeKey{}).(*exchange); ok {
		return x.from
	}
	return netip.Addr{}
}

// client walks X-Forwarded-For from its end as long as the speaker is trusted.
func (w *wrapper) client(r *http.Request) netip.Addr {
	port, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	at := port.Addr().Unmap()
	if len(w.o.TrustedProxies) == 0 || !w.trusted(at) {
		return at
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(hops) {
		hop, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			break
		}
		at = hop.Unmap()
		if !w.trusted(at) {
			break
		}
	}
	return at
}

func (w *wrapper) trusted(a netip.Addr) bool {
	return within(w.o.TrustedProxies, a)
}
