package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const (
	appPath       = "/api/v1/app"
	adminAppsPath = "/api/admin/apps"
)

func appCommand(s Streams) *cobra.Command {
	cmd := group("app", "Apps: an app's own settings, and for the administrator all of them",
		"Without a name, show and update are about the app whose key is used. With one, and in the other commands, the administrator acts.\n\n"+connectionHelp,
		"  commserver app show\n  commserver app create FlowBase --slug flowbase --key-file flowbase.key\n  commserver app update --sandbox=false",
		showAppCommand(s), updateAppCommand(s), listAppsCommand(s), createAppCommand(s),
		switchAppCommand(s, "pause", "Close an app's door; what is queued waits", false), switchAppCommand(s, "resume", "Open a paused app's door again", true),
		deleteAppCommand(s), rotateAppKeyCommand(s))
	bindClient(cmd)
	return cmd
}

func appColumns(prefix string) []column {
	all := []column{{"ID", "id", plain}, {"Slug", "slug", plain}, {"Name", "name", plain}, {"Sandbox", "sandboxMode", yes}, {"Active", "isActive", yes}, {"Queue", "queueState", plain},
		{"Rate per minute", "ratePerMinute", plain}, {"Unknown outcome", "onUnknownOutcome", plain}, {"Webhook", "webhookUrl", plain},
		{"Allowed senders", "allowedSenders", plain}, {"SMS segments per day", "smsPerDay", plain}, {"SMS to", "smsPrefixes", plain},
		{"SMS segments per day to", "smsPerDayByPrefix", plain}, {"SMS segments today", "smsToday", plain}, {"SMS segments today to", "smsTodayByPrefix", plain}, {"SMS alarm", "smsAlarmAt", when}, {"Created", "createdAt", when}, {"Updated", "updatedAt", when}}
	for i := range all {
		all[i].field = prefix + all[i].field
	}
	return all
}

func completeApps(s Streams) cobra.CompletionFunc {
	return completes(s, adminAppsPath, true, "slug", "name")
}

// appAt is where the app that is meant lies.
func appAt(args []string) (path string, admin bool) {
	if len(args) == 0 {
		return appPath, false
	}
	return adminAppsPath + "/" + client.Escape(args[0]), true
}

func showAppCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "show [APP]", Short: "Show an app's settings", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeApps(s),
		Example: "  commserver app show\n  commserver app show flowbase"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := appAt(args)
		raw, err := r.get(ctx, path, admin)
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", appColumns(""))
	})
	return cmd
}

// bindApp gives the flags that both an app and the administrator may change, and those of the administrator.
func bindApp(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Bool("sandbox", true, "capture messages instead of sending them")
	f.String("on-unknown-outcome", "", "RETRY or FAIL when nobody can tell whether the provider took a message")
	f.String("webhook-url", "", "address that status changes are posted to; empty removes it")
	f.Int("rate-per-minute", 0, "messages per minute at most (administrator)")
	f.StringSlice("allowed-sender", nil, "sender allowed on the server's providers; may be repeated (administrator)")
	f.Int("sms-per-day", 0, "SMS segments accepted in a UTC day at most; 0: any number (administrator)")
	f.StringSlice("sms-prefix", nil, "beginning of numbers that SMS may go to, such as 233; may be repeated; an empty one allows all (administrator)")
	f.StringSlice("sms-per-day-to", nil, "the same for numbers that begin so, such as 1876=50; 0 refuses them; may be repeated and replaces all of them; an empty one removes them (administrator)")
	f.String("webhook-secret-file", "", "file that holds the webhook's secret; default: one is made (administrator)")
	f.SortFlags = false
}

func appChange(r *remote) (map[string]any, error) {
	body, f := map[string]any{}, r.cmd.Flags()
	if f.Changed("sandbox") {
		body["sandboxMode"] = flagged(r.cmd, "sandbox")
	}
	for flag, field := range map[string]string{"on-unknown-outcome": "onUnknownOutcome", "webhook-url": "webhookUrl", "name": "name"} {
		if f.Changed(flag) {
			body[field] = flagText(r.cmd, flag)
		}
	}
	if f.Changed("webhook-url") && flagText(r.cmd, "webhook-url") == "" {
		body["webhookUrl"] = nil
	}
	if n, err := f.GetInt("rate-per-minute"); err == nil && f.Changed("rate-per-minute") {
		body["ratePerMinute"] = n
	}
	if n, err := f.GetInt("sms-per-day"); err == nil && f.Changed("sms-per-day") {
		body["smsPerDay"] = client.Limit(n)
	}
	if list, err := f.GetStringSlice("sms-prefix"); err == nil && f.Changed("sms-prefix") {
		body["smsPrefixes"] = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	}
	if list, err := f.GetStringSlice("sms-per-day-to"); err == nil && f.Changed("sms-per-day-to") {
		byPrefix, err := perDayTo(list)
		if err != nil {
			return nil, err
		}
		body["smsPerDayByPrefix"] = byPrefix
	}
	if list, err := f.GetStringSlice("allowed-sender"); err == nil && f.Changed("allowed-sender") {
		body["allowedSenders"] = list
	}
	if path := flagText(r.cmd, "webhook-secret-file"); path != "" {
		secret, err := r.s.secretFile("--webhook-secret-file", path)
		if err != nil {
			return nil, err
		}
		body["webhookSecret"] = secret
	}
	return body, nil
}

// perDayTo reads pairs such as 1876=50.
func perDayTo(list []string) (map[string]int, error) {
	out := map[string]int{}
	for _, pair := range list {
		if pair == "" {
			continue
		}
		prefix, text, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, usagef("--sms-per-day-to takes the beginning of a number and the segments of a day, such as 1876=50, not %q", pair)
		}
		out[prefix] = n
	}
	return out, nil
}

func updateAppCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "update [APP]", Short: "Change an app's settings; what is not given stays", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeApps(s),
		Example: "  commserver app update --sandbox=false\n  commserver app update flowbase --rate-per-minute 1200 --allowed-sender billing@example.com"}
	bindApp(cmd)
	cmd.Flags().String("name", "", "name for people (administrator)")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body, err := appChange(r)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return usagef("nothing to change was given; see `commserver app update --help`")
		}
		return patchApp(ctx, r, args, body)
	})
	return cmd
}

func patchApp(ctx context.Context, r *remote, args []string, body map[string]any) error {
	path, admin := appAt(args)
	_, webhook := body["webhookUrl"] // a repeat would lose the secret that is shown once
	raw, err := r.call(ctx, client.Request{Method: http.MethodPatch, Path: path, Body: body, Admin: admin, Safe: !webhook})
	if err != nil {
		return err
	}
	doc, err := read(raw)
	if err != nil {
		return err
	}
	r.warn(doc)
	return r.out.one(raw, "id", append(appColumns(""), column{"Webhook secret", "webhookSecret", plain}))
}

func switchAppCommand(s Streams, name, short string, active bool) *cobra.Command {
	cmd := &cobra.Command{Use: name + " APP", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(s), Example: "  commserver app " + name + " flowbase"}
	if !active {
		bindYes(cmd)
	}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		if !active {
			if err := r.confirm("Close the door of the app " + args[0]); err != nil {
				return err
			}
		}
		return patchApp(ctx, r, args, map[string]any{"isActive": active})
	})
	return cmd
}

func listAppsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List apps, oldest first", Args: cobra.NoArgs, Example: "  commserver app list\n  commserver app list --search flow --all --quiet"}
	filters := bindFilters(cmd, "search")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		return r.print(ctx, client.Request{Path: adminAppsPath, Query: query, Admin: true}, limit, "id", []column{
			{"ID", "id", plain}, {"SLUG", "slug", plain}, {"NAME", "name", plain}, {"SANDBOX", "sandboxMode", yes}, {"ACTIVE", "isActive", yes},
			{"RATE", "ratePerMinute", plain}, {"CREATED", "createdAt", when}})
	})
	return cmd
}

func createAppCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Make an app with its first key", Args: cobra.ExactArgs(1),
		Long:    "Makes an app, in the sandbox unless --sandbox=false says otherwise. Its key is shown this once; --key-file writes it to a new file instead (mode 0600).",
		Example: "  commserver app create FlowBase --slug flowbase\n  commserver app create Billing --slug billing --scope SEND --scope READ --key-file billing.key --json"}
	bindApp(cmd)
	cmd.Flags().String("slug", "", "name in requests: lower-case letters, digits and dashes")
	bindScopes(cmd)
	bindKeyFile(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		slug := flagText(r.cmd, "slug")
		if slug == "" {
			return usagef("--slug is needed: the app's name in requests, such as flowbase")
		}
		body, err := appChange(r)
		if err != nil {
			return err
		}
		body["name"], body["slug"] = args[0], slug
		if list := scopes(r.cmd); len(list) > 0 {
			body["scopes"] = list
		}
		return r.issue(ctx, client.Request{Method: http.MethodPost, Path: adminAppsPath, Body: body, Admin: true}, appColumns("app."))
	})
	return cmd
}

func bindScopes(cmd *cobra.Command) {
	cmd.Flags().StringSlice("scope", nil, "SEND, READ, TEMPLATES, PROVIDERS or SUPPRESSIONS; may be repeated; default: SEND and READ")
	_ = cmd.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions([]string{"SEND", "READ", "TEMPLATES", "PROVIDERS", "SUPPRESSIONS"}, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
}

func scopes(cmd *cobra.Command) []string {
	list, err := cmd.Flags().GetStringSlice("scope")
	if err != nil {
		return nil
	}
	return list
}

func bindKeyFile(cmd *cobra.Command) {
	cmd.Flags().String("key-file", "", "write the key to this new file instead of showing it")
}

// issue makes something whose answer holds a key that is shown once. With --quiet
// the key is what is printed: it is what a script came for. With --key-file it goes
// to that file, which is opened first, so that no key is made that cannot be kept.
func (r *remote) issue(ctx context.Context, q client.Request, columns []column) error {
	path := flagText(r.cmd, "key-file")
	if path == "" {
		raw, doc, err := r.issued(ctx, q)
		if err != nil {
			return err
		}
		r.warn(doc)
		return r.out.one(raw, "apiKey", append(columns, column{"API key (shown this once)", "apiKey", plain}, column{"Webhook secret", "webhookSecret", plain}))
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, profileMode)
	if err != nil {
		return usagef("--key-file: %w", err)
	}
	_, doc, err := r.issued(ctx, q)
	if err != nil {
		_ = errors.Join(file.Close(), os.Remove(path)) // it holds no key
		return err
	}
	// From here on the file stays: what stands in it is nowhere else.
	_, err = fmt.Fprintln(file, doc.str("apiKey"))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("a key was made and could not be kept; revoke it: %w", err)
	}
	r.warn(doc)
	doc["apiKey"] = nil
	masked, err := json.Marshal(doc)
	if err == nil {
		err = r.out.one(masked, columns[0].field, append(columns, column{"Webhook secret", "webhookSecret", plain}))
	}
	if err != nil {
		return fmt.Errorf("the key is in %s, the rest of the answer could not be shown: %w", path, err)
	}
	return nil
}

// issued makes the call of issue.
func (r *remote) issued(ctx context.Context, q client.Request) (json.RawMessage, document, error) {
	raw, err := r.call(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	doc, err := read(raw)
	return raw, doc, err
}

func deleteAppCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "delete APP", Short: "Delete an app with everything that it has", Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(s),
		Example: "  commserver app delete flowbase\n  commserver app delete flowbase --yes"})
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := appAt(args)
		raw, err := r.get(ctx, path, admin)
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		slug := doc.str("slug")
		q := client.Request{Path: path, Query: url.Values{"confirm": {slug}}, Admin: admin}
		return r.remove(ctx, q, "Delete the app "+clean(slug)+", its keys, configurations and messages, for good")
	})
	return cmd
}

func rotateAppKeyCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "rotate-key APP", Short: "Replace the only key of an app", Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(s),
		Long:    "Replaces the key of an app that has one. Where there are several, 'commserver key rotate' says which.",
		Example: "  commserver app rotate-key flowbase --overlap 1h --yes"})
	bindRotation(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		var ids []string
		err := r.list(ctx, client.Request{Path: keysPath(args[0]), Admin: true}, 0, func(raw json.RawMessage) error {
			doc, err := read(raw)
			if err == nil && doc.usable(r.s.now()) {
				ids = append(ids, doc.str("id"))
			}
			return err
		})
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			return usagef("the app has no key in force that could be replaced; make one: commserver key create %s", args[0])
		}
		if len(ids) != 1 {
			return usagef("the app has %d keys in force; name one: commserver key rotate %s ID", len(ids), args[0])
		}
		return rotate(ctx, r, args[0], ids[0])
	})
	return cmd
}

// usable says that a key is neither revoked nor expired.
func (d document) usable(now time.Time) bool {
	for _, field := range []string{"revokedAt", "expiresAt"} {
		if at, err := time.Parse(time.RFC3339Nano, d.str(field)); err == nil && !at.After(now) {
			return false
		}
	}
	return true
}
