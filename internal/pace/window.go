package pace

import "time"

// tenths is how finely a Window forgets.
const tenths = 10

// tally counts the results of one tenth of the window.
type tally struct{ good, bad int32 }

// Window counts how work ended of late. What is older than its span leaves it in tenths. Make it with NewWindow. Not safe for
// concurrent use.
type Window struct {
	tenth  time.Duration
	counts [tenths]tally
	slot   int64 // number of the newest tenth
	origin time.Time
}

// NewWindow returns an empty window of the last span.
func NewWindow(span time.Duration) Window { return Window{tenth: max(span/tenths, 1)} }

// Add counts the end of one piece of work.
func (w *Window) Add(now time.Time, failed bool) {
	w.forget(now)
	if failed {
		w.counts[w.slot%tenths].bad++
	} else {
		w.counts[w.slot%tenths].good++
	}
}

// Sums is how many ended well, and how many failed.
func (w *Window) Sums(now time.Time) (good, bad int) {
	w.forget(now)
	for _, c := range w.counts {
		good += int(c.good)
		bad += int(c.bad)
	}
	return good, bad
}

// Clear forgets everything.
func (w *Window) Clear() { w.counts = [tenths]tally{} }

// forget makes the tenth that now belongs to the newest one. A clock that steps back changes nothing.
func (w *Window) forget(now time.Time) {
	if w.origin.IsZero() {
		w.origin = now
	}
	slot := max(int64(now.Sub(w.origin)/w.tenth), w.slot)
	for gone := w.slot + 1; gone <= min(slot, w.slot+tenths); gone++ {
		w.counts[gone%tenths] = tally{}
	}
	w.slot = slot
}
