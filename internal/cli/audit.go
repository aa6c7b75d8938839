package cli

import (
	"context"
	"encoding/json"
	"fmt"

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
		Example: "  commserver audit list --app flowbase\n  commserver audit list --action app_deleted --all --json"}
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
			{"ACTION", "action", plain}, {"APP", "app", plain}, {"TARGET", "target", plain}, {"DETAIL", "detail", changes}})
	})
	return cmd
}

func verifyAuditCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "verify", Short: "Check that the log is whole and unchanged", Args: cobra.NoArgs,
		Long: "Has the server follow the chain of hashes from the first entry to the last, part by part. Exit code 7 when it is broken.\n" +
			"Keep the last entry's number and hash elsewhere: if that entry has another hash later, the whole log was made anew.",
		Example: "  commserver audit verify\n  commserver audit verify --json"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		if err := r.administrator(); err != nil {
			return err
		}
		var seen func(int64)
		if r.term.Err && !r.out.quiet {
			bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription("entries"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
			defer func() { _ = bar.Finish() }()       // only drawing
			seen = func(n int64) { _ = bar.Set64(n) } // likewise
		}
		all, err := r.raw.Admin().VerifyAudit(ctx, seen)
		if err != nil {
			return r.explained(ctx, err)
		}
		raw, err := json.Marshal(verdictOf(all))
		if err != nil {
			return fmt.Errorf("write the result: %w", err)
		}
		if err := r.out.one(raw, "checked", []column{{"Whole", "ok", yes}, {"Entries", "checked", plain}, {"Last entry", "last.sequence", plain}, {"Its hash", "last.hash", plain},
			{"Broken at", "broken.sequence", plain}, {"Because", "broken.reason", plain}}); err != nil {
			return err
		}
		return verdict(document{"ok": all.OK}, "the audit log is not whole")
	})
	return cmd
}

// auditVerdict is what was found, as the API says it of a part.
type auditVerdict struct {
	OK      bool        `json:"ok"`
	Checked int64       `json:"checked"`
	Last    *auditPlace `json:"last"`
	Broken  *auditPlace `json:"broken"`
}

type auditPlace struct {
	Sequence int64  `json:"sequence"`
	Hash     string `json:"hash,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

func verdictOf(v *client.AuditVerdict) auditVerdict {
	out := auditVerdict{OK: v.OK, Checked: v.Checked}
	if v.Last != 0 {
		out.Last = &auditPlace{Sequence: v.Last, Hash: v.LastHash}
	}
	if v.BrokenAt != 0 {
		out.Broken = &auditPlace{Sequence: v.BrokenAt, Reason: v.Reason}
	}
	return out
}
