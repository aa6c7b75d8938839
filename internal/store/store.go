// Package store is the contract between the engines and a database: narrow
// roles, one per consumer, and every promise that an implementation makes.
//
// A method is one use case and one transaction; no transaction crosses the
// seam. Methods of hot roles take slices, one item is a slice of one. Stores
// decide nothing that is not written here: they apply what an engine computed
// if the row is still in the expected state, and say so if it is not. Every
// method is safe for concurrent use unless it says otherwise.
//
// Errors: *comm.Error for mistakes that a client can see; ErrUncertain when
// nobody can tell whether a transaction was committed (connection lost at
// COMMIT); any other error means that nothing was stored.
//
// Both implementations run the suite in storetest. Integers are microseconds
// and enumerations; JSON is opaque text; text is compared byte for byte.
package store

import (
	"context"
	"errors"

	"github.com/commserver/commserver/internal/comm"
)

// ErrUncertain says that a commit's answer was lost: the transaction may or
// may not have happened. Look before acting again.
var ErrUncertain = errors.New("the outcome of the transaction is unknown")

// ErrLeaseLost says that the node's lease had ended before it was prolonged.
var ErrLeaseLost = errors.New("the node's lease has ended")

// Store is every role; only the wiring and the suite ask for it whole.
type Store interface {
	Intake
	Queue
	Shards
	Messages
	Files
	Apps
	Keys
	Providers
	Endpoints
	Suppressions
	Settings
	Templates
	Audit
	Sealed
	Everywhere
	Backlog
	Upkeep
	Persons
	Stats
	Receipts
	Feed
	Lately
	Deliveries
	Alerts
	Users
	Sessions
	Backups

	// Now is the database's clock: the only clock that due times, leases and expiry know.
	Now(ctx context.Context) (comm.Micros, error)
	// Ping answers nil when a write could be committed now.
	Ping(ctx context.Context) error
	// Migrate brings the schema to this binary's version. Several nodes may
	// call it at once. On SQLite a copy of the file is made first when there is anything to migrate.
	Migrate(ctx context.Context) error
	// Newer is, after Migrate, the names of the steps of the schema that a newer version has added and this one does not know, in order.
	Newer() []string
	// Close waits for running transactions and closes every connection.
	Close() error
}

// Announcer is an optional ability: telling other nodes at once what polling
// would find within a second. Losing an announcement loses nothing.
type Announcer interface {
	// Announce tells every other node that these units have rows from Due on, or
	// that these apps' settings were changed.
	Announce(ctx context.Context, wakes []Wake) error
	// Listen calls heard for each announcement of another node until ctx ends.
	// It reconnects by itself; after a gap it calls heard with nil: poll.
	Listen(ctx context.Context, heard func([]Wake)) error
}

// Wake says that a unit may have new rows, the earliest due at Due; or, as
// SettingsChanged makes it, that an app's settings are other ones now.
type Wake struct {
	Unit comm.Unit
	Due  comm.Micros
}

// SettingsChanged is the announcement that the app or one of its provider
// configurations was changed (the zero id: the server-level chain). It names no unit.
func SettingsChanged(app comm.ID) Wake { return Wake{Unit: comm.Unit{App: app}} }

// IsSettings says that the announcement is about settings, not about rows.
func (w Wake) IsSettings() bool { return w.Unit.Channel == 0 }

// Intake is what accepting needs.
type Intake interface {
	// Accept stores each submission (content, state, queue row, idempotency
	// row, event 1) in one durable transaction and answers in order.
	//
	// In this order for each: an idempotency key that exists answers Replay
	// (equal fingerprint; the message's status of now) or Conflict, and counts
	// for nothing; else, over one of its Caps, the answer is QuotaExceeded and nothing
	// counts; else the app's rate counts one, and over the limit the
	// answer is RateLimited and nothing is stored; else New, and its Segments
	// count in the app's UTC day under each of its Caps. Two submissions of
	// one call with one key are one New and one Replay. Created, due and expiry
	// times are the database's. What cannot be decided within some seconds because of
	// what the app has locked elsewhere is Busy, whatever it would be.
	//
	// An error means that none is stored (or ErrUncertain); one submission that
	// cannot be stored makes the whole call fail: the caller isolates it. Where others of
	// the call are stored already, it is Busy or Uncertain, and the call does not fail.
	Accept(ctx context.Context, subs []Submission) ([]Accepted, error)
	// KnownKey looks an idempotency key up without counting anything, so that a
	// replay is recognised before any check whose answer changes with time;
	// not_found when the key is unused.
	KnownKey(ctx context.Context, app comm.ID, mode comm.Mode, hash [16]byte) (Known, error)
}

// Known is the message that an idempotency key stands for.
type Known struct {
	ID          comm.ID
	Status      comm.Status
	Fingerprint [16]byte
}

// Submission is one message to accept.
type Submission struct {
	App           comm.ID
	ID            comm.ID
	Shard         comm.Shard
	Channel       comm.Channel
	Lane          comm.Lane
	Mode          comm.Mode
	OnUnknown     comm.UnknownPolicy
	Node          string
	ScheduledAt   comm.Micros // 0 = now
	TTL           int64       // microseconds after the later of acceptance and ScheduledAt; 0 = none
	HasKey        bool
	KeyHash       [16]byte // of the idempotency key; unique per app and mode
	Fingerprint   [16]byte // of the parsed request
	Recipient     string   // normalised for comparing with suppressions and searching
	Terms         []Term   // what else the message is searched by; a repeated one counts once
	Payload       []byte   // EncodeContent
	Files         []comm.Attachment
	RatePerMinute int
	// Caps are those that Segments count under, each of another prefix; none for what is not capped.
	Caps     []comm.SMSCap
	Segments int
}

// Bytes is what State.Bytes of the message will be: content and files together.
func (s *Submission) Bytes() int64 {
	n := int64(len(s.Payload))
	for i := range s.Files {
		n += int64(len(s.Files[i].Content))
	}
	return n
}

// AcceptResult says what became of a submission.
type AcceptResult uint8

// The results.
const (
	New AcceptResult = iota + 1
	Replay
	Conflict
	RateLimited
	QuotaExceeded // over one of Submission.Caps: nothing is stored, and nothing counted
	Busy          // it cannot be stored for now, while others of its call are: nothing is stored, and nothing counted
	Uncertain     // as ErrUncertain says, of this one alone: others of its call have their answers
)

// Accepted answers one submission.
type Accepted struct {
	Result AcceptResult
	ID     comm.ID // New, Replay: the stored message
	Status comm.Status
	Due    comm.Micros // New
	// Suppressed says of a New one that its recipient is on the app's list now:
	// only for a warning, attempt start decides.
	Suppressed bool
	RateUsed   int         // submissions of the app in this minute, with this one
	RateReset  comm.Micros // when the minute ends
	// Cap is what a QuotaExceeded one is over, and Use what is counted under it; of a New one with
	// caps Use is what is counted under the first one now, and Alarms are the days that are out of proportion by it.
	Cap    comm.SMSCap
	Use    comm.SMSUse
	Alarms []comm.SMSAlarm
}

// Queue is what the dispatcher needs. Only the owner of a shard calls it for that shard.
type Queue interface {
	// Units lists the units of these shards that have queue rows, by loose
	// index scan, each with the due of its first row.
	Units(ctx context.Context, shards []comm.Shard) ([]Wake, error)
	// Windows reads the next queue rows of units, each in (due, id) order, future
	// ones included, without locks. It answers one list for each ask, in order.
	Windows(ctx context.Context, asks []Ask) ([][]Head, error)
	// Turn applies finishes and starts in one transaction under the fence: if
	// any of t.Leases is not owned by t.Node under that epoch, nothing happens
	// and the error is *LostShards. Otherwise each item is applied if its row is
	// as expected; results are in order. Content is read before the transaction
	// begins, so that a client that stops reading never holds the fence. A start
	// that finds its message elsewhere removes the stale queue row of its head.
	Turn(ctx context.Context, t Turn) (TurnResult, error)
	// Orphans lists messages that are SENDING in these shards under an epoch not
	// newer than the lease's: attempts whose outcome is not recorded. Those of an
	// older epoch are unknown; those of the caller's own epoch are its calls in
	// flight, or starts whose commit it never learnt of. At most limit, oldest first.
	Orphans(ctx context.Context, leases []Lease, limit int) ([]comm.State, error)
	// Overdue lists messages of these shards that are QUEUED although their time
	// is over by the database's clock, whatever they wait for: expiresAt has
	// come, or they have none and the first attempt of their generation began more
	// than horizon microseconds ago. A message without expiresAt that was never
	// tried is not over, however old. At most limit; what is over first comes
	// first within a shard. It costs nothing for messages that are not over.
	Overdue(ctx context.Context, shards []comm.Shard, horizon int64, limit int) ([]comm.State, error)
	// Late files results whose shard was lost meanwhile, without fence: event
	// late_result; a result that proves acceptance settles the message (T17,
	// T18) and removes its pending retry; one that settles nothing leaves UpdatedAt, from
	// which a content's time is counted. A result that this node filed before is left out, so that an uncertain answer may be repeated.
	Late(ctx context.Context, node string, results []LateResult) error
	// SetHolds replaces the reasons that node gave for units that cannot send,
	// so that any node can answer why a message waits.
	SetHolds(ctx context.Context, node string, holds []Hold) error
}

// Head is a queue row: a message of a unit and when it is due.
type Head struct {
	Due comm.Micros
	ID  comm.ID
	// Bytes is the message's State.Bytes. It is no part of the order.
	Bytes int64
}

// HeadOf is the queue row of a message that is QUEUED or SENDING.
func HeadOf(s *comm.State) Head { return Head{Due: s.Due, ID: s.ID, Bytes: s.Bytes} }

// Before orders heads as the queue does.
func (h Head) Before(o Head) bool { return h.Due < o.Due || h.Due == o.Due && h.ID.Compare(o.ID) < 0 }

// Ask is a part of a unit's queue: at most Limit rows after After.
type Ask struct {
	Unit  comm.Unit
	After Head
	Limit int
}

// Lease is a shard that a node owns under an epoch.
type Lease struct {
	Shard comm.Shard
	Epoch int64
}

// Turn is one group of the dispatcher's writes.
type Turn struct {
	Node     string
	Leases   []Lease // every shard that an item touches
	Finishes []Finish
	Starts   []Start
}

// Start asks to begin an attempt. The store makes the checks of Check in the
// same transaction, writes attempt_started (or the end that a check demands)
// and answers what the call needs.
type Start struct {
	Unit comm.Unit
	Head Head
	// Attempt is 0 for a queued message (row QUEUED, due as in Head), or the
	// number of the open attempt that just failed in this round (row SENDING).
	Attempt int
	Epoch   int64 // with Attempt: the epoch that the row carries
	// Failed is the failed attempt's event (attempt_failed); with Attempt only.
	Failed     *Outcome
	Provider   string
	ProviderID comm.ID
	Detail     string // of the event: which configuration that is, and why
	// Live says that a real provider will be called: refused with ModeChanged
	// unless the message and the app are live.
	Live bool
	// Elsewhere says that the caller knows of the repeat that the message owes to the configuration of its last
	// attempt (comm.RepeatOwed) and takes another one for a reason; nothing is owed from then on. Without it a
	// queued message that owes one is refused to every other configuration, with RepeatFirst.
	Elsewhere bool
	// Daily says that the configuration has a limit per day: if the attempt
	// begins (Go), it counts on the UTC day of its event, in the same transaction.
	// Owner is the app that the configuration belongs to, zero at the server level.
	Daily bool
	Owner comm.ID
	// Careful refuses with Doubted a queued message of which an attempt of this generation ended unknown: a report that is stored
	// may tell what became of it.
	Careful bool
}

// Verdict is what attempt start found.
type Verdict uint8

// The verdicts. Only Go calls the provider.
const (
	Go          Verdict = iota + 1
	Gone                // not in the expected state any more: forget it
	Ended               // a check ended it (suppressed, cancelled, expired, content gone): stored
	ModeChanged         // mode or activity of the app differ from what the caller believed: read the app again
	RepeatFirst         // it owes a repeat to the configuration of its last attempt, which State names: nothing was written
	Doubted             // Careful: nothing is stored; apply what providers have reported first
)

// Started answers one Start.
type Started struct {
	Verdict Verdict
	State   comm.State // after the start (Go) or the end (Ended)
	Payload []byte     // Go: the stored content
	Files   []comm.Attachment
}

// Finish asks to record an outcome.
type Finish struct {
	App  comm.ID
	ID   comm.ID
	Unit comm.Unit
	// From is SENDING with the number of the open attempt, or QUEUED (no
	// provider, content unreadable) with the due that was seen.
	From    comm.Status
	Attempt int
	Epoch   int64 // SENDING: the epoch that the row carries (an orphan's is older than the lease's)
	Due     comm.Micros
	Want    Outcome
	// IfCancelled is written instead of Want when a cancel wish is set.
	IfCancelled *Outcome
	// Suppress is the reason for which the message's recipient joins the app's
	// suppressions in the same transaction, if the finish is applied; "" for
	// none. One that is there stays as it is. Want and IfCancelled are final.
	Suppress string
}

// Outcome is one event and the state that it leads to.
type Outcome struct {
	To         comm.Status
	Cause      comm.Cause
	Due        comm.Micros // To == QUEUED: when the next attempt may start
	Round      int         // rounds finished with only transient results, from now on
	Set        comm.Flags
	Provider   string
	ProviderID comm.ID
	Ref        string
	ErrorCode  string
	ErrorText  string // redacted; what the message shows
	Detail     string // redacted; what the event shows
	// Traced says that the provider reports later and names Ref then: it is kept so that Receipts finds the message. The
	// newest message of a configuration's Ref counts. AskIn is in how many microseconds the provider is asked first; 0 = never.
	Traced bool
	AskIn  int64
}

// TurnResult answers a Turn, in order.
type TurnResult struct {
	Now      comm.Micros // database clock of the transaction
	Finished []bool      // false: the row was not as expected; file it with Late
	Started  []Started
}

// LostShards says that the fence refused a whole turn.
type LostShards struct{ Shards []comm.Shard }

func (*LostShards) Error() string { return "shards are owned by another node now" }

// LateResult is what a call of a lost shard answered.
type LateResult struct {
	App, ID  comm.ID
	Attempt  int
	Accepted bool // the provider certainly took it
	Outcome  Outcome
	Suppress string // as in Finish
}

// Hold is why a unit does not send and until when (0 = until somebody acts).
type Hold struct {
	Unit   comm.Unit
	Reason string // a word of WaitReasons
	Until  comm.Micros
}

// Shards is ownership. The lease belongs to the node, not to each shard, so
// that heartbeats never touch the rows that turns lock.
type Shards interface {
	// Beat prolongs the node's lease from the database's now and lists the live
	// nodes (workers) and who owns what. A lease that has ended is not prolonged:
	// the error is ErrLeaseLost, and the process goes on under a new node name.
	Beat(ctx context.Context, n NodeInfo) (Cluster, error)
	// Take makes the node owner of those of the shards that are free: no owner,
	// an unknown one, one whose lease has ended, or the node itself (a take whose
	// answer was lost); never those of another live node, and none when the
	// taker's own lease has ended. It answers the leases won, each under a new epoch.
	Take(ctx context.Context, node string, shards []comm.Shard) ([]Lease, error)
	// Release gives up shards that the node owns under these epochs; others are left alone.
	Release(ctx context.Context, node string, leases []Lease) error
	// Leave removes the node, its holds and its remaining ownership.
	Leave(ctx context.Context, node string) error
}

// NodeInfo is what a node says of itself at each heartbeat.
type NodeInfo struct {
	Node    string // unique to this process start
	Role    string // "api", "worker", "all"
	Version string
	Lease   int64 // microseconds
}

// Cluster is what a heartbeat sees.
type Cluster struct {
	Now     comm.Micros
	Workers []string // live nodes that take shards, sorted
	Owners  [comm.ShardCount]Ownership
	// ConfigVersion changes whenever an app, key, provider configuration or setting changed.
	ConfigVersion int64
}

// Ownership is one shard's row. Free says that Take would win it now.
type Ownership struct {
	Node  string
	Epoch int64
	Free  bool
}

// Messages is reading and changing single messages for their app. A message
// of another app does not exist.
type Messages interface {
	// Message reads one with content and events; not_found otherwise. Here and wherever else messages are read, one whose content cannot
	// be read is as one whose content is gone, with ContentUnread set.
	Message(ctx context.Context, app, id comm.ID) (*comm.Message, error)
	// List reads a page, newest first, without events and without reading bodies it does not need.
	List(ctx context.Context, app comm.ID, f Filter) ([]comm.Message, error)
	// Search is List for filters with a Recipient or Terms. What it looks at is
	// bounded, so that a page may hold fewer rows than f.Limit, or none, although
	// there are more: Found.Before says where the next page begins.
	Search(ctx context.Context, app comm.ID, f Filter) (Found, error)
	// Cancel applies comm.CancelVerdict; the state answered is the one after it.
	Cancel(ctx context.Context, app, id comm.ID, actor string) (comm.State, comm.CancelResult, error)
	// Retry applies comm.RetryVerdict: generation+1, due at the later of now and ScheduledAt.
	Retry(ctx context.Context, app, id comm.ID, actor string) (comm.State, comm.RetryResult, error)
	// Hold is the stored reason why a unit does not send; ok is false when there is none.
	Hold(ctx context.Context, u comm.Unit) (h Hold, ok bool, err error)
	// Captures lists what the sandbox took for an app, newest first, with content.
	Captures(ctx context.Context, app comm.ID, f Filter) ([]comm.Message, error)
}

// Files is what the sandbox's inbox and the page of a message read besides Messages.
type Files interface {
	// Files reads the attachments of a message in their order: none if it has none, if their time is over, or if it is another app's.
	Files(ctx context.Context, app, id comm.ID) ([]comm.Attachment, error)
	// FileHeads says of the same ones what they are. It reads none of their content.
	FileHeads(ctx context.Context, app, id comm.ID) ([]FileHead, error)
}

// FileHead is an attachment without its content.
type FileHead struct {
	Filename, ContentType string
	Bytes                 int64
}

// Filter narrows a list. Zero values do not filter.
type Filter struct {
	Status        comm.Status
	Channel       comm.Channel
	CreatedAfter  comm.Micros // exclusive, compared with the CreatedAt that messages show in milliseconds
	CreatedBefore comm.Micros // likewise
	Before        comm.ID     // keyset: only older ones
	Limit         int
	// Of Search alone; a message must have all of them.
	Recipient string // as in Submission
	Terms     []Term
	Captured  bool // only what the sandbox took
	Whole     bool // with bodies
}

// Found is a page of Search.
type Found struct {
	Messages []comm.Message // without events, and without bodies unless Filter.Whole; newest first
	Before   comm.ID        // Filter.Before of the next page; zero when there is none
}

// TermKind says what a term is. Values are stored: never renumber.
type TermKind uint8

// The kinds of terms.
const (
	TagTerm      TermKind = iota + 1
	TemplateTerm          // the key of the template that it was rendered from
)

// Term is a word that a message was accepted with and is found by, byte for byte.
type Term struct {
	Kind  TermKind
	Value string
}
