package sqlstore

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// RefSize is how many bytes one event takes in a row of the outbox: app, message and sequence.
// The statements of PostgreSQL write the same.
const RefSize = 16 + 16 + 4

// AppendRef adds an event to a row of the outbox.
func AppendRef(b []byte, app, message comm.ID, sequence int) []byte {
	return binary.BigEndian.AppendUint32(append(append(b, app[:]...), message[:]...), uint32(sequence))
}

var errRefs = errors.New("a row of the outbox cannot be read")

// EachRef calls fn for every event of a row of the outbox, which lists one at least. Of a row that cannot be read it tells nothing.
func EachRef(items []byte, fn func(r store.EventRef)) error {
	if len(items) == 0 || len(items)%RefSize != 0 {
		return errRefs
	}
	for ; len(items) > 0; items = items[RefSize:] {
		var r store.EventRef
		copy(r.App[:], items)
		copy(r.Message[:], items[16:])
		r.Sequence = int(binary.BigEndian.Uint32(items[32:]))
		fn(r)
	}
	return nil
}

// placeSize is what one event takes in a row of the feed: message and sequence.
const placeSize = 16 + 4

// AppendPlace adds an event to a row of the feed.
func AppendPlace(b []byte, message comm.ID, sequence int) []byte {
	return binary.BigEndian.AppendUint32(append(b, message[:]...), uint32(sequence))
}

// gap is a row of the feed whose positions up to its own were left out (goOnBehind). It is no number of events.
const gap = "restored"

// Places reads a row of the feed whose last event has this position. One that cannot be read keeps nobody from what is behind it.
func Places(app comm.ID, last int64, items []byte) []store.Place {
	if string(items) == gap {
		return []store.Place{{EventRef: store.EventRef{App: app}, Position: last, Gap: true}}
	}
	n := len(items) / placeSize
	if n == 0 || len(items)%placeSize != 0 {
		return []store.Place{{EventRef: store.EventRef{App: app}, Position: last}}
	}
	out := make([]store.Place, n)
	for i := range out {
		p := &out[i]
		p.App, p.Position = app, last-int64(n-1-i)
		copy(p.Message[:], items[i*placeSize:])
		p.Sequence = int(binary.BigEndian.Uint32(items[i*placeSize+16:]))
	}
	return out
}

// HomeOf is the shard under which an app's events are stamped, however its messages are spread.
func HomeOf(app comm.ID) comm.Shard { return comm.ShardOf(app, comm.ID{}, 1) }

// tell lists events of one app that shared SQL has written in the outbox.
func (c *Cold) tell(ctx context.Context, q Querier, app comm.ID, at int64, items []byte) error {
	if len(items) == 0 {
		return nil
	}
	args := []any{at, items}
	if !c.d.OneLane {
		args = append(args, int64(HomeOf(app)))
	}
	_, err := q.ExecContext(ctx, c.d.Outbox, args...)
	return err
}

// Behind adds the places behind a position to others.
func Behind(to, some []store.Place, after int64) []store.Place {
	for _, p := range some {
		if p.Position > after {
			to = append(to, p)
		}
	}
	return to
}

// NewestFirst are the events of a row of the feed from its end on, without what is none.
func NewestFirst(row []store.Place) []store.EventRef {
	out := make([]store.EventRef, 0, len(row))
	for _, p := range slices.Backward(row) {
		if !p.Gap && !p.Message.IsZero() {
			out = append(out, p.EventRef)
		}
	}
	return out
}
