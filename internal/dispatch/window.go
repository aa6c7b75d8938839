package dispatch

import (
	"slices"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// windowSize is how many heads of one unit are kept in memory at most.
const windowSize = 1000

// window is the bounded view of a unit's queue: its next heads in order, and how
// far the queue has been read. The invariant: every row at or before cursor that
// could be seen when it was read is in heads, in flight, or done. Rows that
// appear behind the cursor later are brought by pushes, wakes and the safety poll.
type window struct {
	heads  []store.Head // heads[at:] wait, sorted
	at     int
	cursor store.Head
	more   bool // rows after the cursor may exist
	behind bool // rows between the cursor and the last head may be missing: read now, however full the window is
}

func (w *window) len() int          { return len(w.heads) - w.at }
func (w *window) front() store.Head { return w.heads[w.at] }

func (w *window) pop() store.Head {
	h := w.heads[w.at]
	w.at++
	switch {
	case w.at == len(w.heads):
		if cap(w.heads) > 16 {
			w.heads = nil
		} else {
			w.heads = w.heads[:0]
		}
		w.at = 0
	case w.at >= 256 && w.at > len(w.heads)/2:
		w.heads = w.heads[:copy(w.heads, w.heads[w.at:])]
		w.at = 0
	}
	return h
}

// insert adds a head that is known to exist and answers by how many heads the window grew.
func (w *window) insert(h store.Head) int {
	n := w.len()
	switch {
	case w.more && w.cursor.Before(h):
		return 0 // the next read brings it, in order
	case n == 0 || w.heads[len(w.heads)-1].Before(h):
		w.heads = append(w.heads, h)
	default:
		i, found := slices.BinarySearchFunc(w.heads[w.at:], h, compareHeads)
		if found {
			return 0
		}
		w.heads = slices.Insert(w.heads, w.at+i, h)
	}
	if w.cursor.Before(h) {
		w.cursor = h
	}
	w.trim()
	return w.len() - n
}

// remove drops a head, if it is there, and answers by how many heads the window shrank.
func (w *window) remove(h store.Head) int {
	i, found := slices.BinarySearchFunc(w.heads[w.at:], h, compareHeads)
	if !found {
		return 0
	}
	if i == 0 {
		w.pop()
	} else {
		w.heads = slices.Delete(w.heads, w.at+i, w.at+i+1)
	}
	return 1
}

// merge adds rows read after the cursor (in order; known ones are skipped).
// full says that the read was cut by its limit; moved that the cursor was
// rewound meanwhile, so that it must not go forward.
func (w *window) merge(rows []store.Head, full, moved bool, known func(store.Head) bool) int {
	n := w.len()
	fresh := make([]store.Head, 0, len(rows))
	for _, h := range rows {
		if !known(h) {
			fresh = append(fresh, h)
		}
	}
	w.join(fresh)
	if !moved {
		w.more, w.behind = full, false
		if k := len(rows); k > 0 && (full || w.cursor.Before(rows[k-1])) {
			w.cursor = rows[k-1]
		}
		if w.len() > 0 {
			last := w.heads[len(w.heads)-1]
			if !full && w.cursor.Before(last) {
				w.cursor = last
			}
			w.behind = full && w.cursor.Before(last)
		}
	}
	w.trim()
	return w.len() - n
}

func (w *window) join(fresh []store.Head) {
	switch {
	case len(fresh) == 0:
	case w.len() == 0:
		w.heads, w.at = fresh, 0
	case w.heads[len(w.heads)-1].Before(fresh[0]):
		w.heads = append(w.heads, fresh...)
	default:
		all := append(slices.Clone(w.heads[w.at:]), fresh...)
		slices.SortFunc(all, compareHeads)
		w.heads, w.at = slices.CompactFunc(all, func(a, b store.Head) bool { return compareHeads(a, b) == 0 }), 0
	}
}

// rewind makes the next read begin at due.
func (w *window) rewind(due comm.Micros) {
	to := store.Head{Due: due - 1, ID: lastID}
	w.more = true
	if to.Before(w.cursor) {
		w.cursor = to
		w.behind = w.len() > 0
	}
}

// trim cuts the window to its size; what is cut will be read again.
func (w *window) trim() {
	if w.len() <= windowSize {
		return
	}
	w.heads = w.heads[:w.at+windowSize]
	if last := w.heads[len(w.heads)-1]; last.Before(w.cursor) {
		w.cursor = last
	}
	w.more = true
}

func compareHeads(a, b store.Head) int {
	switch {
	case a.Before(b):
		return -1
	case b.Before(a):
		return 1
	}
	return 0
}

// lastID orders after every id.
var lastID = comm.ID{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255}
