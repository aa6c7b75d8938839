package cli

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const suppressionPath = "/api/v1/suppressions"

func suppressionCommand(s Streams) *cobra.Command {
	cmd := group("suppression", "Addresses that must not be written to", "Keeps the suppression list of an app: no message goes to an address on it.\n\n"+connectionHelp,
		"  commserver suppression add ama@example.com --reason 'asked us'\n  commserver suppression import opt-outs.csv",
		addSuppressionCommand(s), listSuppressionsCommand(s), findSuppressionsCommand(s), removeSuppressionCommand(s), importSuppressionsCommand(s), exportSuppressionsCommand(s))
	bindClient(cmd)
	return cmd
}

func suppressionColumns() []column {
	return []column{{"CHANNEL", "channel", plain}, {"ADDRESS", "address", plain}, {"REASON", "reason", plain}, {"CREATED", "createdAt", when}}
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
		Example: "  commserver suppression add ama@example.com --reason 'asked us'\n  commserver suppression add 233241234567"}
	cmd.Flags().String("channel", "", "EMAIL or SMS; default: by the address")
	cmd.Flags().String("reason", "", "why")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body := map[string]string{"channel": channelOf(cmd, args[0]), "address": args[0]}
		if reason := flagText(cmd, "reason"); reason != "" {
			body["reason"] = reason
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: suppressionPath, Body: body, Safe: true})
		if err != nil {
			return err
		}
		return r.out.one(raw, "address", []column{{"Channel", "channel", plain}, {"Address", "address", plain}, {"Reason", "reason", plain}, {"Created", "createdAt", when}})
	})
	return cmd
}

func listSuppressionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List the addresses that must not be written to", Args: cobra.NoArgs, Example: "  commserver suppression list --channel EMAIL --all"}
	filters := bindFilters(cmd, "channel")
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

func importSuppressionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "import FILE", Short: "Put the addresses of a CSV or JSON lines file on the list", Args: cobra.ExactArgs(1),
		Long:    "Sends a file as it is: CSV with a heading, or JSON lines when its name ends in .jsonl or .ndjson or --format says so; - is standard input.",
		Example: "  commserver suppression import opt-outs.csv\n  zcat opt-outs.jsonl.gz | commserver suppression import - --format jsonl"}
	cmd.Flags().String("format", "", "csv or jsonl; default: by the name of the file")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		kind, err := importType(flagText(cmd, "format"), args[0])
		if err != nil {
			return err
		}
		in, size := s.In, int64(-1)
		if args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			defer func() { _ = f.Close() }() // only read
			if info, err := f.Stat(); err == nil {
				size = info.Size()
			}
			in = f
		}
		if r.term.Err && !r.out.quiet {
			bar := progressbar.NewOptions64(size, progressbar.OptionSetWriter(s.Err), progressbar.OptionSetDescription("import"), progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish())
			defer func() { _ = bar.Finish() }() // only drawing
			in = io.TeeReader(in, bar)
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: suppressionPath + "/import", Upload: in, ContentType: kind})
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		return r.out.one(raw, "added", doc.columns())
	})
	return cmd
}

// columns shows every field of a document, for answers that are mere counts.
func (d document) columns() []column {
	names := map[string]string{}
	for name := range d {
		names[name] = ""
	}
	var columns []column
	for _, name := range sortedNames(names) {
		columns = append(columns, column{clean(name), name, plain})
	}
	return columns
}

func importType(format, path string) (string, error) {
	switch {
	case format == "csv":
		return "text/csv", nil
	case format == "jsonl", format == "" && (strings.HasSuffix(path, ".jsonl") || strings.HasSuffix(path, ".ndjson")):
		return "application/x-ndjson", nil
	case format == "":
		return "text/csv", nil
	}
	return "", usagef("--format must be csv or jsonl")
}

func exportSuppressionsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Write the whole list to standard output", Args: cobra.NoArgs,
		Example: "  commserver suppression export > opt-outs.csv"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		_, err := r.call(ctx, client.Request{Method: http.MethodGet, Path: suppressionPath + "/export", Into: s.Out})
		return err
	})
	return cmd
}
