package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
)

// liveChainView is what a live message of a channel would be sent with.
type liveChainView struct {
	Channel    string        `json:"channel"`
	Level      text          `json:"level"`      // whose configurations apply; null when none can be tried
	Candidates int           `json:"candidates"` // how many of them can be tried
	Sandbox    bool          `json:"sandbox"`
	NoProvider bool          `json:"noProvider"`
	Why        string        `json:"why"`
	WaitFor    text          `json:"waitingFor"`
	Warnings   []warningView `json:"warnings"`
}

// liveChains is GET /api/admin/chains: settings alone decide, not whether a provider works now.
func (a *API) liveChains(w http.ResponseWriter, r *http.Request, _ *auth.Caller) error {
	q, err := readQuery(r, "app", "without", "off")
	if err != nil {
		return err
	}
	var app *comm.App
	if name, given := q["app"]; given {
		if app, err = a.cfg.Registry.AppNamed(r.Context(), name); err != nil {
			return err
		}
	}
	var suppose registry.Supposed
	if suppose.Without, err = q.configID("without"); err != nil {
		return err
	}
	if suppose.Off, err = q.configID("off"); err != nil {
		return err
	}
	chains, err := a.cfg.Registry.LiveChains(r.Context(), app, suppose)
	if err != nil {
		return err
	}
	out := listView[liveChainView]{Data: make([]liveChainView, len(chains))}
	for i := range chains {
		c := &chains[i]
		v := liveChainView{Channel: c.Channel.String(), Candidates: len(c.Candidates), Sandbox: c.Logger, NoProvider: c.NoProvider, Why: c.Why, WaitFor: text(c.Wait.Reason), Warnings: []warningView{}}
		if len(c.Candidates) > 0 {
			v.Level = levelOf(c.Own)
		}
		if warning, ok := c.Warning(c.Channel); ok {
			v.Warnings = warningViews([]comm.Warning{warning})
		}
		out.Data[i] = v
	}
	write(w, http.StatusOK, out)
	return nil
}

// configID reads the id of a provider configuration; zero where none is given.
func (q query) configID(name string) (id comm.ID, err error) {
	s, given := q[name]
	if !given {
		return id, nil
	}
	if id, err = comm.ParseID(s); err != nil {
		return id, badQuery(name, "must be the id of a provider configuration")
	}
	return id, nil
}
