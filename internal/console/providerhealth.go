package console

import (
	"cmp"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
)

// healthCard says whether a provider works, for who looks at it in the middle of the night.
type healthCard struct {
	*client.ProviderHealth
	Tone, Head, Means string
	Remedy            string // what somebody can do
	Ill               bool   // it is out of order, and messages come: there is more to say
	Slowed            bool   // its provider asked for a pause
	Live              bool   // it is fetched again by itself
	Self              string // and where
}

// slowed is the state of the console of a configuration that works and is not called for a while.
const slowed = "SLOWED"

// shownState is the state of healthWords that a health is shown as.
func shownState(h *client.ProviderHealth) string {
	if h.State == "WORKS" && h.ThrottledUntil != nil {
		return slowed
	}
	return h.State
}

// healthWords are the states of the API, and slowed, as they are shown: the badge, its tone, and a sentence.
var healthWords = map[string]struct{ badge, tone, head string }{
	"WORKS":    {"Working", "ok", "It works."},
	slowed:     {"Slowed down", "warn", "The provider asked us to slow down."},
	"FAILING":  {"Failing", "warn", "Its last calls failed."},
	"TRYING":   {"On trial", "warn", "It is on trial after an outage."},
	"DOWN":     {"Down", "bad", "It is down, and messages pass it by."},
	"UNUSABLE": {"Cannot be used", "bad", "It cannot be used, and messages pass it by."},
	"OFF":      {"Off", "quiet", "It is switched off."},
}

// newHealth is nil where the API tells nothing of it.
func newHealth(x *providerAt) *healthCard {
	h := x.P.Health
	if h == nil {
		return nil
	}
	state := shownState(h)
	words := healthWords[state]
	card := &healthCard{ProviderHealth: h, Tone: words.tone, Head: words.head, Self: x.to("")}
	if words.head == "" { // of a later version
		card.Tone, card.Head = "quiet", statusWord(h.State)+"."
	}
	switch state {
	case "WORKS":
		card.Means = "Messages go there in its place of the chain."
	case slowed:
		card.Means = "Messages go to the next of the chain meanwhile, and wait where there is none."
	case "OFF":
		card.Means = "No call of it is started. Messages go to the others of the chain."
	case "FAILING":
		if card.Means = "They are too few to pass it by: messages are still tried here first."; x.P.Pinned {
			card.Means = "It is pinned: each message is tried here first all the same, and goes to the next of the chain after it."
		}
	case "TRYING":
		card.Means = "A few messages go there and decide whether it works again. The others pass it by."
	case "DOWN":
		card.Means = "They go to the next of the chain, and wait where there is none. It is tried again by itself as long as there are messages."
	default:
		card.Means = chain.WaitText(h.Reason)
	}
	if card.Ill = h.State != "WORKS" && h.State != "OFF"; card.Ill {
		card.Remedy = chain.Remedy(h.Reason)
	}
	card.Slowed = h.ThrottledUntil != nil
	return card
}

// moves says whether what is shown changes by itself soon.
func (h *healthCard) moves() bool { return h.Ill || h.Slowed || h.Lately != nil }

// Took is how many messages others took meanwhile.
func (h *healthCard) Took() (n int64) {
	for _, one := range h.Carried {
		n += one.Messages
	}
	return n
}

// healthBadge is the short word of a provider's state, with its tone.
func healthBadge(p client.Provider) map[string]string {
	state := "WORKS"
	switch {
	case p.Health != nil:
		state = shownState(p.Health)
	case !p.IsActive:
		state = "OFF"
	case len(p.Warnings) > 0:
		state = "DOWN"
	}
	return stateWords(state)
}

// stateWords is how a state is shown.
func stateWords(state string) map[string]string {
	words, known := healthWords[state]
	if !known {
		words.badge, words.tone = statusWord(state), "quiet"
	}
	return map[string]string{"Word": words.badge, "Tone": words.tone}
}

// lasted is how long something was, or is, to the second.
func (c *Console) lasted(from, to any) string {
	return words(max(0, cmp.Or(at(to), c.cfg.Now()).Sub(at(from)).Truncate(time.Second)))
}
