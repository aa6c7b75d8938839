package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/chain"
)

func previewCommand(s Streams) *cobra.Command {
	var f sendFlags
	cmd := &cobra.Command{Use: "preview", Short: "Show what would become of a message; nothing is stored or sent", Args: cobra.NoArgs,
		Long: "Takes a message as `commserver message send` does and shows how it would be rendered, whether its recipient is on the suppression list,\nand which provider configurations would be tried, in which order and why. Nothing is stored, counted or sent.",
		Example: `  commserver message preview --to ama@example.com --subject Hello --body '<p>Hi</p>'
  commserver message preview --to 233241234567 --template request-approved --var firstName=Ama --var reference=REQ-0042 --json`}
	f.bind(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, _ []string) error {
		body, err := f.message(r.s)
		if err != nil {
			return err
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodPost, Path: messagePath + "/preview", Body: body, Safe: true})
		if err != nil {
			return err
		}
		return r.preview(raw)
	})
	return cmd
}

// preview prints what would become of a message.
func (r *remote) preview(raw json.RawMessage) error {
	doc, err := read(raw)
	if err != nil {
		return err
	}
	r.warn(doc)
	if word := doc.str("chain.waitingFor"); word != "" && !r.out.json && !r.out.quiet {
		r.note("It would wait: %s", clean(chain.WaitText(word)))
	}
	err = r.out.one(raw, "chain.level", []column{
		{"Channel", "channel", plain}, {"Sandbox", "sandbox", yes}, {"To", "toAddress", plain}, {"From", "fromAddress", plain}, {"Subject", "subject", plain},
		{"Template", "templateKey", plain}, {"Version", "templateVersion", plain}, {"Segments", "segments", plain}, {"Encoding", "encoding", plain},
		{"Replay of", "replayOf", plain}, {"Suppressed", "suppression.reason", plain}, {"Chain", "chain.level", plain}, {"Why", "chain.why", plain},
		{"Text", "text", plain}, {"Body", "body", plain}})
	if err != nil || r.out.json || r.out.quiet {
		return err
	}
	links := r.out.rows("id", []column{{"PLACE", "place", plain}, {"PROVIDER", "providerType", plain}, {"NAME", "name", plain}, {"FROM", "from", plain}, {"WHY", "why", plain}})
	n := 0
	for _, list := range []string{"chain.tried", "chain.leftOut"} {
		all, _ := doc.at(list).([]any)
		for _, one := range all {
			text, err := json.Marshal(one)
			if err != nil {
				return err
			}
			if err := links.add(text); err != nil {
				return err
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(r.out.w); err != nil {
		return err
	}
	return links.end()
}
