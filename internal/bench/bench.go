// Package bench measures CommServer on the machine it runs on: the real binary
// as a real process, on a scratch database, beside a bare program that keeps
// the same storage laws (package baseline), so that a ratio stands next to
// every figure that depends on the machine.
//
// It promises that both sides of a ratio are driven by the same generator with
// the same bytes, on fresh databases of one server, in turn (product, baseline,
// product, baseline, ...), and that what is printed is the median with the
// least and the greatest of all runs. It listens and connects on the loopback
// only (the given PostgreSQL apart), makes databases of its own and never
// touches those that are there, ends every process that it started, and
// removes everything, also when it is interrupted.
//
// It is no proof of correctness (package prove is), and its figures hold for
// one machine with one other thing running: nothing.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Config is one run of the benchmark.
type Config struct {
	// Binary is the commserver program; it is also the baseline.
	Binary string
	// Dir is where a scratch folder is made: on the disk to be measured.
	Dir string
	// SQLite says that SQLite is measured.
	SQLite bool
	// DatabaseURL is a PostgreSQL server whose role may create databases; empty leaves PostgreSQL out.
	DatabaseURL string
	// Only names the workloads to run; empty means all of Workloads.
	Only []string
	// Quick takes small sizes and single runs: under a minute for each store.
	Quick bool
	// Runs is how often each side is measured; 0 takes the default of the size.
	Runs int
	// Beside is the base URL of another server to put under the accept and life loads in the same turns.
	Beside string
	// Progress shows a bar; nil is silent.
	Progress io.Writer
	// Profiles is a folder for processor profiles of the server under load; empty makes none.
	Profiles string

	size *sizes // instead of those of Quick; for tests
}

// Workloads lists what can be measured, in order.
func Workloads() []string {
	return []string{"start", "accept", "drain", "smtp", "life", "idle", "million"}
}

// sizes say how much.
type sizes struct {
	runs        int
	load        time.Duration // of an accept or life run
	connections []int
	drain, mail int           // messages
	single      int           // messages of the idle run
	big, done   int           // rows of the big app: queued, finished
	rest        time.Duration // until a server that was just started is looked at
	watch       time.Duration
	lists       int // requests for each filter
}

func sizesOf(c *Config) sizes {
	s := sizes{runs: 3, load: 3 * time.Second, connections: []int{1, 16, 64, 256}, drain: 200_000, mail: 30_000, single: 300,
		big: 1_000_000, done: 20_000, rest: 5 * time.Second, watch: 10 * time.Second, lists: 200}
	if c.Quick {
		s = sizes{runs: 1, load: time.Second, connections: []int{1, 64}, drain: 20_000, mail: 5_000, single: 100,
			big: 50_000, done: 2_000, rest: 3 * time.Second, watch: 3 * time.Second, lists: 50}
	}
	if c.size != nil {
		s = *c.size
	}
	if c.Runs > 0 {
		s.runs = c.Runs
	}
	return s
}

// Run measures and answers the report. With an error the report holds what was
// measured until then. ctx ends everything early.
func Run(ctx context.Context, cfg Config) (_ *Report, err error) {
	b := &bench{cfg: cfg, size: sizesOf(&cfg), report: newReport(&cfg)}
	for _, name := range cfg.Only {
		if !slices.Contains(Workloads(), name) {
			return nil, fmt.Errorf("no workload is called %q; there are %v", name, Workloads())
		}
	}
	if b.dir, err = os.MkdirTemp(cfg.Dir, "commserver-bench-"); err != nil {
		return nil, fmt.Errorf("make the scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	var stores []scratch
	if cfg.SQLite {
		stores = append(stores, &files{dir: b.dir})
	}
	if cfg.DatabaseURL != "" {
		db, err := newDatabases(ctx, cfg.DatabaseURL)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, db.close(context.WithoutCancel(ctx))) }()
		stores = append(stores, db)
	}
	var plan []step
	for _, st := range stores {
		plan = append(plan, b.plan(st)...)
	}
	err = b.follow(ctx, plan)
	b.report.finish()
	return b.report, err
}

// bench is the state of a run.
type bench struct {
	cfg    Config
	size   sizes
	dir    string
	report *Report
	serial int
}

// step is one measurement of one side.
type step struct {
	name string
	run  func(context.Context) error
}

func (b *bench) wants(workload string) bool {
	return len(b.cfg.Only) == 0 || slices.Contains(b.cfg.Only, workload)
}

// plan lists the steps on one store. Sides take turns.
func (b *bench) plan(st scratch) []step {
	s := &subject{bench: b, scratch: st, store: st.kind()}
	var plan []step
	for _, w := range []struct {
		name  string
		steps func() []step
	}{
		{"start", s.startSteps}, {"accept", s.acceptSteps}, {"drain", s.drainSteps}, {"smtp", s.mailSteps}, {"life", s.lifeSteps},
		{"idle", s.idleSteps}, {"million", s.bigSteps},
	} {
		if b.wants(w.name) {
			for _, one := range w.steps() {
				one.name = s.store + ": " + one.name
				plan = append(plan, one)
			}
		}
	}
	return plan
}

// follow runs the steps, and goes on after one that failed unless ctx is over.
func (b *bench) follow(ctx context.Context, plan []step) error {
	var bar *progressbar.ProgressBar
	if b.cfg.Progress != nil {
		bar = progressbar.NewOptions(len(plan), progressbar.OptionSetWriter(b.cfg.Progress), progressbar.OptionSetWidth(24),
			progressbar.OptionShowCount(), progressbar.OptionSetElapsedTime(true), progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish())
		defer func() { _ = bar.Finish() }()
	}
	var failures []error
	for _, s := range plan {
		if bar != nil {
			bar.Describe(s.name)
		}
		if err := s.run(ctx); err != nil {
			err = fmt.Errorf("%s: %w", s.name, err)
			failures = append(failures, err)
			b.report.Failures = append(b.report.Failures, err.Error())
		}
		if ctx.Err() != nil {
			failures = append(failures, context.Cause(ctx))
			break
		}
		if bar != nil {
			_ = bar.Add(1)
		}
	}
	return errors.Join(failures...)
}

// name is a fresh one for a database, a folder or a log.
func (b *bench) name() string {
	b.serial++
	return fmt.Sprintf("run%d", b.serial)
}

func (b *bench) path(parts ...string) string {
	return filepath.Join(append([]string{b.dir}, parts...)...)
}

// alternate builds the turns: every side once, and again for each run.
func alternate(runs int, sides ...step) []step {
	var out []step
	for range runs {
		out = append(out, sides...)
	}
	return out
}
