package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/app"
)

const migrateHelp = `Brings the database to this version and exits. 'serve' does the same by itself when it starts;
this command is for deployments that change the schema in a step of their own. Migrations only go forward.
On SQLite a copy of the file is made first. Several nodes may run it at once.

What a newer version has added is left alone and named; the exit code is 0 then, too ("state": "newer" with --json).`

func migrateCommand(s Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "migrate",
		Short:   "Bring the database to this version",
		Long:    migrateHelp,
		Example: "  commserver migrate\n  commserver migrate --database-url-file /run/secrets/database-url",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, s)
			if err != nil {
				return err
			}
			st, err := app.OpenStore(cmd.Context(), cfg, newLog(cfg, s.Err))
			if err != nil {
				return err
			}
			if err := st.Close(); err != nil {
				return err
			}
			return printMigrated(s.Out, st.Newer(), asJSON)
		},
	}
	bindOptions(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	return cmd
}

// printMigrated says what the database is now. newer are the steps of a newer version, which this one has left alone.
func printMigrated(w io.Writer, newer []string, asJSON bool) error {
	outcome := struct {
		State   string   `json:"state"` // current or newer
		Version string   `json:"version"`
		Unknown []string `json:"unknownSteps,omitempty"`
	}{"current", buildVersion(), newer}
	if len(newer) > 0 {
		outcome.State = "newer"
	}
	if asJSON {
		return json.NewEncoder(w).Encode(outcome)
	}
	text := "The database is at this version."
	if len(newer) > 0 {
		text = fmt.Sprintf("The database is of a newer version: it has all steps of this one, and %s. They are left alone.", strings.Join(newer, ", "))
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
