package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider/veil"
)

// Answer is a response.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // whole, or nil
	Flaw   string // why the body cannot be read, such as "broke off"; "" if it was read

	veil veil.Veil
}

// OK says that the status is one of success.
func (a *Answer) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// JSON reads the body, whatever its content type says. Unknown members are no error.
func (a *Answer) JSON(into any) error {
	if a.Flaw != "" {
		return errors.New("the body " + a.Flaw)
	}
	return json.Unmarshal(a.Body, into)
}

// Said makes the provider's words fit to be shown: no secrets, addresses or numbers, at most n bytes.
func (a *Answer) Said(text string, n int) string {
	text = veil.Cut(text, maxHidden) // hiding costs with the length
	return veil.Cut(a.veil.Redact(text), n)
}

// RetryAfter is how long the provider asks to be left alone in its Retry-After header; see pace.RetryAfter.
func (a *Answer) RetryAfter() time.Duration { return a.Wait("Retry-After") }

// Wait reads another header of the same form, such as RateLimit-Reset.
func (a *Answer) Wait(header string) time.Duration {
	return pace.RetryAfter(a.Header, header, time.Now())
}

// Scalar is a JSON text, number or truth value, as text: providers change between
// them. null, lists and objects are "".
type Scalar string

// UnmarshalJSON implements json.Unmarshaler.
func (s *Scalar) UnmarshalJSON(b []byte) error {
	*s = ""
	if len(b) == 0 {
		return nil
	}
	switch b[0] {
	case '"':
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return err
		}
		*s = Scalar(text)
	case 'n', '[', '{':
	default:
		*s = Scalar(b)
	}
	return nil
}
