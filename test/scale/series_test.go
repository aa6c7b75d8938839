package scale

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/client"
)

// mostSeries is how many series a process may have that sends through one type of provider, whatever the number of apps and configurations.
const mostSeries = 900

// seriesAreFew gives some of many apps a provider configuration of their own and lets them send; then it counts what /metrics has.
func (w *world) seriesAreFew(p *process, to *sink, some []tenant) {
	w.t.Helper()
	before := to.copies()
	host, text, _ := net.SplitHostPort(to.addr)
	port, _ := strconv.Atoi(text)
	if err := within(some, func(x tenant) error {
		admin, err := client.NewRaw(client.Options{BaseURL: p.url, HTTP: web, Timeout: web.Timeout, App: x.app.Slug}, adminKey)
		if err != nil {
			return err
		}
		for _, call := range []client.Request{
			{Path: "/api/v1/provider-configs", Body: map[string]any{"providerType": "SMTP", "name": "Mine " + x.app.Slug, "config": map[string]any{"host": host, "port": port, "from": "me@example.com"}}},
			{Path: "/api/v1/messages", Body: map[string]any{"channel": "EMAIL", "to": "user-" + x.app.Slug + "@" + domain, "subject": "Series", "body": "<p>One of many</p>"}},
		} {
			call.Method = http.MethodPost
			if _, err := admin.Do(context.Background(), call); err != nil {
				return fmt.Errorf("%s: %w", call.Path, err)
			}
		}
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	if !until(30*time.Second, func() bool { return to.copies() >= before+len(some) }) {
		w.t.Errorf("%d of %d messages went out", to.copies()-before, len(some))
	}
	page := p.metrics(w.t)
	n := 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	w.t.Logf("%d series with %d configurations", n, len(some))
	if n > mostSeries || n < 200 || !strings.Contains(page, fmt.Sprintf("commserver_attempts_total{class=%q,provider=%q}", "accepted", "smtp")) {
		w.t.Errorf("%d series, at most %d:\n%.3000s", n, mostSeries, page)
	}
	for _, x := range some[:3] {
		for _, secret := range []string{x.app.Slug, x.app.ID.String(), x.key, domain} {
			if strings.Contains(page, secret) {
				w.t.Errorf("/metrics names %q", secret)
			}
		}
	}
}

// metrics is /metrics of the public address, as Prometheus asks for it.
func (p *process) metrics(t interface{ Fatal(...any) }) string {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.url+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminKey)
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.StatusCode, string(raw), err)
	}
	return string(raw)
}
