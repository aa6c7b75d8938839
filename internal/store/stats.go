package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/commserver/commserver/internal/comm"
)

// Stats is what is counted of messages. Every transaction that writes events also
// writes what they count (comm.Counted), so that the counts are exact after any
// end of a process. They are folded behind into one row for each app and minute,
// later hour, later day; the zero app is all apps together.
type Stats interface {
	// Fold moves a bounded part of what transactions counted into rows, and merges
	// a bounded number of rows that have become old. Any number of nodes may call it.
	Fold(ctx context.Context) (Folded, error)
	// Periods lists what is counted of each of these apps from an instant on, in
	// no order, what is not folded yet included: one snapshot for all of them. Rows that
	// begin before from are left out, so from should be the beginning of a period.
	Periods(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]Period, error)
}

// Folded is what a call of Fold did.
type Folded struct {
	Rows int  // written
	More bool // there is more to fold now
}

// Spans of periods, and how long rows of them are kept before they are merged
// into the next, whole hours and days at once.
const (
	Minute = comm.Micros(time.Minute / time.Microsecond)
	Hour   = 60 * Minute
	Day    = 24 * Hour

	KeepMinutes = 2 * Hour
	KeepHours   = 8 * Day
	KeepDays    = 400 * Day
)

// Period is what was counted of an app in a span of time.
type Period struct {
	Start, Span comm.Micros
	Counts      Counts
	Top         Top // of all apps only
}

// CountKey names one figure. Provider is set with the counters of attempts, Bucket
// with those of waits.
type CountKey struct {
	Channel  comm.Channel
	Counter  comm.Counter
	Bucket   uint8
	Provider string
}

// Counts is figures by their names.
type Counts map[CountKey]int64

// Add adds other figures.
func (c Counts) Add(other Counts) {
	for k, n := range other {
		c[k] += n
	}
}

// Encode writes the figures in one form for the same figures.
func (c Counts) Encode() []byte {
	keys := slices.SortedFunc(maps.Keys(c), func(a, b CountKey) int {
		return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Counter, b.Counter), cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Provider, b.Provider))
	})
	out := make([]byte, 0, 8*len(keys))
	for _, k := range keys {
		out = append(out, byte(k.Channel), byte(k.Counter), k.Bucket)
		out = binary.AppendUvarint(out, uint64(len(k.Provider)))
		out = append(out, k.Provider...)
		out = binary.AppendUvarint(out, uint64(c[k]))
	}
	return out
}

var errCounts = errors.New("a row of statistics cannot be read")

// DecodeCounts reads what Encode wrote.
func DecodeCounts(b []byte) (Counts, error) {
	out := make(Counts, len(b)/6)
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, errCounts
		}
		k := CountKey{Channel: comm.Channel(b[0]), Counter: comm.Counter(b[1]), Bucket: b[2]}
		size, n := binary.Uvarint(b[3:])
		b = b[3+max(n, 0):]
		if n <= 0 || size > uint64(len(b)) {
			return nil, errCounts
		}
		k.Provider = string(b[:size])
		b = b[size:]
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errCounts
		}
		b = b[n:]
		out[k] += int64(v)
	}
	return out, nil
}

// TopSize is how many apps a Top keeps.
const TopSize = 256

// Top is which apps accepted most: a summary after Misra and Gries. It is exact
// while there are no more than TopSize apps; of more, whoever has more than one in
// TopSize of all messages is in it, with at least its count less that share.
type Top map[comm.ID]int64

// Add merges another summary into this one.
func (t Top) Add(other Top) {
	for app, n := range other {
		t[app] += n
	}
	if len(t) <= TopSize {
		return
	}
	counts := slices.Sorted(maps.Values(t))
	least := counts[len(counts)-1-TopSize]
	for app, n := range t {
		if n > least {
			t[app] = n - least
		} else {
			delete(t, app)
		}
	}
}

// First lists the first n apps, most first.
func (t Top) First(n int) []comm.ID {
	apps := slices.SortedFunc(maps.Keys(t), func(a, b comm.ID) int { return cmp.Or(cmp.Compare(t[b], t[a]), a.Compare(b)) })
	return apps[:min(n, len(apps))]
}

// Encode writes the summary in one form.
func (t Top) Encode() []byte {
	out := make([]byte, 0, 19*len(t))
	for _, app := range t.First(len(t)) {
		out = binary.AppendUvarint(append(out, app[:]...), uint64(t[app]))
	}
	return out
}

// DecodeTop reads what Encode wrote.
func DecodeTop(b []byte) (Top, error) {
	out := make(Top, len(b)/18)
	for len(b) > 0 {
		var app comm.ID
		if copy(app[:], b) < len(app) {
			return nil, errCounts
		}
		v, n := binary.Uvarint(b[len(app):])
		if n <= 0 {
			return nil, errCounts
		}
		b = b[len(app)+n:]
		out[app] += int64(v)
	}
	return out, nil
}
