package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/store"
)

// Page sizes.
const (
	defaultLimit = 20
	maxLimit     = 100
)

// query is a request's query, each parameter known and given at most once.
type query map[string]string

func readQuery(r *http.Request, known ...string) (query, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, comm.E("invalid_query", "The query is not written correctly; escape its values.")
	}
	q := query{}
	for name, list := range values {
		switch {
		case len(known) == 0:
			return nil, badQuery(name, "is not known here; this path takes no parameters")
		case !slices.Contains(known, name):
			return nil, badQuery(name, "is not known here; known are "+strings.Join(known, ", "))
		case len(list) > 1:
			return nil, badQuery(name, "is given more than once")
		case !store.Storable(list[0]):
			return nil, badQuery(name, "is not text: it holds a NUL, or bytes that are not UTF-8")
		}
		q[name] = list[0]
	}
	return q, nil
}

func badQuery(name, why string) error { return comm.E("invalid_query").Field(name, why) }

func badCursor() error {
	return comm.E("invalid_cursor").Field("cursor", "is not the nextCursor of a page of this list")
}

// filter reads the parameters of a list. The filter asks for one row more than
// limit: its presence says that there is a next page.
func (q query) filter(app comm.ID, list string) (f store.Filter, limit int, err error) {
	if limit, err = q.pageSize(); err != nil {
		return f, 0, err
	}
	if s, ok := q["status"]; ok {
		if f.Status, ok = comm.ParseStatus(s); !ok {
			return f, 0, badQuery("status", "must be QUEUED, SENDING, SENT, DELIVERED, FAILED, SUPPRESSED or CANCELLED")
		}
	}
	if s, ok := q["channel"]; ok {
		if f.Channel, ok = comm.ParseChannel(s); !ok {
			return f, 0, badQuery("channel", "must be EMAIL or SMS")
		}
	}
	if f.CreatedAfter, err = q.instant("createdAfter"); err != nil {
		return f, 0, err
	}
	if f.CreatedBefore, err = q.instant("createdBefore"); err != nil {
		return f, 0, err
	}
	if f.Before, err = q.last(app, list); err != nil {
		return f, 0, err
	}
	f.Limit = limit + 1
	return f, limit, nil
}

// pageSize reads limit.
func (q query) pageSize() (int, error) {
	s, ok := q["limit"]
	if !ok {
		return defaultLimit, nil
	}
	limit, err := strconv.Atoi(s)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, badQuery("limit", "must be 1 to 100")
	}
	return limit, nil
}

// last reads cursor: the last item of the page before, zero on the first page.
func (q query) last(app comm.ID, list string) (last comm.ID, err error) {
	s, ok := q["cursor"]
	if !ok {
		return last, nil
	}
	if last, ok = q.open(app, list, s); !ok {
		return last, badCursor()
	}
	return last, nil
}

func (q query) instant(name string) (comm.Micros, error) {
	s, ok := q[name]
	if !ok {
		return 0, nil
	}
	at, _, why := intake.ParseTime(s)
	if strings.Contains(s, " ") {
		why = "must look like 2026-07-03T10:00:00Z; the + of an offset is written %2B in a query"
	}
	if why != "" {
		return 0, badQuery(name, why)
	}
	return at, nil
}

const (
	idBytes    = len(comm.ID{})
	checkBytes = 8
)

// cursor names the last item of a page. It carries no trust: whatever it says,
// only rows of the calling app are read. The check beside it binds it to the
// app, the list and the filters, so that a cursor is never used by mistake
// where it does not belong.
func (q query) cursor(app comm.ID, list string, last comm.ID) string {
	check := q.check(app, list, last[:])
	return base64.RawURLEncoding.EncodeToString(append(last[:], check[:]...))
}

func (q query) open(app comm.ID, list, text string) (last comm.ID, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != idBytes+checkBytes {
		return last, false
	}
	copy(last[:], raw)
	check := q.check(app, list, last[:])
	return last, subtle.ConstantTimeCompare(check[:], raw[idBytes:]) == 1
}

func (q query) check(app comm.ID, list string, last []byte) (out [checkBytes]byte) {
	b := append([]byte(list), 0)
	b = append(append(b, app[:]...), last...)
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if name != "limit" && name != "cursor" { // the page, not the list
			b = append(append(append(append(b, name...), 0), q[name]...), 0)
		}
	}
	sum := sha256.Sum256(b)
	copy(out[:], sum[:])
	return out
}
