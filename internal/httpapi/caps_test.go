package httpapi

import (
	"context"
	"errors"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/commserver/commserver/client"
	"github.com/commserver/commserver/internal/comm"
)

// TestSMSCaps (S46): what the administrator allows an app's SMS to cost holds at every door,
// for live messages, and nothing is stored or used up by what is refused.
func TestSMSCaps(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	w := newWorld(t)
	c := readContract(t)
	if left := comm.At(time.Now()); left.NextDay().Sub(left) < 20*time.Second {
		time.Sleep(left.NextDay().Sub(left) + time.Millisecond) // the case needs a whole day
	}
	made := w.root("POST", "/api/admin/apps", `{"name":"Capped","slug":"capped","sandboxMode":false,"smsPerDay":4,"smsPrefixes":["23324","1"]}`)
	c.answer(t, "POST", "/api/admin/apps", made)
	app, _ := made.body["app"].(map[string]any)
	if made.status != 201 || app["smsPerDay"] != 4.0 || app["smsToday"] != 0.0 || app["smsAlarmAt"] != nil {
		t.Fatalf("%d %s", made.status, made.raw)
	}
	full, err := w.reg.AppNamed(ctx, "capped")
	if err != nil {
		t.Fatal(err)
	}
	one := tenant{full, w.key(full, comm.AllScopes)}
	post := func(members string) answer {
		t.Helper()
		got := w.do(one, "POST", "/api/v1/messages", sms(members), nil)
		c.answer(t, "POST", "/api/v1/messages", got)
		return got
	}
	two := `"body":"` + string(make161()) + `"`
	first := post(`"idempotencyKey":"k",` + two)
	for _, to := range []string{"233201234567", "447911123456", "2331241234567"} {
		if got := post(`"to":"` + to + `"`); got.status != 403 || got.code() != "number_not_allowed" {
			t.Errorf("%s: %d %s", to, got.status, got.raw)
		}
		preview := w.do(one, "POST", previewURL, sms(`"to":"`+to+`"`), nil)
		if c.answer(t, "POST", previewURL, preview); preview.status != 403 {
			t.Errorf("preview of %s: %d %s", to, preview.status, preview.raw)
		}
	}
	if got := post(`"to":"+12025550123"`); first.status != 202 || got.status != 202 {
		t.Fatalf("%d %s, %d %s", first.status, first.raw, got.status, got.raw)
	}
	over := post(`"idempotencyKey":"over",` + two) // two more are one too many, and one is not
	seconds, err := strconv.Atoi(over.header.Get("Retry-After"))
	if over.status != 429 || over.code() != "quota_exceeded" || err != nil || seconds < 1 || seconds > 24*60*60 || over.header.Get("RateLimit-Limit") == "" {
		t.Errorf("%d %s %v", over.status, over.raw, over.header)
	}
	batch := w.do(one, "POST", batchURL, batchOf(sms(two), sms(`"idempotencyKey":"k",`+two), sms(""), sms(`"to":"447911123456"`), sms(""), email("")), nil)
	want := []string{"quota_exceeded", "", "", "number_not_allowed", "quota_exceeded", ""}
	for i, item := range batch.items() {
		if codeIn(item) != want[i] {
			t.Errorf("item %d: %v, want %q", i, item, want[i])
		}
	}
	if whole := w.do(one, "POST", batchURL, batchOf(sms(""), sms("")), nil); whole.status != 429 || whole.code() != "quota_exceeded" || len(batch.items()) != len(want) {
		t.Errorf("%d %s, %s", whole.status, whole.raw, batch.raw)
	}
	if again := post(`"idempotencyKey":"k",` + two); again.status != 200 || again.str("id") != first.str("id") {
		t.Errorf("a replay over the cap: %d %s", again.status, again.raw)
	}
	if n := w.count(full); n != 4 {
		t.Errorf("%d stored, want 4", n)
	}
	shown := w.do(one, "GET", "/api/v1/app", "", nil)
	c.answer(t, "GET", "/api/v1/app", shown)
	if shown.body["smsToday"] != 4.0 {
		t.Errorf("%s", shown.raw)
	}
	capsByClient(ctx, t, w, one)
}

// make161 is a text of two segments.
func make161() []byte {
	b := make([]byte, 161)
	for i := range b {
		b[i] = 'a'
	}
	return b
}

// capsByClient changes the caps, and finds what cannot be one.
func capsByClient(ctx context.Context, t *testing.T, w *world, one tenant) {
	t.Helper()
	server := httptest.NewServer(w.handler)
	t.Cleanup(server.Close)
	admin, err := client.NewAdmin(client.Options{BaseURL: server.URL, AdminKey: adminKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(admin.Close)
	changed, err := admin.UpdateApp(ctx, "capped", client.AdminApp{SMSPerDay: new(client.Limit(5))})
	if err != nil || changed.SMSPerDay != 5 || len(changed.SMSPrefixes) != 2 {
		t.Fatalf("%+v %v", changed, err)
	}
	app := clientOf(t, w, one)
	if _, err := app.Send(ctx, client.Message{Channel: client.SMS, To: "233241234567", Body: "x", IdempotencyKey: "over"}); err != nil {
		t.Errorf("the key of a refused message is taken: %v", err)
	}
	var refused *client.Error
	if _, err := app.Send(ctx, client.Message{Channel: client.SMS, To: "447911123456", Body: "x"}); !errors.As(err, &refused) || refused.Code != "number_not_allowed" {
		t.Errorf("%v", err)
	}
	changed, err = admin.UpdateApp(ctx, "capped", client.AdminApp{SMSPerDay: new(client.Limit(0)), SMSPrefixes: &[]string{}})
	if err != nil || changed.SMSPerDay != 0 || len(changed.SMSPrefixes) != 0 {
		t.Fatalf("%+v %v", changed, err)
	}
	for range 3 {
		if _, err := app.Send(ctx, client.Message{Channel: client.SMS, To: "447911123456", Body: "x"}); err != nil {
			t.Errorf("without a cap: %v", err)
		}
	}
	for _, members := range []string{`"smsPerDay":0`, `"smsPerDay":-1`, `"smsPerDay":100000001`, `"smsPerDay":1.5`, `"smsPerDay":"5"`, `"smsPrefixes":["+233"]`, `"smsPrefixes":["0"]`, `"smsPrefixes":[""]`, `"smsPrefixes":["23 3"]`, `"smsPrefixes":["2331234567890123"]`, `"smsPrefixes":"233"`, `"smsPrefixes":null`, `"smsToday":0`, `"smsPrefixes":[233]`} {
		if got := w.root("PATCH", "/api/admin/apps/capped", "{"+members+"}"); got.status != 400 {
			t.Errorf("%s: %d %s", members, got.status, got.raw)
		}
		if got := w.root("POST", "/api/admin/apps", `{"name":"X","slug":"never",`+members+`}`); got.status != 400 {
			t.Errorf("%s in a new one: %d %s", members, got.status, got.raw)
		}
		if got := w.do(one, "PATCH", "/api/v1/app", "{"+members+"}", nil); got.status != 400 {
			t.Errorf("%s by the app itself: %d %s", members, got.status, got.raw)
		}
	}
}
