package cli

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

const queuePath = "/api/admin/queue"

func queueCommand(s Streams) *cobra.Command {
	show := &cobra.Command{Use: "show", Short: "Show what waits to be sent", Args: cobra.NoArgs, Example: "  commserver queue show\n  commserver queue show --json"}
	show.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		raw, err := r.get(ctx, queuePath, true)
		if err != nil {
			return err
		}
		var list page
		if err := json.Unmarshal(raw, &list); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if len(list.Data) == 0 {
			doc, err := read(raw)
			if err != nil {
				return err
			}
			delete(doc, "data")
			delete(doc, "nextCursor")
			return r.out.one(raw, "app", doc.columns())
		}
		first, err := read(list.Data[0])
		if err != nil {
			return err
		}
		rows := r.out.rows("app", first.columns())
		for _, item := range list.Data {
			if err := rows.add(item); err != nil {
				return err
			}
		}
		return rows.end()
	})
	cmd := group("queue", "The queue, as the administrator", "Shows what waits to be sent, with every field that the server tells.\n\n"+connectionHelp, "  commserver queue show", show)
	bindClient(cmd)
	return cmd
}
