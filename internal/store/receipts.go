package store

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Receipts is what providers report of messages: requests as they came, what they say, and
// what that makes of messages. Messages are found by what a finish kept (Outcome.Traced) or by what our own callback URL
// named, and only among those that were sent through the report's configuration: so nobody can report about another's.
type Receipts interface {
	// Receive stores requests as they came, in one durable transaction. One that is there already stays as it is. None came later
	// than now by the database's clock, whatever its node's says.
	Receive(ctx context.Context, all []Receipt) error
	// Received reads stored requests of which nobody has applied what they say, that came before an instant of the database's
	// clock (or lie ahead of it, since it was set back): behind one id, in the order of ids, at most limit and no more than
	// ReceivedBytes beyond the first.
	Received(ctx context.Context, before comm.Micros, behind comm.ID, limit int) ([]Receipt, error)
	// Apply removes requests and does what they and parked reports say, in one transaction: comm.Tell on
	// each message's row, in the order given. A report whose request or parked row is not there any more was applied by
	// somebody else: ReportGone. One whose message is not found, or whose attempt is under way, is parked until
	// NextLook, or dropped when it is older than ParkedFor. What it answers is in the order of b.Reports.
	Apply(ctx context.Context, b ReportBatch) ([]ReportResult, error)
	// Parked reads parked reports that are due at an instant of the database's clock, those that are due first first.
	Parked(ctx context.Context, at comm.Micros, limit int) ([]Report, error)

	// Questions lists messages that a provider is to be asked about now: what Outcome.AskIn or Ask made due. At most limit.
	Questions(ctx context.Context, limit int) ([]Question, error)
	// Ask says when each of these is due next, in the microseconds given or never (0), and how often it was Asked. One that is gone stays so.
	Ask(ctx context.Context, next []Question) error

	// AnyProviderConfig reads a configuration whosever it is; not_found otherwise. Those of deleted apps are not found.
	AnyProviderConfig(ctx context.Context, id comm.ID) (*comm.ProviderConfig, error)
	// Wish does what a person said to a sender of an app, STOP or START, unless the person has said otherwise since, or at the
	// same time STOP: so the order in which words are applied does not matter. STOP makes an entry that another reason has put
	// on the app's list the person's own; START takes off what a person's own STOP put there, and nothing else. changed says
	// whether the list is another now; then the audit log says so.
	Wish(ctx context.Context, w Wish) (changed bool, err error)
	// TrimWishes forgets what persons said before an instant, not what it led to.
	TrimWishes(ctx context.Context, before comm.Micros) error
	// Writers steps through the apps that wrote to an address, in the order of their ids and behind after, at most limit of them,
	// and answers those that did so through a configuration: by the last WriterDepth messages of each, and where there are more
	// and none of these went through it, in doubt, as well. next is where to go on; zero at the end. Deleted apps are left out.
	// While a message to the address cannot be found yet it is an error: ask again in a moment.
	Writers(ctx context.Context, config comm.ID, address string, after comm.ID, limit int) (apps []comm.ID, next comm.ID, err error)
}

// Wish is a person's own word to a sender of an app.
type Wish struct {
	App     comm.ID
	Channel comm.Channel
	Address string
	Hash    string // of the address, as in Suppression; "" if none is kept of the app's
	Stop    bool   // else START
	At      comm.Micros
}

// WriterDepth is how many messages of an app to an address Writers looks at.
const WriterDepth = 200

// ReceivedBytes bounds how much of stored requests is read at once.
const ReceivedBytes = 1 << 20

// Receipt is a request to a callback URL. It may hold addresses and numbers of persons: it is there until what
// it says is applied, for less than a second as a rule.
type Receipt struct {
	ID       comm.ID
	Owner    comm.ID // of the configuration; zero: the server-level chain
	Provider comm.ID // the configuration
	Type     string  // of the configuration, as Adapter.Type
	At       comm.Micros
	Method   string
	Query    []byte
	Header   []byte // of provider.KeptHeaders, as in HTTP
	Body     []byte
}

// ReportBatch is what one transaction applies.
type ReportBatch struct {
	Node     string
	Receipts []comm.ID // requests whose reports are all in Reports, or which say nothing
	Reports  []Report
}

// Report is one fact about one message.
type Report struct {
	Receipt  comm.ID // the stored request that said so; zero: none
	Parked   comm.ID // its row among the parked ones; zero: it was not parked
	Owner    comm.ID // of the configuration; zero: the server-level chain
	Provider comm.ID // the configuration
	Name     string  // its type in lower case, as messages show it
	Ref      string  // the provider's id; "" when it is not said
	// App, Message and Attempt are what our own callback URL or tag named; zero: nothing. A Message without an Attempt, as of a
	// tag, is about the attempt through this configuration that may be meant (comm.AttemptOf).
	App, Message comm.ID
	Attempt      int
	comm.Told    // its Attempt is the store's to find
	Suppress     string
	// Within is how the recipient must begin for Suppress to hold; "": anyhow. It is of the provider's type and not parked with the report.
	Within string
	Code   string
	Text   string
	Since  comm.Micros // when it came in
	// Later only puts it off, as if its message were not found: for what cannot be applied now, and must not hold up others.
	Later bool
}

// ReportResult says what became of a report.
type ReportResult uint8

// The results.
const (
	ReportGone    ReportResult = iota + 1 // somebody else applied it
	ReportMoved                           // the message has another status now
	ReportLogged                          // an event says so, the status is the same
	ReportKnown                           // the log had it already
	ReportParked                          // it is kept, and told again
	ReportDropped                         // it was kept for ParkedFor, and is not kept any longer
)

// How long a report is kept whose message is not found, and how long it waits while its attempt is under way.
const (
	ParkedFor   = 72 * time.Hour
	firstLook   = 500 * time.Millisecond
	lastLook    = time.Hour
	flightLook  = time.Second
	flightWatch = 15 * time.Minute // longer than any call: what is still under way then is looked after like all others
)

// NextLook is how long a report waits until it is told again, by how long ago it came in. Where its
// attempt is under way it is a second: a retry asks for what is due until then as well.
func NextLook(age time.Duration, underWay bool) time.Duration {
	if underWay && age < flightWatch {
		return flightLook
	}
	return min(max(age, firstLook), lastLook)
}

// Question is a message whose provider is to be asked what became of it.
type Question struct {
	Provider comm.ID
	Ref      string
	App      comm.ID
	Message  comm.ID
	Attempt  int
	Status   comm.Status // of the message now; None when it is gone
	At       comm.Micros // when the provider accepted it
	Asked    int         // how often it was asked
	In       int64       // Ask: microseconds from now; 0 = never again
}
