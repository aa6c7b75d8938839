package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

// completionTime is how long a shell waits for names from the server.
const completionTime = 2 * time.Second

func (s Streams) completeProfiles(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	p, err := s.readProfiles()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return p.names(), cobra.ShellCompDirectiveNoFileComp
}

// completes makes the completion of a first argument from a list of the server's:
// the field that names an item and the one that explains it. Without a server,
// or without a right to ask, it offers nothing.
func completes(s Streams, path string, admin bool, name, hint string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const nothing = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 {
			return nil, nothing
		}
		return s.offered(cmd, path, admin, name, hint), nothing
	}
}

func (s Streams) offered(cmd *cobra.Command, path string, admin bool, name, hint string) []string {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	r, err := connect(s, cmd)
	if err != nil {
		return nil
	}
	defer r.raw.Close()
	var offered []string
	// What was seen before a failure is offered all the same.
	_ = r.list(ctx, client.Request{Path: path, Query: url.Values{}, Admin: admin}, pageSize, func(raw json.RawMessage) error {
		doc, err := read(raw)
		if err == nil {
			offered = append(offered, cobra.CompletionWithDesc(clean(doc.str(name)), clean(doc.str(hint))))
		}
		return err
	})
	return offered
}
