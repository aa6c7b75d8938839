package httpapi

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/feed"
	"github.com/commserver/commserver/internal/store"
)

// newestView is an event with what a line about it says of its message.
type newestView struct {
	App       appRef  `json:"app"`
	MessageID comm.ID `json:"messageId"`
	Channel   string  `json:"channel"`
	Sandbox   bool    `json:"sandbox"`
	ToAddress text    `json:"toAddress"`
	eventView
}

// newestPage is what happened since a look. NextCursor is always there: what happens has no end.
type newestPage struct {
	Data       []newestView `json:"data"`
	Looked     int          `json:"looked"`
	Passed     int          `json:"passed"`
	AtLeast    bool         `json:"atLeast"`
	NextCursor string       `json:"nextCursor"`
}

// newestEvents is GET /api/admin/events.
func (a *API) newestEvents(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "app", "channel", "troubles", "after", "limit")
	if err != nil {
		return err
	}
	x, err := a.watching(r, q)
	if err != nil {
		return err
	}
	got, err := a.cfg.Watch.Look(r.Context(), x)
	if err != nil {
		return err
	}
	ids := make([]comm.ID, len(got.Events))
	for i := range got.Events {
		ids[i] = got.Events[i].App
	}
	apps, err := a.cfg.Registry.AppsByID(r.Context(), ids)
	if err != nil {
		return err
	}
	out := newestPage{Data: make([]newestView, 0, len(got.Events)), Looked: got.Looked, Passed: got.Passed, AtLeast: got.More, NextCursor: glance(x.App, got.Seen)}
	for i := range got.Events {
		e := &got.Events[i]
		if app := apps[e.App]; app != nil { // it was not deleted
			out.Data = append(out.Data, newestView{newAppRef(app), e.Message, e.Channel.String(), e.Mode == comm.Sandbox, text(e.To), newEvents([]comm.Event{e.Event})[0]})
		}
	}
	write(w, http.StatusOK, out)
	return nil
}

// watching reads what of all that happens is wanted.
func (a *API) watching(r *http.Request, q query) (x feed.Watching, err error) {
	if x.Limit, err = q.pageSize(); err != nil {
		return x, err
	}
	if name, given := q["app"]; given {
		app, err := a.cfg.Registry.AppNamed(r.Context(), name)
		if err != nil {
			return x, err
		}
		x.App = app.ID
	}
	if s, given := q["channel"]; given {
		if x.Channel, given = comm.ParseChannel(s); !given {
			return x, badQuery("channel", "must be EMAIL or SMS")
		}
	}
	switch s, given := q["troubles"]; {
	case !given:
	case s == "true" || s == "false":
		x.Trouble = s == "true"
	default:
		return x, badQuery("troubles", "must be true or false")
	}
	if s, given := q["after"]; given {
		if x.Since, given = readGlance(x.App, s); !given {
			return x, comm.E("invalid_cursor").Field("after", "is not the nextCursor of a look at the same app, or at all")
		}
	}
	return x, nil
}

// openAtMost bounds how many transactions a cursor names. Events of further ones that were under way are not told to who goes on.
const openAtMost = 100

// glance is the cursor of a look: what it has seen. It carries no trust, as those of lists.
func glance(app comm.ID, seen store.Seen) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(seen.From))
	for _, x := range seen.Open[:min(len(seen.Open), openAtMost)] {
		b = binary.AppendVarint(b, seen.From-x)
	}
	check := query{}.check(app, newestList, b)
	return base64.RawURLEncoding.EncodeToString(append(b, check[:]...))
}

const newestList = "newest events"

func readGlance(app comm.ID, text string) (seen *store.Seen, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) < positionBytes+checkBytes {
		return nil, false
	}
	b, end := raw[:len(raw)-checkBytes], raw[len(raw)-checkBytes:]
	check := query{}.check(app, newestList, b)
	seen = &store.Seen{From: int64(binary.BigEndian.Uint64(b))}
	for b = b[positionBytes:]; len(b) > 0; {
		x, n := binary.Varint(b)
		if n <= 0 {
			return nil, false
		}
		seen.Open, b = append(seen.Open, seen.From-x), b[n:]
	}
	return seen, subtle.ConstantTimeCompare(check[:], end) == 1 && len(seen.Open) <= openAtMost
}
