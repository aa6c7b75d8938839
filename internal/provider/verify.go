package provider

import "context"

// Check is one step of a verification. Detail is a redacted sentence for people:
// what was found, or why it failed. It holds no secret and no address of a person.
type Check struct {
	Name   string // a stable word: "connect", "tls", "login"
	OK     bool
	Detail string
}

// Verifier is an optional ability of a Sender: proving that its settings and
// credentials work without sending anything.
type Verifier interface {
	// Verify makes the checks in order and ends with the first that fails. It obeys
	// ctx and opens connections through Env.Dial alone. It answers at least one check.
	Verify(ctx context.Context) []Check
}
