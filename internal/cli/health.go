package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const healthHelp = `Asks a node whether it is ready (GET /readyz) and ends with exit code 0 if it is, 6 if it is not: for containers and service managers, which may have no other
program for it. Without --url the node is the one on this machine that listens on COMMS_ADDR, localhost:3008 if that is not set, by TLS where COMMS_TLS_CERT is set: what
answers must have that certificate, or one of its issuer's, whatever the address is called.`

func healthCommand(s Streams) *cobra.Command {
	cmd := &cobra.Command{Use: "health", Short: "Ask a node whether it is ready", Long: healthHelp, Args: cobra.NoArgs,
		Example: "  commserver health\n  commserver health --url https://comms.example.com --timeout 2s"}
	address := cmd.Flags().String("url", "", "address of the node")
	timeout := cmd.Flags().Duration("timeout", 5*time.Second, "longest time for the answer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *timeout <= 0 {
			return usagef("--timeout must be longer than nothing, such as 5s")
		}
		base, asks, err := s.node(*address)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), *timeout)
		defer cancel()
		return isHealthy(ctx, asks, base, s.Out)
	}
	return cmd
}

// node is what to ask, and how: the address given, or the node of this machine by the options that it is started with.
func (s Streams) node(given string) (*url.URL, *http.Client, error) {
	if given != "" {
		base, err := url.Parse(given)
		if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
			return nil, nil, usagef("--url must be an address such as http://localhost:3008")
		}
		return base, http.DefaultClient, nil
	}
	base, err := url.Parse(defaultURL)
	if err != nil {
		return nil, nil, err
	}
	listen, err := s.secretEnv("COMMS_ADDR")
	if err != nil {
		return nil, nil, err
	}
	if listen != "" {
		host, port, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, nil, usagef("COMMS_ADDR: %w", err)
		}
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			host = "localhost"
		}
		base.Host = net.JoinHostPort(host, port)
	}
	certificate, err := s.secretEnv("COMMS_TLS_CERT")
	if err != nil || certificate == "" {
		return base, http.DefaultClient, err
	}
	base.Scheme = "https"
	known, err := holding(certificate)
	if err != nil {
		return nil, nil, usagef("COMMS_TLS_CERT: %w", err)
	}
	return base, &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: known, DisableKeepAlives: true}}, nil
}

// holding verifies that a server has the certificate in a file, by the name that stands in it: it is this machine's own one, so that nobody else has
// its key, and its address is localhost. The file may have been renewed since the server has read it: one of the same issuer is taken, too, where
// the file has the issuer's. That a certificate has expired makes no node unready.
func holding(path string) (*tls.Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var first *x509.Certificate
	roots := x509.NewCertPool()
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if roots.AddCert(c); first == nil {
			first = c
		}
	}
	if first == nil {
		return nil, fmt.Errorf("%s holds no certificate", path)
	}
	cfg := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, Time: func() time.Time { return first.NotBefore }}
	switch {
	case len(first.DNSNames) > 0:
		cfg.ServerName = strings.Replace(first.DNSNames[0], "*", "node", 1)
	case len(first.IPAddresses) > 0:
		cfg.ServerName = first.IPAddresses[0].String()
	default:
		return nil, fmt.Errorf("%s names no host: programs of today look for a name or an address in the certificate's subjectAltName, and refuse one without", path)
	}
	return cfg, nil
}

func isHealthy(ctx context.Context, asks *http.Client, base *url.URL, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath("/readyz").String(), http.NoBody)
	if err != nil {
		return usageError{err}
	}
	res, err := asks.Do(req)
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
