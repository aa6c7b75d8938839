package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/guard"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/plant"
	"github.com/commserver/commserver/internal/signature"
	"github.com/commserver/commserver/internal/store"
)

const (
	// maxAnswer is how much of an answer is read, maxHeader of its headers.
	maxAnswer = 4 << 10
	maxHeader = 32 << 10
	// idleFor is how long a connection is kept for the next event.
	idleFor = 30 * time.Second
)

// Why there was no answer.
const (
	faultTimeout  = "timeout"
	faultBlocked  = "blocked_address"
	faultTLS      = "tls_error"
	faultDNS      = "name_not_found"
	faultConnect  = "connect_failed"
	faultCut      = "connection_closed"
	faultSecret   = "secret_unavailable"
	faultStopping = "server_stopped"
)

// fault is why there was no answer; unsent says that no byte of the body has left then.
type fault struct {
	word   string
	unsent bool
}

// faults lists them all. A TLS error may come behind the body: a server may judge a connection after its first bytes.
func faults() []fault {
	return []fault{{faultTimeout, false}, {faultBlocked, true}, {faultTLS, false}, {faultDNS, true}, {faultConnect, true}, {faultCut, false}, {faultSecret, true}, {faultStopping, false}}
}

// Dial opens a connection; guard.Dialer's is one.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// newClient makes a client that follows no redirect, sends nothing twice by itself and goes through no proxy.
func newClient(secure, plain Dial, perEndpoint int) *http.Client {
	if plain == nil {
		plain = func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("plain http is not allowed")
		}
	}
	transport := func(dial Dial) *http.Transport {
		return &http.Transport{DialContext: dial, DisableCompression: true, MaxResponseHeaderBytes: maxHeader, MaxIdleConnsPerHost: perEndpoint, IdleConnTimeout: idleFor,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: idleFor, ForceAttemptHTTP2: true}
	}
	return &http.Client{Transport: byScheme{transport(secure), transport(plain)}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// byScheme keeps https and plain http apart: each has its own door outwards.
type byScheme struct{ secure, plain *http.Transport }

// RoundTrip implements http.RoundTripper.
func (s byScheme) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme == "https" {
		return s.secure.RoundTrip(r)
	}
	return s.plain.RoundTrip(r)
}

func (s byScheme) CloseIdleConnections() {
	s.secure.CloseIdleConnections()
	s.plain.CloseIdleConnections()
}

// secrets are what a call is signed with: the current one, and those that it replaced, while they hold.
type secrets []string

// call posts an event once. The deadline is total: it covers the look-up of the name and the last byte that is read.
func (s *Service) call(ctx context.Context, url string, keys secrets, d *store.Delivery) (a answer) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	a.began = s.cfg.Clock()
	defer func() { a.took = s.cfg.Clock().Sub(a.began) }()
	body := d.Body
	if plant.Active(plant.BodyPerAttempt) {
		body = bytes.Replace(body, []byte(`"eventId"`), fmt.Appendf(nil, `"toldAt":%d,"eventId"`, a.began.UnixMilli()), 1)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		a.fault = faultConnect
		return a
	}
	req.ContentLength = int64(len(body)) // and no GetBody: what was sent is not sent again
	sign(req.Header, d.EventID(), a.began, body, keys)
	req.Header.Set("User-Agent", "CommServer/"+s.cfg.Version)
	res, err := s.client.Do(req)
	if err != nil {
		a.fault = faultOf(ctx, err)
		return a
	}
	defer func() { _ = res.Body.Close() }()
	a.status = res.StatusCode
	a.retryAfter = pace.RetryAfter(res.Header, "Retry-After", s.cfg.Clock())
	read, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	a.snippet = snippet(read, keys...)
	if a.good() && err != nil {
		// The status was a success; a body that does not end makes none of it.
		a.fault = faultOf(ctx, err)
	}
	return a
}

// sign sets the headers of both ways. Beside the current secret those that it replaced sign while receivers change over; the
// guide's receivers compare lengths, so that theirs is of the current one alone.
func sign(h http.Header, id string, at time.Time, body []byte, keys secrets) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h.Set("Content-Type", "application/json")
	h.Set("X-Comms-Event-Id", id)
	h.Set("X-Comms-Timestamp", timestamp)
	h.Set("X-Comms-Signature", signature.Guide(keys[0], timestamp, body))
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Signature", signature.Standard(id, timestamp, body, keys...))
}

// faultOf names an error without anything of the network behind it.
func faultOf(ctx context.Context, err error) string {
	var (
		blocked *guard.Blocked
		name    *net.DNSError
		record  tls.RecordHeaderError
		bad     *tls.CertificateVerificationError
		op      *net.OpError
	)
	switch {
	case errors.Is(context.Cause(ctx), errStopping):
		return faultStopping
	case ctx.Err() != nil:
		return faultTimeout
	case errors.As(err, &blocked):
		return faultBlocked
	case errors.As(err, &name):
		return faultDNS
	case errors.As(err, &record), errors.As(err, &bad), strings.Contains(err.Error(), "tls: "):
		return faultTLS
	case errors.As(err, &op) && op.Op == "dial":
		return faultConnect
	}
	return faultCut
}

// errStopping ends calls that outlast the drain.
var errStopping = errors.New("the server stops")
