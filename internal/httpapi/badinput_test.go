package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

// bad is a request body that must be refused (or, with a 2xx status, a trap that must be accepted).
type bad struct {
	name, body string
	status     int
	code       string
}

// sms is a valid SMS with members replaced or added.
func sms(members string) string {
	return overlay(map[string]string{"channel": `"SMS"`, "to": `"233241234567"`, "body": `"x"`}, members)
}

// email is a valid email with members replaced or added.
func email(members string) string {
	return overlay(map[string]string{"channel": `"EMAIL"`, "to": `"a@example.com"`, "subject": `"s"`, "body": `"<p>x</p>"`}, members)
}

// overlay writes the members of base that extra does not name, then extra.
func overlay(base map[string]string, extra string) string {
	var parts []string
	for name, value := range base {
		if !strings.Contains(extra, `"`+name+`":`) {
			parts = append(parts, `"`+name+`":`+value)
		}
	}
	if extra != "" {
		parts = append(parts, extra)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func bodies() []bad {
	return []bad{
		{"S11 foreign member", sms(`"appId":"c"`), 400, "unknown_field"},
		{"S11 status", sms(`"status":"SENT"`), 400, "unknown_field"},
		{"NUL of a value", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"x","b":"\u0000"}}`, 422, "control_character"},
		{"empty body of values", `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":{"__proto__":""}}`, 422, "body_required"},
		{"template and body", `{"channel":"SMS","to":"233241234567","templateKey":"proto","body":"x"}`, 400, "body_and_template"},
		{"variables of an inline body", sms(`"variables":{"a":1}`), 400, "field_not_allowed"},
		{"lane", sms(`"lane":"URGENT"`), 400, "invalid_field"},
		{"ttl zero", sms(`"ttlSeconds":0`), 400, "invalid_field"},
		{"ttl fraction", sms(`"ttlSeconds":1.5`), 400, "invalid_field"},
		{"ttl text", sms(`"ttlSeconds":"60"`), 400, "invalid_field"},
		{"ttl huge", sms(`"ttlSeconds":99999999999`), 400, "invalid_field"},
		{"eleven tags", sms(`"tags":["1","2","3","4","5","6","7","8","9","10","11"]`), 400, "invalid_field"},
		{"empty tag", sms(`"tags":[""]`), 400, "invalid_field"},
		{"tag number", sms(`"tags":[1]`), 400, "invalid_field"},
		{"cc of sms", sms(`"cc":["a@x.com"]`), 400, "field_not_allowed"},
		{"bad cc", email(`"cc":["a@x.com","b"]`), 400, "invalid_field"},
		{"bad reply-to", email(`"replyTo":"x"`), 400, "invalid_field"},
		{"header bcc", email(`"headers":{"Bcc":"a@x.com"}`), 400, "invalid_field"},
		{"header crlf", email(`"headers":{"X-A":"a\r\nBcc: b"}`), 400, "invalid_field"},
		{"header name", email(`"headers":{"X-A: b\r\nBcc":"a"}`), 400, "invalid_field"},
		{"header twice", email(`"headers":{"X-A":"a","x-a":"b"}`), 400, "duplicate_field"},
		{"header ok", email(`"headers":{"X-Ref":"1","List-Unsubscribe":"<https://x.com/u>"}`), 202, ""},
		{"attachment without content", email(`"attachments":[{"filename":"a.txt","contentType":"text/plain"}]`), 400, "invalid_attachment"},
		{"attachment path", email(`"attachments":[{"filename":"../a","contentType":"text/plain","content":""}]`), 400, "invalid_attachment"},
		{"attachment base64", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"a*b"}]`), 400, "invalid_attachment"},
		{"attachment type", email(`"attachments":[{"filename":"a","contentType":"text","content":""}]`), 400, "invalid_attachment"},
		{"attachment multipart", email(`"attachments":[{"filename":"a","contentType":"multipart/mixed","content":""}]`), 400, "invalid_attachment"},
		{"attachment unknown", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"","x":1}]`), 400, "unknown_field"},
		{"attachment ok", email(`"attachments":[{"filename":"ä.txt","contentType":"text/plain; charset=utf-8","content":"aGk="}]`), 202, ""},
		{"attachments of 11 MiB", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"` + base64.StdEncoding.EncodeToString(make([]byte, 11<<20)) + `"}]`), 413, "body_too_large"},
		{"large body beside a file", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"aGk="}],"text":"` + strings.Repeat("a", 1<<20) + `"`), 413, "body_too_large"},
	}
}

// badTemplates makes the templates that bodies name.
func (w *world) badTemplates(one tenant) {
	w.t.Helper()
	w.template(w.tenant("two", comm.AllScopes), "theirs")
	for _, body := range []string{`{"key":"proto","channel":"SMS","body":"{{__proto__}}"}`, `{"key":"mail","channel":"EMAIL","subject":"{{a}}","body":"<p>{{b}}</p>","text":"{{a}}"}`} {
		if got := w.do(one, "POST", "/api/v1/templates", body, nil); got.status != 201 {
			w.t.Fatalf("%s", got.raw)
		}
	}
}

// TestBadBodies sends messages with bad members that are not in the list of bad inputs, which
// test/hostile goes through: nothing is stored unless it is a trap.
func TestBadBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	w.badTemplates(one)
	accepted := 0
	for _, c := range bodies() {
		got := w.do(one, "POST", "/api/v1/messages", c.body, map[string]string{"Content-Type": "application/json"})
		if got.status != c.status || c.code != "" && got.code() != c.code {
			t.Errorf("%s: %d %s, want %d %s: %.300s", c.name, got.status, got.code(), c.status, c.code, got.raw)
		}
		if got.status >= 400 && (got.code() == "" || got.str("error") == "" || len(got.raw) > 2000) {
			t.Errorf("%s: shape %.300s", c.name, got.raw)
		}
		if got.status == 202 {
			accepted++
		}
	}
	if n := w.count(one.app); n != accepted {
		t.Errorf("%d stored, %d accepted", n, accepted)
	}
	if strings.Contains(w.log.String(), "233241234567") || strings.Contains(w.log.String(), "DROP TABLE") {
		t.Error("the log holds an address or a body")
	}
}

func TestBadHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	off := w.tenant("off", comm.AllScopes, func(a *comm.App) { a.Active = false })
	other := one.key[:len(one.key)-1] + map[bool]string{true: "B", false: "A"}[one.key[len(one.key)-1] == 'A']
	for _, c := range []struct {
		name   string
		who    tenant
		set    map[string]string
		status int
		code   string
	}{
		{"two equal", one, map[string]string{"Authorization": "Bearer " + one.key}, 202, ""}, {"S3 checksum", one, map[string]string{"X-API-Key": other}, 401, "unauthenticated"},
		{"S1 inactive", off, nil, 401, "unauthenticated"}, {"by id", one, map[string]string{"X-App-ID": one.app.ID.String()}, 202, ""},
	} {
		got := w.do(c.who, "POST", "/api/v1/messages", sms(""), c.set)
		if got.status != c.status || got.code() != c.code {
			t.Errorf("%s: %d %s", c.name, got.status, got.raw)
		}
		if c.status == 401 && string(got.raw) != unauthenticatedBody {
			t.Errorf("%s: another 401: %s", c.name, got.raw)
		}
	}
	r := httptest.NewRequest("GET", "/api/v1/app", nil)
	r.Header["X-Api-Key"], r.Header["X-App-Id"] = []string{one.key, one.key}, []string{"one"}
	if got := w.send(r); got.status != 401 {
		t.Errorf("S2: a key sent twice: %d", got.status)
	}
	r = httptest.NewRequest("GET", "/api/v1/app", nil)
	r.Header["X-Other"] = make([]string, 100)
	if got := w.send(r); got.status != 431 || got.code() != "too_many_headers" {
		t.Errorf("S24: 101 headers: %d %s", got.status, got.raw)
	}
	r = httptest.NewRequest("GET", "/api/v1/messages?to="+strings.Repeat("a", 8<<10), nil)
	if got := w.send(r); got.status != 414 || got.code() != "request_line_too_long" {
		t.Errorf("S24: a long path: %d %s", got.status, got.raw)
	}
}

const unauthenticatedBody = `{"error":"Missing or invalid credentials: check X-App-ID and X-API-Key, and that app and key are active.","details":{"code":"unauthenticated"}}` + "\n"

// unprovisionedBody names the header that this door looks at.
const unprovisionedBody = `{"error":"Missing or invalid credentials: check X-Provisioning-Key.","details":{"code":"unauthenticated"}}` + "\n"

func TestBadChangesOfTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for _, c := range []string{`{"sandboxMode":"false"}`, `{"sandboxMode":0}`, `{"onUnknownOutcome":"MAYBE"}`, `{"ratePerMinute":5}`, `{"slug":"x"}`, `{"webhookUrl":"http://example.com"}`, `{"webhookUrl":"https://127.0.0.1/x"}`, `[]`} {
		if got := w.do(one, "PATCH", "/api/v1/app", c, nil); got.status != 400 {
			t.Errorf("%s: %d %s", c, got.status, got.raw)
		}
	}
}

// TestWhatIsNoTextIsRefused: a NUL, or bytes that are not UTF-8, in whatever is looked up. No database
// takes them, and PostgreSQL's refusal of them would look like an outage.
func TestWhatIsNoTextIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	for _, bad := range []string{"%00", "a%ff", "%ed%a0%80"} {
		for _, query := range []string{"/api/admin/queue?app=", "/api/admin/messages?app=", "/api/admin/messages?to=", "/api/admin/messages?app=one&tag=", "/api/admin/suppressions?app=", "/api/admin/suppressions?address=",
			"/api/admin/stats?app=", "/api/admin/audit?actor=", "/api/admin/apps?search="} {
			if got := w.root("GET", query+bad, ""); got.status != 400 || got.code() != "invalid_query" {
				t.Errorf("%s%s: %d %s", query, bad, got.status, got.raw)
			}
		}
		for _, query := range []string{"/api/v1/messages?to=", "/api/v1/messages?tag=", "/api/v1/messages?templateKey=", "/api/v1/sandbox/messages/wait?timeout=0&to=", "/api/v1/suppressions?address=", "/api/v1/persons/export?address="} {
			if got := w.do(one, "GET", query+bad, "", nil); got.status != 400 || got.code() != "invalid_query" {
				t.Errorf("%s%s: %d %s", query, bad, got.status, got.raw)
			}
		}
		if got := w.root("GET", "/api/admin/apps/"+bad, ""); got.status != 404 && got.status != 400 {
			t.Errorf("/api/admin/apps/%s: %d %s", bad, got.status, got.raw)
		}
	}
}
