package cli

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

const (
	messagePath = "/api/v1/messages"
	sandboxPath = "/api/v1/sandbox/messages"
)

func messageCommand(s Streams) *cobra.Command {
	cmd := group("message", "Send messages and see what became of them", "Sends, shows, lists, cancels and retries messages.\n\n"+connectionHelp,
		"  commserver message send --to ama@example.com --subject Hello --body '<p>Hi</p>' --wait\n  commserver message list --status FAILED",
		sendCommand(s), previewCommand(s), getMessageCommand(s), listMessagesCommand(s),
		actCommand(s, "cancel", "Cancel queued messages", "CANCEL"), actCommand(s, "retry", "Queue failed or cancelled messages again", "RETRY"))
	bindClient(cmd)
	return cmd
}

func sandboxCommand(s Streams) *cobra.Command {
	list := &cobra.Command{Use: "list", Short: "List what the sandbox captured, newest first", Args: cobra.NoArgs,
		Example: "  commserver sandbox list\n  commserver sandbox list --channel SMS --limit 1 --json"}
	filters := bindFilters(list, "channel", "after", "before")
	list.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		return r.print(ctx, client.Request{Path: sandboxPath, Query: query}, limit, "id", []column{
			{"ID", "id", plain}, {"CAPTURED", "capturedAt", when}, {"CHANNEL", "channel", plain}, {"TO", "toAddress", plain},
			{"SUBJECT", "subject", plain}, {"BODY", "body", plain}})
	})
	show := &cobra.Command{Use: "show ID", Short: "Show a captured message", Args: cobra.ExactArgs(1), ValidArgsFunction: completes(s, sandboxPath, false, "id", "subject"),
		Example: "  commserver sandbox show cmr0123456789abcdefghijkl\n  commserver sandbox show cmr0123456789abcdefghijkl --json"}
	show.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		raw, err := r.get(ctx, sandboxPath+"/"+client.Escape(args[0]), false)
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", captureColumns())
	})
	cmd := group("sandbox", "See what the sandbox captured", "Shows the messages that the sandbox took instead of sending them.\n\n"+connectionHelp, "  commserver sandbox list --limit 5", list, show, waitCaptureCommand(s))
	bindClient(cmd)
	return cmd
}

func captureColumns() []column {
	return []column{
		{"ID", "id", plain}, {"Channel", "channel", plain}, {"Captured", "capturedAt", when}, {"To", "toAddress", plain}, {"From", "fromAddress", plain},
		{"Cc", "cc", plain}, {"Bcc", "bcc", plain}, {"Reply to", "replyTo", plain}, {"Headers", "headers", plain}, {"Subject", "subject", plain},
		{"Attachments", "attachments", plain}, {"Segments", "segments", plain}, {"Encoding", "encoding", plain}, {"Tags", "tags", plain},
		{"Metadata", "metadata", plain}, {"Text", "text", plain}, {"Body", "body", plain}}
}

// filters are the flags of a list: the words that narrow it, and how much of it is wanted.
type filters struct{ names []string }

// filterHelp is each filter with the parameter that it becomes.
type filterHelp struct{ flag, query, help string }

func filterTable() []filterHelp {
	return []filterHelp{
		{"status", "status", "QUEUED, SENDING, SENT, DELIVERED, FAILED, SUPPRESSED or CANCELLED"},
		{"channel", "channel", "EMAIL or SMS"},
		{"to", "to", "recipient, in any form that it can be sent to"},
		{"tag", "tag", "tag, exactly"},
		{"template", "templateKey", "key of the template"},
		{"lane", "lane", "CRITICAL, NORMAL or BULK"},
		{"search", "search", "beginning of the slug or the name"},
		{"actor", "actor", "kind of who did it"},
		{"action", "action", "what was done, such as app_deleted; see docs/admin.md"},
		{"target", "target", "what it was done to"},
		{"state", "state", "waiting, delivered or failed"},
		{"message", "messageId", "id of a message"},
		{"key", "key", "key of the template"},
		{"address", "address", "address, in any form"},
		{"reason", "reason", strings.Join(reasons(), ", ")},
	}
}

const day = 24 * time.Hour

// defaultLimit is how many items a list shows when nobody says.
const defaultLimit = 20

func bindFilters(cmd *cobra.Command, names ...string) filters {
	f := cmd.Flags()
	for _, name := range names {
		for _, row := range filterTable() {
			if row.flag == name {
				f.String(name, "", row.help)
			}
		}
		switch name {
		case "after", "before":
			f.String(name, "", "only what was made "+name+" this time, such as 2026-07-03T10:00:00Z, or 24h, or 7d, for so long ago")
		case "status":
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions([]string{"QUEUED", "SENDING", "SENT", "DELIVERED", "FAILED", "SUPPRESSED", "CANCELLED"}, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
		case "action":
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(codesOf(comm.AuditActions()), cobra.ShellCompDirectiveNoFileComp)) // likewise
		case "reason":
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(reasons(), cobra.ShellCompDirectiveNoFileComp)) // likewise
		case "lane":
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions([]string{"CRITICAL", "NORMAL", "BULK"}, cobra.ShellCompDirectiveNoFileComp)) // likewise
		case "channel":
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions([]string{client.Email, client.SMS}, cobra.ShellCompDirectiveNoFileComp)) // likewise
		}
	}
	f.Int("limit", defaultLimit, "how many at most")
	f.Bool("all", false, "all of them, page after page")
	cmd.MarkFlagsMutuallyExclusive("limit", "all")
	return filters{names}
}

// read makes the query. The limit is 0 for all.
func (f filters) read(r *remote) (url.Values, int, error) {
	query := url.Values{}
	for _, row := range filterTable() {
		if text := flagText(r.cmd, row.flag); text != "" {
			query.Set(row.query, text)
		}
	}
	for _, name := range f.names {
		text := flagText(r.cmd, name)
		if name != "after" && name != "before" || text == "" {
			continue
		}
		at, err := readTime(text, r.s.now(), -1)
		if err != nil {
			return nil, 0, usagef("--%s: %w", name, err)
		}
		query.Set(map[string]string{"after": "createdAfter", "before": "createdBefore"}[name], at.UTC().Format(time.RFC3339Nano))
	}
	limit, err := r.cmd.Flags().GetInt("limit")
	if err != nil || limit < 1 {
		return nil, 0, usagef("--limit must be 1 or more; --all gives everything")
	}
	if flagged(r.cmd, "all") {
		limit = 0
	}
	query.Set("limit", "100")
	return query, limit, nil
}

// readTime reads a time with its zone, or a duration from now on (sign 1) or back (-1); of days, too.
func readTime(text string, now time.Time, sign time.Duration) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.Add(sign * time.Duration(n) * day), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(sign * d), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, errors.New("must be a time with its zone, such as 2026-07-03T10:00:00Z, or a duration such as 90m or 7d")
	}
	return at, nil
}

func messageColumns() []column {
	return []column{{"ID", "id", plain}, {"CREATED", "createdAt", when}, {"STATUS", "status", status}, {"CHANNEL", "channel", plain}, {"TO", "toAddress", plain},
		{"SUBJECT", "subject", plain}, {"TRIES", "attempts", plain}, {"PROVIDER", "providerName", plain}, {"WAITS FOR", "waitingFor", plain}, {"ERROR", "errorMessage", plain}}
}

func listMessagesCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List messages, newest first", Args: cobra.NoArgs,
		Example: `  commserver message list --status FAILED --after 24h
  commserver message list --to ama@example.com --all
  commserver message list --to ama@example.com --all-apps
  commserver message list --tag invoices --all --quiet | xargs -r commserver message cancel`}
	filters := bindFilters(cmd, "status", "channel", "to", "tag", "template", "after", "before")
	cmd.Flags().Bool("all-apps", false, "of all apps, as the administrator; --tag and --template need one app")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		if flagged(cmd, "all-apps") {
			columns := append([]column{{"ID", "id", plain}, {"APP", "app.slug", plain}}, messageColumns()[1:]...)
			return r.print(ctx, client.Request{Path: adminMessagePath, Query: query, Admin: true}, limit, "id", columns)
		}
		return r.print(ctx, client.Request{Path: messagePath, Query: query}, limit, "id", messageColumns())
	})
	return cmd
}

const adminMessagePath = "/api/admin/messages"

// messageAt is where a message lies: with its app, or, for an administrator who names none, with all apps' messages.
func (r *remote) messageAt(id string) (path string, admin bool) {
	if r.id.App == "" && r.id.APIKey == "" && r.id.AdminKey != "" {
		return adminMessagePath + "/" + client.Escape(id), true
	}
	return messagePath + "/" + client.Escape(id), false
}

func getMessageCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show a message and its story", Args: cobra.ExactArgs(1), ValidArgsFunction: completes(s, messagePath, false, "id", "status"),
		Long:    "Shows a message: where it stands, why it waits and until when, what happened to it, and every provider call.\nThe administrator, naming no app, sees those of every app.",
		Example: "  commserver message get cmr0123456789abcdefghijkl\n  commserver message get cmr0123456789abcdefghijkl --json | jq .events"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := r.messageAt(args[0])
		raw, err := r.get(ctx, path, admin)
		if err != nil {
			return err
		}
		return r.out.story(raw)
	})
	return cmd
}

// actCommand makes cancel and retry. What cannot be done to one message does not
// keep the others from it; the exit code is that of the first refusal.
func actCommand(s Streams, name, short, action string) *cobra.Command {
	cmd := &cobra.Command{Use: name + " ID...", Short: short, Args: cobra.MinimumNArgs(1),
		Example: "  commserver message " + name + " cmr0123456789abcdefghijkl\n  commserver message list --tag campaign-7 --all --quiet | xargs -r commserver message " + name}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		rows := r.out.rows("id", []column{{"ID", "id", plain}, {"STATUS", "status", status}, {"TO", "toAddress", plain}})
		var first error
		for _, id := range args {
			path, admin := r.messageAt(id)
			q := client.Request{Method: http.MethodPatch, Path: path, Admin: admin, Body: map[string]string{"action": action}, Safe: action == "CANCEL"}
			raw, err := r.call(ctx, q)
			if err == nil {
				err = rows.add(raw)
				if doc, readErr := read(raw); readErr == nil && doc.at("mayDuplicate") == true {
					r.note("%s: an earlier attempt may have reached the recipient; this may be a second copy.", clean(id))
				}
			}
			if err == nil {
				continue
			}
			if len(args) > 1 && first == nil {
				first = codedError{errors.New("not everything could be done; see above"), exitOf(err)}
			}
			if len(args) == 1 {
				return err
			}
			r.note("%s:", clean(strings.TrimSpace(id)))
			report(s.Err, err)
		}
		return rows.finish(first)
	})
	return cmd
}
