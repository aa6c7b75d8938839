package httpapi

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/store"
)

// createMessage is POST /api/v1/messages. Each of its answers tells the app's rate.
func (a *API) createMessage(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	res, err := a.acceptMessage(w, r, caller)
	if res.Rate.Limit == 0 {
		res.Rate = a.cfg.Intake.Rate(caller.App)
	}
	setRate(w.Header(), res.Rate)
	if err != nil {
		return err
	}
	status := http.StatusAccepted
	if res.Deduplicated {
		status = http.StatusOK
	}
	writeRaw(w, status, appendAccepted(make([]byte, 0, acceptedSize), &res))
	return nil
}

// acceptMessage reads one message and stores it.
func (a *API) acceptMessage(w http.ResponseWriter, r *http.Request, caller *auth.Caller) (res intake.Result, err error) {
	request, held, err := a.readMessage(w, r, caller)
	if err != nil {
		return res, err
	}
	held, err = a.roomToRender(r, caller, held, request)
	// The room is kept until the message is stored: its content waits for the committer.
	defer a.bodies.leave(held)
	if err != nil {
		return res, err
	}
	if err := request.UseKeyHeader(r.Header["Idempotency-Key"]); err != nil {
		return res, err
	}
	if err := a.cfg.Auth.Holds(r.Context(), caller); err != nil {
		return res, err
	}
	res = a.cfg.Intake.Accept(r.Context(), caller.App, []intake.Request{*request})[0]
	return res, res.Err
}

// roomToRender waits for the room that the content of a request's template needs, which
// the guest holds beside what it holds already; it answers nil when nothing is needed.
func (a *API) roomToRender(r *http.Request, caller *auth.Caller, held *guest, q *intake.Request) (*guest, error) {
	rendered := a.cfg.Intake.Bound(r.Context(), caller.App, q)
	if rendered <= smallBody {
		return held, nil
	}
	if held == nil {
		held = &guest{app: caller.App.ID}
	}
	return held, a.bodies.more(r.Context(), held, rendered)
}

// readMessage reads and decodes one message, which holds room if it is large. Attachment
// content has a larger limit than the rest.
func (a *API) readMessage(w http.ResponseWriter, r *http.Request, caller *auth.Caller) (*intake.Request, *guest, error) {
	p, err := a.receive(w, r, caller.App.ID, maxFiles)
	if err != nil {
		return nil, nil, err
	}
	defer a.release(p)
	if len(p.text) > maxBody && !bytes.Contains(p.text, []byte(`"attachments"`)) {
		return nil, nil, tooLarge(maxBody)
	}
	request, err := intake.Decode(p.text)
	if err != nil {
		return nil, nil, err
	}
	if len(p.text)-request.FileText() > maxBody {
		return nil, nil, tooLarge(maxBody)
	}
	return request, p.keep(), nil
}

// acceptedSize is room for an answer without warnings.
const acceptedSize = 128

// appendAccepted writes the answer by hand: it is the one that is written most.
func appendAccepted(b []byte, res *intake.Result) []byte {
	b = append(b, `{"id":"`...)
	b, _ = res.ID.AppendText(b)
	b = append(b, `","status":"`...)
	b = append(b, res.Status.String()...)
	b = append(b, '"')
	if res.Deduplicated {
		b = append(b, `,"deduplicated":true`...)
	}
	if res.Segments > 0 {
		b = append(b, `,"segments":`...)
		b = strconv.AppendInt(b, int64(res.Segments), 10)
		b = append(b, `,"encoding":"`...)
		b = append(b, res.Encoding...)
		b = append(b, '"')
	}
	if len(res.Warnings) > 0 {
		b = append(b, `,"warnings":[`...)
		for i, warning := range res.Warnings {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, `{"code":"`...)
			b = append(b, warning.Code...)
			b = append(b, `","message":`...)
			b, _ = jsontext.AppendQuote(b, warning.Text) // our own text: always valid
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, "}\n"...)
}

// setRate writes the rate headers; net/http's canonical spelling of RateLimit-… is used so that nothing has to be converted.
func setRate(h http.Header, rate intake.Rate) {
	h["Ratelimit-Limit"] = []string{strconv.Itoa(rate.Limit)}
	h["Ratelimit-Remaining"] = []string{strconv.Itoa(rate.Remaining)}
	h["Ratelimit-Reset"] = []string{strconv.Itoa(rate.Reset)}
}

// getMessage is GET /api/v1/messages/{id}.
func (a *API) getMessage(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	_, view, held, err := a.fullMessage(r, caller, id)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	a.answer(w, held, view)
	return nil
}

// fullMessage reads a message for its answer; the guest, which may be nil, leaves when that has been written.
func (a *API) fullMessage(r *http.Request, caller *auth.Caller, id comm.ID) (*comm.Message, *messageView, *guest, error) {
	m, held, err := a.readWhole(r.Context(), caller.App.ID, id)
	if err != nil {
		return nil, nil, held, err
	}
	waiting, err := a.waiting(r, caller.App, &m.State, nil)
	if err != nil {
		return nil, nil, held, err
	}
	view := newMessage(m, waiting)
	a.nameConfigs(r.Context(), caller, view.AttemptLog)
	return m, &view, held, nil
}

// nameConfigs says which configurations were called, as they are called now: of the server's own an app sees the level only, as in a preview.
func (a *API) nameConfigs(ctx context.Context, caller *auth.Caller, log []attemptView) {
	if !slices.ContainsFunc(log, func(v attemptView) bool { return !v.config.IsZero() }) {
		return
	}
	configs, err := a.cfg.Registry.ChainConfigs(ctx, caller.App.ID)
	if err != nil { // the message is worth more than they are
		a.cfg.Log.Warn("a message is shown without the names of its provider configurations", "err", err)
	}
	for i := range log {
		v := &log[i]
		if caller.Admin && !v.config.IsZero() {
			v.ConfigID = text(v.config.String())
		}
		at := slices.IndexFunc(configs, func(c comm.ProviderConfig) bool { return c.ID == v.config })
		if at < 0 {
			continue
		}
		own := !configs[at].App.IsZero()
		v.ConfigLevel = levelOf(own)
		if own || caller.Admin {
			v.ConfigID, v.ConfigName = text(v.config.String()), text(configs[at].Name)
		}
	}
}

// changeMessage is PATCH /api/v1/messages/{id}.
func (a *API) changeMessage(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	action, err := a.readAction(w, r)
	if err != nil {
		return err
	}
	view, held, mayDuplicate, err := a.act(r, caller, id, action)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	a.answer(w, held, struct {
		messageView
		MayDuplicate bool `json:"mayDuplicate"`
	}{*view, mayDuplicate})
	return nil
}

// What may be done to a message.
const (
	cancelAction = "CANCEL"
	retryAction  = "RETRY"
)

// readAction reads the body of a change of a message.
func (a *API) readAction(w http.ResponseWriter, r *http.Request) (string, error) {
	var body struct {
		Action intake.Text `json:"action"`
	}
	if err := a.decode(w, r, &body, map[string]string{"action": "invalid_action"}); err != nil {
		return "", err
	}
	if body.Action.Value != cancelAction && body.Action.Value != retryAction {
		return "", comm.E("invalid_action", "action must be CANCEL or RETRY.").Field("action", "must be CANCEL or RETRY")
	}
	return body.Action.Value, nil
}

// act does what was asked and reads the message after it; the guest, which may be nil, leaves when it has been answered.
func (a *API) act(r *http.Request, caller *auth.Caller, id comm.ID, action string) (view *messageView, held *guest, mayDuplicate bool, err error) {
	var state comm.State
	if action == cancelAction {
		state, err = a.cancel(r, caller, id)
	} else {
		state, err = a.retry(r, caller, id)
		mayDuplicate = state.Flags.Has(comm.UnknownEver)
	}
	if err != nil {
		return nil, nil, false, err
	}
	_, view, held, err = a.fullMessage(r, caller, id)
	return view, held, mayDuplicate, err
}

func (a *API) cancel(r *http.Request, caller *auth.Caller, id comm.ID) (comm.State, error) {
	state, result, err := a.cfg.Messages.Cancel(r.Context(), caller.App.ID, id, caller.Actor().Kind)
	if err != nil {
		return state, err
	}
	switch result {
	case comm.CancelDone, comm.CancelAgain:
		return state, nil
	case comm.CancelFlight:
		return state, invalidState(&state, comm.ReasonInFlight, "A provider call is running; no further attempt will start. Look at the message again for its end.")
	case comm.CancelMaybe:
		return state, invalidState(&state, comm.ReasonMaybeSent, "An earlier attempt may have reached the provider; no further attempt will start, but the message cannot be called cancelled.")
	}
	return state, invalidState(&state, comm.ReasonTooLate, "Only a QUEUED message can be cancelled; this one is "+state.Status.String()+".")
}

func (a *API) retry(r *http.Request, caller *auth.Caller, id comm.ID) (comm.State, error) {
	state, result, err := a.cfg.Messages.Retry(r.Context(), caller.App.ID, id, caller.Actor().Kind)
	if err != nil {
		return state, err
	}
	switch result {
	case comm.RetryDone:
		unit := comm.Unit{Shard: state.Shard, App: state.App, Channel: state.Channel, Lane: state.Lane}
		a.cfg.Pushed(unit, store.HeadOf(&state))
		return state, nil
	case comm.RetryExpired:
		return state, invalidState(&state, comm.ReasonExpired, "The message's ttlSeconds have passed; send a new one.")
	case comm.RetryGone:
		return state, invalidState(&state, comm.ReasonContentGone, "The message's content has been removed; send a new one.")
	}
	return state, invalidState(&state, comm.ReasonNotRetryable, "Only a FAILED or CANCELLED message can be retried; this one is "+state.Status.String()+".")
}

func invalidState(s *comm.State, reason, text string) error {
	return comm.E("invalid_state", "%s", text).With("status", s.Status.String()).With("reason", reason)
}

// pathID reads the id of the path: what is no id names nothing.
func pathID(r *http.Request) (comm.ID, error) {
	id, err := comm.ParseID(r.PathValue("id"))
	if err != nil {
		return id, comm.E("not_found")
	}
	return id, nil
}
