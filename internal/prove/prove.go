// Package prove runs real CommServer processes under load while it kills,
// pauses and restarts them, and then holds every message to the delivery
// contract: nothing accepted is lost, nothing is invented, every extra copy
// is explained by an attempt whose outcome was recorded as unknown.
//
// The truth comes from three logs that are kept outside of the server: what the
// clients were answered (history), what the provider really took (ledger), and
// what the server says of each message over its own API. The checker is a pure
// function of the three. It knows nothing of the server's database.
//
// A run is decided by its seed as far as the schedule of faults and requests
// goes; what the machine does in between is real.
package prove

import (
	"context"
	"fmt"
	"io"
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
	Kills    int      // SIGKILLs to reach
	Faults   []Fault  // which faults may happen; Kill is always among them
	Rate     int      // submissions per second at most; 0 = as fast as it goes
	Seed     uint64
	Limit    time.Duration // the load and the faults end after this, whatever was reached
	Drain    time.Duration // how long the rest may take to become final
	// RestartDatabase restarts the database under the nodes; nil = not possible here.
	RestartDatabase func(context.Context) error
	Progress        io.Writer // one line every few seconds; nil = silent
}

// Run makes one run and answers what was found. An error means that the run
// itself could not be made; violations are in the report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	r := &run{cfg: cfg, rnd: rand.New(rand.NewPCG(cfg.Seed, 0x5eed)), history: newHistory(), started: time.Now()}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the scratch folder: %w", err)
	}
	sinks, err := startSinks(2)
	if err != nil {
		return nil, fmt.Errorf("start the providers: %w", err)
	}
	r.sinks = sinks
	defer closeSinks(sinks)
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
	return r.report(messages), nil
}

// run is the state of one run.
type run struct {
	cfg     Config
	rnd     *rand.Rand // the nemesis' own; clients have theirs
	sinks   []*Sink
	nodes   []*node
	apps    []app
	history *history
	started time.Time

	mu     sync.Mutex
	counts map[Fault]int
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
	wg.Go(func() {
		for tick := time.NewTicker(5 * time.Second); ; {
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
		if r.history.accepted() >= r.cfg.Messages && r.count(Kill) >= r.cfg.Kills {
			cancel()
		}
		pause(ctx, 100*time.Millisecond)
	}
	wg.Wait()
}

func (r *run) progress() {
	if r.cfg.Progress == nil {
		return
	}
	copies := 0
	for _, s := range r.sinks {
		copies += s.Copies()
	}
	fmt.Fprintf(r.cfg.Progress, "%6s  accepted %d/%d  unanswered %d  handed over %d  kills %d/%d  pauses %d  stops %d  database restarts %d\n",
		time.Since(r.started).Round(time.Second), r.history.accepted(), r.cfg.Messages, r.history.unknown(), copies,
		r.count(Kill), r.cfg.Kills, r.count(Pause), r.count(Stop), r.count(Database))
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
