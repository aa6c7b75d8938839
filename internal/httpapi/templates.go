package httpapi

import (
	"net/http"
	"strconv"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/render"
	"github.com/commserver/commserver/internal/store"
	"github.com/commserver/commserver/internal/strictjson"
)

// templateView is a template with its newest content.
type templateView struct {
	ID        comm.ID  `json:"id"`
	Key       string   `json:"key"`
	Channel   string   `json:"channel"`
	Name      string   `json:"name"`
	Subject   text     `json:"subject"` // null for SMS
	Body      string   `json:"body"`
	Text      text     `json:"text"` // null: made from the body
	Version   int      `json:"version"`
	Variables []string `json:"variables"`
	CreatedAt instant  `json:"createdAt"`
	UpdatedAt instant  `json:"updatedAt"`
}

func newTemplate(t *registry.Template) templateView {
	v := &t.Current
	return templateView{
		ID: t.ID, Key: t.Key, Channel: t.Channel.String(), Name: t.Name, Subject: text(v.Subject), Body: v.Body, Text: text(v.Text),
		Version: v.Version, Variables: t.Variables, CreatedAt: instant(t.CreatedAt), UpdatedAt: instant(t.UpdatedAt),
	}
}

// versionItem is a version as lists show it.
type versionItem struct {
	Version   int     `json:"version"`
	Subject   text    `json:"subject"`
	CreatedAt instant `json:"createdAt"`
}

// versionView is a whole version.
type versionView struct {
	versionItem
	Body      string   `json:"body"`
	Text      text     `json:"text"`
	Variables []string `json:"variables"`
}

// templateBody is what POST and PATCH take.
type templateBody struct {
	Key     strictjson.Opt[string]      `json:"key"`
	Channel strictjson.Opt[string]      `json:"channel"`
	Name    strictjson.Opt[string]      `json:"name"`
	Subject strictjson.Opt[string]      `json:"subject"`
	Body    strictjson.Opt[string]      `json:"body"`
	Text    strictjson.Nullable[string] `json:"text"`
}

func (a *API) readTemplate(w http.ResponseWriter, r *http.Request) (c registry.TemplateChange, err error) {
	var b templateBody
	if err := a.decode(w, r, &b, map[string]string{"key": "invalid_template_key", "channel": "invalid_channel"}); err != nil {
		return c, err
	}
	c = registry.TemplateChange{Key: given(b.Key), Channel: given(b.Channel), Name: given(b.Name), Subject: given(b.Subject), Body: given(b.Body), Text: given(b.Text.Opt)}
	if b.Text.Null {
		c.Text = new(string)
	}
	return c, nil
}

// createTemplate is POST /api/v1/templates.
func (a *API) createTemplate(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	change, err := a.readTemplate(w, r)
	if err != nil {
		return err
	}
	t, err := a.cfg.Registry.CreateTemplate(r.Context(), caller.App.ID, change)
	if err != nil {
		return err
	}
	write(w, http.StatusCreated, newTemplate(t))
	return nil
}

// listTemplates is GET /api/v1/templates.
func (a *API) listTemplates(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	q, err := readQuery(r, "channel", "key", "limit", "cursor")
	if err != nil {
		return err
	}
	page, limit, err := q.filter(caller.App.ID, "templates")
	if err != nil {
		return err
	}
	f := store.TemplateFilter{Channel: page.Channel, Before: page.Before, Limit: limit}
	if key, ok := q["key"]; ok {
		if !render.Key(key) {
			return badQuery("key", render.KeyRule)
		}
		f.Key = key
	}
	list, more, err := a.cfg.Registry.TemplateList(r.Context(), caller.App.ID, f)
	if err != nil {
		return err
	}
	out := listView[templateView]{Data: make([]templateView, len(list))}
	for i := range list {
		out.Data[i] = newTemplate(&list[i])
	}
	if more {
		out.NextCursor = text(q.cursor(caller.App.ID, "templates", list[len(list)-1].ID))
	}
	write(w, http.StatusOK, out)
	return nil
}

// getTemplate is GET /api/v1/templates/{id}.
func (a *API) getTemplate(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	t, err := a.cfg.Registry.TemplateByID(r.Context(), caller.App.ID, id)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newTemplate(t))
	return nil
}

// changeTemplate is PATCH /api/v1/templates/{id}.
func (a *API) changeTemplate(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	change, err := a.readTemplate(w, r)
	if err != nil {
		return err
	}
	t, err := a.cfg.Registry.UpdateTemplate(r.Context(), caller.App.ID, id, change)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newTemplate(t))
	return nil
}

// deleteTemplate is DELETE /api/v1/templates/{id}.
func (a *API) deleteTemplate(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Registry.DeleteTemplate(r.Context(), caller.App.ID, id); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listVersions is GET /api/v1/templates/{id}/versions: all that are kept, at most 100.
func (a *API) listVersions(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	list, err := a.cfg.Registry.TemplateVersions(r.Context(), caller.App.ID, id)
	if err != nil {
		return err
	}
	out := listView[versionItem]{Data: make([]versionItem, len(list))}
	for i, v := range list {
		out.Data[i] = versionItem{v.Version, text(v.Subject), instant(v.CreatedAt)}
	}
	write(w, http.StatusOK, out)
	return nil
}

// getVersion is GET /api/v1/templates/{id}/versions/{version}.
func (a *API) getVersion(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	n, err := strconv.ParseInt(r.PathValue("version"), 10, 32)
	if err != nil {
		return comm.E("not_found")
	}
	v, names, err := a.cfg.Registry.TemplateVersion(r.Context(), caller.App.ID, id, int(n))
	if err != nil {
		return err
	}
	write(w, http.StatusOK, versionView{versionItem{v.Version, text(v.Subject), instant(v.CreatedAt)}, v.Body, text(v.Text), names})
	return nil
}

// rollbackTemplate is POST /api/v1/templates/{id}/rollback.
func (a *API) rollbackTemplate(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var b struct {
		Version strictjson.Opt[int64] `json:"version"`
	}
	if err := a.decode(w, r, &b, nil); err != nil {
		return err
	}
	if !b.Version.Given {
		return comm.E("invalid_field").Field("version", "is missing: the number of the version to go back to")
	}
	t, err := a.cfg.Registry.RollbackTemplate(r.Context(), caller.App.ID, id, b.Version.Value)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, newTemplate(t))
	return nil
}

// sampleView is what a template makes of values.
type sampleView struct {
	Version  int           `json:"version"`
	Subject  text          `json:"subject"`
	Body     string        `json:"body"`
	Text     text          `json:"text"`
	Segments number        `json:"segments"`
	Encoding text          `json:"encoding"`
	Warnings []warningView `json:"warnings"`
}

// previewTemplate is POST /api/v1/templates/{id}/preview. It stores and sends nothing.
func (a *API) previewTemplate(w http.ResponseWriter, r *http.Request, caller *auth.Caller) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var b struct {
		Variables intake.Variables `json:"variables"`
	}
	if err := a.decode(w, r, &b, map[string]string{"variables": "invalid_variable"}); err != nil {
		return err
	}
	t, err := a.cfg.Registry.TemplateByID(r.Context(), caller.App.ID, id)
	if err != nil {
		return err
	}
	held, err := a.roomToRender(r, caller, nil, &intake.Request{TemplateKey: intake.Text{Value: t.Key, Given: true}, Variables: b.Variables})
	defer a.bodies.leave(held)
	if err != nil {
		return err
	}
	p, err := a.cfg.Intake.Sample(&t.Template, b.Variables)
	if err != nil {
		return err
	}
	out := sampleView{Version: t.Current.Version, Subject: text(p.Subject), Body: p.Body, Text: text(p.Text), Segments: number(p.Segments), Encoding: text(p.Encoding), Warnings: warningViews(p.Warnings)}
	a.answer(w, held, out)
	return nil
}
