package httpapi

import (
	"net/http"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store/health"
)

// healthView is whether a provider configuration works, as the nodes say that send with it.
type healthView struct {
	saidView
	ThrottledUntil instant          `json:"throttledUntil"`
	Lately         *latelyView      `json:"lately,omitzero"`
	Carried        []carrierView    `json:"carried"`
	Nodes          []nodeHealthView `json:"nodes"`
	Outages        *[]outageView    `json:"outages,omitzero"`
}

// latelyView is how the calls of the last minute went.
type latelyView struct {
	Calls  int64 `json:"calls"`
	Failed int64 `json:"failed"`
}

// nodeHealthView is what one node says.
type nodeHealthView struct {
	Node text `json:"node"`
	saidView
}

// saidView is what nodes say, one or all together.
type saidView struct {
	State     string  `json:"state"`
	Since     instant `json:"since"`
	Reason    text    `json:"reason"`
	Code      text    `json:"code"`
	Answer    text    `json:"answer"`
	NextTryAt instant `json:"nextTryAt"`
}

// carrierView is a configuration that took messages while another one did not work.
type carrierView struct {
	ID       comm.ID `json:"id"`
	Name     string  `json:"name"`
	Messages int64   `json:"messages"`
}

// outageView is a time in which a provider configuration did not work.
type outageView struct {
	Since   instant       `json:"since"`
	EndedAt instant       `json:"endedAt"`
	Reason  text          `json:"reason"`
	Code    text          `json:"code"`
	Answer  text          `json:"answer"`
	Carried []carrierView `json:"carried"`
}

// healthOf is what is known now; nil where nobody has looked. names says whether the nodes are named, which are nothing for apps.
func healthOf(p *registry.Provider, names bool) *healthView {
	if p.Health == nil {
		return nil
	}
	late := p.Health.Lately
	h := &healthView{saidView: said(p.Health.Said), ThrottledUntil: instant(late.ThrottledUntil), Carried: carriers(p.Health.Carried), Nodes: make([]nodeHealthView, len(p.Troubles))}
	if late != (health.Lately{}) {
		h.Lately = &latelyView{late.Calls, late.Failed}
	}
	for i := range p.Troubles {
		t := &p.Troubles[i]
		h.Nodes[i] = nodeHealthView{saidView: said(health.Of(t))}
		if names {
			h.Nodes[i].Node = text(t.Node)
		}
	}
	return h
}

func said(s health.Said) saidView {
	return saidView{s.State.String(), instant(s.Since), text(s.Reason), text(s.Code), text(s.Text), instant(s.NextAt)}
}

func carriers(all []health.Carrier) []carrierView {
	out := make([]carrierView, len(all))
	for i, c := range all {
		out[i] = carrierView(c)
	}
	return out
}

// look adds to a health the outages before it. Since when something works is known from the last one.
func (h *healthView) look(outages []alert.Outage) {
	all := make([]outageView, len(outages))
	for i := range outages {
		o := &outages[i]
		all[i] = outageView{instant(o.Since), instant(o.Until), text(o.Reason), text(o.Code), text(o.Answer), carriers(o.Carried)}
	}
	h.Outages = &all
	if h.State == health.Works.String() && len(all) > 0 {
		h.Since = all[0].EndedAt
	}
}

// seesNodes says whether who asks is told the names of nodes.
func seesNodes(r *http.Request, caller *auth.Caller) bool {
	return caller == nil || caller.Admin || sessionOf(r) != nil
}
