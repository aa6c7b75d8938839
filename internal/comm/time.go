package comm

import "time"

// Micros is an instant in integer microseconds since the Unix epoch, UTC, the
// only form in which a time crosses a border (store, engine, event). Zero means
// "not set".
type Micros int64

// At converts an instant; the zero time becomes "not set".
func At(t time.Time) Micros {
	if t.IsZero() {
		return 0
	}
	return Micros(t.UnixMicro())
}

// Time converts back; "not set" becomes the zero time.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// day is a UTC day; there are no leap seconds in Unix time.
const day = Micros(24 * time.Hour / time.Microsecond)

// Day is the number of the instant's UTC day, counted from 1970-01-01 as day 0.
func (m Micros) Day() int64 { return int64(m / day) }

// NextDay is the instant at which the next UTC day begins.
func (m Micros) NextDay() Micros { return (m/day + 1) * day }

// Millis is the instant in whole milliseconds, rounded down.
func (m Micros) Millis() int64 {
	if m < 0 {
		return (int64(m) - 999) / 1000
	}
	return int64(m) / 1000
}

// Add moves the instant by d, to the microsecond.
func (m Micros) Add(d time.Duration) Micros { return m + Micros(d.Microseconds()) }

// Sub is the time from other to m.
func (m Micros) Sub(other Micros) time.Duration { return time.Duration(m-other) * time.Microsecond }

// millisLayout is ISO 8601 in UTC with milliseconds, as in every answer.
const millisLayout = "2006-01-02T15:04:05.000Z"

// String is ISO 8601 in UTC with milliseconds, or "" when not set.
func (m Micros) String() string {
	if m == 0 {
		return ""
	}
	return m.Time().Format(millisLayout)
}
