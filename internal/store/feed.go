package store

import (
	"context"
	"errors"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Feed is an app's events in one order. Every transaction that writes events lists them in the outbox; the owner of the app's
// first shard gives each the app's next position, in the order in which transactions come to be seen, and makes
// what endpoints are to get of it in the same transaction. So a position that can be read never gets one before it.
type Feed interface {
	// Outbox reads what is listed of apps whose first shard is one of these, what came to be seen first first, as far as it was not
	// seen by the look that answered seen (zero: everything). It reads at most limit rows and those of the same transactions;
	// More says that there may be others. It steps over no row that an earlier look has seen. Looks that go on where there is
	// more see what the first of them could see, and nothing newer: else a transaction that was open then would come after those that waited for it.
	// With an event come all earlier ones of its message that the look could see and that no earlier look has answered, whatever the limit.
	Outbox(ctx context.Context, shards []comm.Shard, seen Seen, limit int) (Look, error)
	// SetAside keeps rows that cannot be read (Look.Unread) out of further looks; they stay in the database. What is gone is passed over.
	SetAside(ctx context.Context, unread []RowKey) error
	// Heads answers each app's last position, 0 without one.
	Heads(ctx context.Context, apps []comm.ID) ([]int64, error)
	// Stories reads messages with their whole logs, in no order; those that are gone are left out.
	Stories(ctx context.Context, messages []EventRef) ([]comm.Message, error)
	// Stamp applies a stamping in one transaction, or nothing: the error is *LostShards if a lease is not the node's,
	// ErrStamped if a row of the outbox is gone, and ErrErased if something of what is told was erased since it was read. An erasure waits
	// for it, and removes what it made: once that is done, nothing is stored that tells of the person. left names what is left of a
	// row that was used up in part.
	Stamp(ctx context.Context, s Stamping) (left RowKey, err error)
	// Places reads the next events of an app behind a position, at most limit. A row that cannot be read is one event of no message,
	// at the row's last position, and so are the positions that a restore has left out.
	Places(ctx context.Context, app comm.ID, after int64, limit int) ([]Place, error)
	// TrimFeed removes rows of the feed that are older than an instant, of the apps behind one, at most so many; the last row of
	// an app stays. next is the app to go on behind, zero at the end.
	TrimFeed(ctx context.Context, after comm.ID, before comm.Micros, limit int) (removed int, next comm.ID, err error)
}

// ErrStamped says that what was to be stamped is not in the outbox any more.
var ErrStamped = errors.New("events have been stamped already")

// ErrErased says that what was to be told has been erased since it was read.
var ErrErased = errors.New("what is told has been erased meanwhile")

// EventRef names an event.
type EventRef struct {
	App, Message comm.ID
	Sequence     int
}

// Seen is what a look has seen: every transaction before From but those that were Open. It is the store's own.
type Seen struct {
	From int64
	Open []int64
	// Next is where the look after the last one of a row of looks begins; those of the row see nothing that is behind it.
	Next *Seen
}

// Look is what Outbox found.
type Look struct {
	Rows []Listed
	Seen Seen
	More bool
	// Unread are rows that cannot be read, and are none of Rows.
	Unread []RowKey
}

// Listed is a row of the outbox.
type Listed struct {
	Key    RowKey
	Shard  comm.Shard // of the first event
	At     comm.Micros
	Events []EventRef
}

// RowKey names a row of the outbox; it is the store's own.
type RowKey struct {
	Place       string
	Transaction int64
}

// Stamping is what one transaction of Stamp does.
type Stamping struct {
	Node   string
	Leases []Lease  // of every shard that an app of it begins at
	Rows   []RowKey // are used up, as far as they are of these shards
	Split  int      // of the last row only the first so many events of these shards are; 0: all
	Runs   []Run
	Made   []Delivery
	Told   []EventRef // the messages that Made tells of, each with the last event of its log as it was read
}

// Run is events of an app that get the positions up to Last.
type Run struct {
	App    comm.ID
	Last   int64
	At     comm.Micros
	Events []EventRef
}

// Place is an event with its position.
type Place struct {
	EventRef
	Position int64
	Gap      bool // no event: no place up to this one was given out since the last one before it
}

// Deliveries are events on their way to endpoints. Those of an endpoint that was deleted are not of the one that has its id afterwards, as the
// one named comm.DefaultEndpoint has: but for DueDeliveries, no method shows or changes them.
type Deliveries interface {
	// DueEndpoints lists the endpoints of these shards that have waiting deliveries, each with when the first is due. Its cost follows the endpoints.
	DueEndpoints(ctx context.Context, shards []comm.Shard) ([]DueEndpoint, error)
	// DueDeliveries reads the next waiting deliveries of an endpoint that are due by an instant, in the order of (due, id), with their bodies. What is
	// left of one that had its id before is among them: MadeFor tells it apart, and DropForeign takes it away.
	DueDeliveries(ctx context.Context, e DueEndpoint, by comm.Micros, limit int) ([]Delivery, error)
	// Record notes attempts: each counts and is kept in the delivery's log, and is one of its tries unless it was Cut; its outcome is applied if no other attempt was recorded and the
	// delivery was not replayed since, and a success is always. Where an erasure has put another body in its place meanwhile, that one goes: no event is posted with two. One transaction.
	Record(ctx context.Context, attempts []Attempted) error
	// Troubles lists since when endpoints of these apps fail, and until when those are left alone that fail or asked for it. SetTrouble notes it: the first
	// Since stays until one of 0 is noted, RestsUntil is the last one, and without either there is no trouble.
	Troubles(ctx context.Context, apps []comm.ID) ([]Trouble, error)
	SetTrouble(ctx context.Context, t Trouble) error

	// DeliveryList reads a page of an endpoint's deliveries, newest first, without bodies.
	DeliveryList(ctx context.Context, app, endpoint comm.ID, f DeliveryFilter) ([]Delivery, error)
	// Delivery reads one with log and body; not_found otherwise.
	Delivery(ctx context.Context, app, endpoint, id comm.ID) (Delivery, error)
	// Replay makes a delivery wait again, due now, with the same body; one that waits is due now, unless an erasure has changed its body. not_found if there is none.
	Replay(ctx context.Context, app, endpoint, id comm.ID) error
	// ReplaySome does so to a slice of those that are not waiting: at most f.Limit, in the order of DeliveryList, which go on behind next (zero: no more).
	ReplaySome(ctx context.Context, app, endpoint comm.ID, f DeliveryFilter) (replayed int, next comm.ID, err error)
	// AddDelivery stores one, for tests of endpoints.
	AddDelivery(ctx context.Context, d *Delivery) error
	// TrimDeliveries removes a slice of what was made before an instant; of what waits to be posted only what was made before another one.
	TrimDeliveries(ctx context.Context, before, waiting comm.Micros, limit int) (removed int, err error)
	// RemoveDeliveries removes a slice of what is left of an endpoint that is gone, with its trouble; of one that is there, what is left of one that had its
	// id before, and nothing else.
	RemoveDeliveries(ctx context.Context, app, endpoint comm.ID, limit int) (removed int, err error)
	// DropForeign removes those of these deliveries, whatever their states, that were not made for the endpoint that has the id now, or of which there is none.
	DropForeign(ctx context.Context, app, endpoint comm.ID, ids []comm.ID) (removed int, err error)
	// TrimEndpoints does what RemoveDeliveries does for the first endpoint behind one that has deliveries. At the end, where nothing is removed and Next is zero,
	// troubles without an endpoint go too.
	TrimEndpoints(ctx context.Context, after EndpointKey, limit int) (Trimmed, error)
}

// Trimmed is what a slice of TrimEndpoints did.
type Trimmed struct {
	Rows int
	Took time.Duration // of its transaction, without waiting for its turn; 0: it wrote nothing
	Next EndpointKey   // behind which to go on
}

// EndpointKey names an endpoint.
type EndpointKey struct{ App, Endpoint comm.ID }

// DueEndpoint is an endpoint with waiting deliveries.
type DueEndpoint struct {
	Shard         comm.Shard
	App, Endpoint comm.ID
	Due           comm.Micros
}

// Delivery is one event on its way to one endpoint.
type Delivery struct {
	EventRef
	Endpoint, ID comm.ID
	Shard        comm.Shard  // the app's first
	Status       comm.Status // that the event came to; None for a test
	Position     int64       // in the feed; 0 for a test
	State        DeliveryState
	Due          comm.Micros // Waiting: no attempt before it
	Attempts     int         // calls of all time
	Tries        int         // calls since it was made or replayed
	CreatedAt    comm.Micros
	EndedAt      comm.Micros
	MadeFor      comm.Micros // when the endpoint it was made for was created; 0: an older version did not say
	EventAt      comm.Micros // when the event happened; 0: an older version did not say
	Log          string      // one JSON object for each of the last attempts, each on its line
	Body         []byte
}

// EventID names the event, as the body does.
func (d *Delivery) EventID() string { return comm.EventID(d.Message, d.Sequence, d.EventAt) }

// DeliveryState says how far a delivery is.
type DeliveryState uint8

// The states. Values are stored: never renumber.
const (
	DeliveryWaiting   DeliveryState = iota + 1 // it will be tried, or tried again
	DeliveryDone                               // answered with 2xx
	DeliveryExhausted                          // every try failed; it can be replayed
)

// DeliveryFilter narrows a list. Zero values do not filter.
type DeliveryFilter struct {
	State         DeliveryState
	Message       comm.ID
	CreatedAfter  comm.Micros // inclusive
	CreatedBefore comm.Micros // exclusive
	Before        comm.ID     // keyset: only older ones
	Limit         int
}

// Attempted is a call that was made.
type Attempted struct {
	App, Endpoint, ID comm.ID
	Attempt           int  // Delivery.Attempts with this one
	Try               int  // Delivery.Tries with this one
	Cut               bool // the server itself ended the call: it is none of the tries
	Unsent            bool // no byte of the body has left: it told nothing
	At                comm.Micros
	State             DeliveryState
	Due               comm.Micros
	Line              string // of Delivery.Log
	// Message and Sequence say of which event it told.
	Message  comm.ID
	Sequence int
}

// Trouble is since when every call of an endpoint fails, and until when it is left alone.
type Trouble struct {
	App, Endpoint comm.ID
	Since         comm.Micros // 0: it does not fail, or too few calls did to say so
	RestsUntil    comm.Micros // nothing is posted to it before; 0, or an instant that has passed: it is not left alone
}

// Next is when a delivery of the endpoint is tried next at the earliest: when it is due, and not before the endpoint has rested.
func (t *Trouble) Next(due comm.Micros) comm.Micros { return max(due, t.RestsUntil) }

// DeliveryLog bounds a delivery's log, in bytes: what is older than that goes.
const DeliveryLog = 16 << 10
