package httpapi

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/httpserver"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/strictjson"
)

// maxBatch is how many messages one batch takes.
const maxBatch = 1000

// createBatch is POST /api/v1/messages/batch. Each message is judged alone; the answer tells the app's rate.
func (a *API) createBatch(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	results, err := a.acceptBatch(w, r, caller)
	setRate(w.Header(), a.rateOf(results, caller.App))
	if err == nil {
		err = refusedWhole(results)
	}
	if err != nil {
		return err
	}
	writeRaw(w, http.StatusAccepted, a.appendBatch(r, results))
	return nil
}

// acceptBatch reads the messages and stores those that can be.
func (a *API) acceptBatch(w http.ResponseWriter, r *http.Request, caller *auth.Caller) ([]intake.Result, error) {
	if len(r.Header["Idempotency-Key"]) > 0 {
		return nil, comm.E("invalid_idempotency_key", "A batch has no idempotency key of its own: give each message its idempotencyKey.").Field("Idempotency-Key", "belongs to single messages")
	}
	results, requests, places, held, err := a.readBatch(w, r, caller)
	if err != nil {
		return nil, err
	}
	parts, rendered := a.parts(r, caller, requests)
	if rendered > smallBody {
		if held == nil {
			held = &guest{app: caller.App.ID}
		}
		err = a.bodies.more(r.Context(), held, rendered)
	}
	// The room is kept until all are stored: their content waits for the committer.
	defer a.bodies.leave(held)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, part := range parts {
		stored := a.acceptPart(r, caller, part)
		for i := range part {
			results[places[n]] = stored[i]
			n++
		}
	}
	return results, nil
}

// acceptPart stores a part of a batch, unless its caller has ended meanwhile: then each of its messages is refused by itself.
func (a *API) acceptPart(r *http.Request, caller *auth.Caller, part []intake.Request) []intake.Result {
	err := a.cfg.Auth.Holds(r.Context(), caller)
	if err == nil {
		return a.cfg.Intake.Accept(r.Context(), caller.App, part)
	}
	out := make([]intake.Result, len(part))
	for i := range out {
		out[i].Err = err
	}
	return out
}

// renderedPart is how much of a batch is rendered from templates at a time.
const renderedPart = 1 << 20

// parts divides a batch, so that no part of it renders more than renderedPart, or a
// single message's worth; most is what the largest may take. Without templates there is one part.
func (a *API) parts(r *http.Request, caller *auth.Caller, requests []intake.Request) (parts [][]intake.Request, most int64) {
	from, size := 0, int64(0)
	for i := range requests {
		bound := a.cfg.Intake.Bound(r.Context(), caller.App, &requests[i])
		if i > from && size+bound > renderedPart {
			parts, from, size = append(parts, requests[from:i]), i, 0
		}
		size += bound
		most = max(most, size)
	}
	return append(parts, requests[from:]), most
}

// readBatch decodes each message of a batch; what cannot be decoded has its Result
// already, places are those of the others.
func (a *API) readBatch(w http.ResponseWriter, r *http.Request, caller *auth.Caller) (results []intake.Result, requests []intake.Request, places []int, held *guest, err error) {
	p, err := a.receive(w, r, caller.App.ID, maxFiles)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	defer a.release(p)
	items, err := strictjson.List(p.text, "messages", maxBatch)
	if err != nil {
		return nil, nil, nil, nil, err
	}
	results = make([]intake.Result, len(items))
	for i, item := range items {
		request, err := decodeItem(item)
		if err != nil {
			results[i].Err = err
			continue
		}
		requests, places = append(requests, *request), append(places, i)
	}
	return results, requests, places, p.keep(), nil
}

// decodeItem reads one message of a batch.
func decodeItem(item jsontext.Value) (*intake.Request, error) {
	request, err := intake.Decode(item)
	switch {
	case err != nil:
		return nil, err
	case request.Attachments.Given:
		return nil, comm.E("field_not_allowed", "A batch takes no attachments: send this message by itself.").Field("attachments", "are not taken in a batch")
	case len(item) > maxBody:
		return nil, tooLarge(maxBody)
	}
	return request, nil
}

// rateOf is the app's rate after all that were counted.
func (a *API) rateOf(results []intake.Result, app *comm.App) intake.Rate {
	var rate intake.Rate
	for i := range results {
		if x := results[i].Rate; x.Limit != 0 && (rate.Limit == 0 || x.Remaining < rate.Remaining) {
			rate = x
		}
	}
	if rate.Limit == 0 {
		return a.cfg.Intake.Rate(app)
	}
	return rate
}

// refusedWhole is the answer when all messages are refused by what would pass with
// time (the rate, or a database that is away: the same batch may then be sent again), or
// because the caller has ended.
func refusedWhole(results []intake.Result) error {
	for _, kind := range []comm.Kind{comm.Limited, comm.Unavailable, comm.Unauthenticated} {
		if !slices.ContainsFunc(results, func(res intake.Result) bool { return !comm.IsKind(res.Err, kind) }) {
			return results[0].Err
		}
	}
	return nil
}

// appendBatch writes the answer; what is our fault is logged once.
func (a *API) appendBatch(r *http.Request, results []intake.Result) []byte {
	b := append(make([]byte, 0, acceptedSize*len(results)), `{"data":[`...)
	logged := false
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = append(strconv.AppendInt(b, int64(i), 10), ',')
		if err := results[i].Err; err != nil {
			e, ok := errors.AsType[*comm.Error](err)
			if !ok {
				e = comm.E("internal").Because(err)
			}
			if e.Kind == comm.Internal && !logged {
				logged = true
				a.cfg.Log.LogAttrs(r.Context(), slog.LevelError, "message of a batch failed", slog.String("request", httpserver.RequestID(r.Context())), slog.Int("index", i), slog.Any("error", err))
			}
			b = append(b, errorMembers(e, httpserver.RequestID(r.Context()))...)
			continue
		}
		one := appendAccepted(nil, &results[i])
		b = append(b, one[1:len(one)-1]...) // without its brace and its line end
	}
	return append(b, "]}\n"...)
}

// errorMembers is an error as it stands in an object that has more members.
func errorMembers(e *comm.Error, id string) []byte {
	text, err := json.Marshal(newError(e, id), json.Deterministic(true), jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // only a type that we wrote wrongly can fail
	}
	return text[1:]
}
