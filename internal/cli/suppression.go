package cli

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

const suppressionPath = "/api/v1/suppressions"

func suppressionCommand(s Streams) *cobra.Command {
	cmd := group("suppression", "Addresses that must not be written to", "Keeps the suppression list of an app: no message goes to an address on it.\n\n"+connectionHelp,
		"  commserver suppression add ama@example.com --note 'asked us by telephone'\n  commserver suppression import opt-outs.csv",
		addSuppressionCommand(s), listSuppressionsCommand(s), findSuppressionsCommand(s), removeSuppressionCommand(s), importSuppressionsCommand(s), exportSuppressionsCommand(s))
	bindClient(cmd)
	return cmd
}

func suppressionColumns() []column {
	return []column{{"CHANNEL", "channel", plain}, {"ADDRESS", "address", plain}, {"REASON", "reason", plain}, {"NOTE", "note", plain}, {"SOURCE", "source", plain}, {"CREATED", "createdAt", when}}
}

// reasons are the words of --reason.
func reasons() []string { return codesOf(comm.SuppressionReasons()) }

func codesOf(words []comm.Word) (codes []string) {
	for _, w := range words {
		codes = append(codes, w.Code)
	}
	return codes
}

// channelOf is what --channel says, or what the address looks like.
func channelOf(cmd *cobra.Command, address string) string {
	if channel := flagText(cmd, "channel"); channel != "" {
		return channel
	}
	if strings.Contains(address, "@") {
		return client.Email
	}
	return client.SMS
}

func addSuppressionCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "add ADDRESS", Short: "Put an address on the list", Args: cobra.ExactArgs(1),
		Example: "  commserver suppression add ama@example.com --note 'asked us by telephone'\n  commserver suppression add 233241234567 --reason unsubscribed"}
	cmd.Flags().String("channel", "", "EMAIL or SMS; default: by the address")
	cmd.Flags().String("reason", "", strings.Join(reasons(), ", ")+"; default: "+comm.SuppressManual)
	cmd.Flags().String("note", "", "what people should know about it")
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.FixedCompletions(reasons(), cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body := map[string]string{"channel": channelOf(cmd, args[0]), "address": args[0]}
		for _, name := range []string{"reason", "note"} {
			if text := flagText(cmd, name); text != "" {
				body[name] = text
			}
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: suppressionPath, Body: body, Safe: true})
		if err != nil {
			return err
		}
		return r.out.one(raw, "address", []column{{"Channel", "channel", plain}, {"Address", "address", plain}, {"Reason", "reason", plain}, {"Note", "note", plain},
			{"Source", "source", plain}, {"Created", "createdAt", when}})
	})
	return cmd
}

func listSuppressionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the addresses that must not be written to", Args: cobra.NoArgs, Example: "  commserver suppression list --channel EMAIL --all"}
	filters := bindFilters(cmd, "channel", "reason", "address", "after", "before")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		return r.print(ctx, client.Request{Path: suppressionPath, Query: query}, limit, "address", suppressionColumns())
	})
	return cmd
}

func findSuppressionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "find ADDRESS", Short: "Find the apps that have an address on their list, as the administrator", Args: cobra.ExactArgs(1),
		Long:    "Shows on whose lists an address is. 'commserver suppression remove ADDRESS --app APP' takes it off one.",
		Example: "  commserver suppression find ama@example.com\n  commserver suppression find 233241234567 --all --json"}
	filters := bindFilters(cmd, "channel")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		query.Set("address", args[0])
		if app := flagText(cmd, "app"); app != "" {
			query.Set("app", app)
		}
		columns := append([]column{{"APP", "app.slug", plain}}, suppressionColumns()...)
		return r.print(ctx, client.Request{Path: "/api/admin/suppressions", Query: query, Admin: true}, limit, "app.slug", columns)
	})
	return cmd
}

func removeSuppressionCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "remove ADDRESS", Short: "Take an address off the list", Args: cobra.ExactArgs(1), Example: "  commserver suppression remove ama@example.com --yes"})
	cmd.Flags().String("channel", "", "EMAIL or SMS; default: by the address")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		query := url.Values{"channel": {channelOf(cmd, args[0])}, "address": {args[0]}}
		return r.remove(ctx, client.Request{Path: suppressionPath, Query: query}, "Write to "+args[0]+" again")
	})
	return cmd
}

func exportSuppressionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Write the whole list to standard output", Args: cobra.NoArgs,
		Long:    "Writes the list as 'commserver suppression import' reads it. An exit code other than 0 means that it is not whole.",
		Example: "  commserver suppression export > opt-outs.csv\n  commserver suppression export --format jsonl | gzip > opt-outs.jsonl.gz"}
	cmd.Flags().String("format", "", "csv or jsonl; default: csv")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query := url.Values{}
		switch format := flagText(cmd, "format"); format {
		case "":
		case "csv", "jsonl":
			query.Set("format", format)
		default:
			return wrongFormat()
		}
		_, err := r.call(ctx, client.Request{Method: http.MethodGet, Path: suppressionPath + "/export", Query: query, Into: s.Out})
		return err
	})
	return cmd
}
