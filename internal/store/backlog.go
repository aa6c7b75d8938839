package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// Everywhere is reading messages and suppressions across apps, for the
// administrator alone. Nothing of a deleted app exists.
type Everywhere interface {
	// AppOf answers which app a message belongs to; not_found without it. It may be a deleted one.
	AppOf(ctx context.Context, message comm.ID) (comm.ID, error)
	// AllMessages reads a page of all apps' messages, newest first, without events and
	// bodies. What it looks at is bounded as in Search. Terms are refused: they are
	// an app's. With a Recipient it steps through the apps that wrote to it, at
	// most AllApps of them: too_many_apps if there are more.
	AllMessages(ctx context.Context, f Filter) (Found, error)
	// SuppressedBy lists which apps have an address on their list, in the order of channel
	// and app; channel 0 is any. Of after Channel and App count: only what comes behind it.
	SuppressedBy(ctx context.Context, address string, ch comm.Channel, after *Suppression, limit int) ([]Suppression, error)
}

// AllApps is how many apps a search by recipient steps through.
const AllApps = 10_000

// Backlog is looking at what waits, and clearing it, for the administrator. It takes no
// part in sending: whatever it answers may have changed meanwhile.
type Backlog interface {
	// UnitsAfter lists the next units that have queue rows, in the order of shard, app,
	// channel and lane, behind one of them: one seek for each.
	UnitsAfter(ctx context.Context, after comm.Unit, limit int) ([]comm.Unit, error)
	// UnitsOf lists an app's units in these shards that have queue rows, by shard, channel and lane: one question however many shards.
	UnitsOf(ctx context.Context, app comm.ID, shards []comm.Shard) ([]comm.Unit, error)
	// Depths counts the queue rows of units at the instant now, in order: of each at most so many as most says for it of those that are
	// due, and as many of those that are not. What it costs follows the rows counted.
	Depths(ctx context.Context, units []comm.Unit, now comm.Micros, most []int) ([]Depth, error)
	// QueueRows counts the rows of the whole queue, at most most.
	QueueRows(ctx context.Context, most int) (int, error)
	// LaneDepths counts the rows of the whole queue by channel and lane at the instant now, at most most of all; more says that there are
	// others. What it costs follows the rows counted: some 100 ms for a million.
	LaneDepths(ctx context.Context, now comm.Micros, most int) (depths []LaneDepth, more bool, err error)
	// UnitDepths counts the rows of the whole queue by unit in the same way, and costs more: 1 to 2 µs for each.
	UnitDepths(ctx context.Context, now comm.Micros, most int) (depths []UnitDepth, more bool, err error)
	// UnderWay lists the attempts under way, of all apps, in no order.
	UnderWay(ctx context.Context) ([]UnderWay, error)
	// CancelQueued applies comm.CancelVerdict to those messages of a unit that are
	// QUEUED, were created until the instant given and were not asked for again (RETRY) since;
	// others stay as they are. One short transaction: it may end early, and answers how many of the heads it looked at.
	CancelQueued(ctx context.Context, u comm.Unit, heads []Head, until comm.Micros, actor string) (CancelledSlice, error)
	// EndDoubtful is CancelQueued for those, whenever they were created, of which an attempt of this generation may
	// have been sent: they are FAILED outcome_unknown then. policy leaves those alone whose policy for unknown outcomes is RETRY.
	EndDoubtful(ctx context.Context, u comm.Unit, heads []Head, policy bool, actor string) (CancelledSlice, error)
}

// Depth is how much of a unit waits.
type Depth struct {
	Unit  comm.Unit
	Due   int   // rows that are due, those of attempts under way too
	Later int   // rows that are not due yet
	Bytes int64 // of the rows counted
	More  bool  // there are rows that were not counted
	// OldestDue is since when the first of those that are due is, those of attempts under way too; 0 when none is.
	OldestDue comm.Micros
	// Next is the first message that will be due, whatever is already: of it Due, ScheduledAt,
	// ExpiresAt and Attempts are filled in.
	Next comm.State
	Hold Hold // Reason is "" when there is none
}

// LaneDepth is what waits of all apps in a channel and a lane.
type LaneDepth struct {
	Channel comm.Channel
	Lane    comm.Lane
	Due     int // rows that are due, those of attempts under way too
	Later   int // rows that are not due yet
}

// UnitDepth is what waits of a unit.
type UnitDepth struct {
	Unit  comm.Unit
	Due   int // rows that are due, those of attempts under way too
	Later int // rows that are not due yet
}

// Counted is how many rows depths count together.
func Counted(all []LaneDepth) (n int) {
	for i := range all {
		n += all[i].Due + all[i].Later
	}
	return n
}

// UnderWay is an attempt under way.
type UnderWay struct {
	Unit       comm.Unit
	ID         comm.ID
	Provider   string
	ProviderID comm.ID
}

// CancelledSlice is what CancelQueued did.
type CancelledSlice struct {
	Looked    int // heads from the first on; at least one of any
	Cancelled int // CANCELLED now
	Uncertain int // FAILED outcome_unknown now: an earlier attempt may have been sent
}

// Add counts the end of one message.
func (s *CancelledSlice) Add(result comm.CancelResult) {
	switch result {
	case comm.CancelDone:
		s.Cancelled++
	case comm.CancelMaybe:
		s.Uncertain++
	case comm.CancelAgain, comm.CancelFlight, comm.CancelTooLate: // not of QUEUED ones
	}
}
