package admin

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/test/pgtest"
)

func TestCallbacksRotateOnSQLite(t *testing.T) {
	t.Parallel()
	d := newDoor(t, file(t, time.Now), newRing(t), time.Now)
	callbacksRotate(d, d)
}

// On PostgreSQL a second node takes the reports, which nobody tells of the change.
func TestCallbacksRotateOnPostgreSQL(t *testing.T) {
	t.Parallel()
	at, ring := pgtest.Database(t), newRing(t)
	callbacksRotate(newDoor(t, node(t, at), ring, time.Now), newDoor(t, node(t, at), ring, time.Now))
}

const authToken = "0123456789abcdef0123456789abcdef"

// report posts to a callback URL as Twilio does, which signs the URL, and answers the status.
func (d *door) report(callback string) int {
	d.t.Helper()
	mac := hmac.New(sha1.New, []byte(authToken))
	mac.Write([]byte(callback + "MessageSidSM1MessageStatusdelivered"))
	q := httptest.NewRequest("POST", strings.TrimPrefix(callback, "http://localhost:3008"), strings.NewReader(url.Values{"MessageSid": {"SM1"}, "MessageStatus": {"delivered"}}.Encode()))
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	q.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	rec := httptest.NewRecorder()
	d.handler.ServeHTTP(rec, q)
	return rec.Code
}

// answers waits until reports to a callback URL are answered with a status.
func (d *door) answers(what, callback string, status int) {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := d.report(callback)
		if got == status {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("%s: %d, want %d", what, got, status)
		}
	}
}

// callbacksRotate rotates the callback URLs of an app's configuration and of one of the server at one node, and reports at another.
func callbacksRotate(here, there *door) {
	t := here.t
	app, _ := here.made("rotated", `"scopes":["SEND","READ","PROVIDERS"]`)
	stranger, _ := here.made("stranger", `"scopes":["SEND","READ","PROVIDERS"]`)
	body := `{"providerType":"TWILIO","config":{"accountSid":"AC0123456789abcdef0123456789abcdef","authToken":"` + authToken + `","senderId":"Bank"}}`
	for _, x := range []struct {
		as   key
		path string
	}{{app, "/api/v1/provider-configs"}, {key{}, "/api/admin/provider-configs"}} {
		made := here.do(x.as, "POST", x.path, body)
		first, path := made.str("callbackUrl"), x.path+"/"+made.str("id")
		if made.status != 201 || first == "" || made.body["previousCallbackEndsAt"] != nil {
			t.Fatalf("%d %s", made.status, made.raw)
		}
		there.answers("the first URL", first, 200)
		rotate := func(body string) string {
			t.Helper()
			got := here.do(x.as, "POST", path+"/rotate-callback", body)
			if got.status != 200 || got.str("callbackUrl") == "" {
				t.Fatalf("%d %s", got.status, got.raw)
			}
			if (got.body["previousCallbackEndsAt"] != nil) != strings.Contains(body, "overlap") {
				t.Errorf("%s: %s", body, got.raw)
			}
			return got.str("callbackUrl")
		}
		second := rotate(`{"overlapSeconds":604800}`)
		there.answers("the second URL", second, 200)
		if got := there.report(first); got != 200 || first == second {
			t.Errorf("the first URL during the overlap: %d", got)
		}
		// Other changes keep both.
		if got := here.do(x.as, "PATCH", path, `{"name":"Renamed"}`); got.status != 200 || got.str("callbackUrl") != second || got.body["previousCallbackEndsAt"] == nil {
			t.Errorf("%d %s", got.status, got.raw)
		}
		if got := there.report(first); got != 200 {
			t.Errorf("the first URL after another change: %d", got)
		}
		third := rotate(`{"overlapSeconds":1}`)
		there.answers("the third URL", third, 200)
		if got := there.report(first); got != 200 {
			t.Errorf("the first URL after another rotation, within its overlap: %d", got)
		}
		there.answers("the second URL after its overlap", second, 404)
		fourth := rotate(`{}`)
		there.answers("the fourth URL", fourth, 200)
		there.answers("the third URL, without an overlap", third, 404)

		for _, bad := range []string{`{"overlapSeconds":-1}`, `{"overlapSeconds":604801}`, `{"overlapSeconds":"1"}`, `{"token":"x"}`} {
			if got := here.do(x.as, "POST", path+"/rotate-callback", bad); got.status != 400 {
				t.Errorf("%s: %d %s", bad, got.status, got.raw)
			}
		}
		if got := here.do(stranger, "POST", "/api/v1/provider-configs/"+made.str("id")+"/rotate-callback", `{}`); got.status != http.StatusNotFound {
			t.Errorf("another app: %d %s", got.status, got.raw)
		}
		if got := there.report(fourth); got != 200 {
			t.Errorf("after refused rotations: %d", got)
		}
		log := here.do(key{}, "GET", "/api/admin/audit?target="+made.str("id"), "")
		rotations := 0
		for _, e := range log.items() {
			if e.str("action") == comm.AuditProviderUpdated && strings.Contains(log.raw, "config."+comm.CallbackRotatedAt) {
				if detail, ok := e.body["detail"].(map[string]any); ok && detail["config."+comm.CallbackRotatedAt] != nil {
					rotations++
				}
			}
		}
		token := func(u string) string { return u[strings.LastIndexByte(u, '/')+1:] }
		if rotations != 3 || strings.Contains(log.raw, token(first)) || strings.Contains(log.raw, token(fourth)) {
			t.Errorf("%d rotations in the audit log: %s", rotations, log.raw)
		}
	}
	smtp := here.do(app, "POST", "/api/v1/provider-configs", `{"providerType":"SMTP","config":{"host":"mail.example.com","from":"no-reply@example.com"}}`)
	if got := here.do(app, "POST", "/api/v1/provider-configs/"+smtp.str("id")+"/rotate-callback", `{}`); got.status != 409 || got.code() != "invalid_state" {
		t.Errorf("a type that reports nothing: %d %s", got.status, got.raw)
	}
}
