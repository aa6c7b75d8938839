// Package cli is what people type: one file per command, each with its help
// at the top, collected in one list.
//
// It promises exit codes that scripts can trust (0 done, 1 failed, 2 wrong
// use), results on standard output and everything else on standard error. It
// holds no rules: serving is app's, options are config's.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/commserver/commserver/internal/config"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// Streams is where a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Env      []string
}

// usageError is a mistake in the words of the command line or the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// Run executes one command line and answers the exit code.
func Run(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(s.Err, "commserver:", err)
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "commserver",
		Short:         "Send email and SMS through one API, with queue, retries and failover",
		Long:          "CommServer takes email and SMS from your applications through one API and owns the queue, retries,\nprovider failover and delivery tracking. `commserver serve` starts it; no configuration is needed to try it.",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; `%s --help` lists them", err, cmd.CommandPath())}
	})
	root.Version = versionLine()
	root.SetVersionTemplate("{{.Version}}\n")
	root.AddCommand(commands(s)...)
	root.Args = cobra.NoArgs
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	misuse(root)
	return root
}

// misuse makes a wrong use of every mistake in the words after a command.
func misuse(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		misuse(sub)
	}
}

// commands is every command there is, in the order of the help.
func commands(s Streams) []*cobra.Command {
	return []*cobra.Command{
		serveCommand(s),
		migrateCommand(s),
		rotateKeysCommand(s),
		configCommand(s),
		proveCommand(s),
		benchCommand(s),
		versionCommand(s),
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

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
