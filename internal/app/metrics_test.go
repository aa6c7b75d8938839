package app

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// scrape reads /metrics with a header, and answers the status and what each series says.
func scrape(t *testing.T, base, name, value string) (status int, series map[string]float64, page string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if name != "" {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	series = map[string]float64{}
	for line := range strings.Lines(string(raw)) {
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if v, err := strconv.ParseFloat(strings.TrimSpace(line)[at+1:], 64); err == nil && line[0] != '#' {
			series[line[:at]] = v
		}
	}
	return res.StatusCode, series, string(raw)
}

// Metrics say what happened: to messages, calls, reports and events, through the whole program.
func TestMetricsSayWhatHappened(t *testing.T) {
	t.Parallel()
	a, first, stop, ended := started(t, "COMMS_INTERNAL_ADDR=127.0.0.1:0")
	for _, who := range [][2]string{{"", ""}, {"X-Admin-Key", "wrong-admin-key-0123456789"}, {"Authorization", "Bearer wrong-admin-key-0123456789"}, {"Authorization", "Basic " + first.AdminKey.Reveal()}, {"Authorization", first.AdminKey.Reveal()}} {
		if status, _, page := scrape(t, first.BaseURL, who[0], who[1]); status != http.StatusUnauthorized || !strings.Contains(page, "unauthenticated") {
			t.Errorf("%s: %d", who[0], status)
		}
	}
	for _, to := range []string{"delivered", "failed", "suppressed", "unknown"} {
		send(t, first, `{"channel":"EMAIL","to":"`+to+`@sandbox.commserver.test","subject":"x","body":"hidden words","lane":"CRITICAL"}`)
	}
	want := map[string]float64{
		`commserver_submissions_total{channel="EMAIL",lane="CRITICAL",result="accepted"}`:             4,
		`commserver_http_requests_total{code="2xx",route="send"}`:                                     4,
		`commserver_attempts_total{class="permanent-message",provider="sandbox"}`:                     2, // failed and suppressed
		`commserver_message_changes_total{cause="provider_rejected",channel="EMAIL",status="FAILED"}`: 2, // failed and suppressed
		`commserver_shards_owned`:   64,
		`commserver_worker_healthy`: 1,
		`commserver_workers`:        1,
	}
	atLeast := []string{`commserver_attempts_total{class="ambiguous",provider="sandbox"}`, `commserver_message_changes_total{cause="retry_unknown",channel="EMAIL",status="QUEUED"}`,
		`commserver_message_latency_seconds_count{channel="EMAIL",lane="CRITICAL"}`, `commserver_reports_total{result="moved"}`, `commserver_feed_events_total`,
		`commserver_store_transaction_seconds_count{kind="accept"}`, `commserver_store_transaction_items_count{kind="turn"}`, `commserver_sqlite_file_bytes{file="database"}`, `commserver_sqlite_file_bytes{file="wal"}`,
		`process_resident_memory_bytes`, `go_goroutines`, `commserver_queue_counted`}
	var missing []string
	var page string
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var got map[string]float64
		_, got, page = scrape(t, first.BaseURL, "Authorization", "Bearer "+first.AdminKey.Reveal())
		missing = missing[:0]
		for name, n := range want {
			if got[name] != n {
				missing = append(missing, name+" is "+strconv.FormatFloat(got[name], 'g', -1, 64))
			}
		}
		for _, name := range atLeast {
			if got[name] <= 0 {
				missing = append(missing, name+" is 0")
			}
		}
		if len(missing) == 0 || time.Now().After(end) {
			break
		}
	}
	if len(missing) > 0 {
		t.Errorf("%s", strings.Join(missing, "\n"))
	}
	for _, secret := range []string{first.AppID, first.APIKey, first.AdminKey.Reveal(), "sandbox.commserver.test", "hidden words"} {
		if strings.Contains(page, `"`+secret) || strings.Contains(page, secret+`"`) {
			t.Errorf("/metrics names %.8s…", secret)
		}
	}
	if status, got, _ := scrape(t, first.BaseURL, "X-Admin-Key", first.AdminKey.Reveal()); status != http.StatusOK || got[`commserver_http_requests_total{code="4xx",route="metrics"}`] != 5 {
		t.Errorf("with X-Admin-Key: %d, %v refused", status, got[`commserver_http_requests_total{code="4xx",route="metrics"}`])
	}
	inside := "http://" + a.inside.Addr().String()
	if status, got, _ := scrape(t, inside, "", ""); status != http.StatusOK || got["commserver_shards_owned"] != 64 {
		t.Errorf("on the private address: %d", status)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
