package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const healthHelp = `Asks a node whether it is ready (GET /readyz) and ends with exit code 0 if it is, 6 if it is not: for containers and service managers, which may have no other
program for it. Without --url the node is the one on this machine that listens on COMMS_ADDR, localhost:3008 if that is not set. One that serves TLS itself is asked by
its name: give --url https://…`

func healthCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "health", Short: "Ask a node whether it is ready", Long: healthHelp, Args: cobra.NoArgs,
		Example: "  commserver health\n  commserver health --url https://comms.example.com --timeout 2s"}
	address := cmd.Flags().String("url", "", "address of the node")
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "longest time for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return usagef("--timeout must be longer than nothing, such as 5s")
		}
		base, err := nodeAddress(*address, s.env("COMMS_ADDR"))
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return isHealthy(ctx, base, s.Out)
	}
	return cmd
}

// nodeAddress is what to ask: the address given, or where a node of this machine listens.
func nodeAddress(given, listen string) (*url.URL, error) {
	if given == "" {
		if listen == "" {
			return url.Parse(defaultURL)
		}
		host, port, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, usagef("COMMS_ADDR: %w", err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		return &url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}, nil
	}
	base, err := url.Parse(given)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, usagef("--url must be an address such as http://localhost:3008")
	}
	return base, nil
}

func isHealthy(ctx context.Context, base *url.URL, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("/readyz").String(), http.NoBody)
	if err != nil {
		return usageError{err}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		if broken, ok := errors.AsType[*url.Error](err); ok {
			err = broken.Err
		}
		return &callError{url: base.String(), err: err}
	}
	defer func() { _ = res.Body.Close() }() // everything needed was read by then
	const most = 64 << 10
	text, err := io.ReadAll(io.LimitReader(res.Body, most))
	if err != nil {
		return &callError{url: base.String(), err: err, broke: true}
	}
	if res.StatusCode != http.StatusOK {
		return codedError{fmt.Errorf("%s is not ready (%d): %s", base, res.StatusCode, clean(string(text))), exitUnavailable}
	}
	var ready struct{ Warnings []string }
	_ = json.Unmarshal(text, &ready) // the status is the answer
	if words := strings.Join(ready.Warnings, ", "); words != "" {
		_, err = fmt.Fprintln(out, "ready, with warnings:", clean(words))
		return err
	}
	_, err = fmt.Fprintln(out, "ready")
	return err
}
