package httpapi

import (
	"context"
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// appRef names an app beside what belongs to it.
type appRef struct {
	ID   comm.ID `json:"id"`
	Slug string  `json:"slug"`
	Name string  `json:"name"`
}

func newAppRef(app *comm.App) appRef { return appRef{app.ID, app.Slug, app.Name} }

// adminItem is a message in a list of all apps' messages.
type adminItem struct {
	App appRef `json:"app"`
	messageItem
}

const adminMessages = "admin messages"

// listAllMessages is GET /api/admin/messages.
func (a *API) listAllMessages(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "id", "app", "status", "channel", "createdAfter", "createdBefore", "to", "tag", "templateKey", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, limit, err := q.filter(comm.ID{}, adminMessages)
	if err != nil {
		return err
	}
	held, err := a.enter(r.Context(), comm.ID{}, int64(limit)*itemBytes)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	found, err := a.findAnywhere(r, q, filter, limit)
	if err != nil {
		return err
	}
	out := listView[adminItem]{Data: make([]adminItem, 0, len(found.Messages))}
	apps, err := a.appsOf(r.Context(), found.Messages)
	if err != nil {
		return err
	}
	holds := map[comm.Unit]store.Hold{}
	for i := range found.Messages {
		app := apps[found.Messages[i].App]
		if app == nil {
			continue // it was deleted just now
		}
		waiting, err := a.waiting(r, app, &found.Messages[i].State, holds)
		if err != nil {
			return err
		}
		out.Data = append(out.Data, adminItem{newAppRef(app), newItem(&found.Messages[i], waiting)})
	}
	if !found.Before.IsZero() {
		out.NextCursor = text(q.cursor(comm.ID{}, adminMessages, found.Before))
	}
	a.answer(w, held, out)
	return nil
}

// findAnywhere reads a page: one message, an app's messages, or those of all apps. The
// filter asks for one row more than limit.
func (a *API) findAnywhere(r *http.Request, q query, f store.Filter, limit int) (found store.Found, err error) {
	if id, given := q["id"]; given {
		return a.findID(r, q, id)
	}
	if name, given := q["app"]; given {
		app, err := a.cfg.Registry.AppNamed(r.Context(), name)
		if err != nil {
			return found, err
		}
		return a.find(r, app.ID, q, f, limit)
	}
	for _, name := range []string{"tag", "templateKey"} {
		if _, given := q[name]; given {
			return found, badQuery(name, "needs app: the words of messages are kept by app")
		}
	}
	if to, given := q["to"]; given {
		if f.Recipient, err = a.cfg.Intake.Recipient(f.Channel, to); err != nil {
			return found, err
		}
	}
	f.Limit = limit
	return a.cfg.Everywhere.AllMessages(r.Context(), f)
}

// findID answers the message with this id, if there is one and it is the app's that the query names.
func (a *API) findID(r *http.Request, q query, text string) (found store.Found, err error) {
	for name := range q {
		if name != "id" && name != "app" && name != "limit" {
			return found, badQuery(name, "does not go with id, which names one message")
		}
	}
	id, err := comm.ParseID(text)
	if err != nil {
		return found, badQuery("id", "must be the id of a message, as it was answered")
	}
	app, err := a.appOfMessage(r.Context(), id)
	if comm.IsKind(err, comm.Missing) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	if name, given := q["app"]; given {
		named, err := a.cfg.Registry.AppNamed(r.Context(), name)
		if err != nil || named.ID != app.ID {
			return found, err
		}
	}
	m, err := a.cfg.Messages.Message(r.Context(), app.ID, id)
	if comm.IsKind(err, comm.Missing) {
		return found, nil
	}
	if err == nil {
		m.Body, m.Text, m.Events = "", "", nil
		found.Messages = []comm.Message{*m}
	}
	return found, err
}

// appsOf reads the apps that messages belong to. Deleted ones are missing.
func (a *API) appsOf(ctx context.Context, list []comm.Message) (map[comm.ID]*comm.App, error) {
	ids := make([]comm.ID, len(list))
	for i := range list {
		ids[i] = list[i].App
	}
	return a.cfg.Registry.AppsByID(ctx, ids)
}

// appOfMessage answers whose a message is; not_found without it, or if its app is deleted.
func (a *API) appOfMessage(ctx context.Context, id comm.ID) (*comm.App, error) {
	app, err := a.cfg.Everywhere.AppOf(ctx, id)
	if err != nil {
		return nil, err
	}
	return a.cfg.Registry.App(ctx, app)
}

// ownerOf is the administrator as a caller for the app of the path's message.
func (a *API) ownerOf(r *http.Request) (caller *auth.Caller, id comm.ID, err error) {
	if id, err = pathID(r); err != nil {
		return nil, id, err
	}
	app, err := a.appOfMessage(r.Context(), id)
	if err != nil {
		return nil, id, err
	}
	return &auth.Caller{App: app, Admin: true}, id, nil
}

// fileView is an attachment without its content.
type fileView struct {
	Filename    string `json:"filename"`
	ContentType string `json:"contentType"`
	Bytes       int64  `json:"bytes"`
}

// filesOf are the attachments of a message; none that it has lost with its content.
func (a *API) filesOf(ctx context.Context, m *comm.Message) ([]fileView, error) {
	if m.Content.Files == 0 {
		return nil, nil
	}
	heads, err := a.cfg.Files.FileHeads(ctx, m.App, m.State.ID)
	if err != nil {
		return nil, err
	}
	out := make([]fileView, len(heads))
	for i, f := range heads {
		out[i] = fileView(f)
	}
	return out, nil
}

// getAnyMessage is GET /api/admin/messages/{id}.
func (a *API) getAnyMessage(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	caller, id, err := a.ownerOf(r)
	if err != nil {
		return err
	}
	m, view, held, err := a.fullMessage(r, caller, id)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	files, err := a.filesOf(r.Context(), m)
	if err != nil {
		return err
	}
	a.answer(w, held, struct {
		App appRef `json:"app"`
		messageView
		sentView
		Files []fileView `json:"files"`
	}{newAppRef(caller.App), *view, newSent(m), files})
	return nil
}

// changeAnyMessage is PATCH /api/admin/messages/{id}.
func (a *API) changeAnyMessage(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	caller, id, err := a.ownerOf(r)
	if err != nil {
		return err
	}
	action, err := a.readAction(w, r)
	if err != nil {
		return err
	}
	word := map[string]string{cancelAction: comm.AuditMessageCancel, retryAction: comm.AuditMessageRetry}[action]
	err = a.cfg.Registry.Note(r.Context(), store.AuditEntry{App: caller.App.ID, Action: word, Target: id.String(), Detail: "{}"})
	if err != nil {
		return err
	}
	view, held, mayDuplicate, err := a.act(r, caller, id, action)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	a.answer(w, held, struct {
		App appRef `json:"app"`
		messageView
		MayDuplicate bool `json:"mayDuplicate"`
	}{newAppRef(caller.App), *view, mayDuplicate})
	return nil
}
