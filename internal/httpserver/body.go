package httpserver

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
)

// The ways in which a body can be refused; the handler gives them words.
var (
	ErrTooLarge    = errors.New("the request body is over its limit")
	ErrUnsupported = errors.New("the request body is not plain JSON in UTF-8")
	ErrTooSlow     = errors.New("the request body did not arrive in time")
	ErrBroken      = errors.New("the request body broke off")
)

// ReadJSON appends the request's body to buf, at most limit bytes, after
// checking that it is said to be JSON in UTF-8 without encoding. Nothing is
// decompressed. The error wraps one of the Err values.
func ReadJSON(w http.ResponseWriter, r *http.Request, buf io.ReaderFrom, limit int64) error {
	if !isJSON(r.Header["Content-Type"]) {
		return ErrUnsupported
	}
	if e := r.Header["Content-Encoding"]; len(e) > 0 && (len(e) > 1 || !strings.EqualFold(e[0], "identity")) {
		return ErrUnsupported
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // or the server would read what is left of it
		return ErrTooLarge
	}
	_, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit))
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return ErrTooLarge
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ErrTooSlow
	case errors.Is(err, io.ErrUnexpectedEOF):
		return ErrBroken
	}
	return errors.Join(ErrBroken, err)
}

func isJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	if values[0] == "application/json" {
		return true
	}
	kind, params, err := mime.ParseMediaType(values[0])
	if err != nil || kind != "application/json" {
		return false
	}
	for name, value := range params {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}
