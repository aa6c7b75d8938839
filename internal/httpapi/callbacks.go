package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/receipt"
)

// Receipts takes what providers report.
type Receipts interface {
	// Find answers the configuration that a callback URL is of; not_found for anything wrong.
	Find(ctx context.Context, kind, id, token string) (*receipt.Account, error)
	// Take verifies a report and stores it.
	Take(ctx context.Context, a *receipt.Account, c *provider.Callback) (provider.Ack, error)
	// Unconfirmed says of a message that its provider should have reported by now, and has not.
	Unconfirmed(m *comm.State, now comm.Micros) bool
}

const callbackPath = "/api/callbacks/{type}/{configId}/{token}"

// How many reports are taken at one moment, and of one configuration: providers repeat what they are refused.
const (
	callbacksAtOnce   = 256
	callbacksOfConfig = 64
)

// callbackFloor is how long the refusal of a wrong address takes at least, so that its time does not tell
// whether a part of it was right.
const callbackFloor = 20 * time.Millisecond

// takeCallback is GET and POST /api/callbacks/{type}/{configId}/{token}: a provider reports what became of messages. Nobody
// but the provider knows the token, which is all that some providers can prove; so nothing of the path is ever logged.
func (a *API) takeCallback(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	if a.cfg.Receipts == nil {
		return comm.E("not_found")
	}
	began := time.Now()
	account, err := a.cfg.Receipts.Find(r.Context(), r.PathValue("type"), r.PathValue("configId"), r.PathValue("token"))
	if err != nil {
		if comm.IsKind(err, comm.Missing) {
			linger(r.Context(), began.Add(callbackFloor))
		}
		return err
	}
	if r.Method == http.MethodHead { // somebody tries whether the address is there
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if !a.callbacks.Take(account.Config.ID) {
		return comm.E("unavailable", "Too many reports at once; send this one again.")
	}
	defer a.callbacks.Leave(account.Config.ID)
	c := &provider.Callback{Method: r.Method, URL: account.URL(r.URL.RawQuery), Header: r.Header, At: a.cfg.Now()}
	if c.Body, err = readCallback(w, r); err != nil {
		return err
	}
	ack, err := a.cfg.Receipts.Take(r.Context(), account, c)
	if err != nil {
		return err
	}
	acknowledge(w, ack)
	return nil
}

// linger waits until an instant, or until the client has gone.
func linger(ctx context.Context, until time.Time) {
	select {
	case <-time.After(time.Until(until)):
	case <-ctx.Done():
	}
}

// readCallback reads the body, whatever it is said to be. Nothing is decompressed.
func readCallback(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > receipt.MaxBody {
		w.Header().Set("Connection", "close") // or the server would read what is left of it
		return nil, callbackTooLarge()
	}
	var b bytes.Buffer
	if n := r.ContentLength; n > 0 {
		b.Grow(int(n) + bytes.MinRead)
	}
	_, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, receipt.MaxBody))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, callbackTooLarge()
	}
	switch {
	case err == nil:
		return b.Bytes(), nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, comm.E("timeout").Because(err)
	}
	return nil, comm.E("invalid_json", "The request body broke off.").Because(err)
}

func callbackTooLarge() error {
	return comm.E("body_too_large", "The body of a report is larger than %d KiB.", receipt.MaxBody>>10)
}

// acknowledge answers what the provider wants to read.
func acknowledge(w http.ResponseWriter, ack provider.Ack) {
	if ack == (provider.Ack{}) {
		ack.Body = "OK"
	}
	if ack.Status == 0 {
		ack.Status = http.StatusOK
	}
	if ack.ContentType == "" {
		ack.ContentType = "text/plain; charset=utf-8"
	}
	w.Header().Set("Content-Type", ack.ContentType)
	w.WriteHeader(ack.Status)
	_, _ = io.WriteString(w, ack.Body) // the provider may be gone: it repeats then
}
