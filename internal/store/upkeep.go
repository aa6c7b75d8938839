package store

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/seal"
)

// Upkeep removes what has been kept long enough. Every method is one slice: a
// single short transaction, or nothing but reading. Messages are found by walking
// in the order of their ids, which is that of their age, from where the last slice
// ended; what is passed over because it is not final, or not for long enough, is set
// aside with the time at which it is worth looking at again. So nothing is searched
// for among rows that stay, and accepting carries no index for it. A message that is
// not final is never touched. Two that do the same at once do it once.
type Upkeep interface {
	// UpkeepLanes pages through the lanes in which messages are walked: on SQLite one
	// (the zero id), on PostgreSQL one for each app, deleted ones included.
	UpkeepLanes(ctx context.Context, after comm.ID, limit int) ([]comm.ID, error)
	// Walk does the next slice of a lane.
	Walk(ctx context.Context, w Walk) (Walked, error)
	// WalkLater does the next slice of those that were set aside and are due at w.Now, whatever their lane.
	WalkLater(ctx context.Context, w Walk) (Walked, error)
	// RemoveApp removes a slice of what an app left that was deleted before an instant, its
	// own row last: Gone then. Of its messages only those go that are final.
	RemoveApp(ctx context.Context, app comm.ID, before comm.Micros, limit int) (Removed, error)

	// Erase takes content, recipient, files, terms and the details of the log from those of
	// the app's messages that are final, writes the event erased and shows mask as their
	// recipient. What was erased before only loses what searching had left of it. At most UpkeepMost,
	// and as many of the first of them as UpkeepBytes allow: the next slice begins behind Looked.
	Erase(ctx context.Context, app comm.ID, ids []comm.ID, e Erasing) (Erased, error)
	// Mentions looks at the next contents of a lane, of one app or (zero) of all, for a text, without
	// regard to letter case: at most m.Limit, and no more than m.Bytes of them beyond the first. It answers those
	// that hold it, and where the next slice begins; the zero id at the lane's end. It reads only.
	Mentions(ctx context.Context, m Mention) (found []Mentioned, next comm.ID, err error)
	// Rewrite puts other contents and tags in the place of what messages have, each if it is
	// still what was read, with the event erased. UpdatedAt, from which a content's time is counted, stays. Of the message's deliveries those whose
	// bodies hold the person (Erasing.Told) go if they were posted, and wait with another body if not; all others stay.
	// took is the time of the transaction, without waiting for its turn.
	Rewrite(ctx context.Context, all []Rewriting, e Erasing) (done int, took time.Duration, err error)
	// Unindex removes what a message is still found by although it was erased.
	Unindex(ctx context.Context, app comm.ID, address string) error

	// Tasks reads and SaveTask replaces what is shown of the work: Total grows by the task's.
	Tasks(ctx context.Context) ([]Task, error)
	SaveTask(ctx context.Context, t Task) error
}

// What bounds a slice.
const (
	// UpkeepMost is how many messages one slice is about at most.
	UpkeepMost = 500
	// UpkeepBytes bounds the content that one slice removes or rewrites, beyond its first
	// message: large values lie on pages of their own, which cost time each.
	UpkeepBytes = 1 << 20
)

// WalkKind says what a walk is for. Values are stored: never renumber.
type WalkKind uint8

// The walks.
const (
	// Purge takes the content of messages: payload, files and terms. The recipient stays.
	Purge WalkKind = iota + 1
	// Remove takes whole messages, with their log and their idempotency key.
	Remove
)

// Walk is one slice of a walk.
type Walk struct {
	Kind WalkKind
	Lane comm.ID
	// Until bounds it: only messages of lower ids.
	Until comm.ID
	// Now is the database's clock, Rest how long after the last thing that happened to a
	// final message its content is kept: what is younger is set aside until then.
	Now   comm.Micros
	Rest  int64 // microseconds
	Limit int
}

// Walked is what a slice did.
type Walked struct {
	Seen, Done int
	Reached    comm.ID       // how far the lane is
	Took       time.Duration // of its transaction, without waiting for its turn
}

// Removed is what a slice of RemoveApp did.
type Removed struct {
	Rows int
	Gone bool
	Took time.Duration
}

// Erased is what a slice of Erase did.
type Erased struct {
	Looked int // ids from the first on; at least one of any
	Done   int
	Took   time.Duration // of its transaction, without waiting for its turn
}

// Erasing is by whom and how messages are erased.
type Erasing struct {
	Actor string
	Mask  string // what is shown as the recipient
	// Told answers the body of a delivery without the person; holds is false when it has nothing of the person, and without nil when there
	// is no other. Rewrite asks it of the deliveries of each message, in its transaction.
	Told func(body []byte) (without []byte, holds bool)
	// Settle is how long a delivery that Told has changed waits: a call with the body from before has ended then, and is recorded.
	Settle time.Duration
}

// Mention is where to look for a text in contents.
type Mention struct {
	Lane, App comm.ID
	After     comm.ID
	Text      string // lower case, as it stands in JSON
	Limit     int
	Bytes     int64
}

// Mentioned is a message whose content holds the text.
type Mentioned struct {
	App, ID   comm.ID
	Sequence  int
	Recipient string
	Payload   []byte
	CreatedAt comm.Micros // by the database's clock, which the id's time may be ahead of
}

// Rewriting is a content to be put in the place of another.
type Rewriting struct {
	App, ID  comm.ID
	Sequence int // as it was read
	Payload  []byte
	// Drop and Add are terms that go and come.
	Drop, Add []Term
	KeyHash   []byte // of the idempotency key, where the new content does not name it any more; else nil
}

// Task is what is shown of a task.
type Task struct {
	Name                  string
	StartedAt, FinishedAt comm.Micros
	Reached               comm.Micros // messages created before are done, but for what was set aside
	Done                  int         // of the last run
	Total                 int         // of all
	Busy                  int64       // microseconds of transactions, in the last run
	Failed                string      // why the last run ended early; "" when it did not
}

// ErasureStage says how far an erasure is. Values are stored: never renumber.
type ErasureStage uint8

// The stages, in their order.
const (
	ErasureMarked   ErasureStage = iota + 1 // stored, with the opt-out's hash
	ErasureMessages                         // messages to the address
	ErasureMentions                         // other contents that name it
	ErasureSettling                         // once more, for what was on its way
	ErasureDone
)

// Erasure is a person to be forgotten, as a job that outlives processes.
type Erasure struct {
	App, ID     comm.ID // App zero: in every app
	Channel     comm.Channel
	Sealed      *seal.Sealed // the address; nil once it is done
	Actor       string       // a word of comm.ActorKinds
	Stage       ErasureStage
	Lane, Place comm.ID // of the stage
	Erased      int     // messages to the address
	Cancelled   int     // of them, that had not ended
	Masked      int     // contents of other messages in which the address was masked
	Waiting     int     // messages whose call is under way
	CreatedAt   comm.Micros
	UpdatedAt   comm.Micros
	FinishedAt  comm.Micros // 0 = not yet
}

// Persons is erasures, and the opt-outs of persons who were erased.
type Persons interface {
	// CreateErasure stores a job and its entry in the audit log.
	CreateErasure(ctx context.Context, e *Erasure) error
	// Erasure reads one of the app (zero: of the server); not_found otherwise.
	Erasure(ctx context.Context, app, id comm.ID) (*Erasure, error)
	// AnyErasure reads one whosever it is; not_found otherwise.
	AnyErasure(ctx context.Context, id comm.ID) (*Erasure, error)
	// OpenErasures pages through those that are not done, oldest first.
	OpenErasures(ctx context.Context, after comm.ID, limit int) ([]Erasure, error)
	// OpenErasuresOf counts the app's (zero: the server's) that are not done, up to most.
	OpenErasuresOf(ctx context.Context, app comm.ID, most int) (int, error)
	// SaveErasure writes how far a job is. With FinishedAt the address goes, and the audit log has an entry.
	SaveErasure(ctx context.Context, e *Erasure) error
	// EraseSuppression keeps the hash of an address that is on the app's list, beside it;
	// DropSuppression takes the address itself off once there is the hash, unless it was put back after
	// an instant. One that was put back before and has no hash any more stays for good.
	EraseSuppression(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte) error
	DropSuppression(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte, before comm.Micros) error
	// ErasedSuppression reads one, without its address; not_found when the app has none.
	ErasedSuppression(ctx context.Context, app comm.ID, ch comm.Channel, hash []byte) (*Suppression, error)
	// HasErased says whether the app has any.
	HasErased(ctx context.Context, app comm.ID) (bool, error)
	// ReturnSuppression puts the address on the app's list for what was kept of it, since when it was kept, or marks
	// the one that is there: put back at that instant.
	ReturnSuppression(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte, at comm.Micros) error
	// UnsuppressErased takes the address off the app's list together with what was kept of it, so that nobody puts it
	// back in between; removed is false when there was neither.
	UnsuppressErased(ctx context.Context, app comm.ID, ch comm.Channel, address string, hash []byte) (removed bool, err error)
	// Returned lists addresses that were put back before an instant, of any app, in the order in which they were.
	Returned(ctx context.Context, before comm.Micros, limit int) ([]Suppression, error)
	// Recipient reads whom a message is to, in the form in which opt-outs are kept, without its content;
	// "" when it was erased, not_found when the app has no such message.
	Recipient(ctx context.Context, app, id comm.ID) (ch comm.Channel, address string, err error)
	// HashKey answers the sealed key of the hashes, which is made if there is none.
	HashKey(ctx context.Context, id comm.ID, made seal.Sealed) (seal.Sealed, error)
}

// ErasedAddresses is the addresses of persons who are being erased.
func ErasedAddresses() SealedColumn {
	return SealedColumn{Table: "erasures", Column: "sealed", App: "app_id", ID: "id", Purpose: "erasure", Field: "address"}
}

// HashKeys is the key of the hashes that stand in the place of erased addresses.
func HashKeys() SealedColumn {
	return SealedColumn{Table: "hash_keys", Column: "secret", App: "app_id", ID: "id", Purpose: "erased-address", Field: "key"}
}
