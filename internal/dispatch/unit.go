package dispatch

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// The classes that slots are reserved by.
const (
	classCritical = 0
	classRest     = 1
)

func classOf(l comm.Lane) int {
	if l == comm.Critical {
		return classCritical
	}
	return classRest
}

// phase is where a unit is. It is in one place at a time.
type phase uint8

const (
	idle    phase = iota // nothing to start; kept while calls are in flight
	ready                // in its tenant's line
	loading              // waits for a read of its window or of its app
	waiting              // until its first head is due
	held                 // cannot send
)

// unit is one app's messages of one channel and lane inside one shard.
type unit struct {
	company
	key      comm.Unit
	shard    *shard
	tenant   *tenant
	win      window
	phase    phase
	dead     bool                    // its shard is gone; lines drop it when they meet it
	reading  bool                    // a read of the window is under way or queued
	rows     int                     // the next read may bring, when the last one was cut
	missed   []store.Head            // stored while a read is under way, which may have begun before
	left     map[comm.ID]comm.Micros // rows that were used up meanwhile, by when they were due: the read may still bring them
	moves    uint32                  // rewinds: a read that was under way must not move the cursor
	turn     uint32                  // tells its place in a line from older ones
	inflight int
	aside    int         // of these, refused by the store, waiting or tried again
	first    comm.Micros // earliest due known when the window is empty and more rows exist
	alarm    alarm

	hold      chain.Condition
	holder    *account // nil: not an account holds it
	place     *account // in whose line it has a place
	called    *account // whose line called it to start something
	heldSince time.Time
	looked    time.Time // when the hold was last begun or ended
	cramped   time.Time // since when its first message, a large one, finds no room
	reread    time.Time // when its window was last read anew for that
}

// shard is one ownership: a shard under one epoch. Regaining it makes a new one,
// so that nothing known of the old one hides a message (F11).
type shard struct {
	id       comm.Shard
	epoch    int64
	lost     bool         // not ours any more
	stay     time.Time    // no hand-over for balance before
	stayed   int          // how often one was called off
	active   bool         // recovered: may start
	refused  time.Time    // since when the store keeps it from becoming active
	early    []store.Wake // heard of before it was active
	draining bool         // being handed over: starts nothing
	units    map[unitKey]*unit
	inflight map[comm.ID]*job // from pick until the outcome is stored
	modes    map[comm.ID]comm.Mode
	debts    map[comm.ID]*debt // of messages that owe a repeat, or did
	panics   map[comm.ID]panicked
	moments  map[comm.ID]moments
	heard    map[comm.ID]time.Time // messages in doubt: when all reports were applied last
	suspects map[comm.ID]*job      // starts whose commit is unknown
	strays   map[comm.ID]int       // SENDING here without a call, by attempt, as of the last sweep
}

type unitKey struct {
	app     comm.ID
	channel comm.Channel
	lane    comm.Lane
}

func newShard(l store.Lease) *shard {
	return &shard{id: l.Shard, epoch: l.Epoch, units: map[unitKey]*unit{}, inflight: map[comm.ID]*job{},
		modes: map[comm.ID]comm.Mode{}, debts: map[comm.ID]*debt{}, panics: map[comm.ID]panicked{}, moments: map[comm.ID]moments{}, heard: map[comm.ID]time.Time{}, suspects: map[comm.ID]*job{}, strays: map[comm.ID]int{}}
}

func (s *shard) lease() store.Lease { return store.Lease{Shard: s.id, Epoch: s.epoch} }

// panicked is how often adapters have failed on a message, and when the last time was.
type panicked struct {
	times int
	last  time.Time
}

// forget drops what the shard knows of work on a message. That it owed a repeat is remembered, and that adapters failed on it: a start
// from a row that was read too early ends here, too. When reports were applied is not: what was heard then is old at the next start.
func (s *shard) forget(id comm.ID) {
	delete(s.inflight, id)
	delete(s.modes, id)
	delete(s.heard, id)
	delete(s.suspects, id)
}

// settled drops what the shard knows of a message that has ended.
func (s *shard) settled(id comm.ID) {
	s.forget(id)
	delete(s.debts, id)
	delete(s.panics, id)
	delete(s.moments, id)
}

// tenant is an app in the eyes of the scheduler: what fairness is between.
type tenant struct {
	id       comm.ID
	lines    [comm.LaneCount]fifo[*unit] // ready units by lane
	inRing   [2]bool
	blocked  [2]bool // has its share of the slots; comes back when one of its calls ends
	inflight [2]int
	cargo    [2]int64 // bytes of its large messages under way
	credit   int      // of BULK, in messages of NORMAL: what has gone ahead of it
	units    []*unit
}

func (t *tenant) hasReady(class int) bool {
	if class == classCritical {
		return t.lines[comm.Critical].len() > 0
	}
	return t.lines[comm.Normal].len() > 0 || t.lines[comm.Bulk].len() > 0
}

// weight: an app sends that many NORMAL messages for each of BULK, if it has both.
const weight = 4

// due is the lane, of the two that are not CRITICAL, whose turn it is.
func (t *tenant) due() comm.Lane {
	if t.credit >= weight {
		return comm.Bulk
	}
	return comm.Normal
}

// count books a message that started. Messages are counted and not turns, since a turn
// starts as many as there are places. What a lane sent while the other had nothing to
// send is soon forgotten.
func (t *tenant) count(lane comm.Lane) {
	switch lane {
	case comm.Normal:
		t.credit = min(t.credit+1, quantum)
	case comm.Bulk:
		t.credit = max(t.credit-weight, -quantum)
	}
}

// next takes the unit whose turn it is: NORMAL four times as often as BULK.
func (t *tenant) next(class int) *unit {
	lane := comm.Critical
	if class == classRest {
		lane = comm.Normal
		if t.lines[comm.Normal].len() == 0 || t.due() == comm.Bulk && t.lines[comm.Bulk].len() > 0 {
			lane = comm.Bulk
		}
	}
	for t.lines[lane].len() > 0 {
		if u := t.lines[lane].pop(); !u.dead {
			return u
		}
	}
	return nil
}

// chosen is the unit that u's place in an account's line is for: the lanes of an app
// have one weight there and in its own turns.
func (t *tenant) chosen(u *unit, a *account) *unit {
	lane := t.due()
	if u.key.Lane == comm.Critical || u.key.Lane == lane {
		return u
	}
	out := u
	for _, x := range t.units {
		switch {
		case x.key.Lane != lane:
		case x.place == a && x.phase == held:
			return x
		case x.isCalled(a):
			out = x
		}
	}
	return out
}

// isCalled says that the line of the account called it and that it has not been served yet.
func (u *unit) isCalled(a *account) bool { return u.called == a && u.phase == ready }

// waitsForMemory says that nothing but room for its first message keeps the unit from
// starting it; its window may just be read anew to see whether that one still waits.
func (u *unit) waitsForMemory() bool {
	return u.phase == held && u.hold.Reason == chain.WaitMemory || u.phase == idle && u.win.len() == 0 && !u.cramped.IsZero()
}

// heads is how many messages of the class that is not CRITICAL stand in line, as far as most.
func (t *tenant) heads(most int) (n int) {
	for _, lane := range []comm.Lane{comm.Normal, comm.Bulk} {
		line := &t.lines[lane]
		for _, u := range line.items[line.at:] {
			if n += u.win.len(); n >= most {
				return most
			}
		}
	}
	return n
}

// job is one message on its way: from pick, over attempt start and call, to the stored outcome.
type job struct {
	unit       *unit
	shard      *shard
	head       store.Head
	class      int
	account    *account
	words      string // which account that is, and why, for the message's story
	ticket     pace.Ticket
	live       bool
	end        *store.Outcome // no attempt: the QUEUED message ends so
	elsewhere  bool           // past a configuration that the message owes a repeat
	forced     bool           // to that configuration, in spite of its breaker
	node       string
	generation uint64

	hurry context.Context // ends when the provider is silent: what it has not been sent yet goes elsewhere
	brisk bool            // another configuration could take the message: the connection must come about soon

	state    comm.State
	payload  []byte
	files    []comm.Attachment
	deadline time.Time
	cargo    int64  // bytes booked for content and files; 0 when they are few or handed over
	loaded   uint64 // the order in which jobs booked
	holds    bool   // counted in the slots and at the account
	booked   bool   // pending in the account's day
	answered bool   // its result has been taken; a later one is evidence only

	result  result
	tried   []comm.ID
	counted bool
	own     bool // one of the round's answers was about this message
	later   bool
	noNext  bool
	failed  *store.Outcome // the failed attempt's event: the next start continues the round
	last    *account       // with failed: whose answer it was
	aside   *batch         // its start was refused and waits there
	refused bool           // its unit counts it among those that are aside
	retried bool           // that was tried again
	doubts  int            // turns with its start of which nobody knew whether they were stored
	alone   *batch         // the last of them, if it held nothing else
}

// finish is an outcome on its way into the store.
type finish struct {
	job       *job
	item      store.Finish
	called    bool
	accepted  bool
	uncertain bool // a turn that held it may have been committed
	orphan    bool // not from a call of this node: nothing to file when it is refused
}

func (f *finish) late() store.LateResult {
	return store.LateResult{App: f.item.App, ID: f.item.ID, Attempt: f.item.Attempt, Accepted: f.accepted, Outcome: f.item.Want, Suppress: f.item.Suppress}
}

// message is what the sender gets.
func (j *job) message(c *comm.Content) *provider.Message {
	return &provider.Message{ID: j.state.ID, App: j.state.App, Attempt: j.state.Attempts, Generation: j.state.Generation, Channel: j.state.Channel,
		Content: c, Files: j.files, Date: j.state.CreatedAt.Time(), Hurry: j.hurry}
}

// slots are the calls that may run at once on this node.
type slots struct {
	max, reserve   int
	critical, rest int
}

func (s *slots) used() int { return s.critical + s.rest }

// room is how many more calls of a class may start.
func (s *slots) room(class int) int {
	free := s.max - s.used()
	if class == classCritical {
		return max(0, free)
	}
	return max(0, min(free, s.max-s.reserve-s.rest))
}

// fairShare is how many times what is left free one app may have in flight, so
// that there is always room for a newcomer.
const fairShare = 4

// fair says whether an app that has n calls in flight may start another.
func (s *slots) fair(class, n int) bool {
	room := s.room(class)
	return room > 0 && (n == 0 || n < fairShare*room)
}

// allowance is how many an app that has n calls in flight could start while nobody else does.
func (s *slots) allowance(class, n int) int {
	return max(0, (fairShare*s.room(class)-n+fairShare)/(fairShare+1))
}

func (s *slots) add(class, n int) {
	if class == classCritical {
		s.critical += n
	} else {
		s.rest += n
	}
}
