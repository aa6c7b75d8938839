package provider

// Class is what a provider's answer means: the closed set of seven.
type Class uint8

// The classes.
const (
	// Accepted: the provider took responsibility.
	Accepted Class = iota + 1
	// PermanentMessage: bad everywhere (invalid recipient, malformed content).
	PermanentMessage
	// PermanentHere: this account cannot send it, another could.
	PermanentHere
	// Account: credentials, credit, suspension: the configuration is ill, not the message.
	Account
	// RateLimited: refused before processing because of rate; nothing was sent.
	RateLimited
	// Transient: failed, and certainly nothing was sent.
	Transient
	// Ambiguous: nobody can tell whether it was sent.
	Ambiguous
)

// Rule is one row of the class table; every decision that depends on a class is one of its columns.
type Rule struct {
	Class      Class
	Name       string
	FailOver   bool   // try the next configuration of the chain in the same round
	RetryLater bool   // another round may succeed
	Fails      bool   // ends the message at once
	CountRound bool   // a round of only such answers counts towards the back-off
	Unknown    bool   // the app's onUnknownOutcome decides
	Breaker    bool   // counts as an error of the configuration's breaker
	OpenNow    bool   // opens the breaker at once; the configuration says why in its warnings
	Throttle   bool   // the configuration waits (Retry-After); the message loses nothing
	Code       string // errorCode of an attempt that came to this
	Meaning    string // of the code, for people
	// Remedy is what somebody can do while a message waits after such an answer; "" where no message does.
	Remedy string
}

// Rules is the class table.
func Rules() [7]Rule {
	return [7]Rule{
		{Class: Accepted, Name: "accepted"},
		{Class: PermanentMessage, Name: "permanent-message", Fails: true, Code: "provider_rejected",
			Meaning: "The provider refuses this message or its recipient for good."},
		{Class: PermanentHere, Name: "permanent-here", FailOver: true, Code: "permanent_here",
			Meaning: "This provider refuses the message for good; another one may take it.",
			Remedy:  "Read the provider's words. If it cannot send messages like this one, add another configuration, or cancel it."},
		{Class: Account, Name: "account", FailOver: true, RetryLater: true, CountRound: true, Breaker: true, OpenNow: true, Code: "account",
			Meaning: "The provider refuses the account: credentials, balance or permission.",
			Remedy:  "Check the key, the balance and the permissions of the account on the provider's own pages. Then mend the configuration here and verify it."},
		{Class: RateLimited, Name: "rate-limited", FailOver: true, RetryLater: true, Throttle: true, Code: "rate_limited",
			Meaning: "The provider asks to send more slowly.",
			Remedy:  "Nothing, if it happens rarely. Otherwise set the configuration's ratePerSecond to what the provider allows, or add a second configuration."},
		{Class: Transient, Name: "transient", FailOver: true, RetryLater: true, CountRound: true, Breaker: true, Code: "transient",
			Meaning: "The provider could not be reached or failed for now; nothing was accepted.",
			Remedy:  "If it goes on, verify the provider's configuration."},
		{Class: Ambiguous, Name: "ambiguous", RetryLater: true, CountRound: true, Unknown: true, Breaker: true, Code: "outcome_unknown",
			Meaning: "Nobody can tell whether the provider took the message.",
			Remedy:  "Cancel it if nobody may get it twice. If it goes on, verify the provider's configuration."},
	}
}

// Rule answers the class's row. A value that is no class is treated as Ambiguous.
func (c Class) Rule() Rule {
	if c < Accepted || c > Ambiguous {
		c = Ambiguous
	}
	return Rules()[c-1]
}

// Remedy is what somebody can do while a message waits after an attempt with this errorCode; "" if the code is no class's.
func Remedy(code string) string {
	for _, r := range Rules() {
		if r.Code == code {
			return r.Remedy
		}
	}
	return ""
}

func (c Class) String() string { return c.Rule().Name }
