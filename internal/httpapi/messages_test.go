package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

const (
	smsBody   = `{"channel":"SMS","to":"233241234567","body":"Hello from CommServer","idempotencyKey":"welcome-user-42"}`
	emailBody = `{"channel":"EMAIL","to":"ama@example.com","subject":"Request approved","body":"<p>Approved.</p>","metadata":{"requestId":"REQ-0042","n":9007199254740993}}`
)

func TestTheGuidesFirstMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	flow := w.tenant("flowbase", comm.AllScopes)
	got := w.do(flow, "POST", "/api/v1/messages", smsBody, nil)
	if got.status != 202 || got.str("status") != "QUEUED" || len(got.str("id")) != 25 || got.body["segments"] != 1.0 || got.str("encoding") != "GSM7" {
		t.Fatalf("%d %s", got.status, got.raw)
	}
	if !strings.HasPrefix(string(got.raw), `{"id":"c`) {
		t.Errorf("id is not first: %s", got.raw)
	}
	for _, h := range []string{"Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset"} {
		if got.header.Get(h) == "" {
			t.Errorf("no %s", h)
		}
	}
	if len(w.pushed) != 1 || w.pushed[0].ID.String() != got.str("id") {
		t.Errorf("pushed %v", w.pushed)
	}
	again := w.do(flow, "POST", "/api/v1/messages", smsBody, nil)
	if again.status != 200 || again.str("id") != got.str("id") || again.body["deduplicated"] != true {
		t.Errorf("replay: %d %s", again.status, again.raw)
	}
	byBearer := w.do(flow, "GET", "/api/v1/messages/"+got.str("id"), "", map[string]string{"X-API-Key": "", "Authorization": "Bearer " + flow.key})
	if byBearer.status != 200 || byBearer.str("toAddress") != "233241234567" || byBearer.str("idempotencyKey") != "welcome-user-42" {
		t.Errorf("%d %s", byBearer.status, byBearer.raw)
	}
	if w.count(flow.app) != 1 {
		t.Errorf("%d messages", w.count(flow.app))
	}
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	base := `{"channel":"SMS","to":"233241234567","body":"x","idempotencyKey":"k","metadata":{"a":1,"b":[1,2]}}`
	first := w.do(one, "POST", "/api/v1/messages", base, nil)
	for _, c := range []struct {
		name, body string
		header     map[string]string
		who        tenant
		status     int
		code       string
	}{
		{"other order and spacing", `{ "metadata":{"b":[1, 2],"a":1}, "idempotencyKey":"k","body":"x","to":"+233241234567","channel":"SMS","lane":"NORMAL"}`, nil, one, 200, ""},
		{"key in the header", `{"channel":"SMS","to":"233241234567","body":"x","metadata":{"a":1,"b":[1,2]}}`, map[string]string{"Idempotency-Key": "k"}, one, 200, ""},
		{"both equal", base, map[string]string{"Idempotency-Key": "k"}, one, 200, ""},
		{"both differ", base, map[string]string{"Idempotency-Key": "l"}, one, 400, "invalid_idempotency_key"},
		{"other recipient", strings.Replace(base, "4567", "4568", 1), nil, one, 409, "idempotency_key_reused"},
		{"other number in metadata", strings.Replace(base, `"a":1`, `"a":2`, 1), nil, one, 409, "idempotency_key_reused"},
		{"with a schedule", strings.Replace(base, `"body"`, `"scheduledAt":"2026-07-03T10:00:00Z","body"`, 1), nil, one, 409, "idempotency_key_reused"},
		{"another app", base, nil, two, 202, ""},
	} {
		got := w.do(c.who, "POST", "/api/v1/messages", c.body, c.header)
		if got.status != c.status || got.code() != c.code {
			t.Errorf("%s: %d %s", c.name, got.status, got.raw)
		}
		if got.status == 200 && got.str("id") != first.str("id") {
			t.Errorf("%s: another id", c.name)
		}
		if got.header.Get("Ratelimit-Limit") == "" || got.header.Get("Ratelimit-Remaining") == "" || got.header.Get("Ratelimit-Reset") == "" {
			t.Errorf("%s: %d without the rate: %v", c.name, got.status, got.header)
		}
	}
}

func TestManyClientsOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	var mu sync.Mutex
	statuses, ids := map[int]int{}, map[string]bool{}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			got := w.do(one, "POST", "/api/v1/messages", smsBody, nil)
			mu.Lock()
			defer mu.Unlock()
			statuses[got.status]++
			ids[got.str("id")] = true
		})
	}
	wg.Wait()
	if statuses[202] != 1 || statuses[200] != 199 || len(ids) != 1 || w.count(one.app) != 1 {
		t.Errorf("%v, %d ids, %d messages", statuses, len(ids), w.count(one.app))
	}
}

func TestReplaysPassOverTheRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := w.tenant("slow", comm.AllScopes, func(a *comm.App) { a.RatePerMinute = 2 })
	send := func(key string) answer {
		return w.do(slow, "POST", "/api/v1/messages", `{"channel":"SMS","to":"233241234567","body":"x","idempotencyKey":"`+key+`"}`, nil)
	}
	var limited answer
	for i := 0; i < 6 && limited.status != 429; i++ { // a minute may turn over between two calls
		limited = send(fmt.Sprint(i))
	}
	if limited.status != 429 || limited.code() != "rate_limited" || limited.header.Get("Retry-After") == "" || limited.header.Get("Ratelimit-Remaining") != "0" {
		t.Errorf("%d %s %v", limited.status, limited.raw, limited.header)
	}
	if again := send("0"); again.status != 200 {
		t.Errorf("replay: %d %s", again.status, again.raw)
	}
	// What is not counted tells the rate too.
	for _, body := range []string{`{`, `{"channel":"SMS"}`} {
		bad := w.do(slow, "POST", "/api/v1/messages", body, nil)
		left := bad.header.Get("Ratelimit-Remaining")
		if bad.status != 400 || bad.header.Get("Ratelimit-Limit") != "2" || bad.header.Get("Ratelimit-Reset") == "" || left != "0" && left != "2" { // 2: the minute turned over
			t.Errorf("%s: %d %v", body, bad.status, bad.header)
		}
	}
}

func TestMessageHasEveryFieldAndMetadataDigitForDigit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.do(one, "POST", "/api/v1/messages", emailBody, nil).str("id")
	got := w.do(one, "GET", "/api/v1/messages/"+id, "", nil)
	for name := range strings.FieldsSeq(`id channel status toAddress fromAddress subject body templateKey templateVersion providerName providerMessageId
		errorMessage attempts scheduledAt createdAt sentAt deliveredAt metadata tags lane idempotencyKey events attemptLog errorCode possibleDuplicate
		waitingFor nextAttemptAt retriesUntil expiresAt segments encoding sandbox updatedAt`) {
		if _, ok := got.body[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
	if got.body["retriesUntil"] != nil { // it was not tried yet, and waits for as long as it has to
		t.Errorf("retriesUntil: %v", got.body["retriesUntil"])
	}
	short := w.do(one, "GET", "/api/v1/messages/"+w.do(one, "POST", "/api/v1/messages", `{"channel":"EMAIL","to":"ama@example.com","subject":"x","body":"x","ttlSeconds":60}`, nil).str("id"), "", nil)
	if until := short.str("retriesUntil"); until == "" || until != short.str("expiresAt") {
		t.Errorf("retriesUntil: %q, expiresAt %q", until, short.str("expiresAt"))
	}
	if !strings.Contains(string(got.raw), `"metadata":{"requestId":"REQ-0042","n":9007199254740993}`) {
		t.Errorf("metadata changed: %s", got.raw)
	}
	if got.str("waitingFor") != "turn" || got.body["sandbox"] != true || len(got.body["events"].([]any)) != 1 {
		t.Errorf("%s", got.raw)
	}
	list := w.do(one, "GET", "/api/v1/messages", "", nil)
	item := list.body["data"].([]any)[0].(map[string]any)
	for _, name := range []string{"body", "events", "attemptLog"} {
		if _, ok := item[name]; ok {
			t.Errorf("list items must not have %s", name)
		}
	}
}

func TestListPagesAndCursorBelongsToItsList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	for i := range 7 {
		body := smsBody
		if i%2 == 1 {
			body = emailBody
		}
		body = strings.Replace(body, "welcome-user-42", fmt.Sprint("k", i), 1)
		if got := w.do(one, "POST", "/api/v1/messages", body, nil); got.status != 202 {
			t.Fatalf("%s", got.raw)
		}
	}
	seen, cursor := map[string]bool{}, ""
	for page := 0; ; page++ {
		path := "/api/v1/messages?limit=3"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		got := w.do(one, "GET", path, "", nil)
		for _, item := range got.body["data"].([]any) {
			id := item.(map[string]any)["id"].(string)
			if seen[id] {
				t.Errorf("%s twice", id)
			}
			seen[id] = true
		}
		if got.body["nextCursor"] == nil {
			break
		}
		cursor = got.str("nextCursor")
		if page > 5 {
			t.Fatal("endless")
		}
	}
	if len(seen) != 7 {
		t.Errorf("%d messages", len(seen))
	}
	if got := w.do(one, "GET", "/api/v1/messages?channel=SMS", "", nil); len(got.body["data"].([]any)) != 4 || got.body["nextCursor"] != nil {
		t.Errorf("%s", got.raw)
	}
	for name, c := range map[string]struct {
		who  tenant
		path string
	}{
		"of another app": {two, "/api/v1/messages?limit=3&cursor=" + cursor}, "other filters": {one, "/api/v1/messages?status=QUEUED&cursor=" + cursor},
		"of a search": {one, "/api/v1/messages?tag=t&cursor=" + cursor}, "of another recipient": {one, "/api/v1/messages?to=233241234567&cursor=" + cursor},
		"tampered": {one, "/api/v1/messages?cursor=A" + cursor[1:]}, "garbage": {one, "/api/v1/messages?cursor=garbage"}, "of another list": {one, "/api/v1/sandbox/messages?cursor=" + cursor},
	} {
		if got := w.do(c.who, "GET", c.path, "", nil); got.status != 400 || got.code() != "invalid_cursor" {
			t.Errorf("%s: %d %s", name, got.status, got.raw)
		}
	}
}

func TestCancelAndRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	path := "/api/v1/messages/" + w.do(one, "POST", "/api/v1/messages", smsBody, nil).str("id")
	steps := []struct {
		action string
		status int
		now    string
		reason string
	}{
		{"RETRY", 409, "QUEUED", "not_retryable"}, {"CANCEL", 200, "CANCELLED", ""}, {"CANCEL", 200, "CANCELLED", ""}, {"RETRY", 200, "QUEUED", ""}, {"RETRY", 409, "QUEUED", "not_retryable"},
	}
	for i, s := range steps {
		got := w.do(one, "PATCH", path, `{"action":"`+s.action+`"}`, nil)
		if got.status != s.status {
			t.Fatalf("step %d: %d %s", i, got.status, got.raw)
		}
		if s.status == 200 && got.str("status") != s.now {
			t.Errorf("step %d: %s", i, got.raw)
		}
		if s.status == 409 {
			details := got.body["details"].(map[string]any)
			if details["code"] != "invalid_state" || details["status"] != s.now || details["reason"] != s.reason {
				t.Errorf("step %d: %s", i, got.raw)
			}
		}
	}
	if len(w.pushed) != 2 {
		t.Errorf("the retry did not wake the dispatcher: %v", w.pushed)
	}
}

func TestRoutesWithoutAnswerSaySoInJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/nope", 404, ""}, {"GET", "/api/v1/messages/", 404, ""}, {"GET", "/api//v1/messages", 404, ""}, {"POST", "/api/v1/../v1/messages", 404, ""},
		{"PUT", "/api/v1/messages", 405, "GET, HEAD, POST"}, {"TRACE", "/api/v1/app", 405, "GET, HEAD, PATCH"}, {"BREW", "/api/v1/app", 405, "GET, HEAD, PATCH"},
		{"OPTIONS", "/api/v1/messages", 405, "GET, HEAD, POST"}, {"POST", "/healthz", 405, "GET, HEAD"}, {"GET", "/debug/pprof/", 404, ""}, {"POST", "/metrics", 405, "GET, HEAD"},
		{"GET", "/api/v1/messages/%00", 404, ""}, {"GET", "/api/v1/messages/..%2f", 404, ""}, {"GET", "/api/v1/messages/" + strings.Repeat("a", 5000), 404, ""},
	} {
		got := w.do(one, c.method, c.path, "", nil)
		if got.status != c.status || got.header.Get("Allow") != c.allow || got.str("error") == "" {
			t.Errorf("%s %.40s: %d allow %q %s", c.method, c.path, got.status, got.header.Get("Allow"), got.raw)
		}
	}
}

func TestSandboxListsOnlyWhatItTook(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.do(one, "POST", "/api/v1/messages", emailBody, nil).str("id")
	if got := w.do(one, "GET", "/api/v1/sandbox/messages", "", nil); got.status != 200 || len(got.body["data"].([]any)) != 0 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := w.do(one, "GET", "/api/v1/sandbox/messages/"+id, "", nil); got.status != 404 {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestSuppressedRecipientIsAWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	putOnList(t, w, one.app, comm.SMS, "233241234567")
	got := w.do(one, "POST", "/api/v1/messages", smsBody, nil)
	if got.status != http.StatusAccepted || got.str("status") != "QUEUED" || !strings.Contains(string(got.raw), "recipient_suppressed") {
		t.Errorf("%d %s", got.status, got.raw)
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/healthz", "/readyz", "/"} {
		if got := w.do(tenant{}, "GET", path, "", nil); got.status != 200 {
			t.Errorf("%s: %d %s", path, got.status, got.raw)
		}
	}
	w.api.ready.of(append(w.api.ready.checks, Check{"lease", func(context.Context) error { return context.DeadlineExceeded }}), slog.New(slog.DiscardHandler))
	w.api.ready.until = w.api.ready.until.Add(-readyKept)
	if got := w.do(tenant{}, "GET", "/readyz", "", nil); got.status != 503 || got.str("status") != "unready" || strings.Contains(string(got.raw), "deadline") {
		t.Errorf("%d %s", got.status, got.raw)
	}
}
