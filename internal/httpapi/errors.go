package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/store"
)

// statuses is the one table from kinds of mistakes to HTTP; docs/errors.md is generated from it.
var statuses = map[comm.Kind]int{
	comm.Internal:        http.StatusInternalServerError,
	comm.Invalid:         http.StatusBadRequest,
	comm.Unauthenticated: http.StatusUnauthorized,
	comm.Forbidden:       http.StatusForbidden,
	comm.Missing:         http.StatusNotFound,
	comm.Conflict:        http.StatusConflict,
	comm.TooLarge:        http.StatusRequestEntityTooLarge,
	comm.TargetTooLong:   http.StatusRequestURITooLong,
	comm.HeadTooLarge:    http.StatusRequestHeaderFieldsTooLarge,
	comm.Unsupported:     http.StatusUnsupportedMediaType,
	comm.Method:          http.StatusMethodNotAllowed,
	comm.Unprocessable:   http.StatusUnprocessableEntity,
	comm.Limited:         http.StatusTooManyRequests,
	comm.Unavailable:     http.StatusServiceUnavailable,
	comm.Timeout:         http.StatusRequestTimeout,
}

// fail writes an error in the guide's shape. What is our fault is logged here,
// with its cause, and shown without.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*comm.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		// The client has gone and hears nothing of it; nothing is wrong here.
		e = comm.E("unavailable", "The request was given up.").Because(err)
	case store.Away(err):
		e = comm.E("unavailable", "The database cannot be reached now; send the same request again.")
	default:
		e = comm.E("internal")
	}
	id := httpserver.RequestID(r.Context())
	switch e.Kind {
	case comm.Internal:
		a.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "request failed", slog.String("request", id), slog.String("route", r.Pattern), slog.Any("error", err))
	case comm.Unavailable:
		// An outage refuses thousands of requests a second. Who has gone was not refused.
		if r.Context().Err() != nil {
			break
		}
		if left, ok := a.refusals.Speak(a.cfg.Now()); ok {
			a.cfg.Log.LogAttrs(r.Context(), slog.LevelWarn, "request refused for now", slog.String("request", id), slog.String("route", r.Pattern),
				slog.Any("error", err), slog.Int("unsaid", left))
		}
		w.Header().Set("Retry-After", "1") // unless the error knows better
	}
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(e.RetryAfter))
	}
	write(w, statuses[e.Kind], newError(e, id))
}

// errorView is an error in the guide's shape.
type errorView struct {
	Error   string         `json:"error"`
	Details map[string]any `json:"details"`
}

// newError shows an error of the request with this id.
func newError(e *comm.Error, id string) errorView {
	details := map[string]any{"code": e.Code}
	maps.Copy(details, e.Details)
	if len(e.Fields) > 0 {
		details["fields"] = e.Fields
	}
	if e.Kind == comm.Internal {
		details["requestId"] = id
	}
	return errorView{e.Text, details}
}

// contentType of every answer, shared: never written to.
var contentType = []string{"application/json; charset=utf-8"}

// write answers v as JSON.
func write(w http.ResponseWriter, status int, v any) { writeRaw(w, status, encode(v)) }

func encode(v any) []byte {
	body, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		// Only a type that we wrote wrongly can fail: the recovery answers 500.
		panic(err)
	}
	return append(body, '\n')
}

func writeRaw(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"] = contentType
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone: nothing can be told to it then
}

// readBody reads a JSON body and says in our words why it cannot.
func readBody(w http.ResponseWriter, r *http.Request, to io.ReaderFrom, limit int64) error {
	err := httpserver.ReadJSON(w, r, to, limit)
	if err == nil {
		return nil
	}
	refused, ours := errors.AsType[*comm.Error](err)
	switch {
	case ours: // there was no room for it
		return refused
	case errors.Is(err, httpserver.ErrUnsupported):
		return comm.E("unsupported_media_type")
	case errors.Is(err, httpserver.ErrTooLarge):
		return tooLarge(limit)
	case errors.Is(err, httpserver.ErrTooSlow):
		return comm.E("timeout").Because(err)
	}
	return comm.E("invalid_json", "The request body broke off.").Because(err)
}

// letFinish reads what is left of a body that is refused: many clients look for an
// answer only once they have sent everything, and take a connection that is closed
// meanwhile for a fault of the network. net/http itself does so for the last 256 KiB,
// and HTTP/2 needs no such thing. It waits for nobody who does not send: the client may
// be a stranger.
func (a *API) letFinish(w http.ResponseWriter, r *http.Request, err error) {
	const most, patience, atOnce = 2 * maxImport, 10 * time.Second, 64
	n := r.ContentLength
	switch {
	case n >= 0 && n <= 256<<10 || n > most: // nothing is left, or too much
		return
	case r.ProtoMajor > 1 || r.Header.Get("Expect") != "": // the client hears us while it sends, or waits for our word
		return
	case comm.IsKind(err, comm.Timeout) || comm.IsKind(err, comm.Limited) || ended(r.Context()) != nil: // it had its time
		return
	}
	defer a.finishing.Add(-1)
	if a.finishing.Add(1) > atOnce {
		return
	}
	body := r.Body
	if p, ok := body.(*paced); ok {
		body = p.ReadCloser // which has deadlines of its own
	}
	conn, end := http.NewResponseController(w), time.Now().Add(patience)
	for left := int64(most); left > 0 && time.Now().Before(end); left -= paceBytes {
		if conn.SetReadDeadline(time.Now().Add(seatWindow)) != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, body, paceBytes); err != nil {
			return // its end, or it is too slow
		}
	}
}

func tooLarge(limit int64) error {
	return comm.E("body_too_large", "The request body is larger than %d MiB.", limit>>20)
}
