package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/auth"
)

// alertView is something that is wrong, or was.
type alertView struct {
	ID        string            `json:"id"`
	Alert     string            `json:"alert"`
	State     string            `json:"state"`
	Subject   string            `json:"subject"`
	Of        alert.Of          `json:"subjectKind"`
	App       text              `json:"app"` // its slug
	Since     instant           `json:"since"`
	ClearedAt instant           `json:"clearedAt"`
	Title     string            `json:"title"`
	Text      string            `json:"text"`
	Do        text              `json:"do"`
	Page      text              `json:"page"`
	Told      map[string]string `json:"told"` // by way: webhook, email
}

func newAlert(s *alert.Shown) alertView {
	return alertView{ID: s.ID, Alert: s.Alert, State: s.State, Subject: s.Subject, Of: s.Of, App: text(s.App), Since: instant(s.Since), ClearedAt: instant(s.Until), Title: s.Title, Text: s.Text, Do: text(s.Do), Page: text(s.Page), Told: s.Told}
}

// listAlerts is GET /api/admin/alerts.
func (a *API) listAlerts(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	all, err := a.cfg.Alerts.List(r.Context())
	if err != nil {
		return err
	}
	out := listView[alertView]{Data: make([]alertView, len(all))}
	for i := range all {
		out.Data[i] = newAlert(&all[i])
	}
	write(w, http.StatusOK, out)
	return nil
}
