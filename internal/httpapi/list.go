package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/store"
)

// listMessages is GET /api/v1/messages.
func (a *API) listMessages(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "status", "channel", "createdAfter", "createdBefore", "to", "tag", "templateKey", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, limit, err := q.filter(caller.App.ID, "messages")
	if err != nil {
		return err
	}
	held, err := a.enter(r.Context(), caller.App.ID, int64(limit)*itemBytes)
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	found, err := a.find(r, caller.App.ID, q, filter, limit)
	if err != nil {
		return err
	}
	holds := map[comm.Unit]store.Hold{}
	out := listView[messageItem]{Data: make([]messageItem, 0, len(found.Messages))}
	for i := range found.Messages {
		waiting, err := a.waiting(r, caller.App, &found.Messages[i].State, holds)
		if err != nil {
			return err
		}
		out.Data = append(out.Data, newItem(&found.Messages[i], waiting))
	}
	if !found.Before.IsZero() {
		out.NextCursor = text(q.cursor(caller.App.ID, "messages", found.Before))
	}
	a.answer(w, held, out)
	return nil
}

// find reads a page: by search where the query asks for it, else as a plain list,
// whose filter asks for one row more than limit.
func (a *API) find(r *http.Request, app comm.ID, q query, f store.Filter, limit int) (found store.Found, err error) {
	if to, ok := q["to"]; ok {
		if f.Recipient, err = a.cfg.Intake.Recipient(f.Channel, to); err != nil {
			return found, err
		}
	}
	if tag, ok := q["tag"]; ok {
		term, err := intake.TagTerm(tag)
		if err != nil {
			return found, err
		}
		f.Terms = append(f.Terms, term)
	}
	if key, ok := q["templateKey"]; ok {
		term, err := intake.TemplateTerm(key)
		if err != nil {
			return found, err
		}
		f.Terms = append(f.Terms, term)
	}
	if f.Recipient != "" || len(f.Terms) > 0 {
		f.Limit = limit
		return a.cfg.Messages.Search(r.Context(), app, f)
	}
	list, err := a.cfg.Messages.List(r.Context(), app, f)
	found.Messages, found.Before = cut(list, limit)
	return found, err
}

// cut makes a page of a list of which one row more than limit was asked for; before is
// where the next page begins, zero when there is none.
func cut(list []comm.Message, limit int) (page []comm.Message, before comm.ID) {
	if len(list) <= limit {
		return list, before
	}
	return list[:limit], list[limit-1].State.ID
}
