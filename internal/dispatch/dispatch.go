// Package dispatch brings accepted messages to their providers: it owns shards,
// schedules in memory, stores the start of an attempt, calls the provider,
// decides what the answer means and stores the outcome.
//
// It promises that no provider is called without a stored start under an epoch
// that this node owns and a lease that still holds; that an attempt which may
// have reached the provider is never called failed; that every change is an edge
// of comm.Edges; that a unit which cannot send costs no writes; and that apps
// share capacity, CRITICAL first. It does not speak HTTP or SQL, and it does not
// know any provider: stores and adapters are handed in.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/commserver/commserver/internal/chain"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/pace"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/store"
)

// AppReader reads apps; store.Apps is one.
type AppReader interface {
	AppsByID(ctx context.Context, ids []comm.ID) ([]comm.App, error)
}

// ProviderReader reads provider configurations; store.Providers is one.
type ProviderReader interface {
	ProviderConfigs(ctx context.Context, apps ...comm.ID) ([]comm.ProviderConfig, error)
	DaysUsed(ctx context.Context, apps ...comm.ID) ([]store.DayUse, error)
}

// Suppressions says which addresses are on an app's opt-out list.
type Suppressions interface {
	SuppressedOf(ctx context.Context, app comm.ID, ch comm.Channel, addresses []string) ([]string, error)
}

// Config is what a Dispatcher needs. Zero numbers and durations take the
// defaults in brackets.
type Config struct {
	Queue     store.Queue
	Shards    store.Shards
	Apps      AppReader
	Providers ProviderReader
	Announcer store.Announcer // nil: other nodes find out by polling
	Troubles  Troubles        // is told which configurations do not work [nobody is]

	Adapters []provider.Adapter
	Logger   provider.Sender // the sandbox: takes what is not sent for real
	Env      provider.Env    // given to Adapter.Open
	// OpenSecrets opens the sealed fields of a configuration. An error makes its
	// messages wait (credentials_unavailable); it is tried again from time to time.
	OpenSecrets func(*comm.ProviderConfig) (map[string]string, error)
	Fallback    chain.Fallback
	// Suppressions is asked about the copies of a mail before it is sent [nobody is].
	Suppressions Suppressions
	// CatchUp applies what providers have reported so far, whichever node took it. It is called before an attempt that follows one
	// of unknown outcome, for several messages together; while it fails they wait [nothing is reported].
	CatchUp func(ctx context.Context) error
	// Meter is told what happens, for metrics [nobody is].
	Meter Meter
	// SettingsHeard is called when another node announces that it changed an app's
	// settings (the zero id: the server-level chain), for whoever else remembers them [nobody].
	SettingsHeard func(app comm.ID)

	Role, Version   string
	Lease           time.Duration // [10 s]
	Heartbeat       time.Duration // [2 s]
	Drain           time.Duration // how long calls may go on after the stop [25 s]
	Horizon         time.Duration // how long a message without ttl is retried [24 h]
	Poll            time.Duration // safety poll [1 s]; 100 ms where nothing announces
	Retry           pace.Backoff  // [pace.Retry()]
	MaxInFlight     int           // calls at once [512]
	MaxBytes        int64         // of content and files of large messages under way [128 MiB]
	CriticalReserve int           // percent of MaxInFlight, of MaxBytes and of each configuration's calls, for CRITICAL only; -1 = none [10]

	Now  func() time.Time // [time.Now]
	Rand func() float64   // in [0,1), safe for concurrent use [math/rand/v2]
	Log  *slog.Logger     // [slog.Default]
}

func (c *Config) defaults() error {
	if c.Queue == nil || c.Shards == nil || c.Apps == nil || c.Providers == nil || c.Logger == nil {
		return errors.New("dispatch: Queue, Shards, Apps, Providers and Logger are required")
	}
	c.Lease = orElse(c.Lease, 10*time.Second)
	c.Heartbeat = orElse(c.Heartbeat, 2*time.Second)
	c.Drain = orElse(c.Drain, 25*time.Second)
	c.Horizon = orElse(c.Horizon, 24*time.Hour)
	c.Poll = orElse(c.Poll, time.Second)
	c.MaxInFlight = orElse(c.MaxInFlight, 512)
	if c.MaxBytes == 0 {
		c.MaxBytes = 128 << 20
	}
	c.CriticalReserve = max(0, orElse(c.CriticalReserve, 10))
	if len(c.Retry.Steps) == 0 {
		c.Retry = pace.Retry()
	}
	if c.Heartbeat*3 > c.Lease {
		return errors.New("dispatch: the heartbeat must be at most a third of the lease")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Meter == nil {
		c.Meter = unmetered{}
	}
	if c.SettingsHeard == nil {
		c.SettingsHeard = func(comm.ID) {}
	}
	if c.OpenSecrets == nil {
		c.OpenSecrets = func(*comm.ProviderConfig) (map[string]string, error) {
			return nil, errors.New("no key ring was given")
		}
	}
	return nil
}

func orElse[T int | time.Duration](v, standard T) T {
	if v == 0 {
		return standard
	}
	return v
}

// Dispatcher is one node's engine. Its methods are safe for concurrent use.
type Dispatcher struct {
	cfg      Config
	log      *slog.Logger
	outages  *outages
	sched    *scheduler
	herald   *Herald
	pollAll  atomic.Bool
	readCtx  context.Context
	callCtx  context.Context
	loops    sync.WaitGroup // loops and reads
	next     chan *job      // to a goroutine that waits for its next call
	idle     atomic.Int32
	endCalls context.CancelFunc
	endReads context.CancelFunc
}

// New makes a dispatcher; Run starts it.
func New(cfg Config) (*Dispatcher, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	d := &Dispatcher{cfg: cfg, log: cfg.Log.With("engine", "dispatch")}
	d.outages = newOutages(d.log)
	reserve := cfg.MaxInFlight * cfg.CriticalReserve / 100
	if cfg.CriticalReserve > 0 && cfg.MaxInFlight > 1 {
		reserve = max(1, reserve)
	}
	logger := newAccount(comm.ProviderConfig{Limits: comm.ProviderLimits{Pinned: true}}, 1)
	logger.name, logger.sender, logger.timeout = chain.Sandbox, cfg.Logger, defaultCallTimeout
	s := &scheduler{
		clock: &clock{now: cfg.Now, start: cfg.Now()}, guard: newGuard(cfg.Now, cfg.Lease), log: d.log, meters: cfg.Meter, logger: logger, fall: cfg.Fallback,
		rules:   policy{retry: cfg.Retry, horizon: cfg.Horizon, random: cfg.Rand},
		node:    comm.NewID(comm.At(cfg.Now())).String(),
		tenants: map[comm.ID]*tenant{}, held: map[*unit]struct{}{}, ill: ills{}, strained: map[comm.ID]strain{}, detached: map[comm.ID]*job{}, regrets: map[comm.Unit]*regret{},
		slots: slots{max: cfg.MaxInFlight, reserve: reserve}, keys: keysOf(cfg.Adapters),
		cargo: cargo{max: cfg.MaxBytes, reserve: cfg.MaxBytes / 100 * int64(cfg.CriticalReserve), collect: runtime.GC},
		wake:  make(chan struct{}, 1), reporting: cfg.CatchUp != nil,
		dir: directory{entries: map[comm.ID]*entry{}, adapters: map[string]provider.Adapter{}, unable: provider.CannotSend(cfg.Adapters), env: cfg.Env, secrets: cfg.OpenSecrets, share: 1},
	}
	for _, a := range cfg.Adapters {
		s.dir.adapters[a.Type] = a
	}
	d.sched = s
	d.herald = NewHerald(cfg.Announcer, d.log)
	d.next = make(chan *job)
	d.readCtx, d.endReads = context.WithCancel(context.Background())
	d.callCtx, d.endCalls = context.WithCancel(context.Background())
	s.reads.start = func(t task) {
		if d.readCtx.Err() == nil { // else nothing is started any more
			d.loops.Go(func() { d.perform(d.readCtx, t) })
		}
	}
	return d, nil
}

// Push hands over a message that this process has just accepted, so that its
// attempt starts at once. It never blocks. If another node owns the shard, that node is told.
func (d *Dispatcher) Push(u comm.Unit, h store.Head) {
	d.sched.mu.Lock()
	ok := d.sched.push(u, h)
	d.sched.accepting = true
	d.sched.mu.Unlock()
	if ok {
		d.sched.poke()
		return
	}
	d.herald.Tell(store.Wake{Unit: u, Due: h.Due})
}

// Wake says that units may have rows from Due on (a RETRY, an announcement). It
// never blocks. Units of other nodes are announced to them.
func (d *Dispatcher) Wake(wakes []store.Wake) {
	for _, w := range d.heard(wakes) {
		d.herald.Tell(w)
	}
}

// heard takes wakes and answers those that are for other nodes.
func (d *Dispatcher) heard(wakes []store.Wake) (others []store.Wake) {
	if wakes == nil {
		d.pollAll.Store(true)
		return nil
	}
	var changed []comm.ID
	d.sched.mu.Lock()
	for _, w := range wakes {
		switch {
		case w.IsSettings():
			d.sched.changed(w.Unit.App)
			changed = append(changed, w.Unit.App)
		case !d.sched.notice(w):
			others = append(others, w)
		}
	}
	d.sched.mu.Unlock()
	d.sched.poke()
	for _, app := range changed {
		d.cfg.SettingsHeard(app)
	}
	return others
}

// Invalidate says that an app or one of its provider configurations was changed
// by this process (the zero id: the server-level chain). No attempt of the app
// starts here from now on by what was known before; other nodes are told, and
// know it within milliseconds, or by a heartbeat if the announcement is lost.
func (d *Dispatcher) Invalidate(app comm.ID) {
	d.sched.mu.Lock()
	d.sched.changed(app)
	d.sched.mu.Unlock()
	d.herald.Tell(store.SettingsChanged(app))
}
