package sqlstore

import (
	"math"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// Ids carry the instant at which a node minted them by its own clock, before the
// submission waited for its transaction; messages are created at the database's
// clock in that transaction. So an id's time is usually a little before its
// message's, by a busy minute at most, and after it only by as much as the
// node's clock is ahead of the database's: that is up to the store. Both are part
// of comm.IDSlack.
const idsBehind = comm.IDSlack / 2

// Span is what a filter's times and cursor admit. The ids are a range that certainly
// holds every such message; the created_at of each decides.
type Span struct {
	Low, High comm.ID     // from Low (inclusive) to High (exclusive)
	From, To  comm.Micros // created from From (inclusive) to To (exclusive)
	// Timed says that From and To narrow the list.
	Timed bool
}

// SpanOf is the span of a filter; ahead is how far an id's time may lie after its
// message's. What was created within it after f.CreatedBefore is read and left out.
// Times are compared as messages show them, in whole milliseconds.
func SpanOf(f store.Filter, ahead time.Duration) Span {
	s := Span{To: math.MaxInt64, Timed: f.CreatedAfter != 0 || f.CreatedBefore != 0}
	for i := range s.High {
		s.High[i] = 0xFF
	}
	if f.CreatedAfter != 0 {
		s.From = comm.Micros((f.CreatedAfter.Millis() + 1) * 1000)
		s.Low = comm.FirstID(s.From.Add(-idsBehind))
	}
	if f.CreatedBefore != 0 {
		s.To = comm.Micros(((f.CreatedBefore - 1).Millis() + 1) * 1000)
		s.High = comm.FirstID(s.To.Add(ahead))
	}
	if !f.Before.IsZero() && f.Before.Compare(s.High) < 0 {
		s.High = f.Before
	}
	return s
}
