package dispatch

import (
	"context"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

const (
	// unwind is how long cancelled calls have to return before they are written off as unknown.
	unwind = 2 * time.Second
	// flush is how long the last outcomes may take to be stored.
	flush = 10 * time.Second
	// closedLong is how long the store may keep a shard from opening before the node says that it cannot send.
	closedLong = 5 * time.Second
)

// Run owns shards and sends until ctx ends; then it starts nothing more, lets
// calls finish until the drain deadline, records what has not answered as
// unknown, stores every outcome, hands its shards over and returns nil. It may
// be called once.
func (d *Dispatcher) Run(ctx context.Context) error {
	inner, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	beat, stopBeat := context.WithCancel(inner)
	defer stopBeat()
	own := &owner{d: d}
	turn := &turner{d: d}
	stop := make(chan struct{})
	beaten, turned := make(chan struct{}), make(chan struct{})
	go func() { defer close(beaten); own.run(beat) }()
	go func() { defer close(turned); turn.run(inner, stop) }()
	d.loops.Go(func() { (&poller{d: d}).run(inner) })
	d.loops.Go(func() { (&expirer{d: d}).run(inner) })
	if d.cfg.Announcer != nil {
		d.loops.Go(func() { _ = d.herald.Run(inner) })
		d.loops.Go(func() { d.listen(inner) })
	}

	<-ctx.Done()
	d.sched.mu.Lock()
	d.sched.stopping = true
	d.sched.mu.Unlock()
	d.drain()
	d.sched.mu.Lock()
	d.sched.lastTry()
	d.sched.mu.Unlock()
	close(stop)
	within(turned, flush)
	d.sched.mu.Lock()
	if n := d.sched.untold(); n > 0 {
		d.log.Error("outcomes of calls could not be stored and are given up: the next owner takes these attempts for unknown", "outcomes", n)
	}
	d.sched.mu.Unlock()
	stopBeat()
	<-beaten
	last, cancel := context.WithTimeout(inner, flush)
	own.leave(last)
	cancel()
	d.sched.mu.Lock()
	d.endReads() // under the lock: no read begins after it
	d.sched.mu.Unlock()
	end()
	<-turned
	d.loops.Wait()
	d.closeSenders()
	return nil
}

// drain waits for calls, then cancels them, then gives them up.
func (d *Dispatcher) drain() {
	s := d.sched
	if d.quiet(d.cfg.Drain) {
		return
	}
	d.endCalls()
	if d.quiet(unwind) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shards {
		if sh == nil {
			continue
		}
		for _, j := range sh.inflight {
			if j.unit != nil && j.holds && !j.answered && !j.deadline.IsZero() {
				j.answered = true
				j.result = result{called: true, answer: &provider.Error{Class: provider.Ambiguous, Code: "stopped", Text: "the server stopped before the provider answered"}}
				s.results = append(s.results, j)
			}
		}
	}
	s.poke()
}

// quiet waits until nothing is in flight, at most for d.
func (d *Dispatcher) quiet(most time.Duration) bool {
	const step = 10 * time.Millisecond
	s := d.sched
	for began := s.clock.now(); ; time.Sleep(step) {
		s.mu.Lock()
		n := s.slots.used() + len(s.results) + s.finishes.len() + s.aside.line.len()
		s.mu.Unlock()
		if n == 0 {
			return true
		}
		if s.clock.now().Sub(began) >= most {
			return false
		}
	}
}

func within(done <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

func (d *Dispatcher) closeSenders() {
	d.endCalls()
	d.sched.mu.Lock()
	var all []provider.Sender
	for _, e := range d.sched.dir.entries {
		for _, a := range e.accounts {
			if a.sender != nil {
				all = append(all, a.sender)
			}
		}
	}
	d.sched.mu.Unlock()
	for _, x := range all {
		if err := x.Close(); err != nil {
			d.log.Warn("closing a provider's sessions", "err", err)
		}
	}
}

// Stats is a snapshot for health pages and metrics.
type Stats struct {
	Node     string
	Workers  int  // live nodes that take shards
	Shards   int  // owned
	Units    int  // known
	Held     int  // units that cannot send now
	Heads    int  // queue rows in memory
	InFlight int  // calls running or about to
	Critical int  // of these, CRITICAL
	Aside    int  // changes of messages that the store refuses, tried again from time to time
	Closed   int  // owned shards that the store has kept from starting anything for a while
	Healthy  bool // the lease holds, the last turn or heartbeat was stored, no shard is closed, few rows are aside
	// LastError is the last trouble with the store, "" since it went away.
	LastError string
	Turns     uint64 // transactions stored
	Started   uint64 // attempts
	Finished  uint64 // outcomes
	Orphans   uint64 // attempts found without an outcome at a take-over
	Swept     uint64 // open attempts that had no call
	Adopted   uint64 // calls that outlived the loss of their shard and found it again
	Taken     uint64 // shards that became this node's
	Lost      uint64 // shards that were taken from it, or that it gave up since its lease had ended; what it handed over is none
	Bytes     int64  // of large messages under way
}

// counters are guarded by the scheduler's lock.
type counters struct {
	turns, started, finished, orphans, swept, adopted uint64
	taken, lost                                       uint64 // shards
	workers                                           int
	err                                               string
	turnFailed                                        bool // err is a turn's
}

// trouble notes how the store answers; nil takes the note away.
func (s *scheduler) trouble(err error) {
	s.count.err = ""
	s.count.turnFailed = false
	if err != nil {
		s.count.err = err.Error()
	}
}

// recovered forgets trouble that a stored heartbeat disproves. A turn that could
// not be stored is disproved by a stored turn, as long as there is anything to store.
func (s *scheduler) recovered() {
	s.aside.relent()
	if !s.count.turnFailed || s.finishes.len() == 0 && s.heads == 0 {
		s.count.err = ""
	}
}

// Stats answers a snapshot.
func (d *Dispatcher) Stats() Stats {
	_, fit := d.sched.guard.current()
	s := d.sched
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{Node: s.node, Workers: s.count.workers, Units: s.units, Held: len(s.held), Heads: s.heads, InFlight: s.slots.used(), Critical: s.slots.critical,
		Healthy: fit && s.count.err == "", LastError: s.count.err, Turns: s.count.turns, Started: s.count.started, Finished: s.count.finished,
		Orphans: s.count.orphans, Swept: s.count.swept, Adopted: s.count.adopted, Aside: len(s.aside.waiting),
		Taken: s.count.taken, Lost: s.count.lost, Bytes: s.cargo.used}
	for _, sh := range s.shards {
		if sh == nil {
			continue
		}
		out.Shards++
		if !sh.active && !sh.refused.IsZero() && s.clock.now().Sub(sh.refused) >= closedLong {
			out.Closed++
		}
	}
	switch {
	case out.Aside >= maxAside:
		out.Healthy, out.LastError = false, "the store refuses too many changes"
	case out.Closed > 0:
		out.Healthy = false
		if out.LastError == "" {
			out.LastError = "shards that were taken cannot be opened"
		}
	case !fit && out.LastError == "":
		out.LastError = "it holds no lease"
	}
	return out
}

// Owns says whether this node owns the shard, as far as it knows: for work that one node
// should do, and that does no harm where two do.
func (d *Dispatcher) Owns(shard comm.Shard) bool {
	if _, fit := d.sched.guard.current(); !fit {
		return false
	}
	d.sched.mu.Lock()
	defer d.sched.mu.Unlock()
	return int(shard) < len(d.sched.shards) && d.sched.shards[shard] != nil && !d.sched.stopping
}

// Owned is the shards that this node owns, with the name that it owns them under; none once it stops. What is
// written for them is fenced: between the answer and a write they may have become another node's.
func (d *Dispatcher) Owned() (node string, leases []store.Lease) {
	if _, fit := d.sched.guard.current(); !fit {
		return "", nil
	}
	d.sched.mu.Lock()
	defer d.sched.mu.Unlock()
	if d.sched.stopping {
		return "", nil
	}
	for _, sh := range d.sched.shards {
		if sh != nil {
			leases = append(leases, sh.lease())
		}
	}
	return d.sched.node, leases
}
