package httpapi

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/hold"
	"github.com/commserver/commserver/internal/store"
)

// TestMessagesOfAllApps: search by id, recipient and the rest, of every app and of one; another app's words are never mixed in.
func TestMessagesOfAllApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := readContract(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	const to = "233241234599"
	mine := w.do(one, "POST", "/api/v1/messages", `{"channel":"SMS","to":"+`+to+`","body":"the body of one","tags":["x"]}`, nil).str("id")
	time.Sleep(2 * time.Millisecond) // ids are in order by milliseconds
	theirs := w.do(two, "POST", "/api/v1/messages", `{"channel":"SMS","to":"+`+to+`","body":"the body of two","tags":["x"]}`, nil).str("id")
	time.Sleep(2 * time.Millisecond)
	other := w.do(two, "POST", "/api/v1/messages", email(""), nil).str("id")
	list := func(query string) (ids string) {
		t.Helper()
		got := w.root("GET", "/api/admin/messages?"+query, "")
		c.answer(t, "GET", "/api/admin/messages", got)
		if got.status != 200 || strings.Contains(string(got.raw), "the body of") {
			t.Fatalf("%s: %d %s", query, got.status, got.raw)
		}
		for _, item := range got.items() {
			ids += item["app"].(map[string]any)["slug"].(string) + " " + item["id"].(string) + ","
		}
		return ids
	}
	a, b, d := "one "+mine+",", "two "+theirs+",", "two "+other+","
	for end := time.Now().Add(10 * time.Second); list("to="+to) != b+a; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q, want %q", list("to="+to), b+a)
		}
	}
	for query, want := range map[string]string{
		"": d + b + a, "app=one": a, "app=" + two.app.ID.String(): d + b, "to=%2B" + to: b + a, "to=+" + to + "&channel=SMS": b + a, "to=" + to + "&status=FAILED": "", "to=nobody@example.com": "",
		"id=" + mine: a, "id=" + mine + "&app=two": "", "id=" + comm.NewID(1).String(): "", "app=two&tag=x": b, "app=one&templateKey=k": "", "channel=EMAIL": d, "status=QUEUED&channel=SMS": b + a,
	} {
		if got := list(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, field := range map[string]string{"tag=x": "tag", "templateKey=k": "templateKey", "id=x": "id", "id=" + mine + "&status=QUEUED": "status", "limit=0": "limit", "to=nobody": "to", "channel=FAX": "channel"} {
		got := w.root("GET", "/api/admin/messages?"+query, "")
		fields, _ := got.body["details"].(map[string]any)["fields"].(map[string]any)
		if got.status != 400 || fields[field] == nil {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
		c.answer(t, "GET", "/api/admin/messages", got)
	}
	if got := w.root("GET", "/api/admin/messages?app=nobody", ""); got.status != 404 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	first := w.root("GET", "/api/admin/messages?limit=2", "")
	cursor := url.QueryEscape(first.str("nextCursor"))
	if rest := list("limit=2&cursor=" + cursor); rest != a {
		t.Errorf("the second page: %q", rest)
	}
	if got := w.root("GET", "/api/admin/messages?limit=2&app=one&cursor="+cursor, ""); got.code() != "invalid_cursor" {
		t.Errorf("a cursor of another list: %d %s", got.status, got.raw)
	}
	path := "/api/admin/messages/" + theirs
	if got := w.root("GET", path, ""); got.str("body") != "the body of two" || got.body["app"].(map[string]any)["slug"] != "two" || len(got.body["events"].([]any)) != 1 {
		t.Errorf("%s", got.raw)
	}
	if got := w.root("PATCH", path, `{"action":"CANCEL"}`); got.status != 200 || got.str("status") != "CANCELLED" || got.body["mayDuplicate"] != false {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.root("PATCH", path, `{"action":"RETRY"}`); got.status != 200 || got.str("status") != "QUEUED" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.root("PATCH", path, `{"action":"RETRY"}`); got.status != 409 || got.code() != "invalid_state" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.root("PATCH", path, `{"action":"PAUSE"}`); got.status != 400 || got.code() != "invalid_action" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	noted := w.root("GET", "/api/admin/audit?target="+theirs, "").items()
	if len(noted) != 3 || noted[2]["action"] != comm.AuditMessageCancel || noted[1]["action"] != comm.AuditMessageRetry || noted[0]["app"] != two.app.ID.String() {
		t.Errorf("%v", noted)
	}
	if got := w.root("DELETE", "/api/admin/apps/two?confirm=two", ""); got.status != 204 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if got := list(""); got != a {
		t.Errorf("after two was deleted: %q", got)
	}
	if got := w.root("GET", path, ""); got.status != 404 {
		t.Errorf("of a deleted app: %d %s", got.status, got.raw)
	}
}

// TestSuppressionsOfAllApps: which apps have an address, paged, and an app's list.
func TestSuppressionsOfAllApps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		who := w.tenant(fmt.Sprint("app-", i), comm.AllScopes)
		w.do(who, "POST", "/api/v1/suppressions", `{"channel":"EMAIL","address":"Ama@Example.com"}`, nil)
		w.do(who, "POST", "/api/v1/suppressions", fmt.Sprintf(`{"channel":"SMS","address":"23324123450%d"}`, i), nil)
	}
	look := func(query string) (found string) {
		t.Helper()
		for cursor := ""; ; {
			got := w.root("GET", "/api/admin/suppressions?"+query+cursor, "")
			readContract(t).answer(t, "GET", "/api/admin/suppressions", got)
			if got.status != 200 {
				t.Fatalf("%s: %d %s", query, got.status, got.raw)
			}
			for _, item := range got.items() {
				found += item["app"].(map[string]any)["slug"].(string) + " " + item["address"].(string) + ","
			}
			if got.body["nextCursor"] == nil {
				return found
			}
			cursor = "&cursor=" + url.QueryEscape(got.str("nextCursor"))
		}
	}
	all := "app-0 ama@example.com,app-1 ama@example.com,app-2 ama@example.com,"
	for query, want := range map[string]string{
		"address=AMA@example.com": all, "address=ama@example.com&limit=1": all, "address=ama@example.com&channel=EMAIL&limit=2": all, "address=%2B233241234501": "app-1 233241234501,",
		"address=nobody@example.com": "", "app=app-2&limit=1": "app-2 233241234502,app-2 ama@example.com,", "app=app-2&address=ama@example.com": "app-2 ama@example.com,", "app=app-2&address=233241234500": "",
	} {
		if got := look(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for _, query := range []string{"", "address=", "address=x", "channel=SMS", "address=ama@example.com&channel=SMS", "address=ama@example.com&cursor=x"} {
		if got := w.root("GET", "/api/admin/suppressions?"+query, ""); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	w.root("DELETE", "/api/admin/apps/app-1?confirm=app-1", "")
	if got := look("address=ama@example.com"); strings.Contains(got, "app-1") {
		t.Error(got)
	}
}

// TestTheQueueIsShownAndMoved drives the view and every action through the client and by raw requests.
func TestTheQueueIsShownAndMoved(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	c := readContract(t)
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	one := w.tenant("one", comm.AllScopes)
	w.tenant("spread", comm.AllScopes, func(a *comm.App) { a.ShardSpread = 8 })
	spread := admin.For("spread")
	for range 40 {
		if _, err := spread.Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", Body: "x", Lane: "BULK"}); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now().Add(-time.Minute)
	later := time.Now().Add(time.Hour)
	for i := range 5 {
		m := client.Message{Channel: client.SMS, To: "233241234567", Body: "x", IdempotencyKey: fmt.Sprint("key-", i)}
		if i > 2 {
			m.Lane, m.ScheduledAt = "CRITICAL", &later
		}
		if _, err := admin.For("one").Send(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	view, err := admin.Queue(ctx, client.QueueFilter{})
	if err != nil || len(view.Units) != 3 || view.Totals != (client.QueueTotals{Waiting: 45}) || view.CountedTo < 100 || view.Next != "" || view.CountedAt.Before(began) || time.Since(view.CountedAt) > time.Minute {
		t.Fatalf("%+v %v", view, err)
	}
	units := map[string]client.QueueUnit{}
	for _, u := range view.Units {
		units[u.App.Slug+" "+u.Lane] = u
	}
	if u := units["spread BULK"]; u.Due != 40 || u.Later != 0 || u.OldestDueAt == nil || u.WaitingFor != "turn" || u.QueueState != "RUNNING" || u.Bytes == 0 {
		t.Errorf("%+v", u)
	}
	if u := units["one CRITICAL"]; u.Due != 0 || u.Later != 2 || u.OldestDueAt != nil || u.NextDueAt == nil || u.WaitingFor != "schedule" || u.WaitingUntil == nil {
		t.Errorf("%+v", u)
	}
	if len(view.Providers) != 1 || view.Providers[0].ProviderType != "sandbox" || view.Providers[0].Due != 43 || view.Providers[0].AtLeast || view.Providers[0].Sending != 0 || view.Providers[0].OldestDueAt == nil || view.Providers[0].ID != "" {
		t.Errorf("what waits behind whom: %+v", view.Providers)
	}
	pagesOfTheQueue(t, admin)
	hold := store.Hold{Unit: comm.Unit{Shard: comm.ShardOf(one.app.ID, one.app.ID, 1), App: one.app.ID, Channel: comm.SMS, Lane: comm.Normal}, Reason: "provider_down", Until: comm.At(later)}
	if err := w.store.SetHolds(ctx, "test", []store.Hold{hold}); err != nil {
		t.Fatal(err)
	}
	if view, err = admin.Queue(ctx, client.QueueFilter{App: "one", Lane: "NORMAL", Channel: "SMS"}); err != nil || len(view.Units) != 1 || view.Units[0].WaitingFor != "provider_down" || view.Units[0].Due != 3 {
		t.Errorf("%+v %v", view, err)
	}
	if err := w.store.SetHolds(ctx, "test", nil); err != nil {
		t.Fatal(err)
	}
	if got, err := admin.PauseQueue(ctx, "one"); err != nil || got.QueueState != "PAUSED" || got.Remaining != 5 {
		t.Errorf("%+v %v", got, err)
	}
	if view, err = admin.Queue(ctx, client.QueueFilter{App: "one", Lane: "NORMAL"}); err != nil || view.Units[0].WaitingFor != "queue_paused" || view.Units[0].QueueState != "PAUSED" {
		t.Errorf("%+v %v", view, err)
	}
	if got := w.do(one, "POST", "/api/v1/messages", sms(""), nil); got.status != 202 {
		t.Errorf("a paused app accepts: %d %s", got.status, got.raw)
	}
	drained(t, w, admin, one)
	if got, err := admin.ResumeQueue(ctx, "one"); err != nil || got.QueueState != "RUNNING" {
		t.Errorf("%+v %v", got, err)
	}
	if got := w.do(one, "POST", "/api/v1/messages", sms(""), nil); got.status != 202 {
		t.Errorf("after RESUME: %d %s", got.status, got.raw)
	}
	if app, err := admin.UpdateApp(ctx, "one", client.AdminApp{Name: "One"}); err != nil || app.QueueState != "RUNNING" {
		t.Errorf("%+v %v", app, err)
	}
	for body, field := range map[string]string{
		`{}`: "action", `{"action":"STOP","app":"one"}`: "action", `{"action":"PAUSE"}`: "app", `{"action":"PAUSE","app":"one","confirm":"one"}`: "confirm", `{"action":"DRAIN","app":"one","lane":"BULK"}`: "lane",
		`{"action":"CANCEL","app":"one"}`: "confirm", `{"action":"CANCEL","app":"one","confirm":"spread"}`: "confirm", `{"action":"CANCEL","app":"one","confirm":"one","lane":"bulk"}`: "lane",
		`{"action":"CANCEL","app":"one","confirm":"one","channel":"FAX"}`: "channel", `{"action":"CANCEL","app":"one","confirm":"one","createdBefore":"yesterday"}`: "createdBefore",
		`{"action":"PAUSE","app":"one","createdBefore":"2026-07-03T10:00:00Z"}`: "createdBefore",
	} {
		got := w.root("POST", "/api/admin/queue", body)
		fields, _ := got.body["details"].(map[string]any)["fields"].(map[string]any)
		if got.status != 400 || fields[field] == nil {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
		c.answer(t, "POST", "/api/admin/queue", got)
	}
	for _, bad := range []string{"lane=bulk", "channel=FAX", "limit=0", "cursor=x"} {
		got := w.root("GET", "/api/admin/queue?"+bad, "")
		c.answer(t, "GET", "/api/admin/queue", got)
		if got.status != 400 {
			t.Errorf("%s: %d %s", bad, got.status, got.raw)
		}
	}
	if got := w.root("POST", "/api/admin/queue", `{"action":"CANCEL","app":"one","confirm":"one","cursor":"x"}`); got.code() != "invalid_cursor" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	cleared(t, w, admin)
	c.answer(t, "GET", "/api/admin/queue", w.root("GET", "/api/admin/queue", ""))
}

// pagesOfTheQueue wants pages of one app to hold what one page holds.
func pagesOfTheQueue(t *testing.T, admin *client.Admin) {
	t.Helper()
	seen := map[string]bool{}
	for f := (client.QueueFilter{Apps: 1}); ; {
		page, err := admin.Queue(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page.Units {
			if key := u.App.Slug + " " + u.Lane; seen[key] || u.App != page.Units[0].App {
				t.Errorf("%s is shown twice, or beside another app", key)
			}
			seen[u.App.Slug+" "+u.Lane] = true
		}
		if f.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}

// drained wants new messages of a draining app refused, one by one and in batches, and known keys answered.
func drained(t *testing.T, w *world, admin *client.Admin, one tenant) {
	t.Helper()
	if got, err := admin.DrainQueue(t.Context(), "one"); err != nil || got.QueueState != "DRAINING" {
		t.Errorf("%+v %v", got, err)
	}
	before := w.count(one.app)
	got := w.do(one, "POST", "/api/v1/messages", sms(""), nil)
	if got.status != 503 || got.code() != "app_draining" || got.header.Get("Retry-After") != "30" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	readContract(t).answer(t, "POST", "/api/v1/messages", got)
	if got := w.do(one, "POST", "/api/v1/messages", sms(`"idempotencyKey":"new"`), nil); got.code() != "app_draining" {
		t.Errorf("a new key: %d %s", got.status, got.raw)
	}
	if got := w.do(one, "POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","body":"x","idempotencyKey":"key-0"}`, nil); got.status != 200 || got.body["deduplicated"] != true {
		t.Errorf("a known key: %d %s", got.status, got.raw)
	}
	if got := w.do(one, "POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","body":"another","idempotencyKey":"key-0"}`, nil); got.code() != "idempotency_key_reused" {
		t.Errorf("a known key of another message: %d %s", got.status, got.raw)
	}
	if got := w.do(one, "POST", "/api/v1/messages/batch", `{"messages":[`+sms("")+`,`+sms("")+`]}`, nil); got.status != 503 || got.code() != "app_draining" {
		t.Errorf("a batch: %d %s", got.status, got.raw)
	}
	if after := w.count(one.app); after != before {
		t.Errorf("%d messages, %d before", after, before)
	}
}

// cleared cancels what waits: a lane alone, then all of a spread app.
func cleared(t *testing.T, w *world, admin *client.Admin) {
	t.Helper()
	ctx := t.Context()
	if got, err := admin.CancelQueue(ctx, "one", "one", "SMS", "CRITICAL", nil); err != nil || got.Cancelled != 2 || got.Remaining != 0 || got.MayHaveBeenSent != 0 {
		t.Errorf("%+v %v", got, err)
	}
	calls := 0
	if got, err := admin.CancelQueue(ctx, "spread", "spread", "", "", func(client.QueueChanged) { calls++ }); err != nil || got.Cancelled != 40 || got.Remaining != 0 || calls == 0 {
		t.Errorf("%+v %v", got, err)
	}
	n := 0
	for m, err := range admin.Messages(ctx, client.MessageSearch{App: "spread", ListOptions: client.ListOptions{Status: "CANCELLED", PageSize: 9}}) {
		if err != nil || m.App.Slug != "spread" {
			t.Fatal(m, err)
		}
		n++
	}
	if n != 40 {
		t.Errorf("%d are cancelled", n)
	}
	view, err := admin.Queue(ctx, client.QueueFilter{})
	if err != nil || len(view.Units) != 1 || view.Units[0].App.Slug != "one" || view.Units[0].Lane != "NORMAL" {
		t.Errorf("%+v %v", view, err)
	}
	noted := w.root("GET", "/api/admin/audit?action=queue_cancelled", "").items()
	if len(noted) != 2 || fmt.Sprint(noted[1]["detail"]) != "map[channel:map[to:SMS] lane:map[to:CRITICAL]]" {
		t.Errorf("%v", noted)
	}
}

// TestNothingWaitsForAProviderWhileTheServerIsHeld: what a restored server keeps back is no provider's.
func TestNothingWaitsForAProviderWhileTheServerIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	if got := w.do(one, "POST", "/api/v1/messages", sms(""), nil); got.status != 202 {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	providers := func() []any {
		got := w.root("GET", "/api/admin/queue", "")
		readContract(t).answer(t, "GET", "/api/admin/queue", got)
		return got.body["providers"].([]any)
	}
	if got := providers(); len(got) != 1 || got[0].(map[string]any)["due"] != 1.0 {
		t.Errorf("%v", got)
	}
	if _, err := w.store.InitSetting(t.Context(), store.HoldSetting, `{"state":"HELD"}`); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.api.cfg.Hold, err = hold.Open(t.Context(), hold.Config{Store: w.store, Log: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	if got := providers(); len(got) != 0 {
		t.Errorf("held: %v", got)
	}
}
