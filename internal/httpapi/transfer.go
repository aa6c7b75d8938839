package httpapi

import (
	"cmp"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/suppress"
)

// Bounds of imports and exports.
const (
	maxImport   = 64 << 20
	importTime  = 15 * time.Minute // for all of it
	importPause = 30 * time.Second // in which something must arrive
)

// Places of this process, for imports and for exports.
const (
	importsAtOnce, importsOfApp = 16, 1
	exportsAtOnce, exportsOfApp = 32, 2
)

// place takes one of the app's places among the imports or exports that are under way.
func place(of *pace.Places[comm.ID], app comm.ID, what string) (leave func(), err error) {
	if of.Take(app) {
		return func() { of.Leave(app) }, nil
	}
	e := comm.E("unavailable", "Too many %s are under way (at most %d of an app at once); try again when one has ended.", what, of.OfApp)
	e.RetryAfter = 5
	return nil, e
}

// importView is what became of an import.
type importView struct {
	Added         int        `json:"added"`
	Present       int        `json:"present"`
	Refused       int        `json:"refused"`
	Errors        []lineView `json:"errors"`
	ErrorsOmitted int        `json:"errorsOmitted"`
}

// lineView is a refused line.
type lineView struct {
	Line int `json:"line"`
	errorView
}

// importSuppressions is POST /api/v1/suppressions/import. The body is read as fast as it is stored.
func (a *API) importSuppressions(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	format, ok := formatOf(r.Header)
	if !ok {
		return comm.E("unsupported_media_type", "Send Content-Type: text/csv or application/x-ndjson, UTF-8, without Content-Encoding.")
	}
	if r.ContentLength > maxImport {
		w.Header().Set("Connection", "close")
		return tooLarge(maxImport)
	}
	leave, err := place(&a.imports, caller.App.ID, "imports")
	if err != nil {
		return err
	}
	defer leave()
	conn := http.NewResponseController(w)
	_ = conn.SetWriteDeadline(time.Now().Add(importTime + httpserver.TakeTime)) // where it cannot be set there is none
	body := &arriving{from: http.MaxBytesReader(w, r.Body, maxImport), req: r, conn: conn, end: time.Now().Add(importTime)}
	report, err := a.cfg.Suppressions.Import(r.Context(), caller.App.ID, body, format)
	if err != nil {
		return importError(cmp.Or(ended(r.Context()), err), &report)
	}
	write(w, http.StatusOK, importView{report.Added, report.Present, report.Refused, lineViews(&report), report.Refused - len(report.Errors)})
	return nil
}

func lineViews(report *suppress.Report) []lineView {
	out := make([]lineView, 0, len(report.Errors))
	for _, x := range report.Errors {
		out = append(out, lineView{x.Line, newError(x.Err, "")})
	}
	return out
}

// importError is the answer to an import that ended early; it tells what was stored.
func importError(err error, report *suppress.Report) error {
	e, known := errors.AsType[*comm.Error](err)
	_, over := errors.AsType[*http.MaxBytesError](err)
	switch {
	case over:
		e, _ = errors.AsType[*comm.Error](tooLarge(maxImport))
	case errors.Is(err, os.ErrDeadlineExceeded):
		e = comm.E("timeout", "The body stopped arriving, or took longer than %d minutes in all; send it again, or the rest of it.", importTime/time.Minute).Because(err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		e = comm.E("invalid_import", "The request body broke off; send it again.").Because(err)
	case store.Away(err):
		e = comm.E("unavailable").Because(err)
	case !known:
		return err
	}
	e.With("added", report.Added).With("present", report.Present).With("refused", report.Refused)
	if len(report.Errors) > 0 {
		e.With("errors", lineViews(report)).With("errorsOmitted", report.Refused-len(report.Errors))
	}
	return e
}

// arriving is a long body of which something must keep arriving.
type arriving struct {
	from io.Reader
	req  *http.Request
	conn *http.ResponseController
	end  time.Time
}

// Read implements io.Reader.
func (x *arriving) Read(b []byte) (int, error) {
	due := time.Now().Add(importPause)
	if x.end.Before(due) {
		due = x.end
	}
	if err := readBy(x.conn, x.req, due); err != nil {
		return 0, err
	}
	return x.from.Read(b)
}

// formatOf reads the content type of an import.
func formatOf(h http.Header) (suppress.Format, bool) {
	values := h["Content-Type"]
	if e := h["Content-Encoding"]; len(values) != 1 || len(e) > 1 || len(e) == 1 && !strings.EqualFold(e[0], "identity") {
		return 0, false
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil || params["charset"] != "" && !strings.EqualFold(params["charset"], "utf-8") {
		return 0, false
	}
	switch kind {
	case "text/csv":
		return suppress.CSV, true
	case "application/x-ndjson", "application/jsonl":
		return suppress.JSONLines, true
	}
	return 0, false
}

// exportSuppressions is GET /api/v1/suppressions/export. Between two pages nothing is
// held: a client that reads slowly costs a connection of its own and no other.
func (a *API) exportSuppressions(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "format")
	if err != nil {
		return err
	}
	format, kind := suppress.CSV, "text/csv; charset=utf-8; header=present"
	switch f, given := q["format"]; {
	case f == "jsonl":
		format, kind = suppress.JSONLines, "application/x-ndjson"
	case given && f != "csv":
		return badQuery("format", "must be csv or jsonl")
	}
	leave, err := place(&a.exports, caller.App.ID, "exports")
	if err != nil {
		return err
	}
	defer leave()
	page, err := a.cfg.Suppressions.Page(r.Context(), caller.App.ID, store.Suppression{})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="suppressions.`+map[suppress.Format]string{suppress.CSV: "csv", suppress.JSONLines: "jsonl"}[format]+`"`)
	out := newExport(r.Context(), w)
	defer out.end()
	err = suppress.Header(out, format)
	for err == nil && len(page) > 0 {
		if err = suppress.Rows(out, format, page); err == nil {
			page, err = a.cfg.Suppressions.Page(r.Context(), caller.App.ID, page[len(page)-1])
		}
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: breaking it off is the only way to say that it is not whole
	}
	return nil
}

// export is a long answer of which something must keep being taken.
type export struct {
	*httpserver.LongAnswer
	end func()
}

// newExport begins an export, which is over with end.
func newExport(ctx context.Context, w http.ResponseWriter) *export {
	return &export{httpserver.NewLongAnswer(ctx, w), cutOff(ctx, http.NewResponseController(w))}
}

// cutOff makes that a client which does not read is no longer waited for once ctx ends. end must be called before the handler
// returns: past that an HTTP/2 connection must not be touched.
func cutOff(ctx context.Context, conn *http.ResponseController) (end func()) {
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = conn.SetWriteDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-cut
		}
	}
}

// line writes v as a line of JSON.
func (x *export) line(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = x.Write(append(line, '\n'))
	return err
}
