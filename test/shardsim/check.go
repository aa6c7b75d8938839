package shardsim

import "fmt"

// checker watches a run from outside: it sees commits, calls and copies that no
// process may see, and judges the end.
type checker struct {
	w          *world
	violations []string
	copies     map[int]int
	starts     int
	downSince  [shardCount]int64
	tenure     [shardCount]string
	fitSince   []int64
	jumped     int64 // last jump of the database clock
	lateCalls  int
	takeovers  int
	waits      []int64 // accept committed to first start, messages due at once
	born       map[int]int64
}

func (c *checker) fail(format string, args ...any) {
	s := fmt.Sprintf("%.3f ", float64(c.w.now)/1e6) + fmt.Sprintf(format, args...)
	c.w.notef("VIOLATION %s", s)
	c.violations = append(c.violations, s)
}

// calmClock says whether leases can be trusted: no jump of the clock lately.
func (c *checker) calmClock() bool { return c.jumped == 0 || c.w.now-c.jumped > 2*lease }

func (c *checker) taken(s int, from string, by *node) {
	c.takeovers++
	if c.w.chance(c.w.plan.stopAtTake) {
		c.w.stopOwner(by.id)
	}
	for _, n := range c.w.slots {
		fit := n != nil && n.id == from && n != by && c.w.now-n.beatBegan < lease-margin && c.w.now-n.leasedFrom > 2*second
		if fit && c.calmClock() && !c.w.v.NoLocalCheck {
			c.fail("shard %d taken from %s, whose lease holds, by %s", s, from, by.id)
		}
	}
}

func (c *checker) recovered(s int, n *node) {
	if r := c.w.db.shards[s]; r.owner != n.id {
		c.fail("%s recovers shard %d, which %s owns", n.id, s, r.owner)
	}
}

func (c *checker) started(m *msgRow, f *flight, began int64) {
	c.starts++
	r := c.w.db.shards[f.shard]
	switch {
	case r.owner != f.owner || r.epoch != f.epoch:
		c.fail("m%d started by %s under epoch %d, but shard %d is %s epoch %d", m.id, f.owner, f.epoch, f.shard, r.owner, r.epoch)
	case m.startedBy[f.no]:
		c.fail("m%d attempt %d started twice", m.id, f.no)
	case m.openNo != 0:
		c.fail("m%d attempt %d started while %d is open", m.id, f.no, m.openNo)
	case began < m.notBefore || began < m.due:
		c.fail("m%d started before it was due", m.id)
	}
	m.startedBy[f.no] = true
	if c.w.chance(c.w.plan.stopAtStart) {
		c.w.stopOwner(f.owner)
	}
	if at, ok := c.born[m.id]; ok && m.notBefore == 0 {
		c.waits = append(c.waits, c.w.now-at)
		delete(c.born, m.id)
	}
}

// finished watches that an attempt is closed by its own result only.
func (c *checker) finished(m *msgRow, f *flight) {
	if m.openNo != f.no || m.epoch != f.epoch {
		c.fail("m%d attempt %d of epoch %d closed by the result of attempt %d of epoch %d", m.id, m.openNo, m.epoch, f.no, f.epoch)
	}
}

func (c *checker) call(f *flight, n *node) {
	m := c.w.db.msgs[f.msg]
	if m.closed[f.no] == "unknown" {
		c.lateCalls++
		if c.calmClock() {
			c.fail("%s calls for m%d attempt %d, already recovered as unknown", n.id, f.msg, f.no)
		}
	}
}

func (c *checker) copy(f *flight) {
	c.copies[f.msg]++
	c.w.notef("copy %d of m%d (attempt %d of %s)", c.copies[f.msg], f.msg, f.no, f.owner)
}

// told starts the clock for a message that its owner was told of: on a calm
// installation it must not wait for the safety poll.
func (c *checker) told(n *node, m *msgRow) {
	o := n.shards[m.unit%shardCount]
	if !c.w.plan.calm || o == nil || !o.ready || o.draining || m.notBefore > 0 {
		return
	}
	c.w.after(400*ms, func() {
		if n.shards[m.unit%shardCount] == o && !o.draining && m.attempts == 0 && !m.final() && len(c.violations) < 20 {
			c.fail("m%d not started 400 ms after its owner %s was told", m.id, n.id)
		}
	})
}

// watch measures shards without a working owner while a working node exists.
func (c *checker) watch() {
	w := c.w
	fit := map[string]bool{}
	ready := false
	for i, n := range w.slots {
		if n == nil || n.stopped || n.cut || n.deaf || n.leaving > 0 {
			c.fitSince[i] = w.now
			continue
		}
		fit[n.id] = true
		ready = ready || w.now-c.fitSince[i] > 2*lease+5*second
	}
	for s := range w.db.shards {
		r, limit := w.db.shards[s], 2*lease+5*second
		if w.db.leaving[r.owner] {
			limit = termMax + lease + 8*second
		}
		if tenure := fmt.Sprint(r.owner, r.epoch); fit[r.owner] || tenure != c.tenure[s] {
			c.downSince[s], c.tenure[s] = w.now, tenure
		} else if ready && w.now-c.downSince[s] > limit && w.now-c.jumped > 2*lease {
			c.fail("shard %d of %q has had no working owner for %.1f s", s, w.db.shards[s].owner, float64(w.now-c.downSince[s])/1e6)
			c.downSince[s] = w.now
		}
	}
	w.after(500*ms, c.watch)
}

// final judges every message after the faults have ended and the queue had time to drain.
func (c *checker) final() {
	for _, m := range c.w.db.msgs {
		n := c.copies[m.id]
		switch {
		case !m.committed:
			if n > 0 {
				c.fail("m%d was never accepted but sent", m.id)
			}
			continue
		case !m.final() && m.due > c.w.db.now() && c.jumped > 0: // waits out a clock set back
		case !m.final():
			c.fail("m%d is stuck: %s, unit %d, attempt %d open %d, due %.3f", m.id, statusNames[m.status], m.unit, m.attempts, m.openNo, float64(m.due)/1e6)
		case m.status == sent && n == 0:
			c.fail("m%d is SENT but was not", m.id)
		case m.status == cancelled && n > 0:
			c.fail("m%d is CANCELLED but was sent", m.id)
		case m.status != sent && m.unknown == 0 && n > 0:
			c.fail("m%d is %s without an unknown attempt but was sent", m.id, statusNames[m.status])
		}
		if n > 1+m.unknown || m.failOnUnk && n > 1 {
			c.fail("m%d: %d copies with %d unknown attempts (at most once: %v)", m.id, n, m.unknown, m.failOnUnk)
		}
	}
}
