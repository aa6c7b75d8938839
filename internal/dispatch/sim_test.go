package dispatch

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "run this seed of the simulation only")
	simSeeds = flag.Int("sim.seeds", 200, "how many seeds TestManySimulations runs")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is one simulated run.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	store  *simStore
	ledger *ledger
	nodes  []*simServer
	all    []*simServer // with those that were killed or stopped
	apps   []*comm.App
	ids    []comm.ID
	bad    map[comm.ID]string // what was refused once, cured or not
	serial int
	keyed  bool         // ROUGH takes an idempotency key
	catch  atomic.Int64 // how often reports were to be applied
	edit   func(*Config)
}

// simServer is a process.
type simServer struct {
	node *simNode
	d    *Dispatcher
	stop context.CancelFunc
	done chan struct{}
}

func testID(n int) (id comm.ID) {
	id = comm.NewID(comm.At(time.Now()))
	id[15] = byte(n)
	return id
}

func (w *world) boot(chaos float64) *simServer {
	n := &simNode{simStore: w.store}
	srv := &simServer{node: n, done: make(chan struct{})}
	level := slog.LevelError + 10
	if os.Getenv("SIM_LOG") != "" {
		level = slog.LevelDebug
	}
	var out io.Writer = os.Stderr
	w.serial++
	seed := w.rng.Uint64()
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 3))
	cfg := Config{Queue: n, Shards: n, Apps: n, Providers: n, Announcer: n, Logger: &simSender{l: w.ledger, n: n, logger: true},
		Adapters: []provider.Adapter{
			{Type: "ROUGH", CallTimeout: 20 * time.Second, RepeatFor: w.keyLife(), Open: func(provider.Settings, provider.Env) (provider.Sender, error) {
				return &simSender{l: w.ledger, n: n, chaos: chaos, keyed: w.keyed}, nil
			}},
			{Type: "FINE", Open: func(provider.Settings, provider.Env) (provider.Sender, error) {
				return &simSender{l: w.ledger, n: n, chaos: chaos / 3}, nil
			}},
		},
		CatchUp: func(context.Context) error {
			if chaos > 0 && w.catch.Add(1)%5 == 0 {
				return errors.New("reports cannot be applied")
			}
			return nil
		},
		Role: "all", Retry: pace.Backoff{Steps: []time.Duration{time.Second, 5 * time.Second, 20 * time.Second}, Jitter: 0.2}, Horizon: 10 * time.Minute, Drain: 5 * time.Second,
		Rand: func() float64 { mu.Lock(); defer mu.Unlock(); return random.Float64() },
		Log:  slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level})).With("proc", w.serial),
	}
	if w.edit != nil {
		w.edit(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	d.sched.cargo.collect = nil
	srv.d = d
	ctx, stop := context.WithCancel(context.Background())
	srv.stop = stop
	go func() {
		defer close(srv.done)
		if err := d.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	w.nodes, w.all = append(w.nodes, srv), append(w.all, srv)
	return srv
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{t: t, rng: rand.New(rand.NewPCG(seed, 1)), store: newSimStore(), bad: map[comm.ID]string{}}
	w.ledger = newLedger(w.store, seed)
	return w
}

// keyLife is for how long ROUGH knows a key.
func (w *world) keyLife() time.Duration {
	if w.keyed {
		return time.Hour
	}
	return 0
}

func (w *world) app(edit func(*comm.App), configs ...comm.ProviderConfig) *comm.App {
	a := &comm.App{ID: testID(len(w.apps)), Active: true, ShardSpread: 1}
	if edit != nil {
		edit(a)
	}
	for i := range configs {
		configs[i].App, configs[i].ID = a.ID, testID(i)
	}
	w.store.change(func() { w.store.apps[a.ID] = a; w.store.configs[a.ID] = configs })
	w.apps = append(w.apps, a)
	return a
}

// reconfigure replaces the configurations of an app, or of the server, and tells nobody.
func (w *world) reconfigure(app comm.ID, first int, configs ...comm.ProviderConfig) {
	for i := range configs {
		configs[i].App, configs[i].ID = app, testID(first+i)
	}
	w.store.change(func() { w.store.configs[app] = configs })
}

func emailConfig(kind string, priority int) comm.ProviderConfig {
	return comm.ProviderConfig{Type: kind, Channel: comm.Email, Priority: priority, Active: true, Version: 1}
}

// send accepts a message on a server, as its intake would.
func (w *world) send(on *simServer, a *comm.App, edit func(*comm.State)) comm.ID {
	st := comm.State{App: a.ID, ID: comm.NewID(comm.At(time.Now())), Channel: comm.Email, Lane: comm.Normal, Mode: a.Mode(), OnUnknown: a.OnUnknown}
	st.Shard = comm.ShardOf(a.ID, st.ID, a.ShardSpread)
	if edit != nil {
		edit(&st)
	}
	u, h := w.store.accept(st)
	w.ids = append(w.ids, st.ID)
	if on != nil {
		on.d.Push(u, h)
	}
	return st.ID
}

// chaos plans the faults of one node's store.
func (w *world) chaos(n *simNode, p float64) {
	seed := w.rng.Uint64()
	rng := rand.New(rand.NewPCG(seed, 2))
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latency = func() time.Duration { return time.Duration(rng.IntN(8)) * time.Millisecond }
	n.fault = func(op string) simFault {
		if rng.Float64() >= p {
			return faultNone
		}
		return simFault(1 + rng.IntN(3))
	}
}

func (w *world) heal() {
	w.ledger.mu.Lock()
	w.ledger.calm = true
	w.ledger.mu.Unlock()
	for _, s := range w.nodes {
		s.node.mu.Lock()
		s.node.fault, s.node.cutUntil, s.node.hungTill, s.node.fullTill = nil, time.Time{}, time.Time{}, time.Time{}
		s.node.mu.Unlock()
	}
	w.cure("finish", "late")
}

// refuse makes the store refuse the starts, finishes or late results of a message
// for a reason of the row's own; cure ends it for all of a kind.
func (w *world) refuse(id comm.ID, what string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.store.poison[id] = what
	w.bad[id] = what
}

func (w *world) cure(kinds ...string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	maps.DeleteFunc(w.store.poison, func(_ comm.ID, what string) bool { return slices.Contains(kinds, what) })
}

func (w *world) kill(i int) {
	s := w.nodes[i]
	s.node.mu.Lock()
	s.node.dead = true
	s.node.mu.Unlock()
	s.stop()
	w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
	w.store.mu.Lock()
	delete(w.store.listen, s.node)
	w.store.mu.Unlock()
}

func (w *world) open() (n int) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, m := range w.store.msgs {
		if !m.state.Status.Final() {
			n++
		}
	}
	return n
}

func (w *world) stopAll() {
	for _, s := range w.nodes {
		s.stop()
	}
	for _, s := range w.all {
		<-s.done
	}
	synctest.Wait()
}

// disturb lets one thing happen.
func (w *world) disturb() {
	i := w.rng.IntN(len(w.nodes))
	n := w.nodes[i].node
	span := time.Duration(1+w.rng.IntN(20)) * time.Second
	switch w.rng.IntN(10) {
	case 0:
		w.kill(i)
		w.chaos(w.boot(0.4).node, 0.03)
	case 1:
		n.mu.Lock()
		n.cutUntil = time.Now().Add(span)
		n.mu.Unlock()
	case 2:
		n.mu.Lock()
		n.hungTill = time.Now().Add(span)
		n.mu.Unlock()
	case 3: // graceful stop
		s := w.nodes[i]
		s.stop()
		w.nodes = append(w.nodes[:i:i], w.nodes[i+1:]...)
		w.chaos(w.boot(0.4).node, 0.03)
	case 4:
		if len(w.nodes) < 3 {
			w.chaos(w.boot(0.4).node, 0.03)
		}
	case 5, 6:
		if len(w.ids) > 0 {
			w.store.cancel(w.ids[len(w.ids)-1-w.rng.IntN(min(4, len(w.ids)))])
		}
	case 7:
		if len(w.ids) > 0 {
			w.store.suppress(w.ids[w.rng.IntN(len(w.ids))])
		}
	case 8:
		a := w.apps[w.rng.IntN(len(w.apps))]
		w.store.change(func() {
			switch w.rng.IntN(3) {
			case 0:
				a.Sandbox = !a.Sandbox
			case 1:
				a.QueuePaused = !a.QueuePaused
			case 2:
				a.Active = !a.Active
			}
		})
	case 9:
		n.mu.Lock()
		n.fullTill = time.Now().Add(span)
		n.mu.Unlock()
	}
}

func simulate(t *testing.T, seed uint64, seen map[string]int) {
	w := newWorld(t, seed)
	w.store.refusal = []error{errPoison, errScarce, errKilled}[seed%3]
	w.store.skew = time.Duration(w.rng.IntN(7)-3) * time.Second
	w.keyed = seed%2 == 0
	w.edit = func(c *Config) { c.MaxBytes = simBytes }
	for i := range 3 + w.rng.IntN(5) {
		policy := comm.UnknownPolicy(w.rng.IntN(2))
		rough := emailConfig("ROUGH", 1)
		if i%2 == 1 {
			rough.Limits.RatePerDay = 1 + w.rng.IntN(8)
		}
		w.app(func(a *comm.App) { a.OnUnknown, a.Sandbox = policy, i == 0 }, rough, emailConfig("FINE", 2))
	}
	for range 1 + w.rng.IntN(3) {
		w.chaos(w.boot(0.4).node, 0.03)
	}
	time.Sleep(time.Duration(w.rng.IntN(3000)) * time.Millisecond)
	poison := w.rng.IntN(2) == 0 // rows that the store refuses, until the end of the chaos or longer
	for range 20 + w.rng.IntN(40) {
		a := w.apps[w.rng.IntN(len(w.apps))]
		var on *simServer
		if w.rng.IntN(4) > 0 {
			on = w.nodes[w.rng.IntN(len(w.nodes))]
		}
		w.store.mu.Lock()
		mode := a.Mode()
		w.store.mu.Unlock()
		w.send(on, a, func(st *comm.State) {
			st.Lane, st.Mode = comm.Lane(w.rng.IntN(3)), mode
			st.Bytes = int64(w.rng.IntN(simBytes * 3 / 2))
			if w.rng.IntN(4) == 0 {
				st.ScheduledAt = w.store.now().Add(time.Duration(w.rng.IntN(40)) * time.Second)
			}
			if w.rng.IntN(6) == 0 {
				st.ExpiresAt = max(st.ScheduledAt, w.store.now()).Add(time.Duration(w.rng.IntN(60)) * time.Second)
			}
			if poison && w.rng.IntN(6) == 0 {
				w.refuse(st.ID, []string{"start", "finish"}[w.rng.IntN(2)])
			}
		})
		time.Sleep(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
		for _, srv := range w.nodes {
			srv.d.sched.mu.Lock()
			seen["laden"] += srv.d.sched.cargo.line.len()
			srv.d.sched.mu.Unlock()
		}
		if w.rng.IntN(3) == 0 {
			w.disturb()
		}
	}
	w.heal()
	closed := w.rng.IntN(2) == 0 // some queues stay closed for a while: what waits there ends all the same
	w.store.change(func() {
		for i, a := range w.apps {
			a.Active, a.QueuePaused = true, closed && i%2 == 0
		}
	})
	late := map[comm.ID]string{}
	for second := range 20 * 60 {
		if second == 90 {
			w.store.change(func() {
				for _, a := range w.apps {
					a.QueuePaused = false
				}
			})
			w.cure("start")
		}
		if w.open() == 0 {
			break
		}
		if second > 30 { // every shard has found its owner
			w.kept(late)
		}
		time.Sleep(time.Second)
	}
	stuck := append(w.where(), w.booked()...)
	for _, bad := range late {
		stuck = append(stuck, bad)
	}
	w.stopAll()
	for _, bad := range append(w.judge(), stuck...) {
		t.Errorf("seed %d: %s", seed, bad)
	}
	for cause, n := range w.store.seen {
		seen[cause.String()] += n
	}
	for what, n := range w.store.refused {
		seen["refused "+what] += n
	}
	seen["full days"] += w.store.dayFull
	seen["hard bounces"] += w.store.bounced
	for _, tried := range w.store.trials {
		repeats, past, _ := repeatsOf(tried)
		seen["repeats"], seen["repeats given up"] = seen["repeats"]+repeats, seen["repeats given up"]+past
	}
	for _, srv := range w.all {
		st := srv.d.Stats()
		seen["orphans"] += int(st.Orphans)
		seen["adopted"] += int(st.Adopted)
		seen["swept"] += int(st.Swept)
	}
	if t.Failed() {
		t.Logf("repeat with: go test ./internal/dispatch -run TestSimulation -sim.seed=%d", seed)
	}
}

// simBytes is a node's budget for large messages: few of them fit, some are larger.
const simBytes = 128 << 10

// booked names live servers that keep memory booked although no message is open.
func (w *world) booked() (out []string) {
	if w.open() > 0 {
		return nil
	}
	time.Sleep(time.Minute) // calls whose outcome was settled without them
	for _, srv := range w.nodes {
		s := srv.d.sched
		s.mu.Lock()
		if s.cargo.used != 0 {
			out = append(out, fmt.Sprintf("%d bytes are booked and nothing is under way", s.cargo.used))
		}
		s.mu.Unlock()
	}
	return out
}

// kept notes messages that wait although their time has been over for two seconds and more.
func (w *world) kept(late map[comm.ID]string) {
	const grace = 2500 * time.Millisecond // a look every second, a turn, and the clock of the test
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for id, m := range w.store.msgs {
		st := &m.state
		end := st.ExpiresAt
		if end == 0 && st.RoundSince > 0 {
			end = st.RoundSince.Add(10 * time.Minute)
		}
		if st.Status == comm.Queued && end > 0 && w.bad[id] != "finish" && w.store.now().Sub(end) > grace {
			late[id] = fmt.Sprintf("%s waits although its time was over at %s (%+v)", id, end, *st)
		}
	}
}

// judge compares the store's log with the providers' ledger.
func (w *world) judge() (bad []string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	say := func(m *simMessage, format string, args ...any) {
		var b strings.Builder
		fmt.Fprintf(&b, format, args...)
		for _, e := range m.events {
			fmt.Fprintf(&b, "\n    %s %v -> %v %v attempt %d epoch %d %.6s", e.At, e.From, e.To, e.Type, e.Attempt, e.Epoch, e.Node)
		}
		bad = append(bad, b.String())
	}
	bad = append(bad, w.store.wrong...)
	for id, m := range w.store.msgs {
		copies, unknown, starts, after := w.ledger.accepted[id], 0, 0, 0
		for i, e := range m.events {
			if e.Sequence != i+1 || i > 0 && m.events[i-1].To != e.From {
				say(m, "the log has a gap")
			}
			switch e.Type {
			case comm.CauseAttemptUnknown:
				unknown++
			case comm.CauseAttemptStarted:
				starts++
				if unknown > 0 {
					after++
				}
				if e.At < m.state.ScheduledAt {
					say(m, "started before its time")
				}
				if m.state.ExpiresAt != 0 && e.At >= m.state.ExpiresAt {
					say(m, "started after its time")
				}
			case comm.CauseExpired:
				if w.bad[id] == "start" {
					w.store.refused["start, then expired"]++
				}
				if e.From == comm.Queued && e.At < m.state.ExpiresAt {
					say(m, "ended before its time")
				}
			}
		}
		st := &m.state
		if _, _, broken := repeatsOf(w.store.trials[id]); w.keyed && broken {
			say(m, "another provider was tried before the one that may have taken it: %+v", w.store.trials[id])
		}
		switch {
		case !st.Status.Final():
			say(m, "not final after the drain")
		case copies > 1+unknown:
			say(m, "%d copies with %d unknown attempts", copies, unknown)
		case copies > starts:
			say(m, "%d copies with %d starts", copies, starts)
		case st.Status == comm.Sent && copies == 0 && w.ledger.logged[id] == 0:
			say(m, "SENT but nobody took it")
		case st.Mode == comm.Sandbox && copies > 0:
			say(m, "a sandbox message was sent for real")
		case copies > 0 && (st.Status == comm.Cancelled || st.Status == comm.Suppressed && unknown == 0 || st.Status == comm.Failed && !st.Flags.Has(comm.UnknownInGeneration)):
			say(m, "%v although a provider took it", st.Status)
		case after > 0 && st.OnUnknown == comm.FailUnknown:
			say(m, "tried again against the app's policy")
		}
	}
	return bad
}

// repeatsOf looks at a message's attempts with the last clause of promise 6: after an unknown one at ROUGH the next goes there
// again, or says that it knows of it; one that followed ROUGH's repeat is free.
func repeatsOf(tried []trial) (repeats, past int, broken bool) {
	for i, x := range tried {
		if i == 0 || !tried[i-1].unknown || tried[i-1].provider != "rough" {
			continue
		}
		switch {
		case x.provider == "rough":
			repeats++
		case x.past:
			past++
		case i > 1 && slices.ContainsFunc(tried[:i-1], func(t trial) bool { return t.provider == "rough" && t.unknown }):
			// it was repeated
		default:
			broken = true
		}
	}
	return repeats, past, broken
}

// firstSeeds are simulated wherever this package is tested, or the one that was named.
const firstSeeds = 20

func TestSimulation(t *testing.T) {
	t.Parallel()
	if *simSeed != 0 {
		simulateAll(t, *simSeed, *simSeed)
		return
	}
	simulateAll(t, 1, firstSeeds)
}

// TestManySimulations is TestSimulation with many seeds, in which everything happens that may.
func TestManySimulations(t *testing.T) {
	if testing.Short() {
		t.Skip("many seeds take a while: make test runs it")
	}
	t.Parallel()
	seen := simulateAll(t, firstSeeds+1, firstSeeds+uint64(*simSeeds))
	if *simSeeds < 100 || t.Failed() {
		return
	}
	// A run in which these never happened proves little.
	for _, what := range []string{"attempt_failed", "attempt_unknown", "retry_transient", "retry_unknown", "throttled", "provider_rejected", "expired", "suppressed",
		"cancelled", "cancel_requested", "outcome_unknown", "released", "late_result", "orphans", "laden", "full days", "hard bounces", "refused start", "refused finish", "refused late", "refused start, then expired", "repeats", "repeats given up"} {
		if seen[what] == 0 {
			t.Errorf("it never happened: %s", what)
		}
	}
}

// simulateAll simulates seeds until one fails, and answers how often what happened.
func simulateAll(t *testing.T, first, last uint64) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for seed := first; seed <= last && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) { simulate(t, seed, seen) })
	}
	t.Log(seen)
	return seen
}

// where says in which state the servers hold the units of messages that are not final.
func (w *world) where() (out []string) {
	for id, m := range w.store.msgs {
		if m.state.Status.Final() {
			continue
		}
		o := w.store.owner[m.state.Shard]
		out = append(out, fmt.Sprintf("%s: shard %d owner %.8s epoch %d lease %v, now %v", id, m.state.Shard, o.Node, o.Epoch, w.store.nodes[o.Node], w.store.now()))
		for i, srv := range w.nodes {
			out = append(out, fmt.Sprintf("server %d is %.8s %+v", i, srv.d.Stats().Node, srv.d.Stats()))
			s := srv.d.sched
			s.mu.Lock()
			if sh := s.shards[m.state.Shard]; sh != nil {
				line := fmt.Sprintf("%s %v on server %d: shard active %v draining %v, in flight %v, suspects %d, results %d, finishes %d", id, m.state.Status, i, sh.active, sh.draining, sh.inflight[id] != nil, len(sh.suspects), len(s.results), s.finishes.len())
				if u := sh.units[unitKey{m.state.App, m.state.Channel, m.state.Lane}]; u != nil {
					line += fmt.Sprintf("; unit phase %d, %d heads, more %v, behind %v, reading %v, in flight %d, hold %+v, ring %v blocked %v", u.phase, u.win.len(), u.win.more, u.win.behind, u.reading, u.inflight, u.hold, u.tenant.inRing, u.tenant.blocked)
				}
				out = append(out, line)
			}
			s.mu.Unlock()
		}
	}
	return out
}
