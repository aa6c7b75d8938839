package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/strictjson"
	"github.com/commserver/commserver/internal/webhook"
)

// deliveryStates are the words of store.DeliveryState, which are shown: never rename one.
func deliveryStates() map[store.DeliveryState]string {
	return map[store.DeliveryState]string{store.DeliveryWaiting: "waiting", store.DeliveryDone: "delivered", store.DeliveryExhausted: "failed"}
}

func deliveryState(word string) (store.DeliveryState, bool) {
	for s, w := range deliveryStates() {
		if w == word {
			return s, true
		}
	}
	return 0, false
}

const deliveryStateRule = "must be waiting, delivered or failed"

// deliveryItem is an event on its way to an endpoint, as lists show it.
type deliveryItem struct {
	ID            comm.ID `json:"id"`
	EventID       string  `json:"eventId"`
	MessageID     comm.ID `json:"messageId"`
	Status        text    `json:"status"` // that the message came to; null for a test
	State         string  `json:"state"`
	Attempts      int     `json:"attempts"`
	NextAttemptAt instant `json:"nextAttemptAt"`
	CreatedAt     instant `json:"createdAt"`
	EndedAt       instant `json:"endedAt"`
	// LastAttempt is the last call; null: there was none yet.
	LastAttempt *postView `json:"lastAttempt"`
}

// newDelivery shows a delivery to an app or to the administrator.
func newDelivery(d *store.Delivery, admin bool) deliveryItem {
	v := deliveryItem{ID: d.ID, EventID: d.EventID(), MessageID: d.Message, State: deliveryStates()[d.State], Attempts: d.Attempts,
		CreatedAt: instant(d.CreatedAt), EndedAt: instant(d.EndedAt)}
	if log := strings.TrimSuffix(d.Log, "\n"); log != "" {
		v.LastAttempt = newPost(log[strings.LastIndexByte(log, '\n')+1:], admin)
	}
	if d.Status != comm.None {
		v.Status = text(d.Status.String())
	}
	if d.State == store.DeliveryWaiting {
		v.NextAttemptAt = instant(d.Due)
	}
	return v
}

// deliveryView is a whole delivery.
type deliveryView struct {
	deliveryItem
	Body       jsontext.Value `json:"body"`
	AttemptLog []postView     `json:"attemptLog"`
}

// postView is a call of an endpoint.
type postView struct {
	Attempt int    `json:"attempt"`
	At      string `json:"at"`
	TookMs  int64  `json:"tookMs"`
	Status  number `json:"status"` // null: no answer
	Fault   text   `json:"fault"`
	Answer  text   `json:"answer"` // the answer's beginning, for the administrator; null for an app, which would read through us what it cannot reach
}

// newPost reads a line of a delivery's log for an app or for the administrator; nil if another version wrote it.
func newPost(line string, admin bool) *postView {
	var l struct {
		Attempt       int
		At            string
		TookMs        int64
		Status        int
		Fault, Answer string
	}
	if json.Unmarshal([]byte(line), &l) != nil {
		return nil
	}
	post := &postView{Attempt: l.Attempt, At: l.At, TookMs: l.TookMs, Status: number(l.Status), Fault: text(l.Fault)}
	if admin {
		post.Answer = text(l.Answer)
	}
	return post
}

// wholeDelivery shows all of a delivery to an app or to the administrator.
func wholeDelivery(d *store.Delivery, admin bool) deliveryView {
	v := deliveryView{deliveryItem: newDelivery(d, admin), Body: d.Body, AttemptLog: []postView{}}
	for line := range strings.Lines(d.Log) {
		if post := newPost(line, admin); post != nil {
			v.AttemptLog = append(v.AttemptLog, *post)
		}
	}
	return v
}

// pathDelivery reads {id} and {delivery}.
func pathDelivery(r *http.Request) (endpoint, id comm.ID, err error) {
	if endpoint, err = pathID(r); err != nil {
		return endpoint, id, err
	}
	if id, err = comm.ParseID(r.PathValue("delivery")); err != nil {
		return endpoint, id, comm.E("not_found")
	}
	return endpoint, id, nil
}

// listDeliveries is GET /api/v1/webhooks/{id}/deliveries.
func (a *API) listDeliveries(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	endpoint, err := pathID(r)
	if err != nil {
		return err
	}
	q, err := readQuery(r, "state", "messageId", "createdAfter", "createdBefore", "limit", "cursor")
	if err != nil {
		return err
	}
	list := "deliveries of " + endpoint.String()
	common, limit, err := q.filter(caller.App.ID, list)
	if err != nil {
		return err
	}
	f := store.DeliveryFilter{CreatedAfter: common.CreatedAfter, CreatedBefore: common.CreatedBefore, Before: common.Before, Limit: common.Limit}
	if s, ok := q["state"]; ok {
		if f.State, ok = deliveryState(s); !ok {
			return badQuery("state", deliveryStateRule)
		}
	}
	if s, ok := q["messageId"]; ok {
		if f.Message, err = comm.ParseID(s); err != nil {
			return badQuery("messageId", "is not the id of a message")
		}
	}
	page, err := a.cfg.Deliveries.List(r.Context(), caller.App.ID, endpoint, f)
	if err != nil {
		return err
	}
	out := listView[deliveryItem]{Data: []deliveryItem{}}
	for i := range min(len(page), limit) {
		out.Data = append(out.Data, newDelivery(&page[i], caller.Admin))
	}
	if len(page) > limit {
		out.NextCursor = text(q.cursor(caller.App.ID, list, page[limit-1].ID))
	}
	write(w, http.StatusOK, out)
	return nil
}

// getDelivery is GET /api/v1/webhooks/{id}/deliveries/{delivery}.
func (a *API) getDelivery(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	endpoint, id, err := pathDelivery(r)
	if err != nil {
		return err
	}
	d, err := a.cfg.Deliveries.One(r.Context(), caller.App.ID, endpoint, id)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, wholeDelivery(&d, caller.Admin))
	return nil
}

// replayDelivery is POST /api/v1/webhooks/{id}/deliveries/{delivery}/replay.
func (a *API) replayDelivery(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	endpoint, id, err := pathDelivery(r)
	if err != nil {
		return err
	}
	d, err := a.cfg.Deliveries.Replay(r.Context(), caller.App.ID, endpoint, id)
	if err != nil {
		return err
	}
	write(w, http.StatusAccepted, newDelivery(&d, caller.Admin))
	return nil
}

// replayDeliveries is POST /api/v1/webhooks/{id}/replay.
func (a *API) replayDeliveries(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	endpoint, err := pathID(r)
	if err != nil {
		return err
	}
	var body struct {
		CreatedAfter  strictjson.Opt[string] `json:"createdAfter"` // inclusive, as in the list
		CreatedBefore strictjson.Opt[string] `json:"createdBefore"`
		State         strictjson.Opt[string] `json:"state"`
		Cursor        strictjson.Opt[string] `json:"cursor"`
	}
	if err := a.decode(w, r, &body, nil); err != nil {
		return err
	}
	e := comm.E("invalid_field")
	read := func(name string, o strictjson.Opt[string]) comm.Micros {
		at, _, why := intake.ParseTime(o.Value)
		if !o.Given {
			why = "is missing"
		}
		if why != "" {
			e.Field(name, why)
		}
		return at
	}
	span := webhook.Range{From: read("createdAfter", body.CreatedAfter), To: read("createdBefore", body.CreatedBefore), State: store.DeliveryExhausted}
	if body.State.Given {
		var ok bool
		if span.State, ok = deliveryState(body.State.Value); !ok || span.State == store.DeliveryWaiting {
			e.Field("state", "must be failed or delivered")
		}
	}
	if len(e.Fields) == 0 && span.To <= span.From {
		e.Field("createdBefore", "must lie behind createdAfter")
	}
	if len(e.Fields) > 0 {
		return e
	}
	list := "replay of " + endpoint.String()
	q := query{"createdAfter": span.From.String(), "createdBefore": span.To.String(), "state": deliveryStates()[span.State]}
	if body.Cursor.Given {
		var ok bool
		if span.Before, ok = q.open(caller.App.ID, list, body.Cursor.Value); !ok {
			return comm.E("invalid_cursor").Field("cursor", "is not the nextCursor of a replay of this endpoint with the same times and state")
		}
	}
	replayed, next, err := a.cfg.Deliveries.ReplayRange(r.Context(), caller.App.ID, endpoint, span)
	if err != nil && replayed == 0 {
		return err
	}
	out := replayView{Replayed: replayed, More: !next.IsZero()} // an error came after some were replayed: the next call meets it, or goes on
	if !next.IsZero() {
		out.NextCursor = text(q.cursor(caller.App.ID, list, next))
	}
	write(w, http.StatusAccepted, out)
	return nil
}

// replayView is what a replay of a range came to.
type replayView struct {
	Replayed   int  `json:"replayed"`
	More       bool `json:"more"`
	NextCursor text `json:"nextCursor"`
}

// testEndpoint is POST /api/v1/webhooks/{id}/test.
func (a *API) testEndpoint(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	endpoint, err := pathID(r)
	if err != nil {
		return err
	}
	d, err := a.cfg.Deliveries.Test(r.Context(), caller.App.ID, endpoint)
	if err != nil {
		return err
	}
	write(w, http.StatusAccepted, newDelivery(&d, caller.Admin))
	return nil
}
