package dispatch

import (
	"container/heap"
	"slices"
)

// fifo is a queue whose memory follows its length.
type fifo[T any] struct {
	items []T
	at    int
}

func (q *fifo[T]) len() int { return len(q.items) - q.at }

func (q *fifo[T]) push(v T) { q.items = append(q.items, v) }

// pushFirst puts v before all others.
func (q *fifo[T]) pushFirst(v T) {
	if q.at > 0 {
		q.at--
		q.items[q.at] = v
		return
	}
	q.items = slices.Insert(q.items, 0, v)
}

func (q *fifo[T]) front() T { return q.items[q.at] }

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.at]
	q.items[q.at] = zero
	q.at++
	switch {
	case q.at == len(q.items):
		q.at = 0
		if cap(q.items) > 64 {
			q.items = nil
		} else {
			q.items = q.items[:0]
		}
	case q.at >= 1024 && q.at > len(q.items)/2:
		n := copy(q.items, q.items[q.at:])
		clear(q.items[n:])
		q.items, q.at = q.items[:n], 0
	}
	return v
}

// alarm is a place in an agenda: a unit or an account that something is due for.
type alarm struct {
	at      int64
	pos     int // 1 + index in the heap; 0 = not in it
	unit    *unit
	account *account
}

// agenda orders alarms by time. Two exist: one in the database's clock, for due
// times, one in the node's, for everything else.
type agenda struct{ items []*alarm }

func (g *agenda) Len() int           { return len(g.items) }
func (g *agenda) Less(i, j int) bool { return g.items[i].at < g.items[j].at }
func (g *agenda) Swap(i, j int) {
	g.items[i], g.items[j] = g.items[j], g.items[i]
	g.items[i].pos, g.items[j].pos = i+1, j+1
}

// Push is heap.Interface.
func (g *agenda) Push(v any) {
	a := v.(*alarm)
	g.items = append(g.items, a)
	a.pos = len(g.items)
}

// Pop is heap.Interface.
func (g *agenda) Pop() any {
	n := len(g.items) - 1
	a := g.items[n]
	g.items[n] = nil
	g.items = g.items[:n]
	a.pos = 0
	return a
}

// set places or moves an alarm.
func (g *agenda) set(a *alarm, at int64) {
	a.at = at
	if a.pos > 0 {
		heap.Fix(g, a.pos-1)
		return
	}
	heap.Push(g, a)
}

func (g *agenda) drop(a *alarm) {
	if a.pos > 0 {
		heap.Remove(g, a.pos-1)
	}
}

// due pops the next alarm whose time has come.
func (g *agenda) due(now int64) *alarm {
	if len(g.items) == 0 || g.items[0].at > now {
		return nil
	}
	return heap.Pop(g).(*alarm)
}

// next is the time of the first alarm.
func (g *agenda) next() (int64, bool) {
	if len(g.items) == 0 {
		return 0, false
	}
	return g.items[0].at, true
}
