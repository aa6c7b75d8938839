package cli

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/bench"
	"github.com/commserver/commserver/internal/bench/baseline"
)

const benchHelp = `Measures this binary on this machine: it starts itself as a server on scratch databases, puts it under
load, and does the same with a bare program that keeps the same storage laws and does nothing else, so
that a ratio stands beside every figure. docs/benchmarks.md explains the workloads and the floors.

SQLite is measured in a scratch folder below --dir, which should be on the disk that you mean to use.
PostgreSQL is measured too when --database-url (or $COMMS_BENCH_DATABASE_URL) names a server on which the
role may create databases; it makes databases of its own there and removes them. Do not point it at a
server that is in use: it will be slow for everybody.

Nothing else should run meanwhile. The full size takes about six minutes a store and 4 GB of disk,
--quick less than a minute. It exits with 1 when a floor was missed at full size.`

func benchCommand(s Streams) *cobra.Command {
	var cfg bench.Config
	var asJSON, noSQLite bool
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure speed, memory and start-up on this machine",
		Long:    benchHelp,
		Example: "  commserver bench\n  commserver bench --quick --no-sqlite --database-url postgres://localhost/postgres",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.SQLite = !noSQLite
			if cfg.DatabaseURL == "" {
				cfg.DatabaseURL = firstOf(s.Env, "COMMS_BENCH_DATABASE_URL", "COMMS_TEST_DATABASE_URL")
			}
			return runBench(cmd, s, cfg, asJSON)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&cfg.Quick, "quick", false, "small sizes and single runs")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	f.StringVar(&cfg.Dir, "dir", os.TempDir(), "folder in which the scratch folder is made")
	f.StringVar(&cfg.DatabaseURL, "database-url", "", "PostgreSQL server to measure as well [$COMMS_BENCH_DATABASE_URL]")
	f.BoolVar(&noSQLite, "no-sqlite", false, "leave SQLite out")
	f.StringSliceVar(&cfg.Only, "only", nil, "workloads to run: "+strings.Join(bench.Workloads(), ", "))
	f.IntVar(&cfg.Runs, "runs", 0, "how often each side is measured (default 3, with --quick 1)")
	f.StringVar(&cfg.Beside, "beside", "", "base URL of another server to put under the accept and life loads in the same turns")
	f.StringVar(&cfg.Profiles, "profiles", "", "folder for processor profiles of the server under load")
	f.SortFlags = false
	cmd.AddCommand(baselineCommand(s))
	return cmd
}

func runBench(cmd *cobra.Command, s Streams, cfg bench.Config, asJSON bool) error {
	var err error
	if cfg.Binary, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if isTerminal(s.Err) {
		cfg.Progress = s.Err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	report, err := bench.Run(ctx, cfg)
	if report == nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(s.Out)
		e.SetIndent("", "  ")
		if printErr := e.Encode(report); printErr != nil {
			return printErr
		}
	} else if printErr := report.WriteTable(s.Out); printErr != nil {
		return printErr
	}
	if err != nil {
		return err
	}
	if missed, all := report.Missed(); missed > 0 && !cfg.Quick {
		return fmt.Errorf("%d of %d floors were missed", missed, all)
	}
	return nil
}

// firstOf is the value of the first of these variables that is set.
func firstOf(env []string, names ...string) string {
	for _, name := range names {
		for _, e := range env {
			if value, ok := strings.CutPrefix(e, name+"="); ok && value != "" {
				return value
			}
		}
	}
	return ""
}

// baselineCommand is the other side of the benchmark, as a process of its own.
func baselineCommand(s Streams) *cobra.Command {
	var cfg baseline.Config
	var addr string
	cmd := &cobra.Command{
		Use:    "baseline",
		Short:  "The bare program that bench compares with; $" + bench.BaselineDatabase + " names its database",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.Database = firstOf(s.Env, bench.BaselineDatabase); cfg.Database == "" {
				return usageError{fmt.Errorf("$%s is not set", bench.BaselineDatabase)}
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, os.Interrupt)
			defer stop()
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
			if err != nil {
				return err
			}
			return baseline.Serve(ctx, cfg, l)
		},
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:0", "address to listen on")
	cmd.Flags().BoolVar(&cfg.Dispatch, "dispatch", false, "attempt what is accepted")
	cmd.Flags().IntVar(&cfg.Pipes, "pipes", 1, "connections that take turns (PostgreSQL)")
	cmd.Flags().DurationVar(&cfg.Pace, "pace", 5*time.Millisecond, "least time between two small turns")
	return cmd
}
