// Package web is the way out for adapters of providers with an HTTP API: one
// Client for each opened configuration, with its own pool of connections through
// the guarded dialer.
//
// It promises that one Do puts at most one request on the wire; that it ends with
// its context; that redirects are not followed, answers not unpacked, 32 KiB of
// headers and 64 KiB of body the most that is read, and a longer body is called
// unreadable instead of being cut; and that of a call without an answer it says
// rightly whether anything can have been sent. Its errors hold no secret, no
// address and no URL.
//
// It knows no provider: what an answer means is a table of each adapter's (Judge).
package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/veil"
)

// Bounds of calls and connections.
const (
	MaxBody    = 64 << 10 // of an answer, in bytes
	maxHeaders = 32 << 10
	maxConns   = 512 // of one configuration: as many as calls that a node makes at once
	maxIdle    = 32
	// maxHidden: longer texts cannot stand whole in what is shown of an answer.
	maxHidden = 4 << 10
	// idleTime is shorter than what servers usually keep a connection for: one that they
	// close while a request is on its way leaves a message in doubt.
	idleTime = 30 * time.Second
	// handshakeTime bounds the encryption of a connection; the dialer bounds itself.
	handshakeTime = 10 * time.Second // less where another provider could carry the message: provider.ConnectLimit
	// callTime ends a call whose context has no deadline.
	callTime = time.Minute
	// pingAfter and pingTime find an HTTP/2 connection that is dead without a word.
	pingAfter = 15 * time.Second
	pingTime  = 10 * time.Second
)

// agent names us. Some providers refuse requests without a User-Agent.
const agent = "CommServer (+https://github.com/commserver/commserver)"

// Client makes the calls of one configuration. It is safe for concurrent use.
type Client struct {
	base      *url.URL
	transport *http.Transport
	secrets   []string
	log       *slog.Logger
	closed    atomic.Bool
}

// Open makes a Client for settings that the fields describe: it calls below
// settings["baseUrl"], or the field's default, and hides the values of secret
// fields wherever it shows a provider's words. It dials nothing.
func Open(fields []provider.Field, s provider.Settings, env provider.Env) (*Client, error) {
	raw := s["baseUrl"]
	c := &Client{log: env.Log}
	for _, f := range fields {
		if f.Name == "baseUrl" && raw == "" {
			raw = f.Default
		}
		if f.Secret {
			c.secrets = append(c.secrets, forms(s[f.Name])...)
		}
	}
	for _, name := range provider.CallbackTokens() {
		c.secrets = append(c.secrets, forms(s[name])...)
	}
	base, err := url.Parse(raw)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
		return nil, errors.New("open a provider configuration: baseUrl is no URL")
	}
	base.Path = strings.TrimRight(base.Path, "/")
	base.RawPath = strings.TrimRight(base.RawPath, "/")
	c.base = base
	dial := env.DialHTTPS
	if base.Scheme == "http" {
		dial = env.DialHTTP
	}
	if dial == nil {
		return nil, errors.New("open a provider configuration: no dialer given")
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	idle := env.MaxIdle
	if idle <= 0 {
		idle = maxIdle
	}
	c.transport = &http.Transport{
		DialContext:            plain(dial),
		DialTLSContext:         c.encrypted(dial),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(16)},
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxConnsPerHost:        maxConns,
		MaxIdleConns:           idle,
		MaxIdleConnsPerHost:    idle,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeaders,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime},
	}
	return c, nil
}

// forms are the ways in which a secret may be repeated.
func forms(secret string) []string {
	if secret == "" {
		return nil
	}
	out := append(written(base64.StdEncoding.EncodeToString([]byte(secret))), secret, url.QueryEscape(secret))
	for shift := range min(3, len(secret)) { // as part of a longer text, such as that of a login
		part := secret[shift:]
		if whole := part[:len(part)/3*3]; len(whole) > 6 { // shorter ones would hide words
			out = append(out, written(base64.StdEncoding.EncodeToString([]byte(whole)))...)
		}
	}
	return out
}

// written are the ways in which base64 is written: in either alphabet, with its padding and without.
func written(text string) []string {
	inURLs := strings.NewReplacer("+", "-", "/", "_").Replace(text)
	return []string{text, strings.TrimRight(text, "="), inURLs, strings.TrimRight(inURLs, "=")}
}

// Base is the address that calls are made below, without a slash at its end.
func (c *Client) Base() *url.URL { u := *c.base; return &u }

// Close ends idle connections, and the others when their calls have ended.
func (c *Client) Close() error {
	c.closed.Store(true)
	c.transport.CloseIdleConnections()
	return nil
}

// Call is one request.
type Call struct {
	Method string // POST if it is empty
	Path   string // below the base, begins with a slash; "": the base itself
	Query  url.Values
	Header http.Header // Content-Type and what the provider wants; not changed
	Body   []byte      // nil: none
	// Hurry ends when the call should give up unless it has been sent whole (provider.Message.Hurry); nil: never.
	Hurry context.Context
	// Hide is what must not be shown of the provider's words beside the configuration's
	// secrets: the message's addresses and texts.
	Hide []string
}

// Basic is the value of an Authorization header (RFC 7617).
func Basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// Do makes the call, once, and reads the answer, which may have any status. The
// error says whether anything was sent: Ambiguous if that is possible, otherwise
// Transient or Account. After an answer's first byte there is no error any more:
// what of it cannot be read is its Flaw.
func (c *Client) Do(ctx context.Context, call Call) (*Answer, *provider.Error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, callTime)
		defer cancel()
	}
	v := c.veil(&call)
	for tries := 0; ; tries++ {
		f := &flight{load: load{rest: call.Body}, body: call.Body != nil}
		if f.err = ctx.Err(); f.err != nil {
			return nil, f.fault(ctx, v)
		}
		var a *Answer
		if a, f.err = c.roundTrip(ctx, &call, f); f.err == nil {
			a.veil = v
			return a, nil
		}
		// A kept connection that was dead before it took a byte is replaced by a new one, unseen.
		if tries > 0 || ctx.Err() != nil || f.hurried() || !f.untouched() {
			return nil, f.fault(ctx, v)
		}
		c.transport.CloseIdleConnections()
	}
}

// roundTrip puts the request on the wire and reads the answer.
func (c *Client) roundTrip(ctx context.Context, call *Call, f *flight) (*Answer, error) {
	trace := &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			f.taken(info)
			if !info.Reused {
				c.log.DebugContext(ctx, "provider connection opened", "host", c.base.Host, "encrypted", c.base.Scheme == "https", "multiplexed", f.wire == nil)
			}
		},
		TLSHandshakeStart: func() { f.encrypting.Store(true) },
		TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { f.encrypting.Store(err != nil) },
	}
	if call.Hurry != nil {
		var quit context.CancelFunc
		ctx, quit = context.WithCancel(ctx)
		defer quit()
		defer context.AfterFunc(call.Hurry, func() {
			if f.quit() {
				quit()
			}
		})()
	}
	method := call.Method
	if method == "" {
		method = http.MethodPost
	}
	header := call.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("User-Agent", agent)
	target := c.target(call)
	// Not made by http.NewRequest, which sets GetBody: with it the transport repeats a request
	// that carries an Idempotency-Key by itself, and one attempt would be two calls.
	req := (&http.Request{Method: method, URL: target, Host: target.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}).
		WithContext(httptrace.WithClientTrace(ctx, trace))
	if len(call.Body) > 0 {
		req.ContentLength, req.Body = int64(len(call.Body)), io.NopCloser(&f.load)
	} else if f.body {
		req.Body = http.NoBody
	}
	res, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	f.answered()
	return read(ctx, res), nil
}

// target is the call's address: path and query added to those of the base.
func (c *Client) target(call *Call) *url.URL {
	u := *c.base
	u.Path += call.Path
	if u.RawPath != "" {
		u.RawPath += call.Path
	}
	if len(call.Query) > 0 {
		query := u.Query()
		maps.Copy(query, call.Query)
		u.RawQuery = query.Encode()
	}
	return &u
}

// veil hides the configuration's secrets, the call's and what looks like an address or a number.
func (c *Client) veil(call *Call) veil.Veil {
	v := veil.Veil{Numbers: true, Secrets: append([]string(nil), c.secrets...)}
	for name, values := range call.Header {
		if name == "Authorization" {
			for _, value := range values {
				_, credentials, _ := strings.Cut(value, " ")
				v.Secrets = append(v.Secrets, written(credentials)...) // of a login they are base64
			}
		}
	}
	for _, text := range call.Hide {
		if len(text) > maxHidden {
			continue
		}
		v.Secrets = append(v.Secrets, text, url.QueryEscape(text))
		if quoted := fmt.Sprintf("%q", text); len(quoted) > 2 {
			v.Secrets = append(v.Secrets, quoted[1:len(quoted)-1])
		}
	}
	return v
}

// read takes the answer's body, up to MaxBody.
func read(ctx context.Context, res *http.Response) *Answer {
	a := &Answer{Status: res.StatusCode, Header: res.Header}
	if res.StatusCode < 200 { // such as 101: what follows is no body
		a.Flaw = "is no answer"
		return a
	}
	var body bytes.Buffer
	_, err := io.Copy(&body, io.LimitReader(res.Body, MaxBody+1))
	switch {
	case ctx.Err() != nil && err != nil:
		a.Flaw = "did not end in time"
	case err != nil:
		a.Flaw = "broke off"
	case body.Len() > MaxBody:
		a.Flaw = "is larger than 64 KiB"
	default:
		a.Body = body.Bytes()
	}
	return a
}
