// Package plant holds deliberate bugs. They exist only in binaries built with
// the tag "planted", where the environment variable PLANTED_BUG names the one
// that is active; `commserver prove` must find each of them, or it proves
// nothing. In every other build Active is a constant false and the code behind
// it is not in the binary.
package plant

// Bug names a planted bug.
type Bug string

// The bugs, numbered as in docs/reliability.md.
const (
	// AnswerBeforeCommit (P1): 202 is sent before the transaction is committed.
	AnswerBeforeCommit Bug = "P1"
	// NoFence (P3): starts and outcomes are written without checking who owns the shard and which attempt
	// runs, and a node neither watches its own lease nor hurries to ask for it.
	NoFence Bug = "P3"
	// TimeoutIsClean (P5): a lost answer after the end of the data counts as a clean failure.
	TimeoutIsClean Bug = "P5"
	// SelectThenInsert (P6): an idempotency key is looked up, and what had none then is stored without asking again.
	SelectThenInsert Bug = "P6"
	// EventAfterCommit (P7): the first event is written in a transaction after the one that stores the message.
	EventAfterCommit Bug = "P7"
	// DeliveryAfterCommit (P7W): what endpoints are to get is written in a transaction after the one that gives the events their places.
	DeliveryAfterCommit Bug = "P7W"
	// BodyPerAttempt (P13): the body of a webhook is made anew at each attempt.
	BodyPerAttempt Bug = "P13"
	// NoJitter (P18): webhooks are tried again after pauses that are all the same.
	NoJitter Bug = "P18"
)

// Bugs lists every planted bug.
func Bugs() []Bug {
	return []Bug{AnswerBeforeCommit, NoFence, TimeoutIsClean, SelectThenInsert, EventAfterCommit, DeliveryAfterCommit, BodyPerAttempt, NoJitter}
}
