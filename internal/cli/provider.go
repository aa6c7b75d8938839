package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/provider"
)

const providerHelp = `Shows and changes provider configurations: an app's own, or with --server those that serve every app which has none of its own.`

const (
	providerPath       = "/api/v1/provider-configs"
	serverProviderPath = "/api/admin/provider-configs"
)

// trialTime is longer than the server takes to try a configuration.
const trialTime = 45 * time.Second

func providerCommand(s Streams) *cobra.Command {
	cmd := group("provider", "Provider configurations: the accounts that messages go through", providerHelp+"\n\n"+connectionHelp,
		"  commserver provider types\n  commserver provider add SMTP --set host=mail.example.com --set username=no-reply@example.com --secret-file password=password.txt",
		providerTypesCommand(s), listProvidersCommand(s), getProviderCommand(s), addProviderCommand(s), updateProviderCommand(s), removeProviderCommand(s),
		verifyProviderCommand(s), testProviderCommand(s), rotateCallbackCommand(s))
	cmd.PersistentFlags().Bool("server", false, "those of the server, as its administrator")
	bindClient(cmd)
	return cmd
}

// providers answers where the configurations that are meant lie.
func providers(cmd *cobra.Command) (path string, admin bool) {
	if flagged(cmd, "server") {
		return serverProviderPath, true
	}
	return providerPath, false
}

func completeProviders(s Streams) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, start string) ([]string, cobra.ShellCompDirective) {
		path, admin := providers(cmd)
		return completes(s, path, admin, "id", "name")(cmd, args, start)
	}
}

func providerTypesCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "types [TYPE]", Short: "List the types that this program knows, and the fields of one", Args: cobra.MaximumNArgs(1), ValidArgs: typeNames(),
		Example: "  commserver provider types\n  commserver provider types SMTP"}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		out, err := newPrinter(s, cmd, s.terminal())
		if err != nil {
			return err
		}
		if len(args) == 0 {
			rows := out.rows("type", []column{{"TYPE", "type", plain}, {"CHANNEL", "channel", plain}, {"TITLE", "title", plain}})
			return addAll(rows, app.ProviderTypes(), func(a provider.Adapter) any {
				return map[string]any{"type": a.Type, "channel": a.Channel.String(), "title": a.Title}
			})
		}
		kind, err := typeNamed(args[0])
		if err != nil {
			return err
		}
		rows := out.rows("name", []column{{"FIELD", "name", plain}, {"REQUIRED", "required", yes}, {"SECRET", "secret", yes}, {"DEFAULT", "default", plain}, {"MEANING", "help", plain}})
		return addAll(rows, kind.Fields, func(f provider.Field) any {
			return map[string]any{"name": f.Name, "required": f.Required, "secret": f.Secret, "default": f.Default, "help": f.Help}
		})
	}
	return cmd
}

func addAll[T any](rows *rows, all []T, row func(T) any) error {
	for _, one := range all {
		raw, err := json.Marshal(row(one))
		if err != nil {
			return fmt.Errorf("write a row: %w", err)
		}
		if err := rows.add(raw); err != nil {
			return err
		}
	}
	return rows.end()
}

func typeNames() []string {
	var names []string
	for _, a := range app.ProviderTypes() {
		names = append(names, a.Type)
	}
	return names
}

func typeNamed(name string) (provider.Adapter, error) {
	for _, a := range app.ProviderTypes() {
		if strings.EqualFold(a.Type, name) {
			return a, nil
		}
	}
	return provider.Adapter{}, usagef("there is no provider type %q; there are %s", name, strings.Join(typeNames(), ", "))
}

func listProvidersCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List provider configurations in the order in which they are tried", Args: cobra.NoArgs,
		Example: "  commserver provider list\n  commserver provider list --server --json"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		path, admin := providers(cmd)
		return r.print(ctx, client.Request{Path: path, Admin: admin}, 0, "id", []column{
			{"ID", "id", plain}, {"TYPE", "providerType", plain}, {"CHANNEL", "channel", plain}, {"NAME", "name", plain}, {"PRIORITY", "priority", plain}, {"ACTIVE", "isActive", yes}, {"PINNED", "pinned", yes}, {"STATE", "health.state", status}, {"SINCE", "health.since", when}, {"THROTTLED UNTIL", "health.throttledUntil", when}, {"WARNINGS", "warnings", codes}})
	})
	return cmd
}

func providerColumns(doc document) []column {
	columns := []column{{"ID", "id", plain}, {"Type", "providerType", plain}, {"Channel", "channel", plain}, {"Name", "name", plain}, {"Priority", "priority", plain},
		{"Active", "isActive", yes}, {"Pinned", "pinned", yes}, {"State", "health.state", status}, {"Since", "health.since", when}, {"Last code", "health.code", plain}, {"Last answer", "health.answer", plain},
		{"Next try", "health.nextTryAt", when}, {"Throttled until", "health.throttledUntil", when}, {"Failed lately", "health.lately", failed}, {"Others took", "health.carried", carried}, {"Callback URL", "callbackUrl", plain}, {"URL before ends", "previousCallbackEndsAt", when}, {"Rate per second", "ratePerSecond", plain}, {"Rate per day", "ratePerDay", plain},
		{"Concurrency", "maxConcurrency", plain}, {"Created", "createdAt", when}, {"Updated", "updatedAt", when}}
	fields, _ := doc.at("config").(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		columns = append(columns, column{clean(name), "config." + name, plain})
	}
	return columns
}

func (r *remote) showProvider(raw json.RawMessage) error {
	doc, err := read(raw)
	if err != nil {
		return err
	}
	r.warn(doc)
	if err := r.out.one(raw, "id", providerColumns(doc)); err != nil || r.out.json || r.out.quiet {
		return err
	}
	for _, part := range []struct {
		title, field string
		columns      []column
	}{
		{"What its nodes say", "health.nodes", []column{{"NODE", "node", plain}, {"STATE", "state", status}, {"SINCE", "since", when}, {"CODE", "code", plain}, {"LAST ANSWER", "answer", plain}, {"NEXT TRY", "nextTryAt", when}}},
		{"Outages", "health.outages", []column{{"FROM", "since", when}, {"TO", "endedAt", when}, {"CODE", "code", plain}, {"LAST ANSWER", "answer", plain}, {"OTHERS TOOK", "carried", carried}}},
	} {
		if err := r.below(part.title, doc.at(part.field), part.columns); err != nil {
			return err
		}
	}
	return nil
}

// below prints a list that is part of a resource, if there is anything in it, under a heading of its own.
func (r *remote) below(title string, list any, columns []column) error {
	all, _ := list.([]any)
	if len(all) == 0 {
		return nil
	}
	if _, err := fmt.Fprintf(r.out.w, "\n%s\n", r.out.paint(title, bold)); err != nil {
		return err
	}
	return addAll(r.out.rows("", columns), all, func(one any) any { return one })
}

func getProviderCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show a provider configuration, secrets masked", Args: cobra.ExactArgs(1), ValidArgsFunction: completeProviders(s),
		Example: "  commserver provider get cmr0123456789abcdefghijkl"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := providers(cmd)
		raw, err := r.get(ctx, path+"/"+client.Escape(args[0]), admin)
		if err != nil {
			return err
		}
		return r.showProvider(raw)
	})
	return cmd
}

func removeProviderCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "remove ID", Short: "Remove a provider configuration and its secrets", Args: cobra.ExactArgs(1), ValidArgsFunction: completeProviders(s),
		Example: "  commserver provider remove cmr0123456789abcdefghijkl --yes"})
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := providers(cmd)
		return r.remove(ctx, client.Request{Path: path + "/" + client.Escape(args[0]), Admin: admin}, "Remove the provider configuration "+args[0]+" and its secrets")
	})
	return cmd
}

// remove asks, and deletes. It prints nothing: what is gone has no answer.
func (r *remote) remove(ctx context.Context, q client.Request, what string) error {
	if err := r.confirm(what); err != nil {
		return err
	}
	q.Method = http.MethodDelete
	_, err := r.call(ctx, q)
	return err
}

func verifyProviderCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "verify ID", Short: "Check settings and credentials without sending anything", Args: cobra.ExactArgs(1), ValidArgsFunction: completeProviders(s),
		Long:    "Checks the settings and credentials of a provider configuration with the provider, without sending. Exit code 7 when a check says no.",
		Example: "  commserver provider verify cmr0123456789abcdefghijkl"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := providers(cmd)
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: path + "/" + client.Escape(args[0]) + "/verify", Admin: admin, Timeout: trialTime})
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		if r.out.json {
			if err := r.out.line(raw); err != nil {
				return err
			}
			return verdict(doc, "the configuration does not work")
		}
		rows := r.out.rows("name", []column{{"CHECK", "name", plain}, {"OK", "ok", yes}, {"DETAIL", "detail", plain}})
		checks, _ := doc.at("checks").([]any)
		if err := addAll(rows, checks, func(one any) any { return one }); err != nil {
			return err
		}
		return verdict(doc, "the configuration does not work")
	})
	return cmd
}

// verdict is the end of a check: what the answer says in "ok".
func verdict(doc document, no string) error {
	if doc.at("ok") == true {
		return nil
	}
	return codedError{fmt.Errorf("%s", no), exitBadEnd}
}

func testProviderCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "test ID", Short: "Send one real test message", Args: cobra.ExactArgs(1), ValidArgsFunction: completeProviders(s),
		Long:    "Sends one real message through a provider configuration and tells what the provider said. Exit code 7 when it was not taken.",
		Example: "  commserver provider test cmr0123456789abcdefghijkl --to ops@example.com --yes"})
	cmd.Flags().String("to", "", "recipient of the test message")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		to := flagText(cmd, "to")
		if to == "" {
			return usagef("--to is needed: who gets the test message")
		}
		if err := r.confirm("Send a real message to " + to); err != nil {
			return err
		}
		path, admin := providers(cmd)
		q := client.Request{Method: http.MethodPost, Path: path + "/" + client.Escape(args[0]) + "/test", Body: map[string]string{"to": to}, Admin: admin, Timeout: trialTime}
		raw, err := r.call(ctx, q)
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		err = r.out.one(raw, "reference", []column{{"Taken", "ok", yes}, {"Outcome", "class", status}, {"Code", "code", plain}, {"Answer", "text", plain},
			{"Reference", "reference", plain}, {"Perhaps sent", "mayHaveBeenSent", yes}, {"Milliseconds", "tookMs", plain}})
		if err != nil {
			return err
		}
		return verdict(doc, "the provider did not take the message")
	})
	return cmd
}

// typed is a field's value as JSON has it. What does not read as its kind is left to the server to refuse.
func typed(f provider.Field, text string) any {
	switch f.Kind {
	case provider.Int:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
	case provider.Bool:
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	}
	return text
}
