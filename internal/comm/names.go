package comm

import "strings"

// Channel is the medium of a message.
type Channel uint8

// The channels. Values are stored: never renumber.
const (
	Email Channel = 1
	SMS   Channel = 2
)

// Channels lists every channel.
func Channels() []Channel { return []Channel{Email, SMS} }

var channelNames = names{1: "EMAIL", 2: "SMS"}

func (c Channel) String() string { return channelNames.of(uint8(c)) }

// ParseChannel reads "EMAIL" or "SMS", exactly.
func ParseChannel(s string) (Channel, bool) { v, ok := channelNames.parse(s); return Channel(v), ok }

// Lane says who goes first. The word priority is kept for a provider's place in a chain.
type Lane uint8

// The lanes, first to last. Values are stored: never renumber.
const (
	Critical Lane = 0
	Normal   Lane = 1
	Bulk     Lane = 2
	// LaneCount is the number of lanes.
	LaneCount = 3
)

var laneNames = names{0: "CRITICAL", 1: "NORMAL", 2: "BULK"}

func (l Lane) String() string { return laneNames.of(uint8(l)) }

// ParseLane reads a lane's name, exactly.
func ParseLane(s string) (Lane, bool) { v, ok := laneNames.parse(s); return Lane(v), ok }

// Mode is sandbox (the logger takes the message) or live. It is pinned when a
// message is accepted; a real provider is called only if the message and the app are live.
type Mode uint8

// The modes. Values are stored: never renumber.
const (
	Sandbox Mode = 1
	Live    Mode = 2
)

var modeNames = names{1: "SANDBOX", 2: "LIVE"}

func (m Mode) String() string { return modeNames.of(uint8(m)) }

// Status is the state of a message; the edges between them are in Edges.
type Status uint8

// The seven states. Values are stored: never renumber. None is "before acceptance".
const (
	None       Status = 0
	Queued     Status = 1
	Sending    Status = 2
	Sent       Status = 3
	Delivered  Status = 4
	Failed     Status = 5
	Suppressed Status = 6
	Cancelled  Status = 7
)

// Statuses lists the seven states in the order of a message's life.
func Statuses() []Status {
	return []Status{Queued, Sending, Sent, Delivered, Failed, Suppressed, Cancelled}
}

var statusNames = names{0: "", 1: "QUEUED", 2: "SENDING", 3: "SENT", 4: "DELIVERED", 5: "FAILED", 6: "SUPPRESSED", 7: "CANCELLED"}

func (s Status) String() string { return statusNames.of(uint8(s)) }

// Final says that nothing more will be attempted unless somebody asks for it.
func (s Status) Final() bool { return s >= Sent }

// ParseStatus reads a state's name, exactly.
func ParseStatus(s string) (Status, bool) {
	if s == "" {
		return None, false
	}
	v, ok := statusNames.parse(s)
	return Status(v), ok
}

// UnknownPolicy is what an app wants after an attempt whose outcome nobody can tell.
type UnknownPolicy uint8

// The policies. Values are stored: never renumber.
const (
	// RetryUnknown tries again: at least once, the message is marked possibleDuplicate.
	RetryUnknown UnknownPolicy = 0
	// FailUnknown gives up: at most once, FAILED with outcome_unknown.
	FailUnknown UnknownPolicy = 1
)

var policyNames = names{0: "RETRY", 1: "FAIL"}

func (p UnknownPolicy) String() string { return policyNames.of(uint8(p)) }

// ParseUnknownPolicy reads a policy's name, exactly.
func ParseUnknownPolicy(s string) (UnknownPolicy, bool) {
	v, ok := policyNames.parse(s)
	return UnknownPolicy(v), ok
}

// Scopes is a set of what an API key may do.
type Scopes uint8

// The scopes. Values are stored: never renumber.
const (
	ScopeSend Scopes = 1 << iota
	ScopeRead
	ScopeTemplates
	ScopeProviders
	ScopeSuppressions
	// AllScopes is every scope there is.
	AllScopes = ScopeSend | ScopeRead | ScopeTemplates | ScopeProviders | ScopeSuppressions
)

var scopeNames = []struct {
	bit  Scopes
	name string
}{{ScopeSend, "SEND"}, {ScopeRead, "READ"}, {ScopeTemplates, "TEMPLATES"}, {ScopeProviders, "PROVIDERS"}, {ScopeSuppressions, "SUPPRESSIONS"}}

// Has says whether every scope of want is in the set.
func (s Scopes) Has(want Scopes) bool { return s&want == want }

// Names lists the scopes in the set.
func (s Scopes) Names() []string {
	out := make([]string, 0, len(scopeNames))
	for _, n := range scopeNames {
		if s&n.bit != 0 {
			out = append(out, n.name)
		}
	}
	return out
}

func (s Scopes) String() string { return strings.Join(s.Names(), ",") }

// ParseScope reads one scope's name, exactly.
func ParseScope(s string) (Scopes, bool) {
	for _, n := range scopeNames {
		if n.name == s {
			return n.bit, true
		}
	}
	return 0, false
}

// names is a table of an enumeration's names by value.
type names map[uint8]string

func (n names) of(v uint8) string {
	if s, ok := n[v]; ok {
		return s
	}
	return "UNKNOWN"
}

func (n names) parse(s string) (uint8, bool) {
	for v, name := range n {
		if name == s {
			return v, true
		}
	}
	return 0, false
}
