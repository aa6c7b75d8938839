package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/app"
)

const migrateHelp = `Brings the database to this version and exits. 'serve' does the same by itself when it starts;
this command is for deployments that change the schema in a step of their own. Migrations only go forward.
On SQLite a copy of the file is made first. Several nodes may run it at once.`

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
			if asJSON {
				return json.NewEncoder(s.Out).Encode(map[string]string{"state": "current", "version": buildVersion()})
			}
			fmt.Fprintln(s.Out, "The database is at this version.")
			return nil
		},
	}
	bindOptions(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the outcome as JSON")
	return cmd
}
