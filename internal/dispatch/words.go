package dispatch

import (
	"strings"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
)

// maxReasons bounds how many configurations the words of a start explain away.
const maxReasons = 3

// label is what people call the configuration in a message's story. The names that an
// operator gave to the server's own are nothing for apps.
func (a *account) label() string {
	switch {
	case a.config.App.IsZero():
		return "the server's " + a.name
	case a.config.Name == "":
		return a.name
	}
	return a.config.Name
}

// absence says in a verb why the account is left out of the chain; "" when there is nothing to say.
func (a *account) absence(why chain.Condition) string {
	switch why.Reason {
	case chain.WaitThrottled:
		return "asked to send more slowly"
	case chain.WaitDown:
		if a.breaker.Stalled() {
			return "does not answer"
		}
		return "fails or refuses the account"
	case chain.WaitRate:
		return "has reached its limit for the day"
	case chain.WaitBusy:
		return "is on trial after an outage"
	case chain.WaitCredentials:
		return "has credentials that cannot be read"
	case chain.WaitAdapter:
		return "has settings that cannot be used"
	}
	return ""
}

// words tell of an attempt's start which configuration it is and what passed by those before it.
func words(c *chain.Chain, accounts map[comm.ID]*account) string {
	first := c.Candidates[0].Config
	a := accounts[first.ID]
	if a == nil {
		return ""
	}
	out := a.label()
	if first.Limits.Pinned {
		out += ", pinned by the operator"
	}
	var reasons []string
	for _, x := range c.Excluded {
		// Those of the same rank may stand behind it as well: what is left out is worth telling all the same.
		if was := accounts[x.Config.ID]; was != nil && x.Config.Priority <= first.Priority {
			if verb := was.absence(x.Wait); verb != "" && len(reasons) < maxReasons {
				reasons = append(reasons, was.label()+" "+verb)
			}
		}
	}
	if len(reasons) > 0 {
		out += ", because " + strings.Join(reasons, " and ")
	}
	return clip(out)
}
