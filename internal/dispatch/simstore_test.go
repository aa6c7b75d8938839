package dispatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/store"
)

// simStore is an honest model of the store contract in memory, with its own
// clock: transactions, fence, check-and-set, log. simNode is one node's
// connection to it, which is where faults are.
type simStore struct {
	mu       sync.Mutex
	skew     time.Duration
	ahead    int64 // microseconds by which a node may believe the clock to be ahead
	seen     map[comm.Cause]int
	msgs     map[comm.ID]*simMessage
	starts   map[comm.ID][]string // what their starts said
	trials   map[comm.ID][]trial  // what they were starts of
	queue    map[comm.Unit]*simQueue
	nodes    map[string]comm.Micros
	owner    [comm.ShardCount]store.Ownership
	apps     map[comm.ID]*comm.App
	configs  map[comm.ID][]comm.ProviderConfig
	days     map[configRef]store.DayUse // by configuration
	bounced  int                        // finishes that suppressed a recipient
	dayFull  int                        // how often a day's limit was reached
	version  int64
	turns    int
	items    int // of turns
	holds    int // SetHolds calls
	units    int // Units calls
	windows  int
	overdues int      // Overdue calls
	lates    int      // Late calls
	wrong    []string // broken laws
	open     map[comm.Shard]map[comm.ID]bool
	poison   map[comm.ID]string // messages of which a "start", "finish" (late or not) or "late" result is refused
	refused  map[string]int     // how often
	refusal  error              // what is said then
	listen   map[*simNode]func([]store.Wake)
	lazy     func(comm.ID) *simMessage // makes one of very many messages when it is first looked at
}

func (s *simStore) message(id comm.ID) *simMessage {
	m := s.msgs[id]
	if m == nil && s.lazy != nil {
		if m = s.lazy(id); m != nil {
			s.msgs[id] = m
		}
	}
	return m
}

type simMessage struct {
	state      comm.State
	payload    []byte
	files      []comm.Attachment
	suppressed bool
	events     []comm.Event
}

// trial is an attempt as promise 6 looks at it.
type trial struct {
	provider string
	past     bool // it knew of a repeat that was owed elsewhere
	unknown  bool
}

type simQueue struct{ heads []store.Head }

func (q *simQueue) find(h store.Head) (int, bool) {
	return slices.BinarySearchFunc(q.heads, h, compareHeads)
}

func (q *simQueue) add(h store.Head) {
	if n := len(q.heads); n == 0 || q.heads[n-1].Before(h) {
		q.heads = append(q.heads, h)
		return
	}
	if i, ok := q.find(h); !ok {
		q.heads = slices.Insert(q.heads, i, h)
	}
}

func (q *simQueue) remove(h store.Head) {
	i, ok := q.find(h)
	if !ok {
		return
	}
	if i > len(q.heads)/2 { // the shorter side moves
		q.heads = slices.Delete(q.heads, i, i+1)
		return
	}
	copy(q.heads[1:i+1], q.heads[:i])
	q.heads = q.heads[1:]
}

// configRef names a provider configuration.
type configRef struct{ App, ID comm.ID }

func newSimStore() *simStore {
	return &simStore{seen: map[comm.Cause]int{}, msgs: map[comm.ID]*simMessage{}, starts: map[comm.ID][]string{}, trials: map[comm.ID][]trial{}, queue: map[comm.Unit]*simQueue{}, nodes: map[string]comm.Micros{}, apps: map[comm.ID]*comm.App{},
		configs: map[comm.ID][]comm.ProviderConfig{}, days: map[configRef]store.DayUse{}, open: map[comm.Shard]map[comm.ID]bool{}, listen: map[*simNode]func([]store.Wake){},
		poison: map[comm.ID]string{}, refused: map[string]int{}, refusal: errPoison}
}

func (s *simStore) now() comm.Micros { return comm.At(time.Now().Add(s.skew)) }

func (s *simStore) broken(format string, args ...any) {
	if len(s.wrong) < 20 {
		s.wrong = append(s.wrong, fmt.Sprintf(format, args...))
	}
}

func unitOfState(st *comm.State) comm.Unit {
	return comm.Unit{Shard: st.Shard, App: st.App, Channel: st.Channel, Lane: st.Lane}
}

func (s *simStore) rows(u comm.Unit) *simQueue {
	q := s.queue[u]
	if q == nil {
		q = &simQueue{}
		s.queue[u] = q
	}
	return q
}

// accept stores a message as the intake would.
func (s *simStore) accept(st comm.State) (comm.Unit, store.Head) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	st.Status, st.Generation, st.CreatedAt, st.UpdatedAt = comm.Queued, 1, now, now
	st.Due = max(now, st.ScheduledAt)
	m := &simMessage{state: st, payload: []byte(`{"to":"a@b.example","body":"x"}`)}
	s.msgs[st.ID] = m
	s.log(m, comm.None, comm.Queued, comm.CauseAccepted, "", 0)
	u := unitOfState(&st)
	h := store.HeadOf(&st)
	s.rows(u).add(h)
	return u, h
}

func (s *simStore) log(m *simMessage, from, to comm.Status, cause comm.Cause, node string, epoch int64) {
	m.state.Sequence++
	s.seen[cause]++
	m.events = append(m.events, comm.Event{Message: m.state.ID, Sequence: m.state.Sequence, Type: cause, From: from, To: to, At: s.now(), Attempt: m.state.Attempts, Epoch: epoch, Node: node})
	if from != to && !comm.Allowed(from, to, cause) {
		s.broken("%v -> %v by %v is no edge", from, to, cause)
	}
}

// move changes a message's state, its queue row and its log together.
func (s *simStore) move(m *simMessage, o store.Outcome, node string, epoch int64) {
	st := &m.state
	from := st.Status
	old := store.HeadOf(st)
	if o.To == comm.Queued && o.Due <= st.Due {
		s.broken("message requeued with a due that does not grow (%v)", o.Cause)
	}
	st.Status, st.UpdatedAt = o.To, s.now()
	st.Flags = st.Flags&^comm.RepeatOwed | o.Set
	st.Round, st.ErrorCode, st.ErrorText = o.Round, o.ErrorCode, o.ErrorText
	if o.Ref != "" {
		st.ProviderRef = o.Ref
	}
	q := s.rows(unitOfState(st))
	q.remove(old)
	delete(s.open[st.Shard], st.ID)
	if o.To == comm.Queued {
		st.Due = o.Due
		q.add(store.HeadOf(st))
	} else {
		st.Due = 0
	}
	if o.Cause == comm.CauseRetryUnknown || o.Cause == comm.CauseOutcomeUnknown || o.Cause == comm.CauseInternalError && o.Set != 0 {
		s.log(m, from, from, comm.CauseAttemptUnknown, node, epoch)
		if tried := s.trials[st.ID]; len(tried) > 0 {
			tried[len(tried)-1].unknown = true
		}
	}
	s.log(m, from, o.To, o.Cause, node, epoch)
}

// cancel and suppress are what the API does.
func (s *simStore) cancel(id comm.ID) comm.CancelResult {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.msgs[id]
	r := comm.CancelVerdict(&m.state)
	switch r {
	case comm.CancelDone:
		s.move(m, store.Outcome{To: comm.Cancelled, Cause: comm.CauseCancelled}, "", 0)
	case comm.CancelMaybe:
		s.move(m, store.Outcome{To: comm.Failed, Cause: comm.CauseOutcomeUnknown}, "", 0)
	case comm.CancelFlight:
		m.state.Flags |= comm.CancelWanted
		s.log(m, comm.Sending, comm.Sending, comm.CauseCancelRequested, "", 0)
	case comm.CancelAgain, comm.CancelTooLate:
	}
	return r
}

func (s *simStore) suppress(id comm.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.msgs[id].suppressed = true
}

// change edits an app or its configurations and counts the version up.
func (s *simStore) change(edit func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit()
	s.version++
}

// simNode is a connection with faults.
type simNode struct {
	*simStore
	mu       sync.Mutex
	latency  func() time.Duration
	fault    func(op string) simFault
	dead     bool
	cutUntil time.Time // every call fails
	hungTill time.Time // every call waits
	fullTill time.Time // every call is refused by a store that is there
}

type simFault uint8

const (
	faultNone      simFault = iota
	faultFails              // nothing stored
	faultLost               // stored, the answer is lost
	faultUncertain          // not stored, and nobody knows
	faultRefused            // not stored, for the reason that bad rows are refused for
)

var (
	errSim = fmt.Errorf("connection refused: %w", io.EOF)
	// errPoison is the store's refusal of one row: everything else could be stored.
	errPoison = errors.New("a row that cannot be stored")
	// errScarce is the same, said as if the database were away; errKilled is of a row that ends the session.
	errScarce = &store.RolledBack{Cause: outOfMemory{}}
	errKilled = fmt.Errorf("%w: the session ended", store.ErrUncertain)
)

// outOfMemory is an error of a server that is there.
type outOfMemory struct{}

func (outOfMemory) Error() string    { return "out of memory" }
func (outOfMemory) SQLState() string { return "53200" }

// tx runs one transaction with latency and faults.
func (n *simNode) tx(ctx context.Context, op string, f func() error) error {
	half := func() error {
		n.mu.Lock()
		d := time.Duration(0)
		if n.latency != nil {
			d = n.latency()
		}
		if wait := time.Until(n.hungTill); wait > 0 {
			d += wait
		}
		n.mu.Unlock()
		if d > 0 {
			sleep(ctx, d)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.dead || time.Now().Before(n.cutUntil) {
			return errSim
		}
		return nil
	}
	if err := half(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	n.mu.Lock()
	full := time.Now().Before(n.fullTill)
	fault := faultNone
	if n.fault != nil {
		fault = n.fault(op)
	}
	n.mu.Unlock()
	if full {
		return n.refusal
	}
	switch fault {
	case faultFails:
		return errSim
	case faultUncertain:
		return store.ErrUncertain
	case faultRefused:
		return n.refusal
	case faultNone, faultLost:
	}
	n.simStore.mu.Lock()
	err := f()
	n.simStore.mu.Unlock()
	if fault == faultLost {
		return store.ErrUncertain
	}
	if err2 := half(); err2 != nil {
		return store.ErrUncertain
	}
	return err
}

func (n *simNode) Units(ctx context.Context, shards []comm.Shard) (out []store.Wake, err error) {
	err = n.tx(ctx, "units", func() error {
		n.units++
		for u, q := range n.queue {
			if len(q.heads) > 0 && slices.Contains(shards, u.Shard) {
				out = append(out, store.Wake{Unit: u, Due: q.heads[0].Due})
			}
		}
		return nil
	})
	return out, err
}

func (n *simNode) Windows(ctx context.Context, asks []store.Ask) (out [][]store.Head, err error) {
	err = n.tx(ctx, "windows", func() error {
		n.windows++
		out = make([][]store.Head, len(asks))
		for k, a := range asks {
			if q := n.queue[a.Unit]; q != nil {
				i := sort.Search(len(q.heads), func(i int) bool { return a.After.Before(q.heads[i]) })
				out[k] = slices.Clone(q.heads[i:min(len(q.heads), i+a.Limit)])
			}
		}
		return nil
	})
	return out, err
}

func (n *simNode) Turn(ctx context.Context, t store.Turn) (res store.TurnResult, err error) {
	err = n.tx(ctx, "turn", func() error {
		n.turns++
		n.items += len(t.Finishes) + len(t.Starts)
		var lost []comm.Shard
		epochs := map[comm.Shard]int64{}
		for _, l := range t.Leases {
			if o := n.owner[l.Shard]; o.Node != t.Node || o.Epoch != l.Epoch {
				lost = append(lost, l.Shard)
			}
			epochs[l.Shard] = l.Epoch
		}
		if len(lost) > 0 {
			return &store.LostShards{Shards: lost}
		}
		if n.poisoned(t) {
			return n.refusal
		}
		res = store.TurnResult{Now: n.now()}
		for _, f := range t.Finishes {
			res.Finished = append(res.Finished, n.finish(f, t.Node, epochs))
		}
		for _, s := range t.Starts {
			res.Started = append(res.Started, n.startOne(s, t.Node, epochs))
		}
		return nil
	})
	return res, err
}

// poisoned says whether a turn has an item that the store refuses.
func (s *simStore) poisoned(t store.Turn) bool {
	return slices.ContainsFunc(t.Finishes, func(f store.Finish) bool { return s.refuses(f.ID, "finish") }) ||
		slices.ContainsFunc(t.Starts, func(x store.Start) bool { return s.refuses(x.Head.ID, "start") })
}

func (s *simStore) refuses(id comm.ID, what string) bool {
	if p := s.poison[id]; p != what && (p != "finish" || what != "late") {
		return false
	}
	s.refused[what]++
	return true
}

func (s *simStore) finish(f store.Finish, node string, epochs map[comm.Shard]int64) bool {
	m := s.message(f.ID)
	if _, ok := epochs[f.Unit.Shard]; !ok {
		s.broken("a finish without its shard's lease")
	}
	if m == nil || m.state.Status != f.From {
		return false
	}
	if f.From == comm.Sending && (m.state.Attempts != f.Attempt || m.state.Epoch != f.Epoch) || f.From == comm.Queued && m.state.Due != f.Due {
		return false
	}
	o := f.Want
	if m.state.Flags.Has(comm.CancelWanted) && f.IfCancelled != nil {
		o = *f.IfCancelled
	}
	if f.Suppress != "" {
		if m.state.Mode != comm.Live || !o.To.Final() {
			s.broken("a %v message that becomes %v suppresses its recipient", m.state.Mode, o.To)
		}
		m.suppressed = true
		s.bounced++
	}
	s.move(m, o, node, epochs[f.Unit.Shard])
	return true
}

func (s *simStore) startOne(x store.Start, node string, epochs map[comm.Shard]int64) store.Started {
	epoch, ok := epochs[x.Unit.Shard]
	if !ok {
		s.broken("a start without its shard's lease")
	}
	m := s.message(x.Head.ID)
	gone := store.Started{Verdict: store.Gone}
	if m == nil {
		return gone
	}
	st := &m.state
	if x.Attempt == 0 && x.Head.Due > s.now()+comm.Micros(s.ahead) {
		s.broken("a start %v before its time", x.Head.Due.Sub(s.now()))
	}
	if x.Attempt == 0 && (st.Status != comm.Queued || st.Due != x.Head.Due || st.Due > s.now()) {
		return gone
	}
	if x.Attempt > 0 && (st.Status != comm.Sending || st.Attempts != x.Attempt || st.Epoch != x.Epoch) {
		return gone
	}
	if x.Careful && x.Attempt == 0 && st.Flags.Has(comm.UnknownInGeneration) {
		return store.Started{Verdict: store.Doubted}
	}
	app := s.apps[st.App]
	if x.Attempt == 0 && !x.Elsewhere && st.Flags.Has(comm.RepeatOwed) && st.ProviderID != x.ProviderID {
		return store.Started{Verdict: store.RepeatFirst, State: *st}
	}
	if x.Elsewhere {
		st.Flags &^= comm.RepeatOwed
	}
	if !app.Active || x.Live && (app.Sandbox || st.Mode != comm.Live) {
		return store.Started{Verdict: store.ModeChanged}
	}
	if x.Attempt > 0 {
		st.Flags = st.Flags&^comm.RepeatOwed | x.Failed.Set
		s.log(m, comm.Sending, comm.Sending, x.Failed.Cause, node, epoch)
	}
	check := comm.Check{Suppressed: m.suppressed, Expired: st.ExpiresAt != 0 && s.now() >= st.ExpiresAt, Cancelled: st.Flags.Has(comm.CancelWanted),
		Unknown: st.Flags.Has(comm.UnknownInGeneration), Continuing: x.Attempt > 0}
	if to, cause := check.End(); to != comm.None {
		s.move(m, store.Outcome{To: to, Cause: cause, Round: st.Round}, node, epoch)
		return store.Started{Verdict: store.Ended, State: *st}
	}
	if st.Attempts == 0 {
		st.RoundSince = s.now()
	}
	from := st.Status
	st.Status, st.Epoch, st.UpdatedAt = comm.Sending, epoch, s.now()
	st.Attempts++
	st.Provider, st.ProviderID = x.Provider, x.ProviderID
	if s.open[st.Shard] == nil {
		s.open[st.Shard] = map[comm.ID]bool{}
	}
	s.open[st.Shard][st.ID] = true
	s.log(m, from, comm.Sending, comm.CauseAttemptStarted, node, epoch)
	s.starts[st.ID] = append(s.starts[st.ID], x.Detail)
	s.trials[st.ID] = append(s.trials[st.ID], trial{provider: x.Provider, past: x.Elsewhere})
	s.countDay(&x, app)
	return store.Started{Verdict: store.Go, State: *st, Payload: m.payload, Files: m.files}
}
