// Package cli is what people type: one file per command, each with its help
// at the top, collected in one list.
//
// It promises exit codes that scripts can trust (exitCodes), results on standard
// output and everything else on standard error, and secrets neither in arguments
// nor in what it prints, but for a new key, shown once. It holds no rules: serving
// is app's, options are config's, and whatever the client commands do is the HTTP API's.
package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/config"
)

// Streams is where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Env      []string
	Now      func() time.Time // nil: the machine's clock
	Terminal *Terminal        // nil: found out from In, Out and Err
}

// Terminal says which of the streams are one, and how wide it is in columns.
type Terminal struct {
	In, Out, Err bool
	Width        int // of Out; 0: not known, nothing is cut
}

// Run executes one command line and answers the exit code.
func Run(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err != nil {
		report(s.Err, err)
	}
	return exitOf(err)
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "commserver",
		Short:         "Send email and SMS through one API, with queue, retries and failover",
		Long:          "CommServer takes email and SMS from your applications through one API and owns the queue, retries,\nprovider failover and delivery tracking. `commserver serve` starts it; no configuration is needed to try it." + "\n\n" + outputHelp + "\n\n" + exitHelp(),
		Example:       "  commserver serve\n  commserver message send --to 233241234567 --body Hello --wait",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; `%s --help` lists the flags", err, cmd.CommandPath())}
	})
	root.Version = versionLine()
	root.SetVersionTemplate("{{.Version}}\n")
	for _, g := range commandGroups(s) {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, cmd := range g.commands {
			cmd.GroupID = g.id
			root.AddCommand(cmd)
		}
	}
	root.Args = cobra.NoArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	misuse(root)
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() == "help" {
			cmd.Args = helpOf
		}
	}
	return root
}

// commandGroup is a heading of the help with its commands.
type commandGroup struct {
	id, title string
	commands  []*cobra.Command
}

// commandGroups is every command there is, in the order of the help.
func commandGroups(s Streams) []commandGroup {
	return []commandGroup{
		{"server", "Run a server:", []*cobra.Command{serveCommand(s), migrateCommand(s), backupCommand(s), restoreCommand(s), rotateKeysCommand(s), configCommand(s), healthCommand(s)}},
		{"client", "Use a server, as an application or its administrator:", []*cobra.Command{
			messageCommand(s), sandboxCommand(s), templateCommand(s), suppressionCommand(s), personCommand(s), providerCommand(s), webhookCommand(s), eventCommand(s),
			appCommand(s), keyCommand(s), userCommand(s), queueCommand(s), statsCommand(s), auditCommand(s), upkeepCommand(s), alertCommand(s), profileCommand(s),
		}},
		{"tools", "Rehearse, measure and prove:", []*cobra.Command{simulateCommand(s), proveCommand(s), benchCommand(s), manCommand(s), versionCommand(s)}},
	}
}

// bindOptions makes a flag of every option that may stand on a command line.
func bindOptions(cmd *cobra.Command) {
	for _, o := range config.Options() {
		if name := o.Flag(); name != "" {
			cmd.Flags().String(name, "", o.Usage())
		}
		if name := o.FileFlag(); name != "" {
			cmd.Flags().String(name, "", "File that holds the value of $"+o.Env()+".")
		}
	}
	cmd.Flags().SortFlags = false
}

// loadConfig reads environment and given flags.
func loadConfig(cmd *cobra.Command, s Streams) (config.Config, error) {
	given := map[string]string{}
	for _, o := range config.Options() {
		for _, name := range []string{o.Flag(), o.FileFlag()} {
			if name == "" {
				continue
			}
			if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
				given[name] = f.Value.String()
			}
		}
	}
	cfg, err := config.Load(config.Source{Env: s.Env, Flags: given})
	if err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

// newLog writes to standard error: text for people at a terminal, JSON for collectors.
func newLog(cfg config.Config, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == config.LogJSON || cfg.LogFormat == config.LogAuto && !isTerminal(w) {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}
