package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/app"
	"github.com/commserver/commserver/internal/config"
	"github.com/commserver/commserver/internal/seal"
	"github.com/commserver/commserver/internal/store/sqlite"
	"github.com/commserver/commserver/test/pgtest"
)

// TestTheAlarmIsSeenOnSQLite and TestTheAlarmIsSeenOnPostgreSQL (S46): when an app's SMS of a day pass five times the usual number, in all and under a prefix's cap,
// the audit log tells of each once, and the app says when it was.
func TestTheAlarmIsSeenOnSQLite(t *testing.T) {
	t.Parallel()
	wholeDay()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(dir, "commserver.db"), Now: func() time.Time { return time.Now().Add(-24 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, ring := ringText(t)
	one := yesterday(t, newDoor(t, s, ring, nil))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	alarmIsSeen(t, one, "COMMS_DATA_DIR="+dir, "COMMS_ENCRYPTION_KEYS="+text)
}

func TestTheAlarmIsSeenOnPostgreSQL(t *testing.T) {
	t.Parallel()
	wholeDay()
	url := pgtest.Database(t)
	text, ring := ringText(t)
	one := yesterday(t, newDoor(t, node(t, url), ring, nil))
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(t.Context()) }()
	if _, err := c.Exec(t.Context(), `UPDATE sms_use SET day = day - 1, prefixes = replace(prefixes, '[' || day, '[' || (day - 1))`); err != nil {
		t.Fatal(err)
	}
	alarmIsSeen(t, one, "COMMS_DATA_DIR="+t.TempDir(), "COMMS_DATABASE_URL="+url, "COMMS_ENCRYPTION_KEYS="+text)
}

// ringText is a key ring, and as it is configured.
func ringText(t *testing.T) (string, *seal.Ring) {
	t.Helper()
	text, err := seal.GenerateRing("k1")
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.ParseRing(text)
	if err != nil {
		t.Fatal(err)
	}
	return text.Reveal(), ring
}

// yesterday makes an app that sends 21 segments as a rule.
func yesterday(t *testing.T, d *door) key {
	t.Helper()
	one, _ := d.made("robbed", `"sandboxMode":false,"smsPerDay":5000,"smsPerDayByPrefix":{"1":4000,"233":4000}`)
	if got := d.do(one, "POST", batchURL, `{"messages":[`+strings.Join(slices.Repeat([]string{text(usa, 1)}, 21), ",")+`]}`); got.status != http.StatusOK && got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	return one
}

func alarmIsSeen(t *testing.T, one key, env ...string) {
	t.Helper()
	cfg, err := config.Load(config.Source{Env: append(env, "COMMS_ADDR=localhost:0", "COMMS_ADMIN_KEY="+adminKey)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	a, err := app.New(ctx, cfg, app.Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		stop()
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	call := func(as key, method, path, body string) map[string]any {
		t.Helper()
		q, err := http.NewRequestWithContext(t.Context(), method, "http://"+a.Addr().String()+path, bytes.NewBufferString(body))
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Content-Type", "application/json")
		if as == (key{}) {
			q.Header.Set("X-Admin-Key", adminKey)
		} else {
			q.Header.Set("X-App-ID", as.app)
			q.Header.Set("X-API-Key", as.secret)
		}
		res, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		raw, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		var out map[string]any
		if err := json.Unmarshal(raw, &out); err != nil || res.StatusCode >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, raw)
		}
		return out
	}
	shown := call(key{}, "GET", "/api/admin/apps/robbed", "")
	if shown["smsAlarmAt"] != nil || shown["smsToday"] != 0.0 {
		t.Errorf("%v", shown)
	}
	for range 2 { // the second time nothing new is out of proportion
		call(one, "POST", batchURL, `{"messages":[`+strings.Join(slices.Repeat([]string{text(usa, 1)}, 150), ",")+`]}`)
	}
	var found []string
	for end := time.Now().Add(20 * time.Second); len(found) < 2 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		found = nil
		list, _ := call(key{}, "GET", "/api/admin/audit?action=sms_alarm", "")["data"].([]any)
		for _, x := range list {
			entry, _ := x.(map[string]any)
			detail, _ := json.Marshal(entry["detail"])
			found = append(found, fmt.Sprint(entry["actor"], " ", string(detail)))
		}
	}
	slices.Sort(found)
	// 106 is the first number over five times 21 and over 100.
	want := []string{`system {"prefix":{"to":"1"},"segments":{"to":106},"usual":{"to":21}}`, `system {"segments":{"to":106},"usual":{"to":21}}`}
	if !slices.Equal(found, want) {
		t.Errorf("the audit log has %q, want %q", found, want)
	}
	shown = call(key{}, "GET", "/api/admin/apps/robbed", "")
	if at, _ := shown["smsAlarmAt"].(string); at == "" {
		t.Errorf("%v", shown)
	}
}
