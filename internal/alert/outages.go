package alert

import (
	"context"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store/health"
)

// Outages is how many of a provider configuration are kept: the last ones, for as long as the alert is listed.
const Outages = 10

// Outage is a time in which a provider configuration did not work, as long as the operator is told of it: shorter ones are none.
type Outage struct {
	Since comm.Micros `json:"since"`
	Until comm.Micros `json:"until,omitempty"` // when it was found to work again; 0 while it lasts
	// Reason is a word of chain.WaitReasons, Code and Answer what the provider answered last, redacted.
	Reason  string           `json:"reason,omitempty"`
	Code    string           `json:"code,omitempty"`
	Class   string           `json:"class,omitempty"` // what that answer meant, the code of a provider.Rule
	Answer  string           `json:"answer,omitempty"`
	Carried []health.Carrier `json:"carried,omitempty"` // what others of the chain took meanwhile, at least
}

// outageOf is what nodes say together of one configuration.
func outageOf(h *health.Health) *Outage {
	return &Outage{Since: h.Since, Reason: h.Reason, Code: h.Code, Class: h.Class, Answer: h.Text, Carried: h.Carried}
}

// met takes in what is known of the outage now. What was counted stays known when whoever counted it is gone.
func (w *watch) met(o *Outage) {
	if o == nil {
		return
	}
	now, before := *o, w.outage
	switch {
	case !w.ill && !w.alert.open():
		before = nil // a new one begins
	case before == nil:
		before = w.alert.outage
	}
	if before != nil {
		now.Carried = health.LatestCarriers(before.Carried, o.Carried)
	}
	w.outage = &now
}

// record is the outage of the alert as it stands, the present one or the last.
func (a *stored) record() (o Outage) {
	if a.outage != nil {
		o = *a.outage
	}
	o.Since = a.RaisedAt
	switch {
	case a.open():
		o.Until = 0
	case o.Until == 0 || o.Until > a.ClearedAt:
		o.Until = a.ClearedAt
	}
	return o
}

// ended is the outage that was over at an instant; nil where nothing is known of it.
func (w *watch) ended(at comm.Micros) *Outage {
	o := w.outage
	if o == nil {
		o = w.alert.outage
	}
	if o == nil {
		return nil
	}
	over := *o
	over.Until = at
	return &over
}

// another puts the alert's last outage to those before it, when the next one begins.
func (a *stored) another() {
	if a.Kind != ProviderDown || a.Version == 0 {
		return
	}
	a.past = append([]Outage{a.record()}, a.past...)
	a.past = slices.Clone(a.past[:min(len(a.past), Outages-1)])
}

// OutagesOf lists the last outages of a provider configuration, the newest first. One that lasts has no end.
func (s *Service) OutagesOf(ctx context.Context, config comm.ID) ([]Outage, error) {
	a, err := s.cfg.Store.Alert(ctx, ProviderDown, config.String())
	switch {
	case comm.IsKind(err, comm.Missing):
		return nil, nil
	case err != nil:
		return nil, err
	}
	one, err := read(a)
	if err != nil {
		return nil, err
	}
	return append([]Outage{one.record()}, one.past...), nil
}
