package comm

import (
	"slices"
	"time"
)

// Content is what was accepted and never changes: the recipient and what to
// send. The store keeps it apart from the state, encoded once.
type Content struct {
	To             string            `json:"to"`
	From           string            `json:"from,omitempty"`
	Subject        string            `json:"subject,omitempty"`
	Body           string            `json:"body"`
	Text           string            `json:"text,omitempty"`
	CC             []string          `json:"cc,omitempty"`
	BCC            []string          `json:"bcc,omitempty"`
	ReplyTo        string            `json:"replyTo,omitempty"`
	Headers        map[string]string `json:"headers,omitempty"`
	Tags           []string          `json:"tags,omitempty"`
	Metadata       RawJSON           `json:"metadata,omitempty"` // as the client wrote it, digit for digit
	TemplateKey    string            `json:"templateKey,omitempty"`
	TemplateVer    int               `json:"templateVersion,omitempty"`
	IdempotencyKey string            `json:"idempotencyKey,omitempty"`
	Encoding       string            `json:"encoding,omitempty"` // SMS: "GSM7" or "UCS2"
	Segments       int               `json:"segments,omitempty"` // SMS
	Files          int               `json:"files,omitempty"`    // how many Attachments are stored beside
}

// RawJSON is a JSON value kept byte for byte.
type RawJSON string

// MarshalJSON implements json.Marshaler.
func (r RawJSON) MarshalJSON() ([]byte, error) {
	if r == "" {
		return []byte("null"), nil
	}
	return []byte(r), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *RawJSON) UnmarshalJSON(b []byte) error { *r = RawJSON(b); return nil }

// Attachment is a file of an email.
type Attachment struct {
	Filename    string
	ContentType string
	Content     []byte
}

// State is the narrow row that a message's life changes. Content never changes; this does.
type State struct {
	App         ID
	ID          ID
	Shard       Shard
	Channel     Channel
	Lane        Lane
	Mode        Mode
	OnUnknown   UnknownPolicy // the app's policy when the message was accepted
	Status      Status
	CreatedAt   Micros
	UpdatedAt   Micros
	ScheduledAt Micros // 0 = none
	Due         Micros // QUEUED: no attempt starts before it. QUEUED and SENDING: key of the queue row; else 0
	ExpiresAt   Micros // 0 = no ttlSeconds: an attempt never starts from here on
	Generation  int    // 1, +1 per RETRY
	Attempts    int    // provider calls started, over all generations: the number of the last attempt
	Round       int    // finished rounds with only transient results, in this generation
	RoundSince  Micros // when this generation's first attempt started: the retry horizon counts from here
	Sequence    int    // of the last event
	Epoch       int64  // of the shard when the last attempt started
	Flags       Flags
	Provider    string // lower-case type of the last provider tried, "sandbox" for the logger
	ProviderID  ID     // its configuration; zero for the logger
	ProviderRef string // the provider's id of the message
	ErrorCode   string
	ErrorText   string
	SentAt      Micros
	DeliveredAt Micros
	Bytes       int64 // content and files together as accepted, in bytes
}

// LastStart is the instant after which no attempt of an unfinished message begins, and the cause that ends it then: its own
// time to live, or horizon after the first attempt of its generation. 0 while that has not begun, since then it waits for as
// long as it has to.
func (s *State) LastStart(horizon time.Duration) (Micros, Cause) {
	switch {
	case s.ExpiresAt != 0:
		return s.ExpiresAt, CauseExpired
	case s.RoundSince != 0:
		return s.RoundSince.Add(horizon), CauseExhausted
	}
	return 0, CauseExhausted
}

// Flags are facts about a message's life.
type Flags uint8

// The flags. Values are stored: never renumber.
const (
	// CancelWanted: a CANCEL came while an attempt was in flight; no further attempt starts.
	CancelWanted Flags = 1 << iota
	// PossibleDuplicate: another attempt was allowed after one of unknown outcome.
	PossibleDuplicate
	// UnknownInGeneration: an attempt of this generation ended unknown.
	UnknownInGeneration
	// UnknownEver: an attempt of any generation ended unknown (a FAILED message may have been sent).
	UnknownEver
	// FailureCorrectable: FAILED by a report that a later word of the provider may contradict.
	FailureCorrectable
	// RepeatOwed: the last attempt ended unknown at a provider that takes a repeat of it only once, so that the
	// next attempt goes there before any other (promise 6). Every outcome says anew whether it is so.
	RepeatOwed
)

// Has says whether all of want are set.
func (f Flags) Has(want Flags) bool { return f&want == want }

// Message is a message as it is shown: content, state and its log.
type Message struct {
	State
	Content
	ContentGone bool // purged by retention or erasure
	// ContentUnread says that the content is there and this version cannot read it; ContentGone is set beside it.
	ContentUnread bool
	Events        []Event
}

// Event is one fact in a message's life, append only, written with the change it reports.
type Event struct {
	App        ID
	Message    ID
	Sequence   int // per message, from 1, no gaps
	Type       Cause
	From, To   Status // equal when the event changes no state
	At         Micros // database clock
	Generation int
	Attempt    int // the attempt it speaks of; 0 = none
	Epoch      int64
	Node       string
	Actor      string // who asked: "app", "admin", "user", "" for the server itself
	Provider   string
	ProviderID ID
	Ref        string // the provider's id of the message
	ErrorCode  string
	Detail     string // redacted sentence for people
	// ErrorText is State.ErrorText once the event has happened.
	ErrorText string
}

// Troubles says that something went otherwise than the app wanted it: the message failed or was suppressed, an attempt did not go
// well, or the recipient complained.
func (e *Event) Troubles() bool {
	return e.From != e.To && (e.To == Failed || e.To == Suppressed) || slices.Contains(troubles[:], e.Type)
}

// troubles are the causes that trouble although the message goes on, or has ended before.
var troubles = [...]Cause{CauseAttemptFailed, CauseAttemptUnknown, CauseRetryTransient, CauseRetryUnknown, CauseThrottled, CauseComplaint, CauseBouncedAfterDelivery}
