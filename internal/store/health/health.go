// Package health is what the nodes that send with a provider configuration say of it, put together: whether it works, since
// when it does not and why, when it is called again, and what others took meanwhile.
//
// Each node has a breaker of its own, and they may disagree. The rule for that stands here alone, so that the alert, the warning and the
// page of one configuration always tell the same. Everything is pure: it reads nothing, and knows no clock.
package health

import (
	"cmp"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/store"
)

// State is how a configuration is. Of what several nodes say the worst counts, which is the greatest.
type State uint8

// The states, the worst last.
const (
	Off      State = iota // switched off
	Works                 // nobody says otherwise
	Failing               // calls fail, and messages are still tried there first
	Trying                // a few messages decide whether it works again
	Down                  // messages pass it by
	Unusable              // there is nothing to call: its credentials, its settings, its type
)

var stateWords = [...]string{Off: "OFF", Works: "WORKS", Failing: "FAILING", Trying: "TRYING", Down: "DOWN", Unusable: "UNUSABLE"}

// String is the state's word in the contract of the API.
func (s State) String() string { return stateWords[s] }

// Said is how a configuration is, for one node or for all together.
type Said struct {
	State  State
	Since  comm.Micros // 0: not known
	Reason string      // a word of chain.WaitReasons; "" where nothing is wrong
	Code   string      // of the last answer; may be ""
	Text   string      // the last answer in words, redacted; may be ""
	NextAt comm.Micros // before it no call is made; 0: the next message is one
}

// Of is what one node says.
func Of(t *store.ProviderTrouble) Said {
	return Said{stateOf(t), t.Since, t.Reason, t.Code, t.Text, t.NextAt}
}

func stateOf(t *store.ProviderTrouble) State {
	switch {
	case t.Reason != comm.WarnDown:
		return Unusable
	case t.Breaker == pace.HalfOpen.String():
		return Trying
	case t.Breaker == pace.Closed.String():
		return Failing
	}
	return Down
}

// Health is how a configuration is, for all nodes together.
type Health struct {
	Said
	Class   string    // what the last answer meant, as store.ProviderTrouble has it; may be ""
	Carried []Carrier // what others of the chain took, for any of the nodes
	Lately  Lately
}

// Bars is why a configuration in this health is passed by: a word where there is nothing to call, and whether its breaker lets no call
// through. A pinned one is called all the same.
func (h *Health) Bars(pinned bool) (broken string, down bool) {
	switch h.State {
	case Unusable:
		return h.Reason, false
	case Down, Trying:
		return "", !pinned
	case Off, Works, Failing:
	}
	return "", false
}

// Lately is how calls through a configuration went in the last minute, whether it works or not.
type Lately struct {
	ThrottledUntil comm.Micros // the provider asked for no call before it: the last of the nodes that it asked; 0: it asked none
	// Calls and Failed are of the nodes of which calls failed, or which the provider asked to wait: the others say nothing.
	Calls, Failed int64
}

// OfLate puts together what nodes say of one configuration.
func OfLate(all []store.ProviderStrain) (out Lately) {
	for i := range all {
		out.ThrottledUntil = max(out.ThrottledUntil, all[i].ThrottledUntil)
		out.Calls += all[i].Calls
		out.Failed += all[i].Failed
	}
	return out
}

// Together is what nodes say of one configuration, in whatever order: the worst state, and the words of the node that is in it for
// longest; since when the first of them says so; and the earliest next try of those that try it. Of nothing said: it works.
func Together(all []store.ProviderTrouble) Health {
	h := Health{Said: Said{State: Works}}
	var tells *store.ProviderTrouble
	tried := false
	for i := range all {
		t := &all[i]
		if some, err := DecodeCarriers(t.Carried); err == nil { // a figure that cannot be read hides nothing else
			h.Carried = AddCarriers(h.Carried, some)
		}
		if h.Since == 0 || t.Since < h.Since {
			h.Since = t.Since
		}
		if tells == nil || worse(t, tells) {
			tells = t
		}
		if stateOf(t) != Unusable && (!tried || t.NextAt < h.NextAt) {
			h.NextAt, tried = t.NextAt, true
		}
	}
	if tells != nil {
		h.State, h.Reason, h.Code, h.Text, h.Class = stateOf(tells), tells.Reason, tells.Code, tells.Text, tells.Class
	}
	return h
}

// worse says whether a's words count before b's. What it compares last makes the answer one that no order decides.
func worse(a, b *store.ProviderTrouble) bool {
	return cmp.Or(cmp.Compare(stateOf(b), stateOf(a)), cmp.Compare(a.Since, b.Since), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Reason, b.Reason),
		cmp.Compare(a.Code, b.Code), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Class, b.Class)) < 0
}

// ByConfig parts what was said by the configuration that it was said of, each in the order of all.
func ByConfig(all []store.ProviderTrouble) map[comm.ID][]store.ProviderTrouble {
	return parted(all, func(t *store.ProviderTrouble) comm.ID { return t.ID })
}

// StrainsByConfig does the same.
func StrainsByConfig(all []store.ProviderStrain) map[comm.ID][]store.ProviderStrain {
	return parted(all, func(t *store.ProviderStrain) comm.ID { return t.ID })
}

func parted[T any](all []T, of func(*T) comm.ID) map[comm.ID][]T {
	out := map[comm.ID][]T{}
	for i := range all {
		id := of(&all[i])
		out[id] = append(out[id], all[i])
	}
	return out
}
