package shardsim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
)

// Times of the model, in microseconds. They keep the proportions of the product.
const (
	ms, second = int64(1000), int64(1_000_000)

	lease     = 10 * second
	margin    = 2 * second
	beat      = 2 * second
	tick      = 500 * ms
	pollEvery = second
	horizon   = 30 * second
	fullEvery = 20 * second
	drainMax  = 2 * second
	termMax   = 25 * second

	shardCount = 8
	unitCount  = 16
	windowSize = 8
	maxFlights = 64
)

type event struct {
	at  int64
	seq int
	f   func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// world is one run: the clock, the random source, the database, the processes
// and what the checker has seen.
type world struct {
	v     Variant
	plan  plan
	rng   *rand.Rand
	now   int64
	seq   int
	queue events
	db    *database
	slots []*node // the process running on each machine, nil while down
	procs int
	log   []string
	keep  bool // keep the timeline
	check checker
	heal  bool // faults are over
}

func (w *world) after(d int64, f func()) {
	w.seq++
	heap.Push(&w.queue, event{w.now + max(d, 0), w.seq, f})
}

// span draws a duration evenly from [lo, hi].
func (w *world) span(lo, hi int64) int64 { return lo + w.rng.Int64N(hi-lo+1) }

func (w *world) chance(p float64) bool { return !w.heal && w.rng.Float64() < p }

func (w *world) notef(format string, args ...any) {
	if w.keep {
		w.log = append(w.log, fmt.Sprintf("%10.3f ", float64(w.now)/1e6)+fmt.Sprintf(format, args...))
	}
}

func (w *world) run(until int64) {
	for len(w.queue) > 0 && w.queue[0].at <= until {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.f()
	}
	w.now = until
}

// send carries a transaction of a process to the database. The process hears
// after a second at the latest; by then the transaction may have committed, may
// never have arrived, or may still be waiting to run.
func (w *world) send(t *tx) {
	n := t.node
	open := true
	reply := t.answer
	t.answer = func(ok bool) {
		if open {
			open = false
			reply(ok)
		}
	}
	late := int64(0)
	switch {
	case n.cut, w.chance(w.plan.lostRequest):
		n.post(second, func() { t.answer(false) })
		return
	case w.chance(w.plan.lateRequest):
		late = w.span(0, 2500*ms)
	}
	if w.chance(w.plan.slowCommit) {
		t.slow = w.span(0, 1500*ms)
	}
	n.post(second+late/3, func() { t.answer(false) })
	w.after(w.span(100, 800)+late, func() { w.db.arrive(t) })
}

func (w *world) reply(t *tx) {
	if t.node.cut || w.chance(w.plan.lostAnswer) {
		return
	}
	t.node.post(w.span(100, 800), func() { t.answer(true) })
}

// holdOpen leaves a transaction open until its client asks for the commit. A
// killed client's transaction is rolled back by its closed connection.
func (w *world) holdOpen(t *tx) {
	n := t.node
	n.open = append(n.open, t)
	n.post(w.span(200, 2000), func() { w.after(w.span(200, 5000), func() { w.db.commit(t) }) })
}

// node is one process. What it schedules is dropped when it is killed and put
// off while it is stopped, as goroutines are: in any order afterwards.
type node struct {
	w       *world
	slot    int
	id      string
	alive   bool
	stopped bool
	cut     bool // no way to the database
	deaf    bool // heartbeats get lost
	skew    int64
	pending []func()
	open    []*tx

	gap        int // raised when the lease may have lapsed in between
	beatBegan  int64
	leasedFrom int64 // since when the lease has held without a gap
	shards     [shardCount]*owned
	calls      int
	member     bool // a membership step is under way
	leaving    int64
	turns      int
	todo       []*flight // results waiting for a turn
}

func (n *node) post(d int64, f func()) {
	n.w.after(d, func() {
		switch {
		case !n.alive:
		case n.stopped:
			n.pending = append(n.pending, f)
		default:
			f()
		}
	})
}

func (n *node) stop() { n.stopped = true }

func (n *node) resume() {
	n.stopped = false
	fs := n.pending
	n.pending = nil
	n.w.rng.Shuffle(len(fs), func(i, j int) { fs[i], fs[j] = fs[j], fs[i] })
	for _, f := range fs {
		n.post(n.w.span(0, 20*ms), f)
	}
}

func (n *node) kill() {
	n.alive = false
	if n.w.slots[n.slot] == n {
		n.w.slots[n.slot] = nil
	}
	for _, t := range n.open {
		n.w.db.rollback(t)
	}
}

// every runs f now and then every d while the process lives.
func (n *node) every(d int64, f func()) {
	f()
	n.post(d, func() { n.every(d, f) })
}

func (w *world) boot(slot int) *node {
	w.procs++
	n := &node{w: w, slot: slot, alive: true, id: fmt.Sprintf("n%d.%d", slot+1, w.procs), skew: w.plan.skew[slot]}
	if w.v.AdoptByName {
		n.id = fmt.Sprintf("n%d", slot+1)
	}
	w.slots[slot] = n
	w.notef("%s starts", n.id)
	n.every(beat, n.heartbeat)
	n.post(50*ms, func() { n.every(tick, n.membership) })
	n.post(w.span(0, 300*ms), func() { n.every(pollEvery, n.poll) })
	n.post(w.span(0, 20*ms), func() { n.every(20*ms, n.pump) })
	return n
}
