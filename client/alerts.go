package client

import (
	"context"
	"net/http"
	"time"
)

// Alert is something that is wrong with the server or one of its apps, or was.
type Alert struct {
	ID        string            `json:"id"`
	Alert     string            `json:"alert"` // a word such as provider_down
	State     string            `json:"state"` // raised, cleared
	Subject   string            `json:"subject"`
	Of        string            `json:"subjectKind"` // provider_config, app, webhook, key, storage
	App       string            `json:"app"`         // slug of the app that it is of; "" where it is of none
	Since     time.Time         `json:"since"`
	ClearedAt *time.Time        `json:"clearedAt"`
	Title     string            `json:"title"`
	Text      string            `json:"text"`
	Do        string            `json:"do"`
	Page      string            `json:"page"` // address of what to do, step by step; "" once it is over
	Told      map[string]string `json:"told"` // by way (webhook, email): the state that was told
}

// Alerts lists what is wrong, and what was lately.
func (a *Admin) Alerts(ctx context.Context) ([]Alert, error) {
	var out page[Alert]
	if _, err := a.c.do(ctx, call{method: http.MethodGet, path: "/api/admin/alerts", safe: true, admin: true}, &out); err != nil {
		return nil, err
	}
	return out.Data, nil
}
