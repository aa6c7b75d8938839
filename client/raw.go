package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Raw calls any path and answers the JSON as it came over the wire, for programs
// such as the command line that hand answers on. It makes the same promises about
// repeats and errors as Client, and is safe for concurrent use.
type Raw struct {
	c     *Client
	admin string
}

// NewRaw makes a Raw. Admin is the administrator's key, "" without one: it opens
// the paths of the administrator, and acts for Options.App where there is no Key.
func NewRaw(o Options, admin string) (*Raw, error) {
	c, err := New(o)
	if err != nil {
		return nil, err
	}
	return &Raw{c, admin}, nil
}

// Admin calls with the administrator's key, over the same connections.
func (r *Raw) Admin() *Admin {
	o := r.c.o
	o.App, o.Key, o.AdminKey = "", "", r.admin
	return &Admin{&Client{base: r.c.base, o: o}}
}

// Close ends idle connections.
func (r *Raw) Close() { r.c.Close() }

// Request is one call of a Raw.
type Request struct {
	Method, Path string // the path's parts escaped with Escape
	Query        url.Values
	Body         any           // encoded as JSON; nil: none
	Upload       io.Reader     // sent as it is instead of Body, once
	ContentType  string        // of Upload
	Into         io.Writer     // takes the answer of a success as it arrives; nil: Do answers it
	Admin        bool          // for no app, with the administrator's key
	Safe         bool          // repeating it cannot do harm
	Timeout      time.Duration // of one try; 0: the client's, which with Into is for its beginning, or none with Upload
}

// Escape makes one part of a path of an identifier.
func Escape(id string) string { return escape(id) }

// NewIdempotencyKey makes a key for a message that has none, as Send does.
func NewIdempotencyKey() string { return newKey() }

// Do makes the call and answers the body of a success, nil when that is a 204 or
// went into Into. A refusal is an *Error, another success without JSON ErrAnswer.
func (r *Raw) Do(ctx context.Context, q Request) (json.RawMessage, error) {
	var body []byte
	if q.Body != nil {
		var err error
		if body, err = json.Marshal(q.Body); err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
	}
	again := q.Safe && q.Upload == nil && q.Into == nil
	for try := 0; ; try++ {
		data, err := r.once(ctx, q, body)
		if err == nil || !again || try >= r.c.o.Retries || ctx.Err() != nil {
			return data, err
		}
		wait, may := pause(err, try, r.c.o.MaxRetryAfter)
		if !may {
			return nil, err
		}
		if waitErr := r.c.o.Wait(ctx, wait); waitErr != nil {
			return nil, err // the reason for waiting says more than its end
		}
	}
}

func (r *Raw) once(ctx context.Context, q Request, body []byte) (json.RawMessage, error) {
	limit := q.Timeout
	if limit == 0 && q.Upload == nil && q.Into == nil {
		limit = r.c.o.Timeout
	}
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var head *time.Timer
	if q.Into != nil && limit == 0 { // the answer may take long, its beginning may not
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		defer cancel(nil)
		head = time.AfterFunc(r.c.o.Timeout, func() { cancel(context.DeadlineExceeded) })
	}
	res, err := r.send(ctx, q, body)
	if head != nil && !head.Stop() && err != nil {
		err = fmt.Errorf("call %s %s: %w", q.Method, q.Path, context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // everything needed was read by then
	if res.StatusCode >= 200 && res.StatusCode <= 299 && q.Into != nil {
		if _, err := io.Copy(q.Into, res.Body); err != nil {
			return nil, fmt.Errorf("read the answer of %s %s: %w", q.Method, q.Path, err)
		}
		return nil, nil
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s %s: %w", q.Method, q.Path, err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return nil, refusal(res, data)
	}
	if res.StatusCode == http.StatusNoContent {
		return nil, nil
	}
	if !json.Valid(data) {
		return nil, fmt.Errorf("%w: that of %s %s is no JSON; is this a CommServer?", ErrAnswer, q.Method, q.Path)
	}
	return data, nil
}

func (r *Raw) send(ctx context.Context, q Request, body []byte) (*http.Response, error) {
	if !whole(q.Path) {
		return nil, ErrNoID
	}
	var content io.Reader = bytes.NewReader(body)
	if q.Upload != nil {
		content = q.Upload
	}
	target := r.c.base.JoinPath(q.Path)
	target.RawQuery = q.Query.Encode()
	req, err := http.NewRequestWithContext(ctx, q.Method, target.String(), content)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	switch {
	case q.Upload != nil:
		req.Header.Set("Content-Type", q.ContentType)
	case body != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	switch {
	case q.Admin:
		req.Header.Set("X-Admin-Key", r.admin)
	case r.c.o.Key == "" && r.admin != "":
		req.Header.Set("X-Admin-Key", r.admin)
		req.Header.Set("X-App-ID", r.c.o.App)
	default:
		req.Header.Set("X-API-Key", r.c.o.Key)
		req.Header.Set("X-App-ID", r.c.o.App)
	}
	res, err := r.c.o.HTTP.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call %s %s: %w", q.Method, q.Path, err)
	}
	return res, nil
}
