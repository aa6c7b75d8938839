package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/auth"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/intake"
)

const batchURL = "/api/v1/messages/batch"

// batchOf is a batch of these messages.
func batchOf(messages ...string) string { return `{"messages":[` + strings.Join(messages, ",") + `]}` }

// items are the answers of a batch.
func (a answer) items() (out []map[string]any) {
	list, _ := a.body["data"].([]any)
	for _, x := range list {
		item, _ := x.(map[string]any)
		out = append(out, item)
	}
	return out
}

// codeIn is the code of a refused item, "" of an accepted one.
func codeIn(item map[string]any) string {
	code, _ := dig(item, "details")["code"].(string)
	return code
}

func TestEachMessageOfABatchIsJudgedAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	w.badTemplates(one)
	putOnList(t, w, one.app, comm.SMS, "233241234500")
	messages, want := []string{}, []string{}
	for _, b := range bodies() { // each is refused for the same reason as by itself
		if b.status < 400 || strings.Contains(b.body, "attachments") {
			continue
		}
		messages, want = append(messages, b.body, sms("")), append(want, cmp.Or(b.code, "any"), "")
	}
	messages, want = append(messages, `null`, `[]`, `"x"`, email(`"attachments":[]`), sms(`"body":"`+strings.Repeat("a", 1<<20)+`"`), sms(`"to":"233241234500"`)),
		append(want, "invalid_body", "invalid_body", "invalid_body", "field_not_allowed", "body_too_large", "")
	if len(messages) < 40 {
		t.Fatalf("only %d", len(messages))
	}
	got := w.do(one, "POST", batchURL, batchOf(messages...), nil)
	items := got.items()
	if got.status != 202 || len(items) != len(messages) {
		t.Fatalf("%d, %d items for %d: %.300s", got.status, len(items), len(messages), got.raw)
	}
	stored := 0
	for i, item := range items {
		if code := codeIn(item); code != want[i] && (want[i] != "any" || code == "") || item["index"] != float64(i) {
			t.Errorf("%d: %v, want %q for %.100s", i, item, want[i], messages[i])
		}
		if want[i] == "" {
			stored++
		}
	}
	if n := w.count(one.app); n != stored {
		t.Errorf("%d stored, want %d", n, stored)
	}
	if !strings.Contains(fmt.Sprint(items[len(items)-1]["warnings"]), comm.WarnSuppressed) {
		t.Errorf("no warning: %v", items[len(items)-1])
	}
	readContract(t).answer(t, "POST", batchURL, got)
}

func TestTheFrameOfABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	many := make([]string, 1001)
	for i := range many {
		many[i] = sms("")
	}
	for name, c := range map[string]struct{ body, code string }{
		"empty body": {"", "invalid_json"}, "null": {"null", "invalid_body"}, "a list": {"[" + sms("") + "]", "invalid_body"}, "a message": {sms(""), "unknown_field"},
		"no list": {`{}`, "invalid_field"}, "empty": {batchOf(), "invalid_field"}, "an object": {`{"messages":{}}`, "invalid_field"}, "null list": {`{"messages":null}`, "invalid_field"},
		"too many": {batchOf(many...), "too_many_items"}, "unknown": {`{"messages":[` + sms("") + `],"lane":"BULK"}`, "unknown_field"},
		"twice": {`{"messages":[` + sms("") + `],"messages":[` + sms("") + `]}`, "duplicate_field"}, "case": {`{"Messages":[` + sms("") + `]}`, "unknown_field"},
		"cut off": {`{"messages":[` + sms(""), "invalid_json"}, "garbage": {batchOf(sms("")) + "x", "trailing_data"}, "no comma": {`{"messages":[` + sms("") + sms("") + `]}`, "invalid_json"},
		"comma at the end": {`{"messages":[` + sms("") + `,]}`, "invalid_json"}, "utf-16": {"\xff\xfe{\x00}\x00", "invalid_json"},
	} {
		headers := map[string]string{"Content-Type": "application/json"}
		if got := w.do(one, "POST", batchURL, c.body, headers); got.status != 400 || got.code() != c.code || got.header.Get("RateLimit-Limit") == "" {
			t.Errorf("%s: %d %.200s", name, got.status, got.raw)
		}
	}
	if got := w.do(one, "POST", batchURL, batchOf(sms("")), map[string]string{"Idempotency-Key": "k"}); got.status != 400 || got.code() != "invalid_idempotency_key" {
		t.Errorf("a key of the batch: %d %s", got.status, got.raw)
	}
	if got := w.do(one, "POST", batchURL, batchOf(sms(`"body":"`+strings.Repeat("a", 17<<20)+`"`)), nil); got.status != 413 {
		t.Errorf("17 MiB: %d %s", got.status, got.raw)
	}
	if n := w.count(one.app); n != 0 {
		t.Errorf("%d stored", n)
	}
}

func TestABatchTakesTheRestOfTheRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for try := 0; !batchOverTheRate(t, w, fmt.Sprint("app-", try)); try++ {
		t.Log("the minute ended: once more")
	}
}

// batchOverTheRate answers false when the minute ended meanwhile, which says nothing.
func batchOverTheRate(t *testing.T, w *world, slug string) bool {
	one := w.tenant(slug, comm.AllScopes, func(a *comm.App) { a.RatePerMinute = 700 })
	messages := make([]string, 1000)
	for i := range messages {
		messages[i] = sms(fmt.Sprintf(`"idempotencyKey":"k%d"`, i))
	}
	began := minuteOf(t, w)
	got := w.do(one, "POST", batchURL, batchOf(messages...), nil)
	all := w.do(one, "POST", batchURL, batchOf(sms(""), sms("")), nil)
	replays := w.do(one, "POST", batchURL, batchOf(messages[0], sms("")), nil)
	if minuteOf(t, w) != began {
		return false
	}
	accepted := 0
	for _, item := range got.items() {
		switch codeIn(item) {
		case "":
			accepted++
		case "rate_limited":
		default:
			t.Fatalf("%v", item)
		}
	}
	if got.status != 202 || accepted != 700 || w.count(one.app) != 700 || got.header.Get("RateLimit-Remaining") != "0" {
		t.Errorf("%d, %d accepted, remaining %s", got.status, accepted, got.header.Get("RateLimit-Remaining"))
	}
	if all.status != 429 || all.code() != "rate_limited" || all.header.Get("Retry-After") == "" {
		t.Errorf("none fits: %d %s", all.status, all.raw)
	}
	if items := replays.items(); replays.status != 202 || items[0]["deduplicated"] != true || codeIn(items[1]) != "rate_limited" {
		t.Errorf("a replay passes over the limit: %d %s", replays.status, replays.raw)
	}
	return true
}

// minuteOf is the minute of the database's clock, in which rates are counted.
func minuteOf(t *testing.T, w *world) int64 {
	t.Helper()
	now, err := w.store.Now(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return now.Millis() / 60_000
}

func TestABatchThroughTheClient(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	c := clientOf(t, w, one)
	messages := []client.Message{{Channel: client.SMS, To: "233241234567", Body: "x", IdempotencyKey: "k"}, {Channel: client.SMS, To: "nobody", Body: "x"},
		{Channel: client.SMS, To: "233241234567", Body: "x", IdempotencyKey: "k"}, {Channel: client.SMS, To: "233241234567", Body: "other", IdempotencyKey: "k"}, {Channel: client.SMS, To: "233241234568", Body: "x"}}
	got, err := c.SendBatch(ctx, messages)
	if err != nil || len(got) != 5 {
		t.Fatalf("%+v %v", got, err)
	}
	news, replays := 0, 0
	for _, i := range []int{0, 2} {
		if got[i].Deduplicated {
			replays++
		} else if got[i].Code() == "" {
			news++
		}
	}
	if news != 1 || replays != 1 || got[0].ID != got[2].ID || got[1].Code() != "invalid_phone" || got[3].Code() != "idempotency_key_reused" || got[4].Status != "QUEUED" || got[4].IdempotencyKey == "" {
		t.Errorf("%+v", got)
	}
	if n := w.count(one.app); n != 2 {
		t.Errorf("%d stored", n)
	}
	if got := w.do(one, "POST", "/api/v1/messages/batch", `{"messages":[]}`, nil); got.status != 400 || got.code() != "invalid_field" {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got, err := c.SendBatch(ctx, nil); err != nil || len(got) != 0 { // any number of messages, so that none is no request
		t.Errorf("%+v %v", got, err)
	}
}

// TestABatchRendersALittleAtATime: what templates make of a batch is many times its size; no
// part of it makes more than a mebibyte, or one message's worth.
func TestABatchRendersALittleAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for key, size := range map[string]int{"a": 1 << 10, "b": 100 << 10, "c": 250 << 10} {
		if made := w.do(one, "POST", "/api/v1/templates", `{"key":"`+key+`","channel":"EMAIL","name":"n","subject":"s","body":"`+strings.Repeat("a", size)+`"}`, nil); made.status != 201 {
			t.Fatalf("%d %.200s", made.status, made.raw)
		}
	}
	caller := &auth.Caller{App: one.app, Key: &comm.Key{App: one.app.ID}}
	var requests []intake.Request
	for i := range 1000 {
		q, err := intake.Decode([]byte(`{"channel":"EMAIL","to":"ama@example.com","templateKey":"` + string("abc"[i%3]) + `"}`))
		if err != nil {
			t.Fatal(err)
		}
		requests = append(requests, *q)
	}
	r := httptest.NewRequest("POST", batchURL, nil)
	parts, most := w.api.parts(r, caller, requests)
	n := 0
	for _, part := range parts {
		size := int64(0)
		for i := range part {
			size += w.api.cfg.Intake.Bound(r.Context(), one.app, &part[i])
		}
		if n += len(part); size > renderedPart && len(part) > 1 || size > most {
			t.Errorf("a part of %d messages and %d bytes; the largest is said to be %d", len(part), size, most)
		}
	}
	if n != 1000 || most > renderedPart || len(parts) < 100 || len(parts) > 333 {
		t.Errorf("%d messages in %d parts of at most %d bytes", n, len(parts), most)
	}
}
