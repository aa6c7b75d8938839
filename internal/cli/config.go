package cli

import (
	"github.com/spf13/cobra"

	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/config"
)

const configHelp = `Prints every option with the value in force and where it comes from: also what the server derives from another
option or keeps in its data folder. Secrets are masked.`

func configCommand(s Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Show the configuration in force, secrets masked",
		Long:    configHelp,
		Example: "  commserver config\n  commserver config --data-dir /var/lib/commserver",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(cmd, s)
			if err != nil {
				return err
			}
			if asJSON {
				return config.PrintJSON(s.Out, cfg, app.KeptSecrets(cfg)...)
			}
			return config.Print(s.Out, cfg, app.KeptSecrets(cfg)...)
		},
	}
	bindOptions(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document per line, an option each")
	return cmd
}
