package dispatch

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// maxReads is how many reads of windows and apps run at once; readRetry is the
// wait after one that failed.
const (
	maxReads  = 4
	readRetry = 500 * time.Millisecond
)

// task is a read: of a unit's window, or of an app's entry.
type task struct {
	unit  *unit
	entry *entry
}

// read asks for the next rows of a unit.
func (s *scheduler) read(u *unit) {
	if u.reading || u.dead {
		return
	}
	u.reading = true
	s.reads.push(task{unit: u})
	s.pump()
}

// pump starts queued reads as far as allowed.
func (s *scheduler) pump() {
	for s.reading < maxReads && s.reads.len() > 0 {
		s.reading++
		s.start(s.reads.pop())
	}
}

func (s *scheduler) readDone() {
	s.reading--
	s.pump()
}

// later looks at a unit again after d.
func (s *scheduler) later(u *unit, d time.Duration) {
	s.disarm(u)
	u.phase = waiting
	s.dues.set(&u.alarm, int64(s.clock.db().Add(d)))
}

// perform runs one read to its end.
func (d *Dispatcher) perform(ctx context.Context, t task) {
	if t.unit != nil {
		d.fill(ctx, t.unit)
	} else {
		snap := d.sched.beginLoad(t.entry)
		l, err := d.load(ctx, t.entry, snap)
		if err != nil && ctx.Err() == nil {
			d.log.Error("configuration cannot be read", "err", err)
		}
		closed, calls := d.sched.install(t.entry, l, err)
		for _, c := range closed {
			if err := c.Close(); err != nil {
				d.log.Warn("closing a provider's sessions", "err", err)
			}
		}
		for _, j := range calls {
			d.launch(j)
		}
	}
	d.sched.mu.Lock()
	d.sched.readDone()
	d.sched.mu.Unlock()
}

// fill reads the next rows of a unit's window.
func (d *Dispatcher) fill(ctx context.Context, u *unit) {
	s := d.sched
	s.mu.Lock()
	after, moves, limit := u.win.cursor, u.moves, s.readSize(u)
	dead := u.dead
	s.mu.Unlock()
	if dead {
		return
	}
	rows, err := d.cfg.Queue.Window(ctx, u.key, after, limit)
	if err != nil && ctx.Err() == nil {
		d.log.Error("queue cannot be read", "app", u.key.App.String(), "err", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.reading = false
	if u.dead {
		return
	}
	if err != nil {
		s.trouble(err)
		if u.phase == loading || u.phase == idle {
			s.later(u, readRetry)
		}
		return
	}
	s.heads += u.win.merge(rows, len(rows) >= limit, u.moves != moves, func(id comm.ID) bool { return u.shard.inflight[id] != nil })
	if u.win.len() == 0 {
		u.first = 0
	}
	s.rearm(u)
	s.poke()
}

// readSize is how many rows the next read may bring, so that all windows
// together stay bounded however many units there are.
func (s *scheduler) readSize(u *unit) int {
	n := windowSize - u.win.len()
	if u.win.behind {
		n = windowSize
	}
	const least = 16
	return max(least, min(n, (maxHeads-s.heads)/4))
}

// spare says whether rows of the unit could be found that memory does not know.
func (u *unit) spare(due comm.Micros) bool {
	switch {
	case u.win.more && u.win.len() == 0:
		return due < u.first
	case u.win.len() > 0:
		return u.inflight == 0 && due < u.win.front().Due
	}
	return u.inflight == 0
}

// found compares a listing of the store's units with memory.
func (s *scheduler) found(sh *shard, listed []store.Wake) {
	for _, w := range listed {
		if sh.lost || w.Unit.Shard != sh.id {
			continue
		}
		known := sh.units[unitKey{w.Unit.App, w.Unit.Channel, w.Unit.Lane}]
		switch {
		case known == nil:
			if u := s.unitOf(sh, w.Unit); u != nil {
				u.win.more, u.first = true, w.Due
				s.settle(u)
			}
		case known.spare(w.Due):
			s.rewind(known, w.Due)
			s.rearm(known)
		}
	}
}
