package receipt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/batch"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// MaxBody is how large a callback's body may be.
const MaxBody = 64 << 10

// maxHeader bounds each header that is kept.
const maxHeader = 256

func lower(kind string) string { return strings.ToLower(kind) }

// URL is the address of a callback as the provider was given it, with the query that it came with.
func (a *Account) URL(query string) *url.URL {
	u, err := url.Parse(a.settings[provider.CallbackURL])
	if err != nil {
		u = &url.URL{}
	}
	u.RawQuery = query
	return u
}

// Take verifies a callback and stores it. Once it answers without an error, what the callback says will be applied,
// whatever happens to this process. forged_report says that the provider has not signed it; an error that
// store.Away knows, that the provider should repeat it.
func (s *Service) Take(ctx context.Context, a *Account, c *provider.Callback) (provider.Ack, error) {
	r := a.adapter.Reporting
	if r.Verify != nil {
		if err := r.Verify(a.settings, c); err != nil {
			s.forged.Add(1)
			if left, ok := s.odd.Speak(s.cfg.Now()); ok {
				s.cfg.Log.WarnContext(ctx, "a report is not signed by its provider", "provider", a.Config.Type, "config", a.Config.ID.String(), "unsaid", left)
			}
			return provider.Ack{}, comm.E("forged_report")
		}
	}
	at := comm.At(c.At)
	x := store.Receipt{ID: comm.NewID(at), Owner: a.Config.App, Provider: a.Config.ID, Type: a.Config.Type, At: at, Method: c.Method,
		Query: []byte(c.URL.RawQuery), Header: headerBytes(c.Header), Body: c.Body}
	if _, err := s.group.Do(ctx, x); err != nil {
		return provider.Ack{}, fmt.Errorf("store a report: %w", err)
	}
	s.stored.Add(1)
	s.held.put(x)
	return r.Ack, nil
}

// rehearsal is how long after the sandbox took a message what it reports of it is applied.
const rehearsal = time.Second

// Rehearse stores what the sandbox reports of an app's message, as Take does what a provider reports, and applies it a moment later:
// the sandbox's answer is stored by then, as a rule. Where this process ends before, whoever leads applies it. An error says that
// it may not be stored.
func (s *Service) Rehearse(ctx context.Context, app comm.ID, c *provider.Callback) error {
	at := comm.At(c.At)
	x := store.Receipt{ID: comm.NewID(at), Owner: app, Type: s.cfg.Sandbox.Type, At: at, Method: c.Method, Query: []byte(c.URL.RawQuery), Body: c.Body}
	_, err := s.group.Do(ctx, x)
	if errors.Is(err, batch.ErrClosed) { // calls that are under way when the process stops outlive the group
		err = s.cfg.Store.Receive(ctx, []store.Receipt{x})
	}
	if err != nil {
		return fmt.Errorf("store a report of the sandbox: %w", err)
	}
	s.stored.Add(1)
	time.AfterFunc(rehearsal, func() { s.held.put(x) })
	return nil
}

// commit stores a group. Requests have ids of their own: one that was stored although nobody could tell is applied all the same.
func (s *Service) commit(ctx context.Context, all []store.Receipt) ([]struct{}, error) {
	if err := s.cfg.Store.Receive(ctx, all); err != nil {
		switch {
		case store.Doubtful(err):
			err = batch.Doubt(err)
		case !store.Away(err) && !comm.IsKind(err, comm.Unavailable):
			err = batch.Isolate(err)
		}
		return nil, err
	}
	return make([]struct{}, len(all)), nil
}

// headerBytes writes the headers that are kept.
func headerBytes(h http.Header) []byte {
	var b bytes.Buffer
	for _, name := range provider.KeptHeaders() {
		if v := h.Get(name); v != "" && len(v) <= maxHeader && !strings.ContainsAny(v, "\r\n\x00") {
			b.WriteString(name + ": " + v + "\r\n")
		}
	}
	return b.Bytes()
}

// callback makes of a stored request what the adapter reads. The path has no token: it is not stored.
func (s *Service) callback(x *store.Receipt) *provider.Callback {
	header, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(bytes.Clone(x.Header), '\r', '\n')))).ReadMIMEHeader()
	if err != nil {
		header = textproto.MIMEHeader{}
	}
	u, err := url.Parse(s.cfg.Env.PublicURL)
	if err != nil {
		u = &url.URL{}
	}
	u.Path += "/api/callbacks/" + lower(x.Type) + "/" + x.Provider.String() + "/-"
	u.RawQuery = string(x.Query)
	return &provider.Callback{Method: x.Method, URL: u, Header: http.Header(header), Body: x.Body, At: x.At.Time()}
}
