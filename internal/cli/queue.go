package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const queuePath = "/api/admin/queue"

func queueCommand(s Streams) *cobra.Command {
	cmd := group("queue", "The queue, as the administrator", "Shows what waits to be sent, and pauses, drains, resumes or clears an app's queue, and lets a server that was restored from a backup send.\n\n"+connectionHelp,
		"  commserver queue show\n  commserver queue pause flowbase",
		showQueueCommand(s),
		moveQueueCommand(s, "pause", "Start none of an app's messages; it may go on sending", "Nothing of the app is handed to a provider until `commserver queue resume`; its messages are accepted and wait."),
		moveQueueCommand(s, "drain", "Refuse an app's new messages while what waits goes out", "The app's new messages are refused (503, code app_draining) until `commserver queue resume`. `commserver queue show --app APP` tells when nothing is left."),
		moveQueueCommand(s, "resume", "End pause and drain", "Accepts and sends the app's messages again."),
		cancelQueueCommand(s), heldCommand(s), releaseCommand(s))
	bindClient(cmd)
	return cmd
}

func queueColumns() []column {
	return []column{{"APP", "app.slug", plain}, {"QUEUE", "queueState", plain}, {"CHANNEL", "channel", plain}, {"LANE", "lane", plain}, {"DUE", "due", plain}, {"LATER", "later", plain},
		{"SENDING", "sending", plain}, {"MORE", "atLeast", yes}, {"OLDEST (S)", "oldestAgeSeconds", plain}, {"WAITS FOR", "waitingFor", plain}, {"UNTIL", "waitingUntil", when}}
}

func showQueueCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show what waits to be sent", Args: cobra.NoArgs, Example: "  commserver queue show\n  commserver queue show --app flowbase --lane BULK\n  commserver queue show --all --json",
		Long: "Shows by app, channel and lane how many messages are due, how many will be later, how many are being sent, how long the oldest waits and for what.\nMORE says that there are more than were counted. Apps with nothing in the queue are left out; --app shows one."}
	filters := bindFilters(cmd, "channel", "lane")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		query, limit, err := filters.read(r)
		if err != nil {
			return err
		}
		if app := flagText(cmd, "app"); app != "" {
			query.Set("app", app)
		}
		return r.print(ctx, client.Request{Path: queuePath, Query: query, Admin: true}, limit, "app.slug", queueColumns())
	})
	return cmd
}

// movedColumns is an app's queue after an action on it.
func movedColumns() []column {
	return []column{{"App", "app.slug", plain}, {"Queue", "queueState", plain}, {"In the queue", "remaining", plain}, {"And more", "atLeast", yes}}
}

func moveQueueCommand(s Streams, name, short, long string) *cobra.Command {
	cmd := &cobra.Command{Use: name + " APP", Short: short, Long: long, Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(s), Example: "  commserver queue " + name + " flowbase"}
	action := map[string]string{"pause": "PAUSE", "drain": "DRAIN", "resume": "RESUME"}[name]
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: queuePath, Body: map[string]string{"action": action, "app": args[0]}, Admin: true, Safe: true})
		if err != nil {
			return err
		}
		return r.out.one(raw, "app.slug", movedColumns())
	})
	return cmd
}

func cancelQueueCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "cancel APP", Short: "Cancel what waits of an app", Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(s),
		Long:    "Cancels the messages of the app that are queued, or those of a channel or a lane. What is being sent is left alone, and so is what is accepted\nafter it was confirmed, or since --before. Interrupted and begun anew, it is about what waits then. Cancelled messages can be queued again with 'commserver message retry'.",
		Example: "  commserver queue cancel flowbase\n  commserver queue cancel flowbase --channel SMS --lane BULK --yes"})
	bindScope(cmd)
	cmd.Flags().String("before", "", "what was accepted before this time alone; default: when it is confirmed")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		order := client.QueueOrder{Channel: flagText(cmd, "channel"), Lane: flagText(cmd, "lane")}
		if text := flagText(cmd, "before"); text != "" {
			var err error
			if order.CreatedBefore, err = readTime(text, r.s.now(), -1); err != nil {
				return usagef("--before: %w", err)
			}
		}
		raw, err := r.get(ctx, adminAppsPath+"/"+client.Escape(args[0]), true)
		if err != nil {
			return err
		}
		doc, err := read(raw)
		if err != nil {
			return err
		}
		what := []string{"Cancel everything that waits of the app " + clean(doc.str("slug"))}
		for _, name := range []string{"channel", "lane", "before"} {
			if value := flagText(cmd, name); value != "" {
				what = append(what, name+" "+value)
			}
		}
		if err := r.confirm(strings.Join(what, ", ")); err != nil {
			return err
		}
		order.App, order.Slug = doc.str("id"), doc.str("slug")
		return r.clearQueue(ctx, order)
	})
	return cmd
}

// bindScope gives a command the flags of a part of the queue.
func bindScope(cmd *cobra.Command) {
	for name, values := range map[string][]string{"channel": {client.Email, client.SMS}, "lane": {"CRITICAL", "NORMAL", "BULK"}} {
		cmd.Flags().String(name, "", "this "+name+" alone")
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	}
}

// clearQueue cancels until nothing is left, and prints the sum: beside an error too, once anything was answered.
func (r *remote) clearQueue(ctx context.Context, order client.QueueOrder) error {
	answered := false
	seen := func(client.QueueChanged) { answered = true }
	if r.term.Err && !r.out.quiet {
		bar := progressbar.NewOptions64(-1, progressbar.OptionSetWriter(r.s.Err), progressbar.OptionSetDescription("cancelled"), progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
		defer func() { _ = bar.Finish() }() // only drawing
		seen = func(so client.QueueChanged) {
			answered = true
			_ = bar.Set(so.Cancelled + so.MayHaveBeenSent) // only drawing
		}
	}
	all, failed := r.raw.Admin().CancelQueued(ctx, order, seen)
	if failed != nil {
		failed = r.explained(ctx, failed)
	}
	if !answered {
		return failed
	}
	out := struct {
		*client.QueueChanged
		Next *string `json:"nextCursor"` // null at the end, as the API answers
	}{QueueChanged: all}
	if all.NextCursor != "" {
		out.Next = &all.NextCursor
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return errors.Join(failed, fmt.Errorf("write the result: %w", err))
	}
	return errors.Join(failed, r.out.one(raw, "cancelled", append([]column{{"Cancelled", "cancelled", plain}, {"Ended as perhaps sent", "mayHaveBeenSent", plain}}, movedColumns()...)))
}
