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
	// a bounded number of rows that have become old. Any number of nodes may call it. What transactions
	// counted and cannot be read is set aside: it stays in the database, and nothing else looks at it again.
	Fold(ctx context.Context) (Folded, error)
	// Periods lists what is counted of each of these apps from an instant on, in
	// no order, what is not folded yet included, which may be in periods of its own beside the
	// same ones: one snapshot for all of them. Rows that begin before from are left
	// out, so from should be the beginning of a period.
	Periods(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]Period, error)
	// Shares is Periods with the figures of messages alone, for EachMessageFigure: they are a
	// small part of full rows.
	Shares(ctx context.Context, apps []comm.ID, from comm.Micros) ([][]Period, error)
}

// Folded is what a call of Fold did.
type Folded struct {
	Rows  int           // written
	Aside int           // rows that were set aside
	More  bool          // there is more to fold now
	Took  time.Duration // how long others had to wait for it, where they do
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

// Period is what was counted of an app in a span of time, as it is stored: a report
// reads thousands of them, and only their figures.
type Period struct {
	Start, Span comm.Micros
	Counts      []byte // for EachFigure
	Top         []byte // for Top.Decode; of all apps only
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

// Encode writes the figures in one form for the same figures: those of messages first.
func (c Counts) Encode() []byte {
	keys := slices.SortedFunc(maps.Keys(c), func(a, b CountKey) int {
		return cmp.Or(cmp.Compare(a.Counter, b.Counter), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Provider, b.Provider))
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

// Figure is one of Counts. Provider is part of what it was read from.
type Figure struct {
	Channel  comm.Channel
	Counter  comm.Counter
	Bucket   uint8
	Provider []byte
	N        int64
}

// MessageBytes is what the figures of messages take at most of what Encode writes.
func MessageBytes() int {
	const one = 3 + 1 + binary.MaxVarintLen64 // no provider
	return int(comm.CountCancelled) * len(comm.Channels()) * one
}

// EachMessageFigure calls fn for every figure of messages in the first MessageBytes of what Encode wrote.
func EachMessageFigure(b []byte, fn func(f Figure)) error {
	for len(b) >= 2 && comm.Counter(b[1]) <= comm.CountCancelled {
		f, rest, err := nextFigure(b)
		if err != nil {
			return err
		}
		b = rest
		fn(f)
	}
	return nil
}

// EachFigure calls fn for every figure that Encode wrote.
func EachFigure(b []byte, fn func(f Figure)) error {
	for len(b) > 0 {
		f, rest, err := nextFigure(b)
		if err != nil {
			return err
		}
		b = rest
		fn(f)
	}
	return nil
}

func nextFigure(b []byte) (f Figure, rest []byte, err error) {
	if len(b) < 4 {
		return f, nil, errCounts
	}
	f = Figure{Channel: comm.Channel(b[0]), Counter: comm.Counter(b[1]), Bucket: b[2]}
	size, n := binary.Uvarint(b[3:])
	b = b[3+max(n, 0):]
	if n <= 0 || size > uint64(len(b)) {
		return f, nil, errCounts
	}
	f.Provider = b[:size]
	b = b[size:]
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, errCounts
	}
	f.N = int64(v)
	return f, b[n:], nil
}

// DecodeCounts reads what Encode wrote.
func DecodeCounts(b []byte) (Counts, error) {
	out := make(Counts, len(b)/6)
	err := EachFigure(b, func(f Figure) {
		out[CountKey{f.Channel, f.Counter, f.Bucket, string(f.Provider)}] += f.N
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TopSize is how many apps a Top keeps when it is stored.
const TopSize = 128

// Top is which apps accepted most: a summary after Misra and Gries. It is exact
// while there are no more than TopSize apps; of more, whoever has more than one in
// TopSize of all messages is in it, with at least its count less that share. Any
// number of them is added up first and reduced then, which is less work than to reduce
// each time, and takes less away.
type Top map[comm.ID]int64

// Reduce leaves the TopSize apps that have most.
func (t Top) Reduce() {
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

// Encode writes the summary, which it reduces, in one form: by app, so that a TopSum meets those of most rows in the same order.
func (t Top) Encode() []byte {
	t.Reduce()
	out := make([]byte, 0, 19*len(t))
	for _, app := range slices.SortedFunc(maps.Keys(t), comm.ID.Compare) {
		out = binary.AppendUvarint(append(out, app[:]...), uint64(t[app]))
	}
	return out
}

// Decode adds what Encode wrote.
func (t Top) Decode(b []byte) error {
	return eachTop(b, func(app comm.ID, n int64) { t[app] += n })
}

func eachTop(b []byte, fn func(app comm.ID, n int64)) error {
	for len(b) > 0 {
		var app comm.ID
		if copy(app[:], b) < len(app) {
			return errCounts
		}
		v, n := binary.Uvarint(b[len(app):])
		if n <= 0 {
			return errCounts
		}
		b = b[len(app)+n:]
		fn(app, int64(v))
	}
	return nil
}

// TopSum adds up the summaries of many rows, which mostly name the same apps: each is looked for where
// the row before had it, in a fraction of the time that a Top takes. The zero value is empty.
type TopSum struct {
	apps   []comm.ID
	counts []int64
	places map[comm.ID]int
}

// Add adds what Encode wrote, as far as it can be read.
func (s *TopSum) Add(b []byte) {
	next := 0
	_ = eachTop(b, func(app comm.ID, n int64) {
		if next >= len(s.apps) || s.apps[next] != app {
			next = s.place(app)
		}
		s.counts[next] += n
		next++
	})
	if len(s.apps) > topMost {
		t := s.Top()
		*s = TopSum{}
		s.Add(t.Encode())
	}
}

// topMost bounds the memory of a sum.
const topMost = 16 * TopSize

func (s *TopSum) place(app comm.ID) int {
	at, there := s.places[app]
	if !there {
		if s.places == nil {
			s.places = map[comm.ID]int{}
		}
		at = len(s.apps)
		s.places[app], s.apps, s.counts = at, append(s.apps, app), append(s.counts, 0)
	}
	return at
}

// Top is the sum, of more apps than one that is stored.
func (s *TopSum) Top() Top {
	t := make(Top, len(s.apps))
	for i, app := range s.apps {
		t[app] = s.counts[i]
	}
	return t
}
