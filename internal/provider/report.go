package provider

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Reporting is what a type of provider says later about messages, and how it is read.
type Reporting struct {
	// Verify checks the provider's signature, before anything of the request is believed or
	// stored. It answers ErrForged for a request that the provider has not signed although it
	// should have. It is nil for types that sign nothing: the token in the callback URL is
	// all that such requests prove.
	Verify func(Settings, *Callback) error
	// Read takes a stored request apart; one may hold many reports, or none (a greeting, an
	// event that says nothing of a message). It is pure and total: it is given whatever
	// came in, and answers an error only for what cannot be read at all. While it is nil
	// this program knows the type and cannot read its reports yet. What was stored of the request is
	// the query, the body and the headers of KeptHeaders; the path has no token.
	Read func(*Callback) ([]Report, error)
	// Ack is what the provider wants to read when a request was stored; the zero one is 200 and "OK".
	Ack Ack
	// Asks are the ages of an accepted message at which the provider is asked about it, as
	// long as no final report came, for senders that are an Asker; nil: never.
	Asks []time.Duration
}

// KeptHeaders are the headers of a callback that are stored and that Read is given.
func KeptHeaders() []string {
	return []string{"Content-Type", "Svix-Id", "Webhook-Id", "I-Twilio-Idempotency-Token"}
}

// ErrForged says that a callback is not signed by the provider.
var ErrForged = errors.New("the report is not signed by the provider")

// Ack is the answer to a stored callback.
type Ack struct {
	Status      int
	ContentType string
	Body        string
}

// Callback is a request of a provider to the callback URL of a configuration. Log none of it.
type Callback struct {
	Method string
	// URL is the whole address as the provider was given it, with what it added: the public
	// base, not that of a proxy's request. Signatures cover it.
	URL    *url.URL
	Header http.Header
	Body   []byte
	At     time.Time // when it came in, by this node's clock
}

// Fate is what a report says has become of a message.
type Fate = comm.Fate

// The fates.
const (
	Noted       = comm.FateNoted       // nothing that changes a state: opened, clicked, unknown words
	OnItsWay    = comm.FateOnItsWay    // the provider has it, and it is not final: proves that it was accepted
	Delivered   = comm.FateDelivered   // it arrived
	Undelivered = comm.FateUndelivered // it did not arrive and will not
	Complained  = comm.FateComplained  // the recipient calls it spam
	OptedOut    = comm.FateOptedOut    // the person at Address wants no more messages; no message is named
	OptedIn     = comm.FateOptedIn     // the person at Address takes that back
)

// Report is one fact that a provider tells about one message, or about one person.
type Report struct {
	// Ref is the provider's id of the message, in the form in which Receipt.Ref gives it,
	// whatever form the report has. It may be empty when Message is known.
	Ref string
	// Message and Attempt are what our own callback URL or tag said of it; zero: not said. Message alone is enough.
	Message comm.ID
	Attempt int
	Fate    Fate
	// Suppress is the reason for which the recipient joins the app's suppressions, a word of
	// comm.SuppressionReasons; "": it does not.
	Suppress string
	// Correctable says of Undelivered that a later word of the provider may contradict it.
	Correctable bool
	Address     string    // OptedOut, OptedIn: whose; else empty
	Code        string    // the provider's word or number
	Text        string    // redacted sentence for people: no address, no content
	At          time.Time // when it happened by the provider's clock; zero: not said
}

// Asker is an optional ability of a Sender: asking what became of a message.
type Asker interface {
	// Ask looks a message up by the Ref of its Receipt. It sends nothing. An *Error with
	// class PermanentHere says that the provider does not know it (any more); one that is Transient
	// and Healthy, that it answered and the answer says nothing of this message.
	Ask(ctx context.Context, ref string) (Report, error)
}

// CallbackURL is the name in Settings of the configuration's callback URL, without
// anything added, for senders that give it with each message. It is "" while the server
// does not know its own public address. It is no field: whoever opens a sender sets it.
const CallbackURL = "callbackUrl"

// CallbackAddress is the callback URL of a configuration below the server's public base,
// which has no slash at its end. It is "" without a base or a token.
func CallbackAddress(base string, c *comm.ProviderConfig, token string) string {
	if base == "" || token == "" {
		return ""
	}
	return base + "/api/callbacks/" + strings.ToLower(c.Type) + "/" + c.ID.String() + "/" + token
}

// Named adds to a callback URL which message and attempt it is for, so that a report can be
// understood before the provider's id is stored. It answers "" for "".
func Named(callback string, m *Message) string {
	if callback == "" {
		return ""
	}
	return callback + "?" + url.Values{namedMessage: {m.ID.String()}, namedAttempt: {strconv.Itoa(m.Attempt)}}.Encode()
}

// NamedIn reads what Named added out of a callback's address; zero when it is not there.
func NamedIn(u *url.URL) (message comm.ID, attempt int) {
	q := u.Query()
	message, err := comm.ParseID(q.Get(namedMessage))
	if err != nil {
		return comm.ID{}, 0
	}
	attempt, err = strconv.Atoi(q.Get(namedAttempt))
	if err != nil || attempt < 1 {
		return comm.ID{}, 0
	}
	return message, attempt
}

// IsNamed says of a parameter of a callback's address that Named added it: it is ours, and no word of the provider.
func IsNamed(parameter string) bool { return parameter == namedMessage || parameter == namedAttempt }

// The names are short and unlikely to be a provider's own.
const (
	namedMessage = "cs_m"
	namedAttempt = "cs_a"
)
