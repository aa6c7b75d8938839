package dispatch

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// What waits to be read is read together: an app costs a part of a round trip,
// not three, so that thousands that become known at once are served at once.
const (
	maxReads  = 2      // of windows at once, and of entries
	readItems = 256    // units, or entries, of one read at most
	readRows  = 16_384 // rows of one read at most
	firstRows = 64     // of a unit's first read: most units have few
	leastRows = 16     // of every unit, however full memory is
	readRetry = 500 * time.Millisecond
)

// reads are what waits to be read, and what is being read.
type reads struct {
	units   fifo[*unit]
	entries fifo[*entry]
	windows int        // reads of windows under way
	loads   int        // reads of entries under way
	rows    int        // that the reads of windows under way may bring
	start   func(task) // runs one, not in the caller's goroutine

	failures int // in a row
	outages  int // after which reads worked again
}

// task is one read: of windows, of entries, or of what providers reported, for messages in doubt.
type task struct {
	windows []ask
	entries []*entry
	doubted []*job
}

// ask is a read of one unit's window.
type ask struct {
	unit  *unit
	moves uint32 // of the unit when it was asked for
	store.Ask
}

// company is with how many others something may be read.
type company struct {
	most   int // 0 = any number
	outage int // the limit was set after so many outages
}

func (c *company) largest(outages int) int {
	if c.most == 0 || c.outage != outages {
		return readItems
	}
	return c.most
}

// readEnded takes the end of a read of n. After one that failed the next is a
// quarter as large, so that what makes reads fail stands alone in the end.
func (c *company) readEnded(n int, r *reads, err error) {
	if c.most, c.outage = 0, r.outages; err != nil {
		c.most = max(1, n/4)
	}
}

// ended takes the end of a read. After many failures in a row it was the store
// that failed, not what was read: then nothing stands alone for it.
func (r *reads) ended(err error) {
	const many = 16
	switch {
	case err != nil:
		r.failures++
	case r.failures >= many:
		r.failures, r.outages = 0, r.outages+1
	default:
		r.failures = 0
	}
}

// together takes what may be read together off a line: as much as the budget of rows
// allows, but one at least. rows answers what an item may bring.
func together[T interface{ largest(int) int }](line *fifo[T], outages, budget int, rows func(T) int) (out []T) {
	for most := readItems; line.len() > 0; out = append(out, line.pop()) {
		next := line.front()
		most, budget = min(most, next.largest(outages)), budget-rows(next)
		if len(out) > 0 && (len(out) >= most || budget < 0) {
			break
		}
	}
	return out
}

// read asks for the next rows of a unit.
func (s *scheduler) read(u *unit) {
	if u.reading || u.dead {
		return
	}
	u.reading = true
	s.reads.units.push(u)
	s.pump()
}

// pump starts reads as far as allowed.
func (s *scheduler) pump() {
	r := &s.reads
	for r.windows < maxReads && r.units.len() > 0 {
		r.windows++
		r.start(task{windows: s.asks()})
	}
	for r.loads < maxReads && r.entries.len() > 0 {
		r.loads++
		r.start(task{entries: together(&r.entries, r.outages, readRows, func(e *entry) int { return len(e.configs) })})
	}
}

// asks takes units off the line and says what to read of each.
func (s *scheduler) asks() []ask {
	units := together(&s.reads.units, s.reads.outages, readRows, s.readSize)
	out := make([]ask, len(units))
	for i, u := range units {
		out[i] = ask{unit: u, moves: u.moves, Ask: store.Ask{Unit: u.key, After: u.win.cursor, Limit: s.readSize(u)}}
		s.reads.rows += out[i].Limit
	}
	return out
}

// readSize is how many rows the next read may bring of a unit, so that all windows
// together stay bounded however many units there are: few until there prove to be more.
func (s *scheduler) readSize(u *unit) int {
	n := windowSize - u.win.len()
	if u.win.behind {
		n = windowSize
	}
	return max(leastRows, min(n, max(firstRows, u.rows), maxHeads-s.heads-s.reads.rows))
}

// perform runs one read to its end.
func (d *Dispatcher) perform(ctx context.Context, t task) {
	if len(t.windows) > 0 {
		d.fill(ctx, t.windows)
		return
	}
	if len(t.doubted) > 0 {
		d.catchUp(ctx, t.doubted)
		return
	}
	closed, calls := d.refresh(ctx, t.entries)
	for _, c := range closed {
		if err := c.Close(); err != nil {
			d.log.Warn("closing a provider's sessions", "err", err)
		}
	}
	for _, j := range calls {
		d.launch(j)
	}
}

// fill reads the next rows of windows.
func (d *Dispatcher) fill(ctx context.Context, asks []ask) {
	s := d.sched
	wanted := make([]store.Ask, len(asks))
	for i := range asks {
		wanted[i] = asks[i].Ask
	}
	found, err := d.cfg.Queue.Windows(ctx, wanted)
	switch {
	case err == nil:
		d.outages.queue.Worked()
	case ctx.Err() == nil:
		d.outages.queue.Failed(err, "units", len(asks))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reads.ended(err); err != nil {
		s.trouble(err)
	}
	for i := range asks {
		var rows []store.Head
		if err == nil {
			rows = found[i]
		}
		asks[i].unit.readEnded(len(asks), &s.reads, err)
		s.reads.rows -= asks[i].Limit
		s.filled(&asks[i], rows, err)
	}
	s.reads.windows--
	s.pump()
	s.poke()
}

// filled takes what was read of one window.
func (s *scheduler) filled(a *ask, rows []store.Head, err error) {
	u := a.unit
	missed, left := u.missed, u.left
	u.reading, u.missed, u.left = false, nil, nil
	switch {
	case u.dead:
		return
	case err != nil:
		if u.phase == loading || u.phase == idle {
			s.later(u, readRetry)
		}
		return
	}
	cut := len(rows) >= a.Limit
	if u.rows = 0; cut {
		const growth = 8
		u.rows = min(windowSize, growth*a.Limit)
	}
	s.heads += u.win.merge(rows, cut, u.moves != a.moves, func(h store.Head) bool {
		due, used := left[h.ID]
		return used && due == h.Due || u.shard.inflight[h.ID] != nil
	})
	for _, h := range missed {
		if u.shard.inflight[h.ID] == nil {
			s.heads += u.win.insert(h)
		}
	}
	if u.win.len() == 0 {
		u.first = 0
	}
	s.rearm(u)
}

// later looks at a unit again after d.
func (s *scheduler) later(u *unit, d time.Duration) {
	s.disarm(u)
	u.phase = waiting
	s.dues.set(&u.alarm, int64(s.clock.db().Add(d)))
}

// spare says whether rows of the unit could be found that memory does not know. What
// is aside may stay there for ever, and must not keep the unit from being looked at.
func (u *unit) spare(due comm.Micros) bool {
	switch {
	case u.win.more && u.win.len() == 0:
		return due < u.first
	case u.win.len() > 0:
		return u.inflight == u.aside && due < u.win.front().Due
	}
	return u.inflight == u.aside
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
