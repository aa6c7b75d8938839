package shardsim

import "sort"

// unit is the scheduler's window on one unit: heads that are due, in key order.
type unit struct {
	no      int
	win     []entry
	cur     entry // everything up to here is in the window, in flight or done
	more    bool  // rows past the cursor may be in the table
	filling bool
	gen     int   // raised by each rewind: a refill under way is then not trusted
	next    int64 // first later due, 0 if none is known
}

func (o *owned) unit(no int) *unit {
	u := o.units[no]
	if u == nil {
		u = &unit{no: no, more: true}
		o.units[no] = u
	}
	return u
}

func (n *node) known(o *owned, u *unit, id int) bool {
	if _, ok := o.flights[id]; ok {
		return true
	}
	for _, e := range u.win {
		if e.id == id {
			return true
		}
	}
	return false
}

// insert merges an entry into the window. What falls out at the end is read
// again later: the cursor goes back to the last entry kept.
func (u *unit) insert(e entry) {
	i := sort.Search(len(u.win), func(i int) bool { return e.before(u.win[i]) })
	u.win = append(u.win, entry{})
	copy(u.win[i+1:], u.win[i:])
	u.win[i] = e
	if len(u.win) > windowSize {
		u.win = u.win[:windowSize]
		u.cur, u.more = u.win[windowSize-1], true
		u.gen++
	}
}

// push hands over a message whose commit this process has seen.
func (n *node) push(unitNo int, e entry) bool {
	o := n.shards[unitNo%shardCount]
	if o == nil || !o.ready {
		return false
	}
	u := o.unit(unitNo)
	switch {
	case n.known(o, u, e.id):
	case e.due > n.dbClock():
		u.later(e.due)
	case e.before(u.cur):
		u.insert(e)
	case u.filling: // the read may have missed it and end past it
		u.more = true
		u.gen++
	case u.more || len(u.win) >= windowSize:
		u.more = true
	default:
		u.win = append(u.win, e)
		u.cur = e
	}
	return true
}

func (u *unit) later(due int64) {
	if u.next == 0 || due < u.next {
		u.next = due
	}
}

// notified is told of a message committed by another node: read again from just before it.
func (n *node) notified(unitNo int, due int64) {
	o := n.shards[unitNo%shardCount]
	if o == nil || !o.ready {
		return
	}
	o.unit(unitNo).rewind(due, n.w.v.NoRewind)
}

// rewind makes the unit be read again from just before a due time.
func (u *unit) rewind(due int64, not bool) {
	if at := (entry{due, -1}); !not {
		u.gen++ // a refill under way may have read before the commit
		if at.before(u.cur) {
			u.cur = at
		}
	}
	u.more = true
}

// refill reads on from the cursor.
func (n *node) refill(o *owned, u *unit) {
	if u.next > 0 && u.next <= n.dbClock() {
		u.rewind(u.next, n.w.v.NoRewind)
		u.next = 0
	}
	if !u.more || u.filling || len(u.win) > windowSize/2 {
		return
	}
	u.more, u.filling = false, true
	gen, from, limit := u.gen, u.cur, windowSize+len(u.win)+len(o.flights)
	if n.w.v.ReadFromStart {
		from = entry{}
	}
	d := n.w.db
	var rows []entry
	var next int64
	t := &tx{name: "window", node: n}
	t.exec = func() { rows, next = d.window(u.no, from, limit, false) }
	t.answer = func(ok bool) {
		u.filling = false
		if !ok {
			u.more = true
			return
		}
		n.merge(o, u, rows)
		if len(rows) == limit {
			u.more = true
		}
		if next > 0 {
			u.later(next)
		}
		if len(rows) > 0 && (u.gen == gen || n.w.v.RefillWins) && u.cur.before(rows[len(rows)-1]) {
			u.cur = rows[len(rows)-1]
		}
		if u.gen != gen && !n.w.v.RefillWins {
			u.more = true
		}
	}
	n.w.send(t)
}

func (n *node) merge(o *owned, u *unit, rows []entry) {
	for _, e := range rows {
		if len(u.win) >= windowSize && !e.before(u.win[len(u.win)-1]) {
			u.gen++ // rows left out: the cursor must not pass them
			if u.win[len(u.win)-1].before(u.cur) {
				u.cur = u.win[len(u.win)-1]
			}
			u.more = true
			return
		}
		if !n.known(o, u, e.id) {
			u.insert(e)
		}
	}
}

// poll is the safety net: it finds what no push and no notification told of.
func (n *node) poll() {
	for s, o := range n.shards {
		if o != nil && o.ready && !n.w.v.NoSafetyPoll {
			full := n.w.v.PollFromStart || n.w.now-o.since >= fullEvery
			if full {
				o.since = n.w.now
			}
			n.pollShard(s, o, full)
		}
	}
}

// pollShard reads the units of a shard from the horizon, or all of them from
// their start, and looks for attempts of this epoch that nobody is calling.
func (n *node) pollShard(s int, o *owned, full bool) {
	d := n.w.db
	type head struct {
		unit int
		rows []entry
		next int64
	}
	limits := map[int]int{}
	for no, u := range o.units {
		limits[no] = windowSize + len(u.win) + len(o.flights)
	}
	var heads []head
	var orphans []*flight
	t := &tx{name: "poll", node: n}
	t.exec = func() {
		from := entry{}
		if !full {
			from = entry{d.now() - horizon, -1}
		}
		for no := s; no < unitCount; no += shardCount {
			rows, next := d.window(no, from, windowSize+max(limits[no], len(o.flights)), true)
			heads = append(heads, head{no, rows, next})
		}
		for _, id := range d.openIn(s) {
			if m := d.msgs[id]; m.epoch == o.epoch {
				orphans = append(orphans, &flight{msg: id, unit: m.unit, no: m.openNo, shard: s, epoch: o.epoch, owner: n.id, result: released})
			}
		}
	}
	t.answer = func(ok bool) {
		if !ok || n.shards[s] != o {
			return
		}
		for _, h := range heads {
			u := o.unit(h.unit)
			n.merge(o, u, h.rows)
			if h.next > 0 {
				u.later(h.next)
			}
		}
		for _, f := range orphans {
			if o.flights[f.msg] == nil && !n.w.v.NoOrphanSweep {
				o.flights[f.msg] = f
				n.calls++
				n.todo = append(n.todo, f)
			}
		}
	}
	n.w.send(t)
}
