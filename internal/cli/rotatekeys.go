package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/keyring"
)

const rotateHelp = `Seals every stored secret again (provider credentials, webhook secrets) under the first key of COMMS_ENCRYPTION_KEYS.
It is the last of three steps, see docs/keys.md: give every node the new key behind the old one and restart them; then put
the new one first and restart them; then run this. After that the old key can be removed.

It works in small steps beside running nodes on PostgreSQL, may be stopped and run again at any time, and says how many values
are under which key. On SQLite the server must be stopped: one process has the file.

Every value is opened, those under the first key too. Exit code 1 means that some value is still under another key, or cannot be opened.`

// The outcomes that a script must see.
var (
	errKeysLeft = errors.New("some values are not under the first key")
	errUnopened = errors.New("some values cannot be opened: send their secrets again, or delete them")
)

func rotateKeysCommand(s Streams) *cobra.Command {
	var dry, asJSON bool
	var pause time.Duration
	cmd := &cobra.Command{
		Use:     "rotate-keys",
		Short:   "Seal stored secrets again under the first encryption key",
		Long:    rotateHelp,
		Example: "  commserver rotate-keys --dry-run\n  commserver rotate-keys",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return rotateKeys(cmd, s, dry, asJSON, pause) },
	}
	bindOptions(cmd)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "Count what would be done and change nothing.")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().DurationVar(&pause, "pause", 5*time.Millisecond, "Pause between two steps, for the nodes that send meanwhile.")
	return cmd
}

func rotateKeys(cmd *cobra.Command, s Streams, dry, asJSON bool, pause time.Duration) error {
	cfg, err := loadConfig(cmd, s)
	if err != nil {
		return err
	}
	if pause < 0 {
		return usageError{errors.New("--pause must not be negative")}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	rotation := app.Rotation{DryRun: dry, Pause: pause, Log: newLog(cfg, s.Err)}
	if s.terminal().Err {
		rotation.Progress = func(column string, done int) { fmt.Fprintf(s.Err, clearLine+"%s: %d sealed again", column, done) }
		defer fmt.Fprint(s.Err, clearLine)
	}
	report, err := app.RotateKeys(ctx, cfg, rotation)
	if err != nil && report.Primary == "" {
		return err // before anything was begun
	}
	if asJSON {
		if err := json.NewEncoder(s.Out).Encode(rotationOf(&report, dry, err == nil)); err != nil {
			return err
		}
	} else {
		printColumns(s.Out, &report, dry)
	}
	if err != nil {
		return fmt.Errorf("%w; what was done stays done, run it again", err)
	}
	if !asJSON {
		printKeys(s.Out, &report, dry)
	}
	switch {
	case len(report.Old()) > 0:
		return errKeysLeft
	case report.Unopened() > 0:
		return errUnopened
	}
	return nil
}

// rotation is the report for programs.
type rotation struct {
	DryRun   bool             `json:"dryRun"`
	Complete bool             `json:"complete"` // it went through every value: only then the rest is known
	FirstKey string           `json:"firstKey"`
	Columns  []rotationColumn `json:"columns"`
	// ValuesByKey is what stands under each key now, OldKeys those that must be kept.
	ValuesByKey     map[string]int `json:"valuesByKey"`
	StoredMeanwhile []string       `json:"storedMeanwhile"`
	OldKeys         []string       `json:"oldKeys"`
}

type rotationColumn struct {
	Name     string          `json:"name"`
	Resealed int             `json:"resealed"` // in a dry run: that would be
	Fresh    int             `json:"underFirstKey"`
	Unopened int             `json:"unopened"`
	Values   []rotationValue `json:"unopenedValues"` // the first of them
}

type rotationValue struct {
	App    string `json:"app"`
	Record string `json:"record"`
	Key    string `json:"key"`
}

func rotationOf(r *keyring.Report, dry, complete bool) rotation {
	out := rotation{DryRun: dry, Complete: complete, FirstKey: r.Primary, Columns: []rotationColumn{}, StoredMeanwhile: []string{}, OldKeys: []string{}}
	for _, c := range r.Columns {
		column := rotationColumn{Name: c.Name, Resealed: c.Done, Fresh: c.Fresh, Unopened: len(c.Closed) + c.MoreClosed, Values: []rotationValue{}}
		for _, v := range c.Closed {
			column.Values = append(column.Values, rotationValue{v.App.String(), v.ID.String(), v.KeyID})
		}
		out.Columns = append(out.Columns, column)
	}
	if complete {
		out.ValuesByKey = r.ByKey
		out.StoredMeanwhile = append(out.StoredMeanwhile, r.Late...)
		out.OldKeys = append(out.OldKeys, r.Old()...)
	}
	return out
}

func printColumns(w io.Writer, r *keyring.Report, dry bool) {
	verb := "sealed again"
	if dry {
		verb = "would be sealed again"
	}
	fmt.Fprintf(w, "First key: %s\n", r.Primary)
	for _, c := range r.Columns {
		fmt.Fprintf(w, "%s: %d %s, %d under it already, %d cannot be opened\n", c.Name, c.Done, verb, c.Fresh, len(c.Closed)+c.MoreClosed)
		for _, v := range c.Closed {
			fmt.Fprintf(w, "  cannot be opened: app %s, record %s, key %q\n", v.App, v.ID, v.KeyID)
		}
		if c.MoreClosed > 0 {
			fmt.Fprintf(w, "  and %d more\n", c.MoreClosed)
		}
	}
}

// printKeys says which keys are needed; only a rotation that went through everything knows.
func printKeys(w io.Writer, r *keyring.Report, dry bool) {
	for _, id := range slices.Sorted(maps.Keys(r.ByKey)) {
		fmt.Fprintf(w, "Values under key %q: %d\n", id, r.ByKey[id])
	}
	for _, id := range r.Late {
		fmt.Fprintf(w, "Values under key %q: stored by a node while this ran\n", id)
	}
	old := r.Old()
	switch {
	case len(old) == 0 && dry:
		fmt.Fprintln(w, "Nothing is under another key: run it without --dry-run, and the others can be removed from COMMS_ENCRYPTION_KEYS.")
	case len(old) == 0:
		fmt.Fprintln(w, "Nothing is under another key: the others can be removed from COMMS_ENCRYPTION_KEYS.")
	case dry:
		fmt.Fprintf(w, "Keep key %s until they are sealed again.\n", strings.Join(old, ", "))
	default:
		fmt.Fprintf(w, "Keep key %s. See that every node was restarted with key %s first and run this again; what cannot be opened must be sent again or deleted.\n", strings.Join(old, ", "), r.Primary)
	}
}
