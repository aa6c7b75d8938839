package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

const eventHelp = `Shows what becomes of an app's messages, in one order without gaps: the events that its webhooks tell of, and all others.`

func eventCommand(s Streams) *cobra.Command {
	cmd := group("event", "Events: what becomes of messages, as it happens", eventHelp+"\n\n"+connectionHelp, "  commserver event follow\n  commserver event follow --json", followEventsCommand(s))
	bindClient(cmd)
	return cmd
}

func followEventsCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "follow", Short: "Print events as they happen, until it is interrupted", Args: cobra.NoArgs,
		Long: `Prints each event of an app on a line of its own as it happens, until it is interrupted. It begins with the oldest event, or behind the one
whose cursor --after names. A connection that breaks is opened again behind the last event that was printed. With --json each event is what a webhook
is told, with a further member cursor; with --quiet it is the id of its message.`,
		Example: "  commserver event follow --app flowbase\n  commserver event follow --after \"$cursor\" --json | jq -r .message.status"}
	cmd.Flags().String("after", "", "cursor behind which to begin [the oldest event]")
	cmd.Flags().Int("count", 0, "end after so many events; 0 = never")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		most, err := cmd.Flags().GetInt("count")
		if err != nil || most < 0 {
			return usagef("--count must be 0 or more")
		}
		n := 0
		for e, err := range r.raw.Follow(ctx, flagText(cmd, "after")) {
			if err != nil {
				return err
			}
			if err := r.event(e); err != nil {
				return err
			}
			if n++; n == most {
				break
			}
		}
		return nil
	})
	return cmd
}

// event prints one event at once: a table would wait for more.
func (r *remote) event(e client.Streamed) error {
	if r.out.json {
		cursor, err := json.Marshal(e.Cursor)
		if err != nil {
			return fmt.Errorf("encode a cursor: %w", err)
		}
		rest, ok := bytes.CutPrefix(bytes.TrimSpace(e.Data), []byte("{"))
		if !ok {
			return fmt.Errorf("the server told of an event that is no JSON object")
		}
		return r.out.line(append(append([]byte(`{"cursor":`), cursor...), append([]byte(","), rest...)...))
	}
	doc, err := read(e.Data)
	if err != nil {
		return err
	}
	if r.out.quiet {
		_, err := fmt.Fprintln(r.out.w, clean(doc.str("message.id")))
		return err
	}
	state := r.out.text(doc.at("message.status"), status)
	words := []string{r.out.text(doc.at("createdAt"), when), r.out.state(state, pad(state, len("SUPPRESSED")), status), pad(r.out.text(doc.at("message.channel"), plain), len("EMAIL")),
		r.out.text(doc.at("message.id"), plain), r.out.text(doc.at("message.toAddress"), plain), r.out.text(doc.at("type"), plain)}
	_, err = fmt.Fprintln(r.out.w, strings.Join(words, "  "))
	return err
}
