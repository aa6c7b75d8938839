package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const auditPath = "/api/admin/audit"

func auditCommand(s Streams) *cobra.Command {
	cmd := group("audit", "Who changed what, as the administrator", "Shows the log of every change, and checks that nobody changed the log.\n\n"+connectionHelp,
		"  commserver audit list --after 24h\n  commserver audit verify", listAuditCommand(s), verifyAuditCommand(s))
	bindClient(cmd)
	return cmd
}

func listAuditCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List changes, newest first", Args: cobra.NoArgs,
		Example: "  commserver audit list --app flowbase\n  commserver audit list --action app.deleted --all --json"}
	filters := bindFilters(cmd, "actor", "action", "target", "after", "before")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		// The log names its times otherwise than messages do.
		for theirs, ours := range map[string]string{"after": "createdAfter", "before": "createdBefore"} {
			if text := query.Get(ours); text != "" {
				query.Set(theirs, text)
				query.Del(ours)
			}
		}
		if name := flagText(cmd, "app"); name != "" {
			query.Set("app", name)
		}
		return r.print(ctx, client.Request{Path: auditPath, Query: query, Admin: true}, limit, "sequence", []column{
			{"NO", "sequence", plain}, {"AT", "at", when}, {"ACTOR", "actor", plain}, {"NAME", "actorName", plain}, {"FROM", "address", plain},
			{"ACTION", "action", plain}, {"APP", "app", plain}, {"TARGET", "target", plain}, {"DETAIL", "detail", plain}})
	})
	return cmd
}

func verifyAuditCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "Check that the log is whole and unchanged", Args: cobra.NoArgs,
		Long:    "Has the server follow the chain of hashes from the first entry to the last, part by part. Exit code 7 when it is broken.",
		Example: "  commserver audit verify\n  commserver audit verify --json"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		var bar *progressbar.ProgressBar
		if r.term.Err && !r.out.quiet {
			bar = progressbar.NewOptions(-1, progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription("entries"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
		}
		query, checked := url.Values{}, int64(0)
		for {
			raw, err := r.call(ctx, client.Request{Method: http.MethodGet, Path: auditPath + "/verify", Query: query, Admin: true, Safe: true, Timeout: time.Minute})
			if err != nil {
				return err
			}
			var part struct {
				OK        bool   `json:"ok"`
				Checked   int64  `json:"checked"`
				NextAfter *int64 `json:"nextAfter"`
				Broken    *struct {
					Sequence int64  `json:"sequence"`
					Reason   string `json:"reason"`
				} `json:"broken"`
			}
			if err := json.Unmarshal(raw, &part); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
			checked += part.Checked
			if bar != nil {
				_ = bar.Add64(part.Checked) // only drawing
			}
			if part.OK && part.NextAfter != nil {
				query.Set("after", strconv.FormatInt(*part.NextAfter, 10))
				continue
			}
			if bar != nil {
				_ = bar.Finish() // only drawing
			}
			if part.Broken != nil {
				r.note("Entry %d: %s", part.Broken.Sequence, clean(part.Broken.Reason))
			}
			return r.verified(part.OK, checked)
		}
	})
	return cmd
}

// verified prints the sum of all parts.
func (r *remote) verified(ok bool, checked int64) error {
	raw, err := json.Marshal(map[string]any{"ok": ok, "checked": checked})
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if err := r.out.one(raw, "checked", []column{{"Whole", "ok", yes}, {"Entries", "checked", plain}}); err != nil {
		return err
	}
	return verdict(document{"ok": ok}, "the audit log is not whole")
}
