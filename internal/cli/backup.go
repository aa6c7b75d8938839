package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/backup"
	"github.com/commserver/commserver/internal/config"
)

const (
	backupPath = "/api/admin/backup"
	holdPath   = "/api/admin/hold"
	// backupTime bounds a backup over the API. Its answer begins when a copy was made, which may take long.
	backupTime = 24 * time.Hour
)

const backupHelp = `Writes everything that is stored into one file, as of one instant, while the server goes on accepting and sending. The file is read again before
it gets its name; where one is already, nothing is written. Only its owner can read it: it holds addresses and texts in clear, and secrets only as the database does,
sealed under the key ring, which is not in it. Keep the ring, and keep it elsewhere.

Without --direct the running server is asked, as the administrator: the one that --url names. --data-dir says where the key of a server of this machine lies; the
other flags of a server's options, but for --admin-key-file, mean nothing then and are refused. --direct reads the database that COMMS_DATABASE_URL or COMMS_DATA_DIR names: on SQLite the
server must be stopped, on PostgreSQL it need not be.

See docs/operate/backup.md for what a backup costs, and what is lost with what came after it.`

func backupCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "backup FILE", Short: "Write everything that is stored into a file", Long: backupHelp + "\n\n" + connectionHelp, Args: cobra.ExactArgs(1),
		Example: "  commserver backup comms.backup\n  commserver backup --direct --database-url-file /run/secrets/database-url comms.backup"}
	bindClient(cmd)
	bindOptions(cmd)
	direct := cmd.Flags().Bool("direct", false, "read the database without a server")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		r, fill, err := backupFrom(ctx, s, cmd, *direct)
		if err != nil {
			return err
		}
		if r.raw != nil {
			defer r.raw.Close()
		}
		progress, done := r.bytes("written")
		sum, err := backup.Create(ctx, args[0], fill, progress)
		done()
		if err != nil {
			return err
		}
		return printBackup(r.out, args[0], &sum, "Written and read again")
	}
	return cmd
}

// backupFrom finds out what is backed up, a running server or a database without one, and answers how.
func backupFrom(ctx context.Context, s Streams, cmd *cobra.Command, direct bool) (r *remote, fill func(io.Writer) error, err error) {
	if err := refuseIdle(cmd, direct); err != nil {
		return nil, nil, err
	}
	if direct {
		cfg, err := loadConfig(cmd, s)
		if err != nil {
			return nil, nil, err
		}
		r, err = unconnected(s, cmd)
		return r, func(w io.Writer) error { return app.Backup(ctx, cfg, buildVersion(), w, newLog(cfg, s.Err)) }, err
	}
	if r, err = connect(s, cmd); err != nil {
		return nil, nil, err
	}
	return r, func(w io.Writer) error {
		_, err := r.call(ctx, client.Request{Method: http.MethodGet, Path: backupPath, Admin: true, Into: w, Timeout: backupTime})
		return err
	}, r.administrator()
}

// refuseIdle refuses a flag that changes nothing: whoever gave it would have another server backed up than he means.
func refuseIdle(cmd *cobra.Command, direct bool) error {
	if direct {
		var err error
		clientFlags().VisitAll(func(f *pflag.Flag) {
			if err == nil && f.Name != adminKeyFlag && cmd.Flags().Changed(f.Name) {
				err = usagef("--%s is for a running server, and --direct reads the database without one; leave one of them out", f.Name)
			}
		})
		return err
	}
	for _, o := range config.Options() {
		for _, name := range []string{o.Flag(), o.FileFlag()} {
			if name != "" && name != dataFlag && name != adminKeyFlag && cmd.Flags().Changed(name) {
				return usagef("--%s is for --direct, which reads the database without a server; a running server is named by --url, such as %s", name, defaultURL)
			}
		}
	}
	return nil
}

// Flags of a server's options that a backup of a running one has a use for, too.
const (
	dataFlag     = "data-dir"
	adminKeyFlag = "admin-key-file"
)

// keyOfFolder is the administrator's key where the command line names the server's data folder: it goes before that of any other source.
func keyOfFolder(dir, file string, id *identity) (string, error) {
	if file != "" {
		return "", usagef("--%s and --%s both say where the administrator's key is; keep one of them", dataFlag, adminKeyFlag)
	}
	if !onThisMachine(id.URL) {
		return "", usagef("--%s names the folder of a server of this machine, which %s is not; give --%s", dataFlag, id.URL, adminKeyFlag)
	}
	key, err := localAdminKey(dir)
	if err == nil && key == "" && id.AdminKey == "" {
		return "", usagef("there is no administrator's key in %s; a server whose COMMS_ADMIN_KEY is set keeps none there: set it here too, or give --%s instead of --%s",
			filepath.Join(dir, adminKeyFile), adminKeyFlag, dataFlag)
	}
	return cmp.Or(key, id.AdminKey), err
}

// bytes draws how many bytes went through, on a terminal.
func (r *remote) bytes(what string) (progress func(int64), done func()) {
	if !r.term.Err || r.out.quiet {
		return nil, func() {}
	}
	bar := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(r.s.Err), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
	return func(n int64) { _ = bar.Set64(n) }, func() { _ = bar.Finish() } // only drawing
}

// printBackup says what a file holds.
func printBackup(p *printer, path string, sum *backup.Summary, what string) error {
	if p.quiet {
		_, err := fmt.Fprintln(p.w, path)
		return err
	}
	schema, err := sum.Newest()
	if err != nil {
		return err
	}
	doc := struct {
		File       string           `json:"file"`
		Bytes      int64            `json:"bytes"`
		Store      string           `json:"store"`
		Version    string           `json:"version"`
		TakenAt    string           `json:"takenAt"`
		FinishedAt string           `json:"finishedAt"`
		Keys       []string         `json:"keys"`
		Feed       int64            `json:"feed"`
		Schema     string           `json:"schema"`
		Messages   int64            `json:"messages"`
		Queued     int64            `json:"queued"`
		Rows       map[string]int64 `json:"rows"`
	}{path, sum.Bytes, sum.Store, sum.Version, sum.TakenAt.Time().UTC().Format(time.RFC3339), sum.FinishedAt.Time().UTC().Format(time.RFC3339), append([]string{}, sum.Keys...), sum.Feed,
		schema, sum.Rows["state"], sum.Rows["queue"], sum.Rows}
	if p.json {
		return json.NewEncoder(p.w).Encode(doc)
	}
	_, err = fmt.Fprintf(p.w, "%s: %s, %d bytes.\nAs of %s, of %s, by version %s, schema %s.\n%d messages, %d of them in the queue; feed up to %d.\nKeys of the ring that it needs: %s. They are not in it.\n",
		what, path, doc.Bytes, doc.TakenAt, doc.Store, doc.Version, doc.Schema, doc.Messages, doc.Queued, doc.Feed, strings.Join(doc.Keys, ", "))
	return err
}

const restoreHelp = `Makes a database from a backup, where none is: in the data folder (COMMS_DATA_DIR), or in an empty PostgreSQL database (COMMS_DATABASE_URL). Everything
is read and checked first; what is damaged, cut off, of a newer version or sealed under other keys is refused. A command that is killed leaves nothing that a server
would take for a database. The key ring of the server that was backed up must be there: the file encryption-keys in the data folder, or COMMS_ENCRYPTION_KEYS.

The restored database is held: a server that starts with it accepts messages and sends none, and posts no webhook, until 'commserver queue release'.
What was sent after the backup was made is not known in it. Stop the old server first.

--check reads and checks everything, and writes nothing that stays: of SQLite the database is taken out into the folder for temporary files (TMPDIR), looked
through and removed.`

func restoreCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "restore FILE", Short: "Make a database from a backup, and hold it", Long: restoreHelp, Args: cobra.ExactArgs(1),
		Example: "  commserver restore --check comms.backup\n  COMMS_DATA_DIR=/srv/comms commserver restore comms.backup"}
	bindOptions(cmd)
	bindOutput(cmd)
	check := cmd.Flags().Bool("check", false, "check the backup and write nothing that stays")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, err := loadConfig(cmd, s)
		if err != nil {
			return err
		}
		r, err := unconnected(s, cmd)
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		file, err := os.Open(args[0])
		if err != nil {
			return usageError{err}
		}
		defer func() { _ = file.Close() }() // only read
		progress, done := r.bytes("restored")
		sum, err := app.Restore(ctx, cfg, file, *check, progress, newLog(cfg, s.Err))
		done()
		if err != nil {
			return err
		}
		if *check {
			return printBackup(r.out, args[0], &sum, "Whole, and its keys are in the ring")
		}
		if err := printBackup(r.out, args[0], &sum, "Restored"); err != nil || r.out.json || r.out.quiet {
			return err
		}
		_, err = fmt.Fprintln(s.Out, "It is held: `commserver serve` sends nothing until `commserver queue release`. See `commserver queue held`.")
		return err
	}
	return cmd
}

// heldColumns is the hold of a restored database.
func heldColumns() []column {
	return []column{{"Hold", "state", plain}, {"Backup of", "backupTakenAt", when}, {"Restored", "restoredAt", when}, {"May have been sent since", "mayHaveBeenSent", plain},
		{"Of them under way then", "sending", plain}, {"In the queue", "waiting", plain}, {"And more", "atLeast", yes}, {"Those that may have been sent", "doubtful", plain}, {"Ended by the release", "ended", plain}, {"Released", "releasedAt", when}}
}

func heldCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "held", Short: "Show whether the server was restored from a backup and is held", Args: cobra.NoArgs, Example: "  commserver queue held\n  commserver queue held --json"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		raw, err := r.get(ctx, holdPath, true)
		if err != nil {
			return err
		}
		return r.out.one(raw, "state", heldColumns())
	})
	return cmd
}

const releaseHelp = `Lets a server that was restored from a backup send. What was queued, and not scheduled for later, when it was restored may have been sent since the backup was made, by the
server that is gone. --doubtful says what becomes of it; there is no default:

  fail    it ends FAILED with outcome_unknown: nothing is sent twice
  policy  as onUnknownOutcome of each app says: RETRY sends it, FAIL ends it
  send    it is sent, perhaps a second time; what was under way in the backup, as onUnknownOutcome says

What is sent is marked possibleDuplicate. Everything else that waits is sent whatever the choice: it was accepted since, or is scheduled for later.
The choice cannot be changed. The command ends when it was carried out.`

func releaseCommand(s Streams) *cobra.Command {
	choices := []string{"fail", "policy", "send"}
	cmd := bindYes(&cobra.Command{Use: "release", Short: "Let a server that was restored from a backup send", Long: releaseHelp, Args: cobra.NoArgs,
		Example: "  commserver queue release --doubtful fail\n  commserver queue release --doubtful policy --yes"})
	cmd.Flags().String("doubtful", "", "what becomes of messages that may have been sent since the backup: fail, policy or send")
	_ = cmd.RegisterFlagCompletionFunc("doubtful", cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		choice := flagText(cmd, "doubtful")
		if !strings.Contains("|fail|policy|send|", "|"+choice+"|") || choice == "" {
			return usagef("--doubtful must be fail, policy or send: what becomes of messages that may have been sent since the backup; see `commserver queue held`")
		}
		raw, err := r.get(ctx, holdPath, true)
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		what := map[string]string{"fail": "they end FAILED", "policy": "as each app's onUnknownOutcome says", "send": "they are sent, perhaps twice"}[choice]
		if err := r.confirm(fmt.Sprintf("Let the server send; %s messages may have been sent since the backup: %s", doc.str("mayHaveBeenSent"), what)); err != nil {
			return err
		}
		raw, err = r.call(ctx, client.Request{Method: http.MethodPost, Path: holdPath, Body: map[string]string{"action": "RELEASE", "doubtful": strings.ToUpper(choice)}, Admin: true, Safe: true})
		for err == nil {
			if doc, err = read(raw); err != nil || doc.str("state") != "RELEASING" {
				break
			}
			select {
			case <-time.After(500 * time.Millisecond):
				raw, err = r.get(ctx, holdPath, true)
			case <-ctx.Done():
				return errors.Join(ctx.Err(), errors.New("the release goes on by itself; see `commserver queue held`"))
			}
		}
		if err != nil {
			return err
		}
		return r.out.one(raw, "state", heldColumns())
	})
	return cmd
}
