package shardsim

import "sort"

// Results of a provider call.
const (
	accepted = iota + 1
	transient
	rejected
	unanswered // the provider may have accepted it
	released   // certainly not called
)

var resultNames = [...]string{"", "accepted", "transient", "rejected", "unknown", "released"}

// flight is one attempt in a process's memory, with the ownership it was started under.
type flight struct {
	msg, unit, no, shard, epoch int
	owner                       string
	gap                         int
	due                         int64
	calling                     bool
	result                      int
}

// dbClock is the node's idea of the database's clock, a little wrong.
func (n *node) dbClock() int64 { return n.w.db.now() + n.skew%(50*ms) }

// pump forms a turn from the results that wait and the heads that are due.
func (n *node) pump() {
	if n.turns >= 2 {
		return
	}
	fin := n.todo[:min(len(n.todo), 32)]
	n.todo = append([]*flight(nil), n.todo[len(fin):]...)
	var starts []*flight
	for s, o := range n.shards {
		if o == nil || !o.ready || o.draining {
			continue
		}
		for no := s; no < unitCount; no += shardCount {
			u := o.unit(no)
			n.refill(o, u)
			for len(u.win) > 0 && n.calls < maxFlights && len(starts) < 16 {
				e := u.win[0]
				u.win = u.win[1:]
				if o.flights[e.id] != nil {
					continue // swept as an orphan meanwhile
				}
				f := &flight{msg: e.id, unit: no, shard: s, epoch: o.epoch, owner: n.id, gap: n.gap, due: e.due}
				o.flights[e.id] = f
				n.calls++
				starts = append(starts, f)
			}
		}
	}
	if len(fin)+len(starts) > 0 {
		n.turn(fin, starts)
	}
}

// land forgets a flight, under the ownership it belongs to only.
func (n *node) land(f *flight) {
	if o := n.shards[f.shard]; o != nil && o.flights[f.msg] == f {
		delete(o.flights, f.msg)
	}
	n.calls--
}

type pair struct {
	shard, epoch int
	owner        string
}

// turn is one transaction: the fence of all its shards or nothing, then
// finishes, then attempt starts.
func (n *node) turn(fin, starts []*flight) {
	n.turns++
	d, v := n.w.db, n.w.v
	pairs := map[pair]bool{}
	for _, f := range append(append([]*flight(nil), starts...), fin...) {
		p := pair{f.shard, f.epoch, f.owner}
		if o := n.shards[f.shard]; v.FinishAnyAttempt && o != nil {
			p.epoch = o.epoch
		}
		if f.result == 0 || !v.NoFenceOnFinish {
			pairs[p] = true
		}
	}
	t := &tx{name: "turn", node: n, hold: v.LockHeldByClient}
	ids := map[int]bool{}
	for p := range pairs {
		if !v.FenceWithoutLock {
			t.shards = append(t.shards, p.shard)
		}
	}
	for _, f := range append(append([]*flight(nil), starts...), fin...) {
		ids[f.msg] = true
	}
	rows := make([]int, 0, len(ids))
	for id := range ids {
		rows = append(rows, id)
	}
	sort.Ints(t.shards)
	sort.Ints(rows)
	t.rows = func() []int { return rows }
	lost := map[pair]bool{}
	var started []*flight
	again := map[int]entry{}
	t.exec = func() {
		for p := range pairs {
			if r := d.shards[p.shard]; r.owner != p.owner || r.epoch != p.epoch {
				lost[p] = true
			}
		}
		if len(lost) > 0 {
			return
		}
		for _, f := range fin {
			n.w.finish(t, f, again)
		}
		for _, f := range starts {
			if n.w.start(t, f, again) {
				started = append(started, f)
			}
		}
	}
	t.answer = func(ok bool) {
		n.turns--
		switch {
		case !ok:
			n.todo = append(n.todo, fin...)
			for _, f := range starts {
				n.land(f)
			}
		case len(lost) > 0:
			n.refused(fin, starts, lost)
		default:
			n.done(fin, starts, started, again)
		}
	}
	n.w.send(t)
}

func (n *node) done(fin, starts, started []*flight, again map[int]entry) {
	for _, f := range fin {
		n.land(f)
		if e, ok := again[f.msg]; ok {
			n.push(f.unit, e)
		}
	}
	on := map[*flight]bool{}
	for _, f := range started {
		on[f] = true
		n.begin(f)
	}
	for _, f := range starts {
		if !on[f] {
			n.land(f)
			if e, ok := again[f.msg]; ok {
				n.push(f.unit, e)
			}
		}
	}
}

// refused drops the shards that are lost and repeats the rest; results of lost
// shards are filed as evidence.
func (n *node) refused(fin, starts []*flight, lost map[pair]bool) {
	for s, o := range n.shards {
		if o != nil && lost[pair{s, o.epoch, n.id}] {
			n.shards[s] = nil
		}
	}
	for _, f := range fin {
		if lost[pair{f.shard, f.epoch, f.owner}] {
			n.file(f)
		} else {
			n.todo = append(n.todo, f)
		}
	}
	for _, f := range starts {
		n.land(f)
		n.push(f.unit, entry{f.due, f.msg})
	}
}

// begin calls the provider unless the lease may have lapsed since the start was picked.
func (n *node) begin(f *flight) {
	if !n.leased(f.gap) {
		f.result = released
		n.todo = append(n.todo, f)
		return
	}
	f.calling = true
	n.w.check.call(f, n)
	result, copied, wait := n.w.provider()
	if copied {
		n.w.check.copy(f)
	}
	n.post(wait, func() { n.answered(f, result) })
}

func (n *node) answered(f *flight, result int) {
	if f.result == 0 {
		f.result = result
		n.todo = append(n.todo, f)
	}
}

// hangUp gives up on the calls of a leaving node that have not been answered.
func (n *node) hangUp() {
	for _, o := range n.shards {
		if o == nil {
			continue
		}
		for _, m := range n.w.db.msgs { // in a fixed order
			if f := o.flights[m.id]; f != nil && f.calling {
				n.answered(f, unanswered)
			}
		}
	}
}

// provider decides what becomes of a call: its result, whether the recipient
// gets a copy, and how long the answer takes.
func (w *world) provider() (result int, copied bool, wait int64) {
	wait = w.span(2*ms, 150*ms)
	if w.chance(w.plan.hang) {
		wait = w.span(second, 30*second)
	}
	switch r := w.rng.Float64(); {
	case r < w.plan.transient:
		return transient, false, wait
	case r < w.plan.transient+0.02:
		return rejected, false, wait
	case r < w.plan.transient+0.02+w.plan.noAnswer:
		return unanswered, w.rng.IntN(2) == 0, max(wait, second)
	}
	return accepted, true, wait
}

// file keeps the answer of a lost attempt, in a transaction without fence.
func (n *node) file(f *flight) {
	if n.w.v.DropLateResult {
		n.land(f)
		return
	}
	t := &tx{name: "evidence", node: n, rows: func() []int { return []int{f.msg} }}
	t.exec = func() { n.w.late(t, f) }
	t.answer = func(ok bool) {
		if ok {
			n.land(f)
		} else {
			n.file(f)
		}
	}
	n.w.send(t)
}
