package shardsim

const maxRounds = 6

// start is the attempt start of one message inside a turn.
func (w *world) start(t *tx, f *flight, again map[int]entry) bool {
	d, m := w.db, w.db.msgs[f.msg]
	if !m.committed {
		return false
	}
	if m.status != queued || m.due != f.due {
		if stale := m.inQueue && (m.final() || m.queueDue != m.due); stale && !w.v.KeepZombies {
			t.change(func() { d.dropQueue(m) })
		}
		return false
	}
	if m.due > d.now() {
		again[m.id] = entry{m.due, m.id}
		return false
	}
	switch {
	case m.wish:
		t.change(func() { w.stopped(m) })
		return false
	case m.optOut:
		t.change(func() { w.end(m, suppressed, "suppressed") })
		return false
	}
	f.no = m.attempts + 1
	began := d.now()
	t.change(func() {
		w.check.started(m, f, began)
		m.status, m.attempts, m.openNo, m.epoch = sending, f.no, f.no, f.epoch
		w.notef("%s starts m%d attempt %d epoch %d", f.owner, m.id, f.no, f.epoch)
	})
	return true
}

// finish is the outcome of one attempt inside a turn. It holds only for the very
// attempt; a result that comes after a take-over is evidence.
func (w *world) finish(t *tx, f *flight, again map[int]entry) {
	m := w.db.msgs[f.msg]
	match := m.status == sending && m.openNo == f.no && m.epoch == f.epoch
	if w.v.FinishAnyAttempt || w.v.NoFenceOnFinish {
		match = m.status == sending
	}
	if !match {
		w.late(t, f)
		return
	}
	now := w.db.now()
	due := max(now+w.span(second, 3*second), m.due+1)
	if f.result == released {
		due = max(now, m.due+1)
	}
	if !m.wish && (f.result == transient || f.result == released || f.result == unanswered) {
		again[m.id] = entry{due, m.id}
	}
	t.change(func() {
		w.check.finished(m, f)
		w.notef("%s finishes m%d attempt %d: %s", f.owner, m.id, f.no, resultNames[f.result])
		m.closed[f.no], m.openNo = resultNames[f.result], 0
		switch {
		case f.result == accepted:
			w.end(m, sent, "accepted")
		case f.result == rejected:
			w.end(m, failed, "rejected")
		case f.result == unanswered:
			w.unknownAt(m, "no answer", due)
		case m.wish:
			w.stopped(m)
		case f.result == transient && m.rounds >= maxRounds:
			w.end(m, failed, "exhausted")
		default:
			if f.result == transient {
				m.rounds++
			}
			w.db.requeue(m, due)
		}
	})
}

// stopped ends a message whose cancel wish is found while it certainly is not being sent.
func (w *world) stopped(m *msgRow) {
	if m.unknown > 0 && !w.v.CancelForgets {
		w.end(m, failed, "outcome_unknown")
		return
	}
	w.end(m, cancelled, "cancelled")
}

func (w *world) end(m *msgRow, status int, reason string) {
	m.status, m.reason = status, reason
	w.db.dropQueue(m)
	w.notef("m%d is %s (%s)", m.id, statusNames[status], reason)
}

func (w *world) unknown(m *msgRow, why string) {
	m.closed[m.openNo], m.openNo = "unknown", 0
	w.unknownAt(m, why, w.db.now()+second)
}

func (w *world) unknownAt(m *msgRow, why string, due int64) {
	m.unknown++
	m.rounds++
	w.notef("m%d attempt %d unknown (%s)", m.id, m.attempts, why)
	if m.failOnUnk || m.wish || m.rounds > maxRounds {
		w.end(m, failed, "outcome_unknown")
		return
	}
	w.db.requeue(m, due)
}

// late uses the answer of an attempt that is not open under its owner any more:
// a proof of acceptance settles the message, anything else is only noted.
func (w *world) late(t *tx, f *flight) {
	m := w.db.msgs[f.msg]
	proof := f.result == accepted
	open := m.status == sending && m.openNo == f.no && m.epoch == f.epoch
	settles := m.status == queued || m.status == sending || m.status == failed && m.unknown > 0
	if !proof || !settles || !open && m.unknown == 0 {
		return
	}
	t.change(func() {
		if open {
			m.closed[f.no] = "accepted"
		} else if m.openNo > 0 {
			m.closed[m.openNo] = "superseded"
		}
		m.openNo = 0
		w.end(m, sent, "proof")
	})
}

// accept stores a message through a process, which then tells the owner.
func (n *node) accept(m *msgRow, slow int64) {
	d, w := n.w.db, n.w
	t := &tx{name: "accept", node: n, slow: slow}
	t.exec = func() {
		due := max(d.now(), m.notBefore)
		t.change(func() {
			m.committed, m.inQueue, m.due, m.queueDue = true, true, due, due
			w.notef("%s accepts m%d unit %d due %.3f", n.id, m.id, m.unit, float64(due)/1e6)
		})
	}
	t.answer = func(ok bool) {
		if !ok {
			return
		}
		if n.push(m.unit, entry{m.due, m.id}) {
			w.check.told(n, m)
			return
		}
		n.announce(m)
	}
	w.send(t)
}

func (n *node) announce(m *msgRow) {
	for _, other := range n.w.slots {
		if other == nil || other == n || other.cut || n.w.chance(n.w.plan.lostNotify) {
			continue
		}
		other.post(n.w.span(ms, 30*ms), func() {
			other.notified(m.unit, m.due)
			n.w.check.told(other, m)
		})
	}
}

// cancel is the API's cancel, through any process.
func (n *node) cancel(m *msgRow) {
	w := n.w
	t := &tx{name: "cancel", node: n, rows: func() []int { return []int{m.id} }, answer: func(bool) {}}
	t.exec = func() {
		if !m.committed || m.final() {
			return
		}
		t.change(func() {
			if m.status == sending {
				m.wish = true
				return
			}
			w.stopped(m)
			if w.v.KeepZombies {
				m.inQueue = true
			}
		})
	}
	w.send(t)
}
