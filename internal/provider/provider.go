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
	"maps"
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
	// RepeatFor is set for providers that take an idempotency key, which all attempts of a message's generation
	// share: for so long, from the first of them, the provider sends what it gets again only once. Until then
	// an attempt of unknown outcome is repeated there before any other configuration is tried. 0: a repeat is a new message.
	RepeatFor time.Duration
	// Reporting is set for providers that tell later what became of a message: each of
	// their configurations has a callback URL, with CallbackToken at its end.
	Reporting *Reporting
	// Home is how the numbers begin that the provider's word about a recipient is taken for; "": all. What it says
	// of others may mean only that they are out of its reach, and suppresses nobody.
	Home string
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

// OpenConfig makes a sender for a configuration whose secrets were opened.
func (a *Adapter) OpenConfig(c *comm.ProviderConfig, secrets map[string]string, env Env) (Sender, error) {
	settings := make(Settings, len(c.Settings)+len(secrets)+1)
	maps.Copy(settings, c.Settings)
	maps.Copy(settings, secrets)
	if url := CallbackAddress(env.PublicURL, c, secrets[CallbackToken]); url != "" {
		settings[CallbackURL] = url
	}
	return a.Open(settings, env)
}

// Reports says that configurations of the type have a callback URL.
func (a *Adapter) Reports() bool { return a.Reporting != nil }

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
	// Dial opens a connection to a mail server through the guarded door.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialHTTPS opens one that HTTPS will run over; DialHTTP one that HTTP without encryption
	// will, and which therefore leads to the ranges alone that the operator allows.
	DialHTTPS, DialHTTP func(ctx context.Context, network, address string) (net.Conn, error)
	Hostname            string // what we call ourselves in EHLO
	// PublicURL is the base of callback URLs, without a slash at its end; "" while it is not known.
	PublicURL string
	Log       *slog.Logger
	MaxIdle   int // sessions kept open
}

// connectLimit is the key of a context's ConnectLimit.
type connectLimit struct{}

// ConnectWithin bounds each step of making a connection for the call of ctx, the dial and the encryption: set where
// another provider could carry the message.
func ConnectWithin(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, connectLimit{}, d)
}

// ConnectLimit is what ConnectWithin said; ok is false if it did not.
func ConnectLimit(ctx context.Context) (d time.Duration, ok bool) {
	d, ok = ctx.Value(connectLimit{}).(time.Duration)
	return d, ok
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
	// Generation is 1, +1 per RETRY that somebody asked for. Together with ID it names what a provider
	// must take once: an idempotency key holds for all attempts of a generation. 0 counts as 1.
	Generation int
	Channel    comm.Channel
	Content    *comm.Content
	Files      []comm.Attachment
	// Date is the message's acceptance: equal on every attempt, so that repeats are byte-identical.
	Date time.Time
	// Hurry ends when the provider has been silent for so long that the message should go elsewhere: a
	// sender that has certainly sent nothing of it yet gives up then, as Transient. Others, and those who do not
	// look at it, go on. nil: never.
	Hurry context.Context
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
	RetryAfter time.Duration // what the provider asks for: obeyed with RateLimited, as the least wait with Transient and Ambiguous, and by questions; 0 = not said
	Healthy    bool          // with Transient: the provider works, this recipient has to wait; no error of the breaker's
	HardBounce bool          // the recipient does not exist: may be suppressed
	OptedOut   bool          // the recipient wants no more messages, as the provider knows: may be suppressed
	Cause      error         // logged, never shown
}

func (e *Error) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s (%s): %s", e.Class, e.Code, e.Text)
	}
	return fmt.Sprintf("%s: %s", e.Class, e.Text)
}

// Suppress is the reason for which the recipient may join the app's suppressions, a word of
// comm.SuppressionReasons; "" if it may not.
func (e *Error) Suppress() string {
	switch {
	case e.OptedOut:
		return comm.SuppressUnsubscribed
	case e.HardBounce:
		return comm.SuppressHardBounce
	}
	return ""
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
