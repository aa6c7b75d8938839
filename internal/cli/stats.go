package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

func statsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "stats", Short: "Show what became of messages lately", Args: cobra.NoArgs,
		Long:    "Counts messages by what became of them, by channel and by provider, and says how long they took, to within 10 %.\n\n" + connectionHelp,
		Example: "  commserver stats\n  commserver stats --window 7d --json\n  commserver stats --admin --window 1h\n  commserver stats --admin --app flowbase"}
	cmd.Flags().String("window", "24h", "how far back: 1h, 24h, 7d or 30d")
	cmd.Flags().Bool("admin", false, "of all apps together, as the administrator; with --app of that app")
	bindClient(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		q := client.Request{Path: "/api/v1/stats", Query: url.Values{"window": {flagText(cmd, "window")}}}
		if flagged(cmd, "admin") {
			q.Path, q.Admin = "/api/admin/stats", true
			if name := flagText(cmd, "app"); name != "" {
				q.Query.Set("app", name)
			}
		}
		raw, err := r.call(ctx, q)
		if err != nil {
			return err
		}
		return r.out.stats(raw)
	})
	return cmd
}

// stats prints the figures, part below part.
func (p *printer) stats(raw json.RawMessage) error {
	counts := []column{{"Accepted", "counts.accepted", plain}, {"Retried", "counts.retried", plain}, {"Sent", "counts.sent", plain}, {"Delivered", "counts.delivered", plain},
		{"Failed", "counts.failed", plain}, {"Suppressed", "counts.suppressed", plain}, {"Cancelled", "counts.cancelled", plain}}
	head := append([]column{{"From", "from", when}, {"To", "to", when}}, counts...)
	if err := p.one(raw, "counts.accepted", append(head, column{"p50 ms", "latency.due.p50Ms", plain}, column{"p95 ms", "latency.due.p95Ms", plain},
		column{"p99 ms", "latency.due.p99Ms", plain})); err != nil || p.json || p.quiet {
		return err
	}
	var doc struct{ Channels, Providers, Apps []json.RawMessage }
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	columns := []column{{"ACCEPTED", "counts.accepted", plain}, {"SENT", "counts.sent", plain}, {"DELIVERED", "counts.delivered", plain}, {"FAILED", "counts.failed", plain},
		{"SUPPRESSED", "counts.suppressed", plain}, {"CANCELLED", "counts.cancelled", plain}}
	for _, part := range []struct {
		items   []json.RawMessage
		columns []column
	}{
		{doc.Channels, append(append([]column{{"CHANNEL", "channel", plain}}, columns...), column{"P50 MS", "latency.due.p50Ms", plain}, column{"P95 MS", "latency.due.p95Ms", plain},
			column{"P99 MS", "latency.due.p99Ms", plain})},
		{doc.Providers, []column{{"PROVIDER", "provider", plain}, {"CHANNEL", "channel", plain}, {"ATTEMPTS", "attempts", plain}, {"SENT", "sent", plain}, {"FAILED", "failed", plain},
			{"THROTTLED", "throttled", plain}, {"UNKNOWN", "unknown", plain}}},
		{doc.Apps, append([]column{{"APP", "slug", plain}, {"ID", "id", plain}}, columns...)},
	} {
		if len(part.items) == 0 {
			continue
		}
		if _, err := fmt.Fprintln(p.w); err != nil {
			return err
		}
		rows := p.rows("id", part.columns)
		for _, item := range part.items {
			if err := rows.add(item); err != nil {
				return err
			}
		}
		if err := rows.end(); err != nil {
			return err
		}
	}
	return nil
}
