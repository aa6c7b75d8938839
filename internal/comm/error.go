package comm

import (
	"errors"
	"fmt"
	"strings"
)

// Kind is what sort of mistake an Error reports; doors map it to a status.
type Kind uint8

// The closed set of kinds. Anything that is not an *Error is Internal.
const (
	Internal        Kind = iota // our fault; details are logged, never shown
	Invalid                     // the request cannot be understood or breaks a rule
	Unauthenticated             // no or wrong credentials
	Forbidden                   // the credentials do not allow it
	Missing                     // no such thing, or somebody else's
	Conflict                    // the thing is not in a state that allows it
	TooLarge                    // over a size limit
	TargetTooLong               // the path with its query is over a size limit
	HeadTooLarge                // there are too many headers
	Unsupported                 // wrong content type or encoding
	Method                      // wrong method for this path
	Unprocessable               // understood, but values are missing or unusable
	Limited                     // over a rate; see RetryAfter
	Unavailable                 // cannot be done now; nothing was stored
	Timeout                     // the client was too slow
)

// Error is the one error that may be shown to a client. Text says how to fix
// it and never holds a secret, a body or an internal; the cause is for the log.
type Error struct {
	Kind       Kind
	Code       string            // stable, for machines; a row of Codes
	Text       string            // a sentence for people
	Fields     map[string]string // JSON path -> why
	Details    map[string]any    // further members of "details"
	RetryAfter int               // seconds; 0 = none
	cause      error
}

// E makes an Error from a row of Codes. Text, when given, replaces the row's sentence.
func E(code string, text ...any) *Error {
	c := codeOf(code)
	e := &Error{Kind: c.Kind, Code: c.Code, Text: c.Text}
	if len(text) > 0 {
		e.Text = fmt.Sprintf(text[0].(string), text[1:]...)
	}
	return e
}

// Rendered makes the Error for content that only its values made wrong, of a code of
// OfValues: the same code as in a request, but Unprocessable instead of Invalid.
func Rendered(code string) *Error {
	e := E(code)
	e.Kind = Unprocessable
	return e
}

// Field notes which field is wrong and why, and answers the same Error. The path
// may hold names that the client made up: it is cut as ClipPath does, and after
// maxFields of them one says that there are more.
func (e *Error) Field(path, why string) *Error {
	if e.Fields == nil {
		e.Fields = map[string]string{}
	}
	if path = ClipPath(path); len(e.Fields) >= maxFields && e.Fields[path] == "" {
		path, why = "…", "more fields are wrong"
	}
	e.Fields[path] = why
	return e
}

// maxFields bounds how many fields an error lists.
const maxFields = 32

// maxPath bounds the path of a field in an error, in bytes.
const maxPath = 120

// ClipPath cuts the path of a field to what an error may repeat of it, valid
// UTF-8 whatever it holds.
func ClipPath(path string) string {
	if len(path) > maxPath {
		path = path[:maxPath] + "…"
	}
	return strings.ToValidUTF8(path, "")
}

// With adds a member to details, and answers the same Error.
func (e *Error) With(name string, value any) *Error {
	if e.Details == nil {
		e.Details = map[string]any{}
	}
	e.Details[name] = value
	return e
}

// Because notes the cause, which is logged and never shown, and answers the same Error.
func (e *Error) Because(cause error) *Error { e.cause = cause; return e }

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Text + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Text
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// IsKind says whether err is, or wraps, an Error of that kind.
func IsKind(err error, k Kind) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == k
}
