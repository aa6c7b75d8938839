package cli

import (
	"context"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

func keyCommand(s Streams) *cobra.Command {
	list := &cobra.Command{Use: "list APP", Short: "List an app's keys, those that have ended too", Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(s),
		Example: "  commserver key list flowbase"}
	list.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		return r.print(ctx, client.Request{Path: keysPath(args[0]), Admin: true}, 0, "id", []column{
			{"ID", "id", plain}, {"NAME", "name", plain}, {"BEGINS", "prefix", plain}, {"ENDS", "lastFour", plain}, {"SCOPES", "scopes", plain}, {"CREATED", "createdAt", when},
			{"EXPIRES", "expiresAt", when}, {"REVOKED", "revokedAt", when}, {"LAST USED", "lastUsedAt", when}})
	})
	rotateKey := bindYes(&cobra.Command{Use: "rotate APP ID", Short: "Replace a key; the new one is shown this once", Args: cobra.ExactArgs(2), ValidArgsFunction: completeApps(s),
		Example: "  commserver key rotate flowbase cmr0123456789abcdefghijkl --overlap 1h --yes"})
	bindRotation(rotateKey)
	rotateKey.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error { return rotate(ctx, r, args[0], args[1]) })
	revoke := bindYes(&cobra.Command{Use: "revoke APP ID", Short: "End a key now", Args: cobra.ExactArgs(2), ValidArgsFunction: completeApps(s),
		Example: "  commserver key revoke flowbase cmr0123456789abcdefghijkl --yes"})
	revoke.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		return r.remove(ctx, client.Request{Path: keysPath(args[0]) + "/" + client.Escape(args[1]), Admin: true}, "End the key "+args[1]+" of "+args[0]+" now")
	})
	cmd := group("key", "API keys of apps, as the administrator", "Makes, lists, replaces and ends the API keys of an app. A key is shown once, when it is made.\n\n"+connectionHelp,
		"  commserver key create flowbase --name Dashboard --scope READ --key-file dashboard.key", list, createKeyCommand(s), rotateKey, revoke)
	bindClient(cmd)
	return cmd
}

func keysPath(app string) string { return adminAppsPath + "/" + client.Escape(app) + "/keys" }

func keyColumns() []column {
	return []column{{"ID", "id", plain}, {"Name", "name", plain}, {"Scopes", "scopes", plain}, {"Expires", "expiresAt", when}}
}

func createKeyCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "create APP", Short: "Make a key; it is shown this once", Args: cobra.ExactArgs(1), ValidArgsFunction: completeApps(s),
		Example: "  commserver key create flowbase --name Dashboard --scope READ --expires 720h\n  commserver key create flowbase --quiet"}
	cmd.Flags().String("name", "", "name for people")
	cmd.Flags().String("expires", "", "end of the key: a time such as 2027-01-01T00:00:00Z, or so long from now, such as 720h")
	bindScopes(cmd)
	bindKeyFile(cmd)
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		body := map[string]any{}
		if name := flagText(cmd, "name"); name != "" {
			body["name"] = name
		}
		if list := scopes(cmd); len(list) > 0 {
			body["scopes"] = list
		}
		if text := flagText(cmd, "expires"); text != "" {
			at, err := readTime(text, s.now(), 1)
			if err != nil {
				return usagef("--expires: %w", err)
			}
			body["expiresAt"] = at.UTC().Format(time.RFC3339)
		}
		return r.issue(ctx, client.Request{Method: http.MethodPost, Path: keysPath(args[0]), Body: body, Admin: true}, keyColumns())
	})
	return cmd
}

func bindRotation(cmd *cobra.Command) {
	cmd.Flags().Duration("overlap", 0, "how long the old key works beside the new one")
	bindKeyFile(cmd)
}

func rotate(ctx context.Context, r *remote, app, id string) error {
	overlap, err := r.cmd.Flags().GetDuration("overlap")
	if err != nil || overlap < 0 || overlap%time.Second != 0 {
		return usagef("--overlap must be whole seconds, such as 1h or 90s")
	}
	if overlap == 0 {
		if err := r.confirm("Replace the key " + id + " of " + app + "; the old one ends now"); err != nil {
			return err
		}
	}
	q := client.Request{Method: http.MethodPost, Path: keysPath(app) + "/" + client.Escape(id) + "/rotate", Body: map[string]int{"overlapSeconds": int(overlap / time.Second)}, Admin: true}
	return r.issue(ctx, q, keyColumns())
}
