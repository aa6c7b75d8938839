package cli

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/commserver/commserver/client"
)

// longestWait is the most that the server lets a request wait.
const longestWait = 50 * time.Second

// waitCaptureCommand makes sandbox wait. It ends with exitMissing when nothing came.
func waitCaptureCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "wait TO", Short: "Wait for a message to an address, and show it", Args: cobra.ExactArgs(1),
		Long: "Waits until the sandbox takes a message to the address, and shows the newest one; one that was accepted in the minute before counts too. " +
			"For tests that read a code out of a message: give --after the time at which the test began. When the time is up the exit code is 3.",
		Example: "  commserver sandbox wait ama@example.com --for 20s\n  commserver sandbox wait 233241234567 --json | jq -r .body"}
	f := cmd.Flags()
	f.String("channel", "", "EMAIL or SMS")
	_ = cmd.RegisterFlagCompletionFunc("channel", cobra.FixedCompletions([]string{client.Email, client.SMS}, cobra.ShellCompDirectiveNoFileComp)) // fails for unknown flags only
	f.String("after", "", "only what was accepted after this time, such as 2026-07-03T10:00:00Z, or 5m for five minutes ago")
	f.Duration("for", 30*time.Second, "how long to wait, whole seconds, 50s at most")
	cmd.RunE = calling(s, func(ctx context.Context, r *remote, args []string) error {
		timeout, err := r.cmd.Flags().GetDuration("for")
		if err != nil {
			return err
		}
		if timeout < 0 || timeout > longestWait || timeout%time.Second != 0 {
			return usagef("--for is %v; it must be whole seconds, %v at most", timeout, longestWait)
		}
		query := url.Values{"to": args, "timeout": {strconv.Itoa(int(timeout / time.Second))}}
		if channel := flagText(r.cmd, "channel"); channel != "" {
			query.Set("channel", channel)
		}
		if after := flagText(r.cmd, "after"); after != "" {
			at, err := readTime(after, r.s.now(), -1)
			if err != nil {
				return usagef("--after: %w", err)
			}
			query.Set("createdAfter", at.UTC().Format(time.RFC3339Nano))
		}
		raw, err := r.call(ctx, client.Request{Method: http.MethodGet, Safe: true, Path: sandboxPath + "/wait", Query: query, Timeout: timeout + 10*time.Second})
		if err != nil {
			return err
		}
		return r.out.one(raw, "id", captureColumns())
	})
	return cmd
}
