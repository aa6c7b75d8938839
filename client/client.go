// Package client is the Go client of CommServer's HTTP API.
//
// It promises that repeating is safe: Send makes an idempotency key when none
// is given, so a request whose answer was lost is asked again without sending a
// second message. Errors of the server are *Error values with the stable code.
// It needs the standard library only and is safe for concurrent use.
//
// It keeps no queue: when CommServer cannot be reached, Send says so and the
// caller's own record of the event is what survives.
package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Defaults of Options.
const (
	DefaultTimeout       = 15 * time.Second
	DefaultRetries       = 3
	DefaultMaxRetryAfter = 10 * time.Second
)

// Options describe a Client.
type Options struct {
	BaseURL string // http://localhost:3008
	App     string // the app's id or slug
	Key     string // its API key; keep it on servers
	// ProvisioningKey is needed for Provision only.
	ProvisioningKey string
	// AdminKey is needed for NewAdmin. A client that has it and no Key acts for App as the administrator.
	AdminKey string
	HTTP     *http.Client  // nil: a client of its own. One without CheckRedirect is used as if redirects were refused
	Timeout  time.Duration // of one try; 0: DefaultTimeout
	Retries  int           // further tries after the first; 0: DefaultRetries, negative: none
	// MaxRetryAfter is the longest Retry-After that is waited for; 0: DefaultMaxRetryAfter. A server that asks for
	// more is not asked again: the caller decides.
	MaxRetryAfter time.Duration
	// Wait pauses between tries; nil: it sleeps, or ends with ctx. For tests.
	Wait func(ctx context.Context, d time.Duration) error
}

// Client calls one server for one app.
type Client struct {
	base *url.URL
	o    Options
}

// New makes a Client. It connects to nothing.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.BaseURL)
	if bad, ok := errors.AsType[*url.Error](err); ok {
		err = bad.Err // without the URL, which may hold a password
	}
	if err != nil {
		return nil, fmt.Errorf("read the base URL: %w", err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, errors.New("the base URL must look like http://localhost:3008")
	}
	if base.User != nil { // it would be sent as other credentials, which are refused beside the key, and shown in errors
		return nil, errors.New("the base URL must not hold a user or a password: the key alone says who calls")
	}
	used := http.Client{Transport: transport()}
	if o.HTTP != nil {
		used = *o.HTTP
	}
	if used.CheckRedirect == nil { // the standard library would take the key along to another place
		used.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	o.HTTP = &used
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Retries == 0 {
		o.Retries = DefaultRetries
	}
	if o.MaxRetryAfter <= 0 {
		o.MaxRetryAfter = DefaultMaxRetryAfter
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	return &Client{base: base, o: o}, nil
}

// idleConnections keeps a busy program from opening a connection per message.
const idleConnections = 64

func transport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = idleConnections, idleConnections
	return t
}

// Close ends idle connections.
func (c *Client) Close() { c.o.HTTP.CloseIdleConnections() }

// Error is a refusal by the server.
type Error struct {
	Status     int
	Code       string            // stable, such as "rate_limited"
	Message    string            // a sentence for people
	Fields     map[string]string // path of each wrong field and why
	Details    map[string]any    // everything in details
	RetryAfter time.Duration     // 0: not said
	RequestID  string            // quote it to the operator
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s (%d %s, request %s)", e.Message, e.Status, e.Code, e.RequestID)
}

// ErrAnswer is in the errors for answers of a success that cannot be read: what was asked may have been done.
var ErrAnswer = errors.New("the answer cannot be read")

// ErrNoID is the error for a call without the identifier that its path needs: it is empty, blank, "." or "..". The call is not made: its path
// would be that of something else.
var ErrNoID = errors.New("the identifier is missing")

// Code is the stable code of an error of the server, such as CodeRateLimited, "" for any other error.
func Code(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// call is one request; safe says that repeating it cannot do harm.
type call struct {
	method, path string
	query        url.Values
	body         any
	safe         bool
	provisioning bool
	admin        bool          // for no app
	timeout      time.Duration // of one try, if longer than Options.Timeout
}

// do makes the call, repeats it where that is safe and useful, and decodes the
// answer into out. It answers the status.
func (c *Client) do(ctx context.Context, call call, out any) (int, error) {
	var body []byte
	if call.body != nil {
		var err error
		if body, err = json.Marshal(call.body); err != nil {
			return 0, fmt.Errorf("encode the request: %w", err)
		}
	}
	for try := 0; ; try++ {
		status, err := c.once(ctx, call, body, out)
		if err == nil || try >= c.o.Retries || !call.safe || ctx.Err() != nil {
			return status, err
		}
		wait, again := pause(err, try, c.o.MaxRetryAfter)
		if !again {
			return status, err
		}
		if waitErr := c.o.Wait(ctx, wait); waitErr != nil {
			return status, errors.Join(err, waitErr)
		}
	}
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 32 << 20

func (c *Client) once(ctx context.Context, call call, body []byte, out any) (int, error) {
	if !whole(call.path) {
		return 0, ErrNoID
	}
	ctx, cancel := context.WithTimeout(ctx, max(c.o.Timeout, call.timeout))
	defer cancel()
	target := c.base.JoinPath(call.path)
	target.RawQuery = call.query.Encode()
	req, err := http.NewRequestWithContext(ctx, call.method, target.String(), bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.sign(req.Header, call)
	res, err := c.o.HTTP.Do(req)
	if err != nil {
		return 0, fmt.Errorf("call %s %s: %w", call.method, call.path, err)
	}
	defer func() { _ = res.Body.Close() }() // everything needed was read by then
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return res.StatusCode, fmt.Errorf("read the answer of %s %s: %w", call.method, call.path, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return res.StatusCode, refusal(res, data)
	}
	if out == nil {
		return res.StatusCode, nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return res.StatusCode, fmt.Errorf("decode the answer of %s %s: %w: %w", call.method, call.path, ErrAnswer, err)
	}
	return res.StatusCode, nil
}

// sign sets the credentials that the call needs.
func (c *Client) sign(h http.Header, call call) {
	switch {
	case call.provisioning:
		h.Set("X-Provisioning-Key", c.o.ProvisioningKey)
		return
	case call.admin:
		h.Set("X-Admin-Key", c.o.AdminKey)
		return
	case c.o.Key == "" && c.o.AdminKey != "":
		h.Set("X-Admin-Key", c.o.AdminKey)
	default:
		h.Set("X-API-Key", c.o.Key)
	}
	h.Set("X-App-ID", c.o.App)
}

func refusal(res *http.Response, data []byte) *Error {
	var body struct {
		Error   string         `json:"error"`
		Details map[string]any `json:"details"`
	}
	e := &Error{Status: res.StatusCode, RequestID: res.Header.Get("X-Request-Id"), RetryAfter: retryAfter(res.Header.Get("Retry-After"), time.Now())}
	if err := json.Unmarshal(data, &body); err != nil || body.Error == "" {
		e.Message = "the server answered " + res.Status
		return e // not ours: a proxy's answer, perhaps
	}
	e.Message, e.Details = body.Error, body.Details
	e.Code, _ = body.Details["code"].(string)
	if fields, ok := body.Details["fields"].(map[string]any); ok {
		e.Fields = map[string]string{}
		for path, why := range fields {
			e.Fields[path] = fmt.Sprint(why)
		}
	}
	return e
}

// retryAfter reads Retry-After, which is in seconds or a date (RFC 9110, 10.2.3); 0: it says nothing of use.
func retryAfter(value string, now time.Time) time.Duration {
	const most = 365 * 24 * 60 * 60
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), most)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// Bounds of the pauses between tries.
const (
	firstPause = 200 * time.Millisecond
	maxPause   = 10 * time.Second
)

// pause says whether an error may pass by itself, and how long to wait, patience at most if the server asks for it.
func pause(err error, try int, patience time.Duration) (time.Duration, bool) {
	if errors.Is(err, ErrNoID) {
		return 0, false
	}
	if e, ok := errors.AsType[*Error](err); ok {
		switch {
		case e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable:
			if e.RetryAfter > 0 {
				return e.RetryAfter, e.RetryAfter <= patience
			}
		case e.Status != http.StatusBadGateway && e.Status != http.StatusGatewayTimeout && e.Status != http.StatusRequestTimeout:
			return 0, false
		}
	}
	d := min(firstPause<<min(try, 6), maxPause)
	return d/2 + jitter(d/2), true
}

// jitter keeps many clients from coming back together.
func jitter(d time.Duration) time.Duration {
	n, err := rand.Int(rand.Reader, big.NewInt(int64(d)+1))
	if err != nil {
		return d
	}
	return time.Duration(n.Int64())
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// newKey makes an idempotency key for a message that has none.
func newKey() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (Go 1.24)
	return "auto-" + hex.EncodeToString(b[:])
}

// escape makes one part of a path of an identifier, "" of what would lead to another path.
func escape(id string) string {
	id = strings.TrimSpace(id)
	if id == "." || id == ".." {
		return ""
	}
	return url.PathEscape(id)
}

// whole says that no part of a path is missing.
func whole(path string) bool { return !strings.Contains(path, "//") && !strings.HasSuffix(path, "/") }
