package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

const alertsPath = "/api/admin/alerts"

func alertCommand(s Streams) *cobra.Command {
	cmd := group("alert", "What is wrong with the server, and what was", "Shows what the operator is told, as the administrator. docs/alerts.md says what to do about each.\n\n"+connectionHelp,
		"  commserver alert list", listAlertsCommand(s))
	bindClient(cmd)
	return cmd
}

func listAlertsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List open alerts, then those that were cleared last", Args: cobra.NoArgs,
		Example: "  commserver alert list\n  commserver alert list --json"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		raw, err := r.get(ctx, alertsPath, true)
		if err != nil {
			return err
		}
		var all page
		if err := json.Unmarshal(raw, &all); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		rows := r.out.rows("id", []column{{"STATE", "state", plain}, {"SINCE", "since", when}, {"CLEARED", "clearedAt", when}, {"ALERT", "alert", plain}, {"APP", "app", plain}, {"TEXT", "text", plain}})
		for _, one := range all.Data {
			if err := rows.add(one); err != nil {
				return err
			}
		}
		return rows.end()
	})
	return cmd
}
