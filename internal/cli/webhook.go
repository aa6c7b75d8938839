package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const (
	webhookPath = "/api/v1/webhooks"
	webhookHelp = `Shows and changes an app's webhook endpoints, and what is posted to them. The endpoint named default is the app's webhookUrl.`
)

func webhookCommand(s Streams) *cobra.Command {
	cmd := group("webhook", "Webhook endpoints: where status changes are posted to", webhookHelp+"\n\n"+connectionHelp,
		"  commserver webhook create crm --address https://hooks.example.com/in\n  commserver webhook test cmr0123456789abcdefghijkl",
		listWebhooksCommand(s), getWebhookCommand(s), createWebhookCommand(s), updateWebhookCommand(s), deleteWebhookCommand(s), rotateSecretCommand(s),
		testWebhookCommand(s), deliveriesCommand(s), deliveryCommand(s), replayCommand(s))
	bindClient(cmd)
	return cmd
}

func completeWebhooks(s Streams) cobra.CompletionFunc {
	return completes(s, webhookPath, false, "id", "name")
}

func webhookAt(id string) string { return webhookPath + "/" + client.Escape(id) }

func webhookColumns() []column {
	return []column{{"ID", "id", plain}, {"Name", "name", plain}, {"URL", "url", plain}, {"Active", "isActive", yes}, {"Disabled", "disabledReason", plain}, {"Disabled at", "disabledAt", when}, {"Fails since", "failing.since", when}, {"Waits", "failing.waiting", plain}, {"Tried next", "failing.nextAttemptAt", when},
		{"Statuses", "statuses", plain}, {"Channels", "channels", plain}, {"Tags", "tags", plain}, {"Old secret ends", "previousSecretEndsAt", when},
		{"Created", "createdAt", when}, {"Updated", "updatedAt", when}, {"Secret (shown this once)", "secret", plain}}
}

func listWebhooksCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List an app's webhook endpoints", Args: cobra.NoArgs, Example: "  commserver webhook list\n  commserver webhook list --app flowbase --json"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		return r.print(ctx, client.Request{Path: webhookPath}, 0, "id", []column{
			{"ID", "id", plain}, {"NAME", "name", plain}, {"URL", "url", plain}, {"ACTIVE", "isActive", yes}, {"DISABLED", "disabledReason", plain}})
	})
	return cmd
}

func getWebhookCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "get ID", Short: "Show a webhook endpoint", Args: cobra.ExactArgs(1), ValidArgsFunction: completeWebhooks(s),
		Example: "  commserver webhook get cmr0123456789abcdefghijkl"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		raw, err := r.get(ctx, webhookAt(args[0]), false)
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", webhookColumns())
	})
	return cmd
}

// bindWebhook gives create and update their flags.
func bindWebhook(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("address", "", "address that events are posted to, https")
	f.StringSlice("status", nil, "post events of this status only; may be repeated; an empty one posts those that are posted without a filter")
	f.StringSlice("channel", nil, "EMAIL or SMS; may be repeated; an empty one means both")
	f.StringSlice("tag", nil, "post events of messages with this tag only; may be repeated; an empty one means all")
	f.Bool("active", true, "post events; after the server switched the endpoint off, this switches it on")
	f.SortFlags = false
}

func (r *remote) webhookChange() map[string]any {
	body, f := map[string]any{}, r.cmd.Flags()
	for flag, field := range map[string]string{"address": "url", "name": "name"} {
		if f.Changed(flag) {
			body[field] = flagText(r.cmd, flag)
		}
	}
	for flag, field := range map[string]string{"status": "statuses", "channel": "channels", "tag": "tags"} {
		if list, err := f.GetStringSlice(flag); err == nil && f.Changed(flag) {
			kept := []string{}
			for _, one := range list {
				if one != "" {
					kept = append(kept, one)
				}
			}
			body[field] = kept
		}
	}
	if f.Changed("active") {
		body["isActive"] = flagged(r.cmd, "active")
	}
	return body
}

// ownSecret reads the secret that is given, if one is.
func (r *remote) ownSecret(body map[string]any) error {
	path := flagText(r.cmd, "secret-file")
	if path == "" {
		return nil
	}
	secret, err := r.s.secretFile("--secret-file", path)
	body["secret"] = secret
	return err
}

// changedWebhook sends a change and shows the endpoint.
func (r *remote) changedWebhook(ctx context.Context, q client.Request) error {
	raw, err := r.call(ctx, q)
	if err != nil {
		return err
	}
	return r.out.one(raw, "id", webhookColumns())
}

func createWebhookCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "create NAME", Short: "Add a webhook endpoint; its secret is shown this once", Args: cobra.ExactArgs(1),
		Example: "  commserver webhook create crm --address https://hooks.example.com/in\n  commserver webhook create otp --address https://hooks.example.com/otp --status FAILED --channel SMS --tag otp --secret-file hook.secret"}
	bindWebhook(cmd)
	cmd.Flags().String("secret-file", "", "file that holds the secret, - for standard input; default: one is made")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body := r.webhookChange()
		body["name"] = args[0]
		if err := r.ownSecret(body); err != nil {
			return err
		}
		return r.changedWebhook(ctx, client.Request{Method: http.MethodPost, Path: webhookPath, Body: body})
	})
	return cmd
}

func updateWebhookCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "update ID", Short: "Change a webhook endpoint; what is not given stays", Args: cobra.ExactArgs(1), ValidArgsFunction: completeWebhooks(s),
		Example: "  commserver webhook update cmr0123456789abcdefghijkl --active=false\n  commserver webhook update cmr0123456789abcdefghijkl --status FAILED,SUPPRESSED"}
	bindWebhook(cmd)
	cmd.Flags().String("name", "", "name for people")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body := r.webhookChange()
		if len(body) == 0 {
			return usagef("nothing to change was given; see `commserver webhook update --help`")
		}
		return r.changedWebhook(ctx, client.Request{Method: http.MethodPatch, Path: webhookAt(args[0]), Body: body, Safe: true})
	})
	return cmd
}

func deleteWebhookCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "delete ID", Short: "Delete a webhook endpoint, its secret and what waits for it", Args: cobra.ExactArgs(1), ValidArgsFunction: completeWebhooks(s),
		Example: "  commserver webhook delete cmr0123456789abcdefghijkl --yes"})
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		return r.remove(ctx, client.Request{Path: webhookAt(args[0])}, "Delete the webhook endpoint "+args[0]+" and what waits for it")
	})
	return cmd
}

func rotateSecretCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "rotate-secret ID", Short: "Give a webhook endpoint another secret; it is shown this once", Args: cobra.ExactArgs(1), ValidArgsFunction: completeWebhooks(s),
		Example: "  commserver webhook rotate-secret cmr0123456789abcdefghijkl --overlap 24h\n  commserver webhook rotate-secret cmr0123456789abcdefghijkl --secret-file hook.secret --yes"})
	cmd.Flags().Duration("overlap", 0, "how long the old secret signs beside the new one")
	cmd.Flags().String("secret-file", "", "file that holds the secret, - for standard input; default: one is made")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		overlap, err := cmd.Flags().GetDuration("overlap")
		if err != nil || overlap < 0 || overlap%time.Second != 0 {
			return usagef("--overlap must be whole seconds, such as 1h or 90s")
		}
		if overlap == 0 {
			if err := r.confirm("Replace the secret of " + args[0] + "; the old one signs nothing from now on"); err != nil {
				return err
			}
		}
		body := map[string]any{"overlapSeconds": int(overlap / time.Second)}
		if err := r.ownSecret(body); err != nil {
			return err
		}
		return r.changedWebhook(ctx, client.Request{Method: http.MethodPost, Path: webhookAt(args[0]) + "/rotate-secret", Body: body})
	})
	return cmd
}

func deliveryColumns() []column {
	return []column{{"ID", "id", plain}, {"Event", "eventId", plain}, {"Message", "messageId", plain}, {"Status", "status", plain}, {"State", "state", plain},
		{"Attempts", "attempts", plain}, {"Next attempt", "nextAttemptAt", when}, {"Created", "createdAt", when}, {"Ended", "endedAt", when}}
}

func testWebhookCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "test ID", Short: "Post a test event to a webhook endpoint", Args: cobra.ExactArgs(1), ValidArgsFunction: completeWebhooks(s),
		Long:    "Posts an event of the type webhook.test, about a message that does not exist. `commserver webhook delivery ID DELIVERY` tells what became of it.",
		Example: "  commserver webhook test cmr0123456789abcdefghijkl"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: webhookAt(args[0]) + "/test"})
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", deliveryColumns())
	})
	return cmd
}

func deliveriesCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "deliveries ID", Short: "List what was and is to be posted to an endpoint, newest first", Args: cobra.ExactArgs(1), ValidArgsFunction: completeWebhooks(s),
		Example: "  commserver webhook deliveries cmr0123456789abcdefghijkl --state failed --all"}
	filters := bindFilters(cmd, "state", "message", "after", "before")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		return r.print(ctx, client.Request{Path: webhookAt(args[0]) + "/deliveries", Query: query}, limit, "id", []column{
			{"ID", "id", plain}, {"MESSAGE", "messageId", plain}, {"STATUS", "status", plain}, {"STATE", "state", plain}, {"ATTEMPTS", "attempts", plain}, {"NEXT", "nextAttemptAt", when}, {"CREATED", "createdAt", when}})
	})
	return cmd
}

func deliveryCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "delivery ID DELIVERY", Short: "Show what was posted, and what was answered", Args: cobra.ExactArgs(2), ValidArgsFunction: completeWebhooks(s),
		Long:    "Shows a delivery with its attempts. What the endpoint answered is shown to the administrator alone.",
		Example: "  commserver webhook delivery cmr0123456789abcdefghijkl cms0123456789abcdefghijkl"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		raw, err := r.get(ctx, webhookAt(args[0])+"/deliveries/"+client.Escape(args[1]), false)
		if err != nil {
			return err
		}
		if err := r.out.one(raw, "id", deliveryColumns()); err != nil || r.out.json || r.out.quiet {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		log, _ := doc.at("attemptLog").([]any)
		rows := r.out.rows("attempt", []column{{"ATTEMPT", "attempt", plain}, {"AT", "at", when}, {"MS", "tookMs", plain}, {"STATUS", "status", plain}, {"FAULT", "fault", plain}, {"ANSWER", "answer", plain}})
		return addAll(rows, log, func(one any) any { return one })
	})
	return cmd
}

func replayCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "replay ID [DELIVERY]", Short: "Post again: one delivery, or what failed within a time", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: completeWebhooks(s),
		Example: "  commserver webhook replay cmr0123456789abcdefghijkl cms0123456789abcdefghijkl\n  commserver webhook replay cmr0123456789abcdefghijkl --after 6h --yes"})
	cmd.Flags().String("after", "", "replay what was made from this time on: a time such as 2026-07-03T10:00:00Z, or so long ago, such as 6h")
	cmd.Flags().String("before", "", "replay what was made before this time; default: now")
	cmd.Flags().String("state", "failed", "failed or delivered")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		if len(args) == 2 {
			raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: webhookAt(args[0]) + "/deliveries/" + client.Escape(args[1]) + "/replay"})
			if err != nil {
				return err
			}
			return r.out.one(raw, "id", deliveryColumns())
		}
		return r.replayRange(ctx, args[0])
	})
	return cmd
}

// replayRange asks until the server says that there is no more.
func (r *remote) replayRange(ctx context.Context, id string) error {
	if flagText(r.cmd, "after") == "" {
		return usagef("give the id of a delivery, or --after: from when on")
	}
	after, err := readTime(flagText(r.cmd, "after"), r.s.now(), -1)
	if err != nil {
		return usagef("--after: %w", err)
	}
	before := r.s.now()
	if text := flagText(r.cmd, "before"); text != "" {
		if before, err = readTime(text, r.s.now(), -1); err != nil {
			return usagef("--before: %w", err)
		}
	}
	if err := r.confirm("Post again what was made within this time"); err != nil {
		return err
	}
	body := map[string]string{"createdAfter": after.UTC().Format(time.RFC3339Nano), "createdBefore": before.UTC().Format(time.RFC3339Nano), "state": flagText(r.cmd, "state")}
	for total, more := 0, true; ; {
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: webhookAt(id) + "/replay", Body: body})
		if err != nil {
			return err
		}
		var got struct {
			Replayed   int    `json:"replayed"`
			More       bool   `json:"more"`
			NextCursor string `json:"nextCursor"`
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			return err
		}
		total, more = total+got.Replayed, got.More
		if more {
			body["cursor"] = got.NextCursor
			continue
		}
		sum, err := json.Marshal(map[string]int{"replayed": total})
		if err != nil {
			return err
		}
		return r.out.one(sum, "replayed", []column{{"Posted again", "replayed", plain}})
	}
}
