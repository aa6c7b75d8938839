// Package provider is the contract between the dispatcher and the adapters
// that speak to email and SMS providers: what an adapter declares (its fields,
// once), what a sender promises, and the seven classes that an answer can have.
//
// It promises that everything which differs between providers is behind
// Sender and Field. It does not choose providers (chain), keep limits or
// breakers (dispatch), or open connections: adapters get a dialer.
package provider

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Adapter is the code for one type of provider, registered once.
type Adapter struct {
	Type    string // "SMTP": the API's providerType; in messages it is lower-case
	Title   string // for people
	Channel comm.Channel
	Fields  []Field
	// Check adds rules that span fields; it names each wrong field and why.
	Check func(Settings) map[string]string
	// CallTimeout is the total time that one Send may take; 0 = 30 s. SMTP needs
	// more, because the answer to the final dot may take 10 minutes (RFC 5321, 4.5.3.2.6).
	CallTimeout time.Duration
	// Reports says that the provider tells later what became of a message: each of
	// its configurations has a callback URL, with CallbackToken at its end.
	Reports bool
	// Open makes a sender for one configuration. It dials nothing. It is nil while
	// this program knows the type and cannot send with it yet: configurations are
	// checked, sealed, masked and shown like all others, and the chain leaves them out.
	Open func(Settings, Env) (Sender, error)
}

// CannotSend says of a configuration's type whether the adapters know it without
// being able to send with it. A type that they do not know is none of these.
func CannotSend(adapters []Adapter) func(kind string) bool {
	var those []string
	for i := range adapters {
		if adapters[i].Open == nil {
			those = append(those, adapters[i].Type)
		}
	}
	return func(kind string) bool { return slices.Contains(those, kind) }
}

// FieldKind is how a field is checked and shown.
type FieldKind uint8

// The kinds of fields.
const (
	Text FieldKind = iota + 1
	Int
	Bool
	Host
	URL
	Mailbox
	Token    // a key or id that a provider issued: printable ASCII without spaces
	SenderID // a sender id of short messages
)

// Field is one setting of a provider configuration. Validation, forms, the
// command line, masking, encryption and the documentation follow from it.
type Field struct {
	Name     string // the JSON name
	Label    string
	Help     string
	Kind     FieldKind
	Required bool
	Secret   bool // sealed in the store, never returned
	Default  string
	Min, Max int // Int: bounds; Text and Token: Max length in bytes
}

// Settings is a configuration's fields by name, as text, secrets opened. Never log it.
type Settings map[string]string

// LogValue masks the settings in every log line.
func (Settings) LogValue() slog.Value { return slog.StringValue("<settings>") }

// String masks the settings in every formatted text.
func (Settings) String() string { return "<settings>" }

// GoString masks the settings under %#v.
func (Settings) GoString() string { return "<settings>" }

// Env is what the world offers to a sender.
type Env struct {
	// Dial opens a connection through the guarded door.
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Hostname string // what we call ourselves in EHLO
	Log      *slog.Logger
	MaxIdle  int // sessions kept open
}

// Sender is an adapter opened with one configuration's settings. It is safe
// for concurrent use.
type Sender interface {
	// Send hands one message over, once: no hidden repeats. It may drop the
	// message's content when it needs it no more (Message.Release). It returns an
	// *Error with its class unless the provider accepted. It obeys ctx, except
	// that an SMTP sender waits for the answer to the final dot as long as ctx
	// and the protocol allow. An error that is no *Error counts as Ambiguous.
	Send(ctx context.Context, m *Message) (Receipt, error)
	// Close ends idle sessions; calls under way end by themselves.
	Close() error
}

// Message is what a sender needs to know.
type Message struct {
	ID      comm.ID
	App     comm.ID
	Attempt int
	Channel comm.Channel
	Content *comm.Content
	Files   []comm.Attachment
	// Date is the message's acceptance: equal on every attempt, so that repeats are byte-identical.
	Date time.Time
	// Released is told once that Content and Files are needed no more; nil when nobody wants to know.
	Released func()
}

// Release drops the content, which may be large, before an answer that may be
// long in coming: the sender needs it no more. The goroutine that sends calls it.
func (m *Message) Release() {
	m.Content, m.Files = nil, nil
	if m.Released != nil {
		m.Released()
		m.Released = nil
	}
}

// Receipt is the provider's acceptance.
type Receipt struct {
	Ref    string // the provider's id; may be empty
	Detail string // redacted answer for people, at most 256 bytes
}

// Error is a refusal or failure with its class.
type Error struct {
	Class      Class
	Code       string        // the provider's or protocol's code, such as "550 5.1.1"
	Text       string        // redacted sentence for people: no secrets, no addresses
	RetryAfter time.Duration // with RateLimited, and the least wait with Transient; 0 = not said
	Healthy    bool          // with Transient: the provider works, this recipient has to wait; no error of the breaker's
	HardBounce bool          // the recipient does not exist: may be suppressed
	Cause      error         // logged, never shown
}

func (e *Error) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s (%s): %s", e.Class, e.Code, e.Text)
	}
	return fmt.Sprintf("%s: %s", e.Class, e.Text)
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Classify reads the class out of any error: an error without one is Ambiguous.
func Classify(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Class: Ambiguous, Code: "unclassified", Text: "the adapter gave no reason", Cause: err}
}
