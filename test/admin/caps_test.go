package admin

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/test/pgtest"
)

const (
	messagesURL = "/api/v1/messages"
	previewURL  = "/api/v1/messages/preview"
	batchURL    = "/api/v1/messages/batch"
)

// text is an SMS of one segment or two; keyed has an idempotency key.
func text(to string, segments int) string { return keyed("", to, segments) }

func keyed(name, to string, segments int) string {
	body := "x"
	if segments == 2 {
		body = strings.Repeat("a", 161)
	}
	if name != "" {
		name = `"idempotencyKey":"` + name + `",`
	}
	return `{"channel":"SMS",` + name + `"to":"` + to + `","body":"` + body + `"}`
}

// Numbers of the places that the caps are about.
const (
	jamaica = "18761234567"
	usa     = "12025550123"
	ghana   = "233241234567"
	refused = "233201234567"
	germany = "4915112345678"
)

// TestCapsOnSQLite and TestCapsOnPostgreSQL (S46): caps of an app's SMS, in all and by prefix, through the API.
func TestCapsOnSQLite(t *testing.T) {
	t.Parallel()
	noon := time.Now().UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
	var passed atomic.Int64
	now := func() time.Time { return noon.Add(time.Duration(passed.Load())) }
	d := newDoor(t, file(t, now), newRing(t), now)
	capsHold(t, d, d, func() { passed.Store(int64(12*time.Hour - time.Millisecond)) }, func() { passed.Store(int64(12 * time.Hour)) })
}

func TestCapsOnPostgreSQL(t *testing.T) {
	t.Parallel()
	wholeDay()
	url, ring := pgtest.Database(t), newRing(t)
	here := newDoor(t, node(t, url), ring, nil)
	there := newDoor(t, node(t, url), ring, nil)
	exec := func(statement string) {
		t.Helper()
		c, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close(t.Context()) }()
		if _, err := c.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	capsHold(t, here, there, func() {}, func() { // what was counted was counted yesterday
		exec(`UPDATE sms_use SET day = day - 1, prefixes = replace(prefixes, '[' || day, '[' || (day - 1))`)
	})
}

// wholeDay waits for the next day when this one is about to end.
func wholeDay() {
	if now := comm.At(time.Now()); now.NextDay().Sub(now) < time.Minute {
		time.Sleep(now.NextDay().Sub(now) + time.Millisecond)
	}
}

// capsHold goes through a day and the next one, by two doors of one database.
func capsHold(t *testing.T, here, there *door, lastInstant, midnight func()) {
	t.Helper()
	one, made := here.made("capped", `"sandboxMode":false,"smsPerDay":9,"smsPerDayByPrefix":{"1":6,"1876":2,"23320":0,"233":4}`)
	app, _ := made.body["app"].(map[string]any)
	if caps, _ := app["smsPerDayByPrefix"].(map[string]any); !maps.Equal(caps, map[string]any{"1": 6.0, "1876": 2.0, "23320": 0.0, "233": 4.0}) {
		t.Errorf("%s", made.raw)
	}
	today := func(whole float64, want map[string]any) {
		t.Helper()
		for _, got := range []reply{here.do(one, "GET", "/api/v1/app", ""), there.do(key{}, "GET", "/api/admin/apps/capped", "")} {
			if counted, _ := got.body["smsTodayByPrefix"].(map[string]any); got.body["smsToday"] != whole || !maps.Equal(counted, want) || got.body["smsAlarmAt"] != nil {
				t.Errorf("%v %v, want %v %v: %s", got.body["smsToday"], counted, whole, want, got.raw)
			}
		}
	}
	accepted := func(d *door, body string) reply {
		t.Helper()
		got := d.do(one, "POST", messagesURL, body)
		if got.status != http.StatusAccepted {
			t.Fatalf("%d %s", got.status, got.raw)
		}
		return got
	}
	over := func(d *door, path, body, prefix string, perDay, used float64) {
		t.Helper()
		got := d.do(one, "POST", path, body)
		seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
		named, _ := got.details()["prefix"].(string)
		if got.status != http.StatusTooManyRequests || got.code() != "quota_exceeded" || named != prefix || got.details()["smsPerDay"] != perDay || got.details()["smsToday"] != used || err != nil || seconds < 1 || seconds > 24*60*60 {
			t.Errorf("%d %s, Retry-After %q", got.status, got.raw, got.header.Get("Retry-After"))
		}
	}
	first := accepted(here, keyed("k", jamaica, 2)) // at the cap
	over(there, messagesURL, keyed("over", jamaica, 1), "1876", 2, 2)
	over(here, previewURL, text(jamaica, 1), "1876", 2, 2)
	for _, path := range []string{messagesURL, previewURL} {
		if got := here.do(one, "POST", path, text(refused, 1)); got.status != http.StatusForbidden || got.code() != "number_not_allowed" {
			t.Errorf("%d %s", got.status, got.raw)
		}
	}
	replayed := func() {
		t.Helper()
		for _, d := range []*door{here, there} {
			if got := d.do(one, "POST", messagesURL, keyed("k", jamaica, 2)); got.status != http.StatusOK || got.str("id") != first.str("id") {
				t.Errorf("a replay at the cap: %d %s", got.status, got.raw)
			}
			if got := d.do(one, "POST", previewURL, keyed("k", jamaica, 2)); got.status != http.StatusOK || got.str("replayOf") != first.str("id") {
				t.Errorf("a preview of a replay: %d %s", got.status, got.raw)
			}
		}
	}
	replayed()
	today(2, map[string]any{"1": 2.0, "1876": 2.0, "23320": 0.0, "233": 0.0})

	batch := there.do(one, "POST", batchURL, `{"messages":[`+strings.Join([]string{text(usa, 2), text(jamaica, 1), text(usa, 2), text(usa, 1), text(ghana, 1),
		keyed("k", jamaica, 2), text(refused, 1), text(germany, 2), text(ghana, 1)}, ",")+`]}`)
	want := []string{"", "quota_exceeded", "", "quota_exceeded", "", "", "number_not_allowed", "", "quota_exceeded"} // the last one is over the app's own cap
	for i, item := range batch.items() {
		if item.code() != want[i] {
			t.Errorf("item %d of the batch: %v, want %q", i, item.body, want[i])
		}
	}
	if len(batch.items()) != len(want) {
		t.Fatalf("%d %s", batch.status, batch.raw)
	}
	today(9, map[string]any{"1": 6.0, "1876": 2.0, "23320": 0.0, "233": 1.0})
	if none := here.do(one, "POST", batchURL, `{"messages":[`+text(usa, 1)+`,`+text(ghana, 1)+`]}`); none.status != http.StatusTooManyRequests || none.code() != "quota_exceeded" {
		t.Errorf("a batch of which none fits: %d %s", none.status, none.raw)
	}
	over(here, previewURL, text(germany, 1), "", 9, 9)
	replayed()

	lastInstant()
	over(here, messagesURL, keyed("over", jamaica, 1), "", 9, 9) // the first that is full
	midnight()
	if got := here.do(one, "POST", previewURL, text(jamaica, 2)); got.status != http.StatusOK {
		t.Errorf("a preview of the new day: %d %s", got.status, got.raw)
	}
	today(0, map[string]any{"1": 0.0, "1876": 0.0, "23320": 0.0, "233": 0.0})
	accepted(there, keyed("over", jamaica, 1)) // its key is free
	accepted(here, text(jamaica, 1))
	over(there, messagesURL, text(jamaica, 1), "1876", 2, 2)
	replayed() // of yesterday
	today(2, map[string]any{"1": 2.0, "1876": 2.0, "23320": 0.0, "233": 0.0})

	changed := here.do(key{}, "PATCH", "/api/admin/apps/capped", `{"smsPerDayByPrefix":{"1876":3},"smsPerDay":null}`)
	if caps, _ := changed.body["smsPerDayByPrefix"].(map[string]any); changed.status != http.StatusOK || !maps.Equal(caps, map[string]any{"1876": 3.0}) {
		t.Fatalf("%d %s", changed.status, changed.raw)
	}
	accepted(here, text(jamaica, 1))
	over(here, messagesURL, text(jamaica, 1), "1876", 3, 3)
	accepted(here, text(refused, 1))
	if got := here.do(key{}, "PATCH", "/api/admin/apps/capped", `{"smsPerDayByPrefix":{}}`); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.raw)
	}
	accepted(here, text(jamaica, 2))
	for _, wrong := range []string{`{"1":-1}`, `{"1":100000001}`, `{"01":1}`, `{"+1":1}`, `{"":1}`, `{"1":null}`, `{"1":"5"}`, `{"1":1.5}`, `null`, `[]`, `{"1":1,"1":2}`, `{"1234567890123456":1}`, manyCaps(301)} {
		if got := here.do(key{}, "PATCH", "/api/admin/apps/capped", `{"smsPerDayByPrefix":`+wrong+`}`); got.status != http.StatusBadRequest {
			t.Errorf("%.60s: %d %s", wrong, got.status, got.raw)
		}
	}
	if got := here.do(key{}, "PATCH", "/api/admin/apps/capped", `{"smsPerDayByPrefix":`+manyCaps(300)+`}`); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.raw)
	}
	accepted(here, text(jamaica, 1))
}

// manyCaps are so many caps, each of a number that few begin with.
func manyCaps(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(`"%d":5`, 99000+i)
	}
	return "{" + strings.Join(list, ",") + "}"
}

// TestCapsAreExactAcrossNodes: two nodes that accept at once, messages of their own, batches and the same keys, accept
// exactly what a prefix's cap allows, and answer both callers of a key alike.
func TestCapsAreExactAcrossNodes(t *testing.T) {
	t.Parallel()
	wholeDay()
	url, ring := pgtest.Database(t), newRing(t)
	doors := []*door{newDoor(t, node(t, url), ring, nil), newDoor(t, node(t, url), ring, nil)}
	const perDay, callers, keys = 57, 6, 40
	one, _ := doors[0].made("capped", fmt.Sprintf(`"sandboxMode":false,"ratePerMinute":1000000,"smsPerDay":1000,"smsPerDayByPrefix":{"1876":%d}`, perDay))
	var fresh atomic.Int64
	var mu sync.Mutex
	ids := make([]map[string]bool, keys) // of each key; "" for a refusal
	for k := range ids {
		ids[k] = map[string]bool{}
	}
	var wg sync.WaitGroup
	for n := range callers {
		d := doors[n%2]
		wg.Go(func() {
			for i := range keys {
				k := (i + n/2) % keys
				got := d.do(one, "POST", messagesURL, keyed(fmt.Sprint("k", k), jamaica, 1))
				switch {
				case got.status == http.StatusAccepted:
					fresh.Add(1)
				case got.status != http.StatusOK && got.code() != "quota_exceeded":
					t.Errorf("%d %s", got.status, got.raw)
				}
				mu.Lock()
				ids[k][got.str("id")] = true
				mu.Unlock()
			}
		})
		wg.Go(func() {
			for range 8 {
				got := d.do(one, "POST", batchURL, `{"messages":[`+strings.Join(slices.Repeat([]string{text(jamaica, 1)}, 5), ",")+`]}`)
				for _, item := range got.items() {
					if item.code() == "" {
						fresh.Add(1)
					}
				}
			}
		})
	}
	wg.Wait()
	if n := fresh.Load(); n != perDay {
		t.Errorf("%d were accepted, want %d", n, perDay)
	}
	for k, got := range ids {
		if len(got) != 1 {
			t.Errorf("the callers of key %d were answered with %v", k, got)
		}
	}
	shown := doors[1].do(key{}, "GET", "/api/admin/apps/capped", "")
	if counted, _ := shown.body["smsTodayByPrefix"].(map[string]any); counted["1876"] != float64(perDay) || shown.body["smsToday"] != float64(perDay) {
		t.Errorf("%s", shown.raw)
	}
	if got := doors[0].do(one, "POST", messagesURL, text(usa, 1)); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.raw)
	}
}
