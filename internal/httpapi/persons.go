package httpapi

import (
	"net/http"
	"time"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/strictjson"
)

// exportPath is the one reading that the audit log tells of.
const exportPath = "/api/v1/persons/export"

// erasureView is a person who is being forgotten. It never shows the address.
type erasureView struct {
	ID         comm.ID `json:"id"`
	App        text    `json:"app"`
	Channel    string  `json:"channel"`
	Status     string  `json:"status"`
	Stage      string  `json:"stage"`
	Erased     int     `json:"erased"`
	Cancelled  int     `json:"cancelled"`
	Masked     int     `json:"masked"`
	Waiting    int     `json:"waiting"`
	CreatedAt  instant `json:"createdAt"`
	UpdatedAt  instant `json:"updatedAt"`
	FinishedAt instant `json:"finishedAt"`
}

// stages are the names of what an erasure does, in their order.
var stages = map[store.ErasureStage]string{store.ErasureMarked: "queued", store.ErasureMessages: "messages", store.ErasureMentions: "mentions",
	store.ErasureSettling: "settling", store.ErasureDone: "done"}

func newErasure(e *store.Erasure) erasureView {
	v := erasureView{ID: e.ID, Channel: e.Channel.String(), Status: "RUNNING", Stage: stages[e.Stage], Erased: e.Erased, Cancelled: e.Cancelled, Masked: e.Masked,
		Waiting: e.Waiting, CreatedAt: instant(e.CreatedAt), UpdatedAt: instant(e.UpdatedAt), FinishedAt: instant(e.FinishedAt)}
	if !e.App.IsZero() {
		v.App = text(e.App.String())
	}
	if e.FinishedAt != 0 {
		v.Status = "DONE"
	}
	return v
}

// personBody names a person.
type personBody struct {
	Address strictjson.Opt[string] `json:"address"`
	Channel strictjson.Opt[string] `json:"channel"`
}

var personCodes = map[string]string{"address": "invalid_address", "channel": "invalid_channel"}

// createErasure is POST /api/v1/erasures: 202 with the job.
func (a *API) createErasure(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	var body personBody
	if err := a.decode(w, r, &body, personCodes); err != nil {
		return err
	}
	return a.startErasure(w, r, caller.App.ID, &body)
}

// createAnyErasure is POST /api/admin/erasures: of one app, or of all.
func (a *API) createAnyErasure(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	var body struct {
		personBody
		App strictjson.Opt[string] `json:"app"`
	}
	if err := a.decode(w, r, &body, personCodes); err != nil {
		return err
	}
	var of comm.ID
	if body.App.Given {
		app, err := a.cfg.Registry.AppNamed(r.Context(), body.App.Value)
		if comm.IsKind(err, comm.Missing) {
			return comm.E("invalid_field").Field("app", "is not the id or slug of an app; leave it out for all apps")
		}
		if err != nil {
			return err
		}
		of = app.ID
	}
	return a.startErasure(w, r, of, &body.personBody)
}

func (a *API) startErasure(w http.ResponseWriter, r *http.Request, app comm.ID, body *personBody) error {
	if body.Channel.Given && body.Channel.Value == "" {
		return comm.E("invalid_channel").Field("channel", "must be EMAIL or SMS")
	}
	ch, address, err := a.cfg.Suppressions.Named(body.Channel.Value, body.Address.Value, "invalid_address")
	if err != nil {
		return err
	}
	e, err := a.cfg.Upkeep.Erase(r.Context(), app, ch, address)
	if err != nil {
		return err
	}
	write(w, http.StatusAccepted, newErasure(e))
	return nil
}

// getErasure is GET /api/v1/erasures/{id}.
func (a *API) getErasure(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	e, err := a.cfg.Upkeep.Erasure(r.Context(), caller.App.ID, id)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newErasure(e))
	return nil
}

// getAnyErasure is GET /api/admin/erasures/{id}.
func (a *API) getAnyErasure(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	e, err := a.cfg.Upkeep.AnyErasure(r.Context(), id)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newErasure(e))
	return nil
}

// personLine is a line of the export of a person; one of its members is there.
type personLine struct {
	Kind        string           `json:"kind"`
	Suppression *suppressionView `json:"suppression,omitzero"`
	Message     *personMessage   `json:"message,omitzero"`
	Messages    *int             `json:"messages,omitzero"` // of the last line: how many there were
}

// personMessage is a message with what else is kept of it.
type personMessage struct {
	messageView
	sentView
	Attachments int `json:"attachments"`
}

// exportPerson is GET /api/v1/persons/export: JSON lines, the last of which says that it is whole.
func (a *API) exportPerson(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "address", "channel")
	if err != nil {
		return err
	}
	ch, address, err := a.person(q)
	if err != nil {
		return err
	}
	app := caller.App.ID
	leave, err := place(&a.exports, app, "exports")
	if err != nil {
		return err
	}
	defer leave()
	listed, err := a.cfg.Upkeep.Held(r.Context(), app, ch, address)
	if err != nil {
		return err
	}
	ids, before, err := a.cfg.Upkeep.MessagesTo(r.Context(), app, ch, address, comm.ID{})
	if err != nil {
		return err
	}
	if err := a.cfg.Upkeep.Exporting(r.Context(), app, ch); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Content-Disposition", `attachment; filename="person.jsonl"`)
	w.Header().Set("Cache-Control", "no-store")
	out := newExport(r.Context(), w)
	defer out.end()
	n := 0
	if listed != nil {
		err = out.line(personLine{Kind: "suppression", Suppression: new(newSuppression(listed))})
	}
	for err == nil {
		for _, id := range ids {
			written, failed := a.exportMessage(out, r, caller, id)
			if err = failed; err != nil {
				break
			}
			if written {
				n++
			}
		}
		if err != nil || before.IsZero() {
			break
		}
		ids, before, err = a.cfg.Upkeep.MessagesTo(r.Context(), app, ch, address, before)
	}
	if err == nil {
		err = out.line(personLine{Kind: "end", Messages: &n})
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the answer has begun: breaking it off is the only way to say that it is not whole
	}
	return nil
}

// person reads whom a query names. A + that was not escaped arrives as a space.
func (a *API) person(q query) (comm.Channel, string, error) {
	channel, given := q["channel"]
	ch, ok := comm.ParseChannel(channel)
	if given && !ok {
		return 0, "", badQuery("channel", "must be EMAIL or SMS")
	}
	address, err := a.cfg.Suppressions.Address(ch, q["address"])
	if err != nil {
		return 0, "", err
	}
	ch, address, err = a.cfg.Suppressions.Named(channel, address, "invalid_query")
	return ch, address, err
}

// exportMessage writes the line of one message. One that was removed meanwhile is left out.
func (a *API) exportMessage(out *export, r *http.Request, caller *auth.Caller, id comm.ID) (written bool, err error) {
	m, held, err := a.readWhole(r.Context(), caller.App.ID, id)
	defer a.bodies.leave(held)
	if comm.IsKind(err, comm.Missing) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	waiting, err := a.waiting(r, caller.App, &m.State, nil)
	if err != nil {
		return false, err
	}
	return true, out.line(personLine{Kind: "message", Message: &personMessage{newMessage(m, waiting), newSent(m), m.Content.Files}})
}

// taskView is what was done by a task of upkeep.
type taskView struct {
	Task        string  `json:"task"`
	StartedAt   instant `json:"startedAt"`
	FinishedAt  instant `json:"finishedAt"`
	ReachedAt   instant `json:"reachedAt"`
	Done        int     `json:"done"`
	Total       int     `json:"total"`
	BusySeconds float64 `json:"busySeconds"`
	Failed      text    `json:"failed"`
}

// getUpkeep is GET /api/admin/upkeep.
func (a *API) getUpkeep(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	got, err := a.cfg.Upkeep.Status(r.Context())
	if err != nil {
		return err
	}
	out := struct {
		RetainContentSeconds  int64      `json:"retainContentSeconds"`
		RetainMessagesSeconds int64      `json:"retainMessagesSeconds"`
		RunningSince          instant    `json:"runningSince"`
		Erasures              int        `json:"erasures"`
		OldestErasureAt       instant    `json:"oldestErasureAt"`
		Tasks                 []taskView `json:"tasks"`
	}{int64(got.Content / time.Second), int64(got.Messages / time.Second), instant(got.RunningSince), got.OpenErasures, instant(got.OldestErasure), []taskView{}}
	for _, t := range got.Tasks {
		out.Tasks = append(out.Tasks, taskView{t.Name, instant(t.StartedAt), instant(t.FinishedAt), instant(t.Reached), t.Done, t.Total, float64(t.Busy) / 1e6, text(t.Failed)})
	}
	write(w, http.StatusOK, out)
	return nil
}
