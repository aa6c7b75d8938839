package shardsim

import "sort"

// Statuses of a message in the model.
const (
	queued = iota
	sending
	sent
	failed
	cancelled
	suppressed
)

var statusNames = [...]string{"QUEUED", "SENDING", "SENT", "FAILED", "CANCELLED", "SUPPRESSED"}

type shardRow struct {
	owner string
	epoch int
	share map[*tx]bool // holders of the row's share lock
	excl  *tx
}

// msgRow is the state row and, while inQueue, the queue row of one message.
type msgRow struct {
	id, unit  int
	status    int
	due       int64
	queueDue  int64
	inQueue   bool
	notBefore int64 // scheduledAt: never started earlier
	attempts  int
	epoch     int
	unknown   int
	rounds    int
	failOnUnk bool // policy FAIL: at most once
	wish      bool // cancel wish
	optOut    bool
	reason    string
	lock      *tx
	committed bool

	openNo    int          // attempt open in the table, 0 if none
	startedBy map[int]bool // attempt numbers ever started
	closed    map[int]string
}

func (m *msgRow) final() bool { return m.status != queued && m.status != sending }

// deadRow is a deleted queue row that vacuum has not removed yet.
type deadRow struct {
	unit int
	due  int64
	id   int
}

// tx is one transaction in one round trip: it takes all its locks at once or
// waits for them, reads, and its changes become visible at its commit.
type tx struct {
	name    string
	node    *node
	shards  []int
	excl    bool
	skip    bool // skip locked shards instead of waiting
	rows    func() []int
	first   func() // runs when the statement's snapshot is taken, before any wait
	exec    func()
	answer  func(ok bool) // ok false: outcome unknown
	changes []func()
	got     []int // shards locked when skip is set
	held    []int
	slow    int64
	hold    bool // commit waits for the client
	seen    bool
	dead    bool
}

func (t *tx) change(f func()) { t.changes = append(t.changes, f) }

// database is the model: rows, row locks, a clock of its own.
type database struct {
	w       *world
	offset  int64
	shards  []shardRow
	leases  map[string]int64
	leaving map[string]bool // nodes that want no shards
	msgs    []*msgRow
	units   [unitCount][]*msgRow
	waiting []*tx
	graves  []deadRow
	held    bool // a snapshot is held: vacuum removes nothing
	steps   int  // dead rows stepped over by window reads
	reads   int
	pollDbt int // dead rows stepped over by safety polls
}

func (d *database) now() int64 { return d.w.now + d.offset }

func (d *database) arrive(t *tx) {
	if t.first != nil && !t.seen {
		t.seen = true
		t.first()
	}
	if !d.lock(t) {
		d.waiting = append(d.waiting, t)
		return
	}
	t.exec()
	if t.hold {
		d.w.holdOpen(t)
		return
	}
	d.w.after(d.w.span(200, 5000)+t.slow, func() { d.commit(t) })
}

func (d *database) lock(t *tx) bool {
	var rows []int
	if t.rows != nil {
		rows = t.rows()
	}
	t.got = t.got[:0]
	for _, s := range t.shards {
		r := &d.shards[s]
		busy := r.excl != nil && r.excl != t || t.excl && len(r.share) > 0
		if busy && !t.skip {
			return false
		}
		if !busy {
			t.got = append(t.got, s)
		}
	}
	for _, id := range rows {
		if l := d.msgs[id].lock; l != nil && l != t {
			return false
		}
	}
	for _, s := range t.got {
		if t.excl {
			d.shards[s].excl = t
		} else {
			d.shards[s].share[t] = true
		}
	}
	for _, id := range rows {
		d.msgs[id].lock = t
	}
	t.held = rows
	return true
}

func (d *database) unlock(t *tx) {
	for _, s := range t.got {
		if d.shards[s].excl == t {
			d.shards[s].excl = nil
		}
		delete(d.shards[s].share, t)
	}
	for _, id := range t.held {
		d.msgs[id].lock = nil
	}
	again := d.waiting
	d.waiting = nil
	for _, x := range again {
		d.arrive(x)
	}
}

func (d *database) rollback(t *tx) {
	if t.dead {
		return
	}
	t.dead = true
	d.unlock(t)
}

func (d *database) commit(t *tx) {
	if t.dead {
		return
	}
	t.dead = true
	for _, f := range t.changes {
		f()
	}
	d.unlock(t)
	d.w.reply(t)
}

// dropQueue deletes the queue row and leaves a dead one.
func (d *database) dropQueue(m *msgRow) {
	if m.inQueue {
		m.inQueue = false
		d.graves = append(d.graves, deadRow{m.unit, m.queueDue, m.id})
	}
}

// requeue moves the queue row to a later due, always strictly later than before.
func (d *database) requeue(m *msgRow, due int64) {
	d.dropQueue(m)
	m.status, m.due, m.queueDue, m.inQueue = queued, max(due, m.due+1), max(due, m.due+1), true
}

type entry struct {
	due int64
	id  int
}

func (a entry) before(b entry) bool { return a.due < b.due || a.due == b.due && a.id < b.id }

// window reads a unit's rows after a position in key order, up to now, and the first later due.
func (d *database) window(unit int, after entry, limit int, poll bool) (rows []entry, next int64) {
	for _, m := range d.units[unit] {
		if e := (entry{m.queueDue, m.id}); m.inQueue && after.before(e) {
			if e.due <= d.now() {
				rows = append(rows, e)
			} else if next == 0 || e.due < next {
				next = e.due
			}
		}
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i].before(rows[j]) })
	if len(rows) > limit {
		rows = rows[:limit]
	}
	d.reads++
	steps := 0
	for _, g := range d.graves {
		e := entry{g.due, g.id}
		if g.unit == unit && after.before(e) && (len(rows) < limit || e.before(rows[len(rows)-1])) {
			steps++
		}
	}
	if poll {
		d.pollDbt += steps
	} else {
		d.steps += steps
	}
	return rows, next
}

func (d *database) vacuum() {
	if !d.held {
		d.graves = d.graves[:0]
	}
}
