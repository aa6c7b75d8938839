package shardsim

import "sort"

// owned is a shard in a process's memory.
type owned struct {
	epoch    int
	ready    bool // recovered: attempts may start
	draining bool
	drainEnd int64
	since    int64
	flights  map[int]*flight
	units    map[int]*unit
}

func (n *node) clock() int64 { return n.w.now + n.skew }

// heartbeat renews the lease of the node in its own row. After a gap in which
// the lease may have lapsed no attempt started before it may be called.
func (n *node) heartbeat() {
	began, d := n.w.now, n.w.db
	if n.deaf {
		return
	}
	t := &tx{name: "heartbeat", node: n}
	t.exec = func() {
		until := d.now() + lease
		if n.w.v.LeaseByNodeClock {
			until = n.clock() + lease
		}
		t.change(func() { d.leases[n.id], d.leaving[n.id] = until, n.leaving > 0 })
	}
	t.answer = func(ok bool) {
		if !ok || began < n.beatBegan {
			return
		}
		if began-n.beatBegan >= lease-margin {
			n.leasedFrom = n.w.now
			if !n.w.v.RenewHidesGap {
				n.gap++
			}
		}
		n.beatBegan = began
	}
	n.w.send(t)
}

// leased says whether a call of an attempt started under that gap number may begin.
func (n *node) leased(gap int) bool {
	return n.w.v.NoLocalCheck || gap == n.gap && n.w.now-n.beatBegan < lease-margin
}

// live judges a node's lease. One that ends later than any heartbeat can have
// said was written before the clock went back; the next heartbeat repairs it.
func (d *database) live(id string, clock int64) bool {
	until, known := d.leases[id]
	return known && until > clock && until <= clock+2*lease
}

// counts says whether a node takes part in the fair share: its heartbeats get
// through and it is not about to leave.
func (d *database) counts(id string, clock int64, v Variant) bool {
	if !d.live(id, clock) || d.leaving[id] && !v.LeavingCounts {
		return false
	}
	return d.leases[id] > clock+lease-5*beat/2
}

// judge is the clock by which this node's transactions judge leases.
func (n *node) judge() int64 {
	if n.w.v.LeaseByNodeClock {
		return n.clock()
	}
	return n.w.db.now()
}

// membership reads nodes and shards, repairs memory, then takes or gives at most once.
func (n *node) membership() {
	if n.member || n.beatBegan == 0 {
		return
	}
	n.member = true
	d := n.w.db
	var rows [shardCount]shardRow
	var free []int
	var alive int
	t := &tx{name: "membership", node: n}
	t.exec = func() {
		for id := range d.leases {
			if d.counts(id, n.judge(), n.w.v) {
				alive++
			}
			if d.leases[id] > n.judge()+2*lease { // else it would come to life when its time comes
				t.change(func() { delete(d.leases, id) })
			}
		}
		for s := range d.shards {
			rows[s] = shardRow{owner: d.shards[s].owner, epoch: d.shards[s].epoch}
			if o := rows[s].owner; o != n.id && !d.live(o, n.judge()) {
				free = append(free, s)
			}
		}
	}
	t.answer = func(ok bool) {
		n.member = false
		if !ok {
			return
		}
		mine, forgotten := n.reconcile(rows[:])
		if n.w.v.RetakeInShare {
			free, forgotten = append(free, forgotten...), nil
		}
		share := (shardCount + max(alive, 1) - 1) / max(alive, 1)
		switch {
		case len(forgotten) > 0:
			n.take(forgotten, rows[:])
		case n.leaving > 0 || mine > share:
			n.giveSurplus(mine, share)
		case mine < share && len(free) > 0 && n.fresh():
			n.w.rng.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
			n.take(free[:min(len(free), share-mine)], rows[:])
		}
	}
	n.w.send(t)
}

// fresh says whether the heartbeats get through: a node that is about to lose
// its lease takes nothing more.
func (n *node) fresh() bool { return n.w.now-n.beatBegan < 2*beat }

// reconcile makes memory follow the table: what is not mine any more is
// dropped, what is mine without my knowing is forgotten and must be taken
// again, whatever the fair share: nobody else can take it while my lease holds.
func (n *node) reconcile(rows []shardRow) (mine int, forgotten []int) {
	for s, r := range rows {
		o := n.shards[s]
		held := o != nil && r.owner == n.id && r.epoch == o.epoch
		switch {
		case held:
			mine++
		case n.w.v.AdoptByName && r.owner == n.id:
			n.shards[s] = newOwned(r.epoch, n.w.now)
			n.shards[s].ready = true
			mine++
		case n.w.v.NoReconcile:
			if o != nil {
				mine++
			}
		default:
			n.shards[s] = nil
			if r.owner == n.id {
				forgotten = append(forgotten, s)
			}
		}
	}
	return mine, forgotten
}

func newOwned(epoch int, now int64) *owned {
	return &owned{epoch: epoch, since: now, flights: map[int]*flight{}, units: map[int]*unit{}}
}

// take raises the epoch of shards that are still as they were seen and still free.
func (n *node) take(want []int, seen []shardRow) {
	d := n.w.db
	sort.Ints(want)
	n.member = true
	epochs := map[int]int{}
	open := map[int][]int{}
	t := &tx{name: "take", node: n, shards: want, excl: true, skip: true}
	if n.w.v.RecoverOldView {
		t.skip = false
		t.first = func() {
			for _, s := range want {
				open[s] = d.openIn(s)
			}
		}
	}
	t.exec = func() {
		if !d.live(n.id, n.judge()) {
			return
		}
		for _, s := range t.got {
			r := &d.shards[s]
			if r.epoch != seen[s].epoch || r.owner != seen[s].owner || r.owner != n.id && d.live(r.owner, n.judge()) {
				continue
			}
			epochs[s] = r.epoch + 1
			t.change(func() {
				n.w.check.taken(s, r.owner, n)
				r.owner, r.epoch = n.id, epochs[s]
				n.w.notef("%s takes shard %d epoch %d", n.id, s, r.epoch)
			})
		}
	}
	t.answer = func(ok bool) {
		n.member = false
		if !ok {
			return
		}
		for s, e := range epochs {
			n.shards[s] = newOwned(e, n.w.now)
		}
		for _, s := range want {
			if o := n.shards[s]; o != nil && epochs[s] == o.epoch {
				n.recover(s, o, open[s])
			}
		}
	}
	n.w.send(t)
}

func (d *database) openIn(s int) (ids []int) {
	for no := s; no < unitCount; no += shardCount {
		for _, m := range d.units[no] {
			if m.status == sending {
				ids = append(ids, m.id)
			}
		}
	}
	sort.Ints(ids)
	return ids
}

// recover turns every attempt that an older epoch left open into one of unknown outcome.
func (n *node) recover(s int, o *owned, old []int) {
	d, v := n.w.db, n.w.v
	if v.NoRecover {
		n.opened(s, o)
		return
	}
	fenced := true
	t := &tx{name: "recover", node: n, shards: []int{s}}
	if v.RecoverUnfenced {
		t.shards = nil
	}
	t.rows = func() []int {
		if v.RecoverOldView {
			return old
		}
		return d.openIn(s)
	}
	t.exec = func() {
		r := d.shards[s]
		if fenced = r.owner == n.id && r.epoch == o.epoch; !fenced && !v.RecoverUnfenced {
			return
		}
		for _, id := range t.rows() {
			m := d.msgs[id]
			if m.status != sending || m.epoch >= o.epoch && !v.RecoverUnfenced {
				continue
			}
			t.change(func() {
				n.w.check.recovered(s, n)
				n.w.unknown(m, "recovered by "+n.id)
			})
		}
	}
	t.answer = func(ok bool) {
		switch {
		case n.shards[s] != o:
		case !ok:
			n.post(100*ms, func() {
				if n.shards[s] == o {
					n.recover(s, o, old)
				}
			})
		case !fenced && !v.RecoverUnfenced:
			n.shards[s] = nil
		default:
			n.opened(s, o)
		}
	}
	n.w.send(t)
}

func (n *node) opened(s int, o *owned) {
	if n.shards[s] == o {
		o.ready = true
		n.pollShard(s, o, true)
	}
}

// giveSurplus stops starting in the shards with the fewest calls, waits a while
// for those calls and then empties the owner. A leaving node gives all.
func (n *node) giveSurplus(mine, share int) {
	if n.leaving > 0 {
		share = 0
	}
	var order []int
	for s, o := range n.shards {
		if o != nil {
			order = append(order, s)
		}
	}
	sort.SliceStable(order, func(i, j int) bool {
		return len(n.shards[order[i]].flights) < len(n.shards[order[j]].flights)
	})
	surplus := mine - share
	for _, s := range order {
		if n.shards[s].draining {
			surplus--
		}
	}
	for _, s := range order {
		o := n.shards[s]
		switch {
		case o.draining:
		case surplus > 0:
			surplus--
			o.draining, o.drainEnd = true, n.w.now+drainMax
			n.settleDrain(s, o)
		}
	}
}

func (n *node) settleDrain(s int, o *owned) {
	switch {
	case n.shards[s] != o:
	case len(o.flights) == 0:
		n.give(s, o)
	case n.leaving == 0 && n.w.now >= o.drainEnd:
		o.draining = false
	default:
		n.post(20*ms, func() { n.settleDrain(s, o) })
	}
}

func (n *node) give(s int, o *owned) {
	d := n.w.db
	n.shards[s] = nil
	t := &tx{name: "give", node: n, shards: []int{s}, excl: true}
	t.exec = func() {
		r := &d.shards[s]
		if r.owner == n.id && r.epoch == o.epoch {
			t.change(func() {
				r.owner = ""
				n.w.notef("%s gives shard %d", n.id, s)
			})
		}
	}
	t.answer = func(bool) {}
	n.w.send(t)
}
