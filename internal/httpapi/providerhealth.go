package httpapi

import (
	"net/http"
	"slices"

	"github.com/commserver/commserver/internal/alert"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/registry"
	"github.com/commserver/commserver/internal/store"
)

// The states of a provider configuration, in words of the contract. Of what several nodes say the worst counts, which is the last here.
const (
	healthOff      = "OFF"
	healthWorks    = "WORKS"
	healthFailing  = "FAILING"
	healthTrying   = "TRYING"
	healthDown     = "DOWN"
	healthUnusable = "UNUSABLE"
)

var worse = []string{healthOff, healthWorks, healthFailing, healthTrying, healthDown, healthUnusable}

// healthView is whether a provider configuration works, as the nodes say that send with it.
type healthView struct {
	saidView
	Carried []carrierView    `json:"carried"`
	Nodes   []nodeHealthView `json:"nodes"`
	Outages *[]outageView    `json:"outages,omitzero"`

	tried bool // by a node that was taken in
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
	switch {
	case !p.Known:
		return nil
	case !p.Active:
		return newHealth(healthOff)
	}
	h := newHealth(healthWorks)
	var carried []store.Carrier
	for i := range p.Troubles {
		t := &p.Troubles[i]
		n := nodeHealthView{saidView: saidView{stateOf(t), instant(t.Since), text(t.Reason), text(t.Code), text(t.Text), instant(t.NextAt)}}
		if names {
			n.Node = text(t.Node)
		}
		h.add(&n)
		if some, err := store.DecodeCarriers(t.Carried); err == nil { // a figure that cannot be read hides nothing else
			carried = store.AddCarriers(carried, some)
		}
	}
	h.Carried = carriers(carried)
	at := slices.IndexFunc(p.Warnings, func(w comm.Warning) bool { return w.Code == comm.WarnCannotSend })
	if len(p.Troubles) == 0 && at >= 0 {
		h.State, h.Reason = healthUnusable, text(p.Warnings[at].Code)
	}
	return h
}

func newHealth(state string) *healthView {
	return &healthView{saidView: saidView{State: state}, Carried: []carrierView{}, Nodes: []nodeHealthView{}}
}

// add takes in what another node says: the worst state, what was said by the node that is in it for longest, and the earliest
// next try of those that try it: now, where one does with the next message.
func (h *healthView) add(n *nodeHealthView) {
	if slices.Index(worse, n.State) > slices.Index(worse, h.State) {
		h.State, h.Reason, h.Code, h.Answer = n.State, n.Reason, n.Code, n.Answer
	}
	if h.Since == 0 || n.Since < h.Since {
		h.Since = n.Since
	}
	if n.State != healthUnusable && (!h.tried || n.NextTryAt < h.NextTryAt) {
		h.NextTryAt, h.tried = n.NextTryAt, true
	}
	h.Nodes = append(h.Nodes, *n)
}

// stateOf names what a node says.
func stateOf(t *store.ProviderTrouble) string {
	switch {
	case t.Reason != chain.WaitDown:
		return healthUnusable
	case t.Breaker == pace.HalfOpen.String():
		return healthTrying
	case t.Breaker == pace.Closed.String():
		return healthFailing
	}
	return healthDown
}

func carriers(all []store.Carrier) []carrierView {
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
	if h.State == healthWorks && len(all) > 0 {
		h.Since = all[0].EndedAt
	}
}

// seesNodes says whether who asks is told the names of nodes.
func seesNodes(r *http.Request, caller *auth.Caller) bool {
	return caller == nil || caller.Admin || sessionOf(r) != nil
}
