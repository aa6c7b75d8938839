package comm

import "slices"

// DefaultEndpoint is the name of the endpoint that the app's webhookUrl makes. It keeps that name, and its id is the app's.
const DefaultEndpoint = "default"

// Endpoint is an address of an app's that its events are posted to.
type Endpoint struct {
	ID   ID
	App  ID
	Name string // unique within the app
	URL  string
	// Secret signs deliveries; sealed. Those that it replaced sign them beside it until their ends; the newest first, at most MaxReplaced.
	Secret     []byte
	Replaced   []Replaced[[]byte]
	Events     []Status  // statuses that it wants to hear of; empty: those that Wants names
	Channels   []Channel // empty: all
	Tags       []string  // messages with one of these at least; empty: all
	Active     bool
	Disabled   string // why the server switched it off, a word of EndpointEnds; "" when it did not
	DisabledAt Micros
	Version    int // +1 at every change
	CreatedAt  Micros
	UpdatedAt  Micros
	// Unreadable is why this version cannot read what is stored of it, "" when it can: a later version has written it, or it is
	// damaged. Nothing is posted to it meanwhile, and what waits for it goes on waiting.
	Unreadable string
}

// Default says whether it is the endpoint that the app's webhookUrl makes.
func (e *Endpoint) Default() bool { return e.ID == e.App }

// Wants says whether an event of a message goes to the endpoint. Without a filter these do: the final statuses, SENT,
// and QUEUED after a RETRY; only a change of status does.
func (e *Endpoint) Wants(ev *Event, channel Channel, tags []string) bool {
	if !e.Active || e.Unreadable != "" || ev.From == ev.To {
		return false
	}
	if len(e.Channels) > 0 && !slices.Contains(e.Channels, channel) {
		return false
	}
	if len(e.Tags) > 0 && !slices.ContainsFunc(e.Tags, func(t string) bool { return slices.Contains(tags, t) }) {
		return false
	}
	if len(e.Events) > 0 {
		return slices.Contains(e.Events, ev.To)
	}
	switch ev.To {
	case Sent, Delivered, Failed, Suppressed, Cancelled:
		return true
	case Queued:
		return ev.Type == CauseRetryRequested
	}
	return false
}

// EndpointUnreadable is shown instead of one of EndpointEnds while Endpoint.Unreadable says why. It is not stored.
const EndpointUnreadable = "unreadable"

// Why the server switched an endpoint off.
const (
	EndpointGone   = "gone"   // it answered 410
	EndpointFailed = "failed" // every delivery failed for as long as events are tried
)

// EndpointEnds is every reason for which the server switches an endpoint off.
func EndpointEnds() []Word { return endpointEnds[:] }

var endpointEnds = [...]Word{
	{EndpointGone, "It answered 410 Gone."},
	{EndpointFailed, "Every delivery failed for as long as an event is tried."},
}
