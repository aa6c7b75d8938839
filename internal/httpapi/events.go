package httpapi

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"net/http"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
)

// eventPage is a page of the feed. NextCursor is always there: the feed has no end.
type eventPage struct {
	Data       []jsontext.Value `json:"data"`
	NextCursor string           `json:"nextCursor"`
}

// eventBytes is what an event takes in an answer as a rule.
const eventBytes = 4 << 10

// listEvents is GET /api/v1/events.
func (a *API) listEvents(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "after", "limit")
	if err != nil {
		return err
	}
	limit, err := q.pageSize()
	if err != nil {
		return err
	}
	app := caller.App.ID
	var after int64
	if text, ok := q["after"]; ok {
		if after, ok = readPosition(app, text); !ok {
			return comm.E("invalid_cursor").Field("after", "is not the nextCursor of a page of this app's events")
		}
	}
	held, err := a.enter(r.Context(), app, int64(limit)*eventBytes)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	events, next, err := a.cfg.Feed.Page(r.Context(), app, after, limit)
	if err != nil {
		return err
	}
	out := eventPage{Data: make([]jsontext.Value, len(events)), NextCursor: position(app, next)}
	for i := range events {
		out.Data[i] = events[i].Body
	}
	a.answer(w, held, out)
	return nil
}

const (
	positionBytes = 8
	eventList     = "events"
)

// position is the cursor of a place in an app's feed. It carries no trust, as those of lists.
func position(app comm.ID, at int64) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(at))
	check := query{}.check(app, eventList, b)
	return base64.RawURLEncoding.EncodeToString(append(b, check[:]...))
}

func readPosition(app comm.ID, text string) (at int64, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != positionBytes+checkBytes {
		return 0, false
	}
	check := query{}.check(app, eventList, raw[:positionBytes])
	return int64(binary.BigEndian.Uint64(raw)), subtle.ConstantTimeCompare(check[:], raw[positionBytes:]) == 1
}
