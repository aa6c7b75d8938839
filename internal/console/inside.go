package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"

	"github.com/commserver/commserver/client"
)

// inside is the way to the API: a http.RoundTripper that calls its handler in this process. A request that it makes
// is the browser's own to the API: the same cookie, origin and address, so that the API judges who is asking.
type inside struct {
	api     http.Handler
	http    *http.Client
	cookies sync.Mutex // a visit may make several calls at once
}

// origin is a base that no host has: nothing is sent to it.
const origin = "http://console.invalid"

func newInside(api http.Handler) *inside {
	in := &inside{api: api}
	in.http = &http.Client{Transport: in, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return in
}

// options are those of a client that acts for an app, "" for none. Nothing is repeated: no connection can break.
func (in *inside) options(app string) client.Options {
	return client.Options{BaseURL: origin, App: app, HTTP: in.http, Retries: -1}
}

type visitKey struct{}

// passed are the headers of the browser that the API gets to see.
var passed = []string{"Cookie", "Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "User-Agent", "X-Forwarded-For", "X-Forwarded-Proto"}

// RoundTrip implements http.RoundTripper. The answer's body streams, and closing it ends the handler.
func (in *inside) RoundTrip(out *http.Request) (*http.Response, error) {
	v, ok := out.Context().Value(visitKey{}).(*visit)
	if !ok {
		return nil, errors.New("console: a call of the API that belongs to no visit")
	}
	ctx, cancel := context.WithCancelCause(out.Context())
	r := out.Clone(ctx)
	r.Host, r.RemoteAddr, r.TLS = v.r.Host, v.r.RemoteAddr, v.r.TLS
	r.RequestURI = r.URL.RequestURI()
	r.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	for _, name := range []string{"X-Admin-Key", "X-Api-Key", "X-App-Id", "X-Provisioning-Key"} {
		if r.Header.Get(name) == "" {
			r.Header.Del(name)
		}
	}
	for _, name := range passed {
		if name == "Sec-Fetch-Site" && (v.r.Method == http.MethodGet || v.r.Method == http.MethodHead) {
			continue // a page may be opened by a link from anywhere (a file may not, see enter); what it reads it asks for itself
		}
		if values := v.r.Header.Values(name); len(values) > 0 {
			r.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	reader, writer := io.Pipe()
	w := &answerWriter{header: http.Header{}, body: writer, begun: make(chan struct{})}
	go func() {
		defer cancel(nil)
		defer func() {
			if cause := recover(); cause != nil { // http.ErrAbortHandler, or what the API's own recovery let through
				w.end(fmt.Errorf("console: the API cut its answer"))
				return
			}
			w.end(nil)
		}()
		in.api.ServeHTTP(w, r)
	}()
	select {
	case <-w.begun:
	case <-ctx.Done():
		_ = reader.CloseWithError(context.Cause(ctx)) // documented never to fail; whatever the handler still writes ends it
		cancel(nil)
		return nil, context.Cause(ctx)
	}
	if w.failed != nil {
		return nil, w.failed
	}
	if cookies := w.header.Values("Set-Cookie"); len(cookies) > 0 {
		in.cookies.Lock()
		for _, cookie := range cookies {
			v.w.Header().Add("Set-Cookie", cookie)
		}
		in.cookies.Unlock()
	}
	return &http.Response{Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: &answerBody{reader, cancel}, ContentLength: -1, Request: out}, nil
}

// answerWriter is the http.ResponseWriter of a call inside.
type answerWriter struct {
	header http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan struct{} // closed when status and failed stand
	status int
	failed error
}

// Header implements http.ResponseWriter.
func (w *answerWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter. Answers that only inform are passed over.
func (w *answerWriter) WriteHeader(status int) {
	if status < http.StatusOK {
		return
	}
	w.once.Do(func() {
		w.status, w.header = status, w.header.Clone()
		close(w.begun)
	})
}

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(b)
}

// Flush implements http.Flusher: what was written is read already.
func (w *answerWriter) Flush() { w.WriteHeader(http.StatusOK) }

func (w *answerWriter) end(err error) {
	w.once.Do(func() {
		w.status, w.failed = http.StatusOK, err
		close(w.begun)
	})
	_ = w.body.CloseWithError(err) // documented never to fail; nil is the end of the answer
}

// answerBody ends the handler when its reader has had enough.
type answerBody struct {
	*io.PipeReader
	cancel context.CancelCauseFunc
}

// Close implements io.Closer.
func (b *answerBody) Close() error {
	b.cancel(nil)
	return b.PipeReader.Close()
}

// admin calls the API for who is signed in.
func (v *visit) admin() (*client.Admin, error) {
	return client.NewAdmin(v.c.inside.options(""))
}

// app calls the API for an app, by its id or slug, with the authority of who is signed in.
func (v *visit) app(name string) (*client.Client, error) {
	if client.Escape(name) == "" { // without a name the API would be asked for no app
		return nil, client.ErrNoID
	}
	return client.New(v.c.inside.options(name))
}

// listing is one page of a list.
type listing[T any] struct {
	Data []T    `json:"data"`
	Next string `json:"nextCursor"`
}

// fetch reads path into T: a listing of one page, or one thing. app is the one to act for; "" is none.
func fetch[T any](v *visit, app, path string, query url.Values) (*T, error) {
	raw, err := client.NewRaw(v.c.inside.options(app), "")
	if err != nil {
		return nil, err
	}
	data, err := raw.Do(v.ctx(), client.Request{Method: http.MethodGet, Path: path, Query: query, Admin: app == "", Safe: true})
	if err != nil {
		return nil, err
	}
	out := new(T)
	if err := json.Unmarshal(data, out); err != nil {
		return nil, fmt.Errorf("decode the answer of %s: %w", path, err)
	}
	return out, nil
}

// send makes a call with a body and decodes its answer into out, which may be nil.
func send(v *visit, app, method, path string, body, out any) error {
	raw, err := client.NewRaw(v.c.inside.options(app), "")
	if err != nil {
		return err
	}
	data, err := raw.Do(v.ctx(), client.Request{Method: method, Path: path, Body: body, Admin: app == ""})
	if err != nil || out == nil || len(data) == 0 {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", path, err)
	}
	return nil
}
