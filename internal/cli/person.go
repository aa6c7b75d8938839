package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const (
	personExportPath = "/api/v1/persons/export"
	erasuresPath     = "/api/v1/erasures"
	anyErasuresPath  = "/api/admin/erasures"
	upkeepPath       = "/api/admin/upkeep"
	// erasureLook is how often --wait looks how far an erasure is.
	erasureLook = time.Second
)

func personCommand(s Streams) *cobra.Command {
	cmd := group("person", "What is held about a person", "Exports or erases everything about an address.\n\n"+connectionHelp,
		"  commserver person export ama@example.com > ama.jsonl\n  commserver person erase ama@example.com --wait",
		exportPersonCommand(s), erasePersonCommand(s), erasureCommand(s))
	bindClient(cmd)
	return cmd
}

func exportPersonCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "export ADDRESS", Short: "Write everything that is held about an address to standard output", Args: cobra.ExactArgs(1),
		Long:    "Writes JSON lines: the opt-out, each message with its content and its log, and a last line of the kind end, without which the export is not whole.",
		Example: "  commserver person export ama@example.com > ama.jsonl\n  commserver person export +233241234567"}
	cmd.Flags().String("channel", "", "EMAIL or SMS; default: by the address")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		query := url.Values{"channel": {channelOf(cmd, args[0])}, "address": {args[0]}}
		out := &ending{to: s.Out}
		if _, err := r.call(ctx, client.Request{Method: http.MethodGet, Path: personExportPath, Query: query, Into: out}); err != nil {
			return err
		}
		if !out.whole || !strings.Contains(string(out.line), `"kind":"end"`) {
			return errors.New("the export is not whole: its last line is missing; run it again")
		}
		return nil
	})
	return cmd
}

// endingMost is more than the last line of an export has.
const endingMost = 100

// ending passes lines on and keeps the beginning of the last one.
type ending struct {
	to    io.Writer
	line  []byte
	whole bool // the line has ended
}

// Write implements io.Writer.
func (e *ending) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		if e.whole {
			e.line = e.line[:0]
		}
		var line []byte
		line, rest, e.whole = bytes.Cut(rest, []byte{'\n'})
		e.line = append(e.line, line[:min(len(line), endingMost-len(e.line))]...)
	}
	return e.to.Write(b)
}

func erasureColumns() []column {
	return []column{{"ID", "id", plain}, {"Status", "status", status}, {"Stage", "stage", plain}, {"App", "app", plain}, {"Channel", "channel", plain}, {"Erased", "erased", plain},
		{"Cancelled", "cancelled", plain}, {"Masked", "masked", plain}, {"Waiting", "waiting", plain}, {"Asked for", "createdAt", when}, {"Finished", "finishedAt", when}}
}

func erasePersonCommand(s Streams) *cobra.Command {
	cmd := bindYes(&cobra.Command{Use: "erase ADDRESS", Short: "Erase everything about an address", Args: cobra.ExactArgs(1),
		Long: "Cancels messages to the address that have not ended, takes its content and the address itself out of every table, and keeps an opt-out as a keyed hash. " +
			"It goes on in the server until it is done; --wait waits for that and shows how far it is.",
		Example: "  commserver person erase ama@example.com --wait\n  commserver person erase +233241234567 --all-apps --yes"})
	cmd.Flags().String("channel", "", "EMAIL or SMS; default: by the address")
	cmd.Flags().Bool("all-apps", false, "in every app, as the administrator")
	cmd.Flags().Bool("wait", false, "wait until it is done")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		where, q := "in the app "+r.id.App, client.Request{Method: http.MethodPost, Path: erasuresPath}
		if flagged(cmd, "all-apps") {
			where, q.Path, q.Admin = "in every app", anyErasuresPath, true
		}
		if err := r.confirm("Erase everything about " + args[0] + " " + where); err != nil {
			return err
		}
		q.Body, q.Safe = map[string]string{"channel": channelOf(cmd, args[0]), "address": args[0]}, true
		raw, err := r.call(ctx, q)
		if err == nil && flagged(cmd, "wait") {
			raw, err = r.erased(ctx, raw, q.Path, q.Admin)
		}
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", erasureColumns())
	})
	return cmd
}

func erasureCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "erasure ID", Short: "Show how far an erasure is", Args: cobra.ExactArgs(1),
		Example: "  commserver person erasure cmr1a2b3c4d5e6f7g8h9i0j1k\n  commserver person erasure cmr1a2b3c4d5e6f7g8h9i0j1k --all-apps"}
	cmd.Flags().Bool("all-apps", false, "whosever it is, as the administrator")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		path, admin := erasuresPath, flagged(cmd, "all-apps")
		if admin {
			path = anyErasuresPath
		}
		raw, err := r.get(ctx, path+"/"+url.PathEscape(args[0]), admin)
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", erasureColumns())
	})
	return cmd
}

// erased waits until an erasure is done and answers it as it is then.
func (r *remote) erased(ctx context.Context, raw json.RawMessage, path string, admin bool) (json.RawMessage, error) {
	last := ""
	for {
		var e client.Erasure
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("read the answer: %w", err)
		}
		if e.Done() {
			r.progress(last, "")
			return raw, nil
		}
		if e.ID == "" || e.Status != "RUNNING" {
			return nil, errors.New("the answer does not say how far the erasure is; is this a CommServer?")
		}
		last = r.progress(last, fmt.Sprintf("%s: %d erased, %d masked, %d waiting for a provider's answer", clean(e.Stage), e.Erased, e.Masked, e.Waiting))
		select {
		case <-time.After(erasureLook):
		case <-ctx.Done():
			return nil, codedError{errors.New("the erasure " + clean(e.ID) + " goes on in the server"), exitWaiting}
		}
		var err error
		if raw, err = r.get(ctx, path+"/"+url.PathEscape(e.ID), admin); err != nil {
			return nil, err
		}
	}
}

func upkeepCommand(s Streams) *cobra.Command {
	cmd := group("upkeep", "What the server removes by itself", "Shows what retention has removed, as the administrator.\n\n"+connectionHelp, "  commserver upkeep show", showUpkeepCommand(s))
	bindClient(cmd)
	return cmd
}

func showUpkeepCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "show", Short: "Show when each task last ran, how far it is and what it removed", Args: cobra.NoArgs, Example: "  commserver upkeep show\n  commserver upkeep show --json"}
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		raw, err := r.get(ctx, upkeepPath, true)
		if err != nil {
			return err
		}
		if r.out.json {
			return r.out.line(raw)
		}
		var report struct {
			Tasks    []json.RawMessage `json:"tasks"`
			Erasures int               `json:"erasures"`
		}
		if err := json.Unmarshal(raw, &report); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		rows := r.out.rows("task", []column{{"TASK", "task", plain}, {"STARTED", "startedAt", when}, {"FINISHED", "finishedAt", when}, {"DONE BEFORE", "reachedAt", when},
			{"REMOVED", "done", plain}, {"IN ALL", "total", plain}, {"SECONDS", "busySeconds", plain}, {"FAILED", "failed", plain}})
		for _, task := range report.Tasks {
			if err := rows.add(task); err != nil {
				return err
			}
		}
		if report.Erasures > 0 {
			r.note("%d erasures are under way", report.Erasures)
		}
		return rows.end()
	})
	return cmd
}
