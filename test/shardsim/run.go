package shardsim

import (
	"math/rand/v2"
	"strings"
)

// plan is what a seed decides before the run: size, fault rates, workload.
type plan struct {
	nodes                                int
	skew                                 [4]int64
	calm                                 bool
	lostRequest, lateRequest, lostAnswer float64
	slowCommit, slowAccept, lostNotify   float64
	transient, noAnswer, hang            float64
	stopAtStart, stopAtTake              float64 // chance of a stop at the worst moment
	hotUnits, messages                   int
	faults                               int
	clockJumps, lapses                   bool // lapses: faults only stop processes and heartbeats
}

// Report is what a run shows.
type Report struct {
	Seed       uint64
	Violations []string
	Timeline   string // empty unless asked for
	Accepted   int
	Starts     int
	Copies     int
	Extra      int // copies beyond the first of each message
	Unknown    int // attempts of unknown outcome
	LateCalls  int // calls begun after their attempt was recovered
	Takeovers  int
	DeadSteps  int // dead queue rows stepped over by window reads
	DeadPolled int // the same by safety polls
	Reads      int
}

const faultsEnd, drained = 60 * second, 150 * second

func newPlan(r *rand.Rand) plan {
	p := plan{nodes: 1 + r.IntN(4), messages: 120 + r.IntN(120), hotUnits: unitCount, slowAccept: 0.3, transient: 0.05}
	for i := range p.skew {
		p.skew[i] = r.Int64N(120*second) - 60*second
	}
	if p.calm = r.IntN(4) == 0; p.calm {
		p.nodes, p.hotUnits, p.messages = 2+r.IntN(2), 3, 500
		return p
	}
	p.faults = 2 + r.IntN(12)
	p.lostNotify = []float64{0, 0.2, 1}[r.IntN(3)]
	p.noAnswer, p.hang = 0.04, 0.03
	if r.IntN(2) == 0 {
		p.hang, p.transient = 0.5, 0.3
	}
	p.stopAtStart, p.stopAtTake = 0.004, []float64{0, 0.1}[r.IntN(2)]
	if r.IntN(2) == 0 {
		p.lostRequest, p.lateRequest, p.lostAnswer, p.slowCommit = 0.01, 0.02, 0.02, 0.03
	}
	if p.clockJumps = r.IntN(5) == 0; r.IntN(2) == 0 {
		p.clash()
	}
	return p
}

// clash makes calls and commits slow and leases lapse often, so that old and
// new owners of a shard are busy with the same messages.
func (p *plan) clash() {
	p.nodes, p.hotUnits, p.faults, p.lapses = max(p.nodes, 2), 4, 20, true
	p.hang, p.transient, p.slowCommit = 0.6, 0.4, 0.3
	p.stopAtStart = 0.02
}

func newWorld(seed uint64, v Variant, keep bool) *world {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	w := &world{v: v, rng: r, plan: newPlan(r), keep: keep}
	w.db = &database{w: w, leases: map[string]int64{}, leaving: map[string]bool{}, shards: make([]shardRow, shardCount), offset: 1_000_000 * second}
	for i := range w.db.shards {
		w.db.shards[i].share = map[*tx]bool{}
	}
	w.slots = make([]*node, w.plan.nodes)
	w.check = checker{w: w, copies: map[int]int{}, born: map[int]int64{}, fitSince: make([]int64, len(w.slots))}
	return w
}

// Run plays one seed against a variant and judges it.
func Run(seed uint64, v Variant, timeline bool) Report {
	return newWorld(seed, v, timeline).play(seed)
}

func (w *world) play(seed uint64) Report {
	w.notef("seed %d: %d nodes, calm %v, %d messages, %d faults", seed, w.plan.nodes, w.plan.calm, w.plan.messages, w.plan.faults)
	for i := range w.slots {
		w.after(ms+w.span(0, 2*second)*int64(min(i, 1)), func() { w.boot(i) })
	}
	w.load()
	w.nemesis()
	w.check.watch()
	w.after(0, w.vacuum)
	w.run(faultsEnd)
	w.healAll()
	w.run(drained)
	w.check.final()
	return w.report(seed)
}

func (w *world) vacuum() {
	w.db.vacuum()
	w.after(5*second, w.vacuum)
}

func (w *world) report(seed uint64) Report {
	c := &w.check
	rep := Report{
		Seed: seed, Violations: c.violations, Timeline: strings.Join(w.log, "\n"), Starts: c.starts, LateCalls: c.lateCalls,
		Takeovers: c.takeovers, DeadSteps: w.db.steps, DeadPolled: w.db.pollDbt, Reads: w.db.reads,
	}
	for _, m := range w.db.msgs {
		if m.committed {
			rep.Accepted++
		}
		rep.Copies += c.copies[m.id]
		rep.Extra += max(0, c.copies[m.id]-1)
		rep.Unknown += m.unknown
	}
	return rep
}

// any returns a process that can serve a client, or nil.
func (w *world) any() *node {
	var up []*node
	for _, n := range w.slots {
		if n != nil && !n.stopped && n.leaving == 0 {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		return nil
	}
	return up[w.rng.IntN(len(up))]
}

func (w *world) message(unit int) *msgRow {
	m := &msgRow{id: len(w.db.msgs), unit: unit, startedBy: map[int]bool{}, closed: map[int]string{}}
	w.db.msgs = append(w.db.msgs, m)
	w.db.units[unit] = append(w.db.units[unit], m)
	return m
}

// load plans the clients' requests.
func (w *world) load() {
	for range w.plan.messages {
		m := w.message(w.rng.IntN(w.plan.hotUnits))
		m.failOnUnk = w.rng.IntN(7) == 0
		at := w.span(4*second, 52*second)
		if w.rng.IntN(8) == 0 {
			m.notBefore = w.db.offset + at + w.span(second, 20*second)
		}
		slow := int64(0)
		if w.rng.Float64() < w.plan.slowAccept {
			slow = w.span(0, 1200*ms)
		}
		w.after(at, func() {
			if n := w.any(); n != nil {
				n.accept(m, slow)
			}
		})
		switch w.rng.IntN(12) {
		case 0:
			w.cancelAt(m, at+w.span(0, 3*second))
		case 1:
			w.after(at+w.span(0, 2*second), func() { m.optOut = true })
		}
	}
	w.burst()
}

// burst schedules more messages than a window holds in one unit, cancels them
// before they are due and then sends ordinary ones behind them.
func (w *world) burst() {
	unit, at := w.rng.IntN(unitCount), w.span(5*second, 20*second)
	for range 2 * (windowSize + maxFlights) {
		m := w.message(unit)
		m.notBefore = w.db.offset + at + 15*second
		w.after(at, func() {
			if n := w.any(); n != nil {
				n.accept(m, 0)
			}
		})
		w.cancelAt(m, at+w.span(5*second, 6*second))
	}
}

func (w *world) cancelAt(m *msgRow, at int64) {
	w.after(at, func() {
		if n := w.any(); n != nil {
			n.cancel(m)
		}
	})
}

// stopOwner stops a process within the next milliseconds, past its lease.
func (w *world) stopOwner(id string) {
	w.after(w.span(0, 5*ms), func() {
		for i, n := range w.slots {
			if n != nil && n.id == id && !n.stopped {
				w.fault(2, i, w.span(lease+second, 25*second))
			}
		}
	})
}

// nemesis plans the faults.
func (w *world) nemesis() {
	for range w.plan.faults {
		kind, slot := w.rng.IntN(7), w.rng.IntN(len(w.slots))
		if w.plan.lapses {
			kind = []int{2, 3, 5, 5}[kind%4]
		}
		at, long := w.span(3*second, faultsEnd-second), w.span(second, 35*second)
		w.after(at, func() { w.fault(kind, slot, long) })
	}
}

func (w *world) fault(kind, slot int, long int64) {
	n := w.slots[slot]
	if n == nil || w.heal {
		return
	}
	switch kind {
	case 0, 1:
		w.notef("KILL %s", n.id)
		n.kill()
		w.after(w.span(0, 15*second), func() { w.restart(slot) })
	case 2, 3:
		w.notef("STOP %s for %.1f s", n.id, float64(long)/1e6)
		n.stop()
		w.after(long, func() {
			w.notef("CONT %s", n.id)
			n.resume()
		})
	case 4:
		w.notef("CUT %s for %.1f s", n.id, float64(long)/1e6)
		n.cut = true
		w.after(long, func() { n.cut = false })
	case 5:
		w.notef("DEAF %s for %.1f s", n.id, float64(long)/1e6)
		n.deaf = true
		w.after(long, func() { n.deaf = false })
	case 6:
		if w.plan.clockJumps {
			w.check.jumped = w.now
			w.db.offset += w.span(-3600*second, 30*second)
			w.notef("the database clock jumps")
			return
		}
		w.notef("TERM %s", n.id)
		n.leaving = w.now
		n.post(0, n.heartbeat)
		n.post(termMax, n.hangUp)
		n.post(termMax+3*second, n.kill)
		w.after(termMax+3*second+w.span(0, 5*second), func() { w.restart(slot) })
	}
}

func (w *world) restart(slot int) {
	if n := w.slots[slot]; n == nil || n.leaving > 0 {
		if n != nil {
			n.kill()
		}
		w.boot(slot)
	}
}

func (w *world) healAll() {
	w.heal = true
	w.notef("faults end")
	for i, n := range w.slots {
		if n == nil {
			w.boot(i)
			continue
		}
		n.cut, n.deaf = false, false
		if n.stopped {
			n.resume()
		}
	}
}
