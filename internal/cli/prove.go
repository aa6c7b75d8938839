package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/prove"
)

const proveHelp = `Starts CommServer processes of this binary on loopback, sends messages through two SMTP sinks that keep a
ledger, and meanwhile kills, pauses and stops the processes. Then it reads every message back and checks that
nothing accepted was lost, nothing was invented, and every extra copy is explained by an attempt whose outcome
was recorded as unknown. Exit code 0: every promise held.

With --restore a backup is taken in the middle, restored elsewhere in the end and released by that choice: nothing that was sent is sent again but by the choice,
what the backup had comes to its end, and readers of events go on where they were.

Without COMMS_DATABASE_URL it uses SQLite in a scratch folder. With it, --nodes processes share that PostgreSQL
database, which must be empty: it is filled with test data.`

// proveFlags are the words of one run.
type proveFlags struct {
	kills, messages, nodes, clients, apps, rate int
	seed                                        uint64
	limit, drain                                time.Duration
	dir, restore                                string
	asJSON                                      bool
}

func proveCommand(s Streams) *cobra.Command {
	var f proveFlags
	cmd := &cobra.Command{
		Use:     "prove",
		Short:   "Prove the delivery promises under kills and pauses on this machine",
		Long:    proveHelp,
		Example: "  commserver prove --kills 5 --messages 1000\n  commserver prove --seed 7 --json",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runProve(cmd.Context(), f, s) },
	}
	flags := cmd.Flags()
	flags.IntVar(&f.kills, "kills", 20, "SIGKILLs to reach")
	flags.IntVar(&f.messages, "messages", 5000, "accepted messages to reach")
	flags.IntVar(&f.nodes, "nodes", 1, "processes; more than one needs PostgreSQL")
	flags.IntVar(&f.clients, "clients", 16, "concurrent senders")
	flags.IntVar(&f.apps, "apps", 6, "apps; every second one has the policy FAIL for unknown outcomes")
	flags.IntVar(&f.rate, "rate", 0, "submissions per second at most; 0 = as fast as it goes")
	flags.Uint64Var(&f.seed, "seed", 0, "seed of faults and requests; 0 = draw one")
	flags.DurationVar(&f.limit, "limit", 10*time.Minute, "load and faults end after this, whatever was reached")
	flags.DurationVar(&f.drain, "drain", 2*time.Minute, "time for the rest to become final")
	flags.StringVar(&f.restore, "restore", "", "take a backup, restore it and release it by fail, policy or send; SQLite alone")
	flags.StringVar(&f.dir, "dir", "", "scratch folder, kept afterwards; default: a temporary one, removed when every promise held")
	flags.BoolVar(&f.asJSON, "json", false, "print the report as JSON")
	return cmd
}

func runProve(ctx context.Context, f proveFlags, s Streams) error {
	database := os.Getenv("COMMS_DATABASE_URL")
	if f.nodes > 1 && database == "" {
		return usageError{errors.New("several nodes need PostgreSQL: set COMMS_DATABASE_URL")}
	}
	if f.restore != "" && !slices.Contains([]string{"fail", "policy", "send"}, f.restore) {
		return usageError{errors.New("--restore must be fail, policy or send")}
	}
	if f.restore != "" && database != "" {
		return usageError{errors.New("--restore needs SQLite: run it without COMMS_DATABASE_URL")}
	}
	if f.seed == 0 {
		f.seed = rand.Uint64N(1 << 32)
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this binary: %w", err)
	}
	dir, keep := f.dir, f.dir != ""
	if dir == "" {
		if dir, err = os.MkdirTemp("", "commserver-prove-"); err != nil {
			return fmt.Errorf("make a scratch folder: %w", err)
		}
	}
	env, err := prove.Environment(database)
	if err != nil {
		return err
	}
	step, done := proveProgress(f, s.Err)
	rep, err := prove.Run(ctx, prove.Config{Binary: binary, Dir: dir, Env: env, Nodes: f.nodes, Apps: f.apps, Clients: f.clients, Messages: f.messages,
		Kills: f.kills, Rate: f.rate, Faults: []prove.Fault{prove.Pause, prove.Stop}, Seed: f.seed, Limit: f.limit, Drain: f.drain, Progress: step, Restore: strings.ToUpper(f.restore)})
	done()
	if err != nil {
		return fmt.Errorf("the run could not be made (its logs are in %s): %w", dir, err)
	}
	if f.asJSON {
		err = json.NewEncoder(s.Out).Encode(rep)
	} else {
		rep.Print(s.Out)
	}
	if !rep.OK() {
		return errors.Join(err, fmt.Errorf("a promise was broken; database and logs are in %s", dir))
	}
	if !keep {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// proveProgress shows a bar on a terminal, a line every five seconds elsewhere,
// and nothing beside JSON. done takes the bar away.
func proveProgress(f proveFlags, w io.Writer) (step func(prove.Progress), done func()) {
	if f.asJSON {
		return nil, func() {}
	}
	if !isTerminal(w) {
		seconds := 0
		return func(p prove.Progress) {
			if seconds++; seconds%5 == 0 {
				fmt.Fprintln(w, p)
			}
		}, func() {}
	}
	goal := max(1, f.messages+f.kills)
	bar := progressbar.NewOptions(goal, progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(24), progressbar.OptionSetElapsedTime(false),
		progressbar.OptionSetPredictTime(false))
	return func(p prove.Progress) {
		bar.Describe(fmt.Sprintf("accepted %d/%d  kills %d/%d ", p.Accepted, p.Messages, p.Killed, p.Kills))
		_ = bar.Set(min(goal, min(p.Accepted, p.Messages)+min(p.Killed, p.Kills)))
	}, func() { _ = bar.Clear() }
}
