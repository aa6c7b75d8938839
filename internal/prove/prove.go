// Package prove runs real CommServer processes under load while it kills,
// pauses and restarts them, and then holds every message to the delivery
// contract: nothing accepted is lost, nothing is invented, every extra copy
// is explained by an attempt whose outcome was recorded as unknown.
//
// The truth comes from four logs that are kept outside of the server: what the
// clients were answered (history), what the provider really took (ledger), what
// webhooks told (heard), and what the server says of each message over its own
// API. The checker is a pure function of the four. It knows nothing of the
// server's database.
//
// A run may go on in a database that was restored from a backup of its middle (Config.Restore): then nothing that was sent is
// sent again but by the choice of the release.
//
// A run is decided by its seed as far as the schedule of faults and requests
// goes; what the machine does in between is real.
package prove

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// Config is one run.
type Config struct {
	Binary   string   // the commserver binary
	Dir      string   // scratch: data folder, logs of the processes
	Env      []string // environment of every process besides what the run sets; names the database
	Nodes    int      // processes; more than one needs PostgreSQL
	Apps     int      // live apps, each with its own chain of providers
	Clients  int      // concurrent senders
	Messages int      // accepted messages to reach
	Kills    int      // SIGKILLs to reach; 0 = none happen if there are other faults
	Faults   []Fault  // which faults may happen besides kills
	Pauses   Span     // how long a pause lasts; zero: 1 to 6 s, so that some outlast the lease of 3 s
	Stall    int      // percent of the messages whose provider answers late (see Sink); 0 = 1
	Rate     int      // submissions per second at most; 0 = as fast as it goes
	Seed     uint64
	Limit    time.Duration // the load and the faults end after this, whatever was reached
	Drain    time.Duration // how long the rest may take to become final
	// RestartDatabase restarts the database under the nodes; nil = not possible here.
	RestartDatabase func(context.Context) error
	// Restore makes the run take a backup of its middle, stop all nodes in the end, restore it elsewhere and go on there, with this choice about what may
	// have been sent (FAIL, POLICY or SEND); "": not. RestoreInto names the empty PostgreSQL database for it; "": SQLite in a folder of Dir.
	Restore, RestoreInto string
	// Progress is told once a second how far the load has come; nil = silent.
	Progress func(Progress)
}

// Span is a range of time.
type Span struct{ Min, Max time.Duration }

// Run makes one run and answers what was found. An error means that the run
// itself could not be made; violations are in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if !signals {
		return nil, errors.New("this system cannot stop and pause processes as the trial does; run it on Linux or macOS")
	}
	if cfg.Pauses == (Span{}) {
		cfg.Pauses = Span{time.Second, 6 * time.Second}
	}
	cfg.Stall = max(1, cfg.Stall)
	r := &run{cfg: cfg, rnd: rand.New(rand.NewPCG(cfg.Seed, 0x5eed)), history: newHistory(), started: time.Now()}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the scratch folder: %w", err)
	}
	sinks, err := startSinks(ctx, cfg.Seed)
	if err != nil {
		return nil, fmt.Errorf("start the providers: %w", err)
	}
	r.sinks = sinks
	defer func() { _ = sinks.sim.Close() }()
	if r.hooks, err = startHooks(ctx); err != nil {
		return nil, fmt.Errorf("start the receiver of webhooks: %w", err)
	}
	defer func() { _ = r.hooks.close() }()
	if err := r.startNodes(ctx); err != nil {
		return nil, err
	}
	defer r.stopNodes()
	if err := r.makeApps(ctx); err != nil {
		return nil, fmt.Errorf("set the apps up: %w", err)
	}
	r.underFaults(ctx)
	if err := r.heal(ctx); err != nil {
		return nil, fmt.Errorf("heal the nodes: %w", err)
	}
	if err := r.settle(ctx); err != nil {
		return nil, fmt.Errorf("ask for unanswered requests: %w", err)
	}
	messages, err := r.collect(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the messages back: %w", err)
	}
	if err := r.trespass(ctx); err != nil {
		return nil, fmt.Errorf("ask as another app: %w", err)
	}
	heard, waits, err := r.listen(ctx, messages)
	if err != nil {
		return nil, fmt.Errorf("ask for what webhooks are to tell: %w", err)
	}
	rep := r.report(messages, heard, waits)
	if cfg.Restore != "" {
		if err := r.goOn(ctx, rep, messages); err != nil {
			return nil, fmt.Errorf("restore the backup and go on: %w", err)
		}
	}
	return rep, nil
}

// run is the state of one run.
type run struct {
	cfg     Config
	rnd     *rand.Rand // the nemesis' own; clients have theirs
	sinks   *sinks
	hooks   *hooks
	nodes   []*node
	apps    []app
	history *history
	started time.Time

	mu     sync.Mutex
	counts map[Fault]int
	saved  *saved // nil: no backup was taken yet
}

// underFaults drives load and faults until the goals are reached or the limit passes.
func (r *run) underFaults(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Limit)
	defer cancel()
	var wg sync.WaitGroup
	for i := range r.cfg.Clients {
		wg.Go(func() { r.client(ctx, uint64(i)) })
	}
	wg.Go(func() { r.nemesis(ctx) })
	wg.Go(func() { r.save(ctx) })
	wg.Go(func() {
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				r.progress()
			}
		}
	})
	for ctx.Err() == nil {
		if r.history.accepted() >= r.cfg.Messages && r.count(Kill) >= r.cfg.Kills && r.isSaved() {
			cancel()
		}
		pause(ctx, 100*time.Millisecond)
	}
	wg.Wait()
}

// Progress is how far a run has come.
type Progress struct {
	Elapsed                         time.Duration
	Accepted, Messages              int
	Unanswered, Handed              int // requests without an answer; copies that providers took
	Killed, Kills                   int
	Pauses, Stops, DatabaseRestarts int
}

func (p Progress) String() string {
	return fmt.Sprintf("%6s  accepted %d/%d  unanswered %d  handed over %d  kills %d/%d  pauses %d  stops %d  database restarts %d",
		p.Elapsed.Round(time.Second), p.Accepted, p.Messages, p.Unanswered, p.Handed, p.Killed, p.Kills, p.Pauses, p.Stops, p.DatabaseRestarts)
}

func (r *run) progress() {
	if r.cfg.Progress == nil {
		return
	}
	p := Progress{Elapsed: time.Since(r.started), Accepted: r.history.accepted(), Messages: r.cfg.Messages, Unanswered: r.history.unknown(),
		Killed: r.count(Kill), Kills: r.cfg.Kills, Pauses: r.count(Pause), Stops: r.count(Stop), DatabaseRestarts: r.count(Database)}
	p.Handed = r.sinks.Copies()
	r.cfg.Progress(p)
}

func (r *run) count(f Fault) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[f]
}

func (r *run) counted(f Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = map[Fault]int{}
	}
	r.counts[f]++
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
