package store

import (
	"context"

	"github.com/commserver/commserver/internal/comm"
)

// Lately is what happens now, for who looks on. It is no order to rely on, as Feed is: who looks may be told that more
// happened than is shown.
type Lately interface {
	// Newest reads rows of the feed, of all apps or (not zero) of one, that looks before it have not seen: the newest first, at most so many; each has the
	// events of one app that were stamped together. seen is the Seen of the look before, of the same app or of all; zero: everything. What it costs follows
	// limit. A database that was set back is read as if nothing had been seen.
	Newest(ctx context.Context, app comm.ID, seen Seen, limit int) (Newest, error)
	// Glimpses reads events, in no order and without To; what is gone is left out.
	Glimpses(ctx context.Context, events []EventRef) ([]Glimpse, error)
	// Recipients answers, by the messages' ids, whom they are to; of an erased one the mask. Contents are not read.
	Recipients(ctx context.Context, messages []EventRef) (map[comm.ID]string, error)
}

// Newest is what Lately.Newest found.
type Newest struct {
	Events []EventRef // the newest first
	Seen   Seen
	More   bool // there may be rows that were not read
}

// Glimpse is an event with what a line about it says of its message.
type Glimpse struct {
	comm.Event
	Channel comm.Channel
	Mode    comm.Mode
	To      string
}
