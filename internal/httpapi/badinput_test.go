package httpapi

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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

// without drops a member of a valid request.
func without(body, name string) string {
	for _, v := range []string{`"SMS"`, `"EMAIL"`, `"233241234567"`, `"a@example.com"`, `"x"`, `"s"`, `"<p>x</p>"`} {
		m := `"` + name + `":` + v
		body = strings.NewReplacer(m+",", "", ","+m, "", m, "").Replace(body)
	}
	return body
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

func bodies() []bad {
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	depth := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	var keys strings.Builder
	for i := range 70_000 {
		fmt.Fprintf(&keys, `,"k%d":1`, i)
	}
	far := time.Now().Add(400 * 24 * time.Hour).UTC().Format(time.RFC3339)
	return []bad{
		{"B1 empty", "", 400, "invalid_json"}, {"B2 null", "null", 400, "invalid_body"}, {"B2 array", "[]", 400, "invalid_body"},
		{"B2 string", `"x"`, 400, "invalid_body"}, {"B2 number", "42", 400, "invalid_body"}, {"B3 cut off", `{"channel":"SMS"`, 400, "invalid_json"},
		{"B4 second object", sms("") + "{}", 400, "trailing_data"}, {"B4 garbage", sms("") + " x", 400, "trailing_data"},
		{"B5 twice", `{"channel":"SMS","to":"233241234561","to":"233241234562","body":"x"}`, 400, "duplicate_field"},
		{"B6 case", `{"channel":"SMS","To":"233241234567","body":"x"}`, 400, "unknown_field"}, {"B6 upper", `{"channel":"SMS","to":"233241234567","BODY":"x"}`, 400, "unknown_field"},
		{"B7 typo", sms(`"schedualedAt":"2026-07-03T10:00:00Z"`), 400, "unknown_field"}, {"B8 deep", sms(`"metadata":` + deep), 400, "too_deep"},
		{"B8 deep elsewhere", sms(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), 400, "too_deep"},
		{"B9 utf-8", sms("\"from\":\"\xff\xfe\""), 400, "invalid_utf8"}, {"B10 surrogate", sms(`"from":"\ud800"`), 400, "invalid_utf8"},
		{"B11 bom", "\xef\xbb\xbf" + sms(""), 400, "invalid_json"}, {"B11 utf-16", "\xff\xfe{\x00}\x00", 400, "invalid_json"},
		{"B12 large", sms(`"body":"` + strings.Repeat("a", 1<<20) + `"`), 413, "body_too_large"}, {"B12 huge", strings.Repeat("a", 17<<20), 413, "body_too_large"},
		{"B16 many variables", `{"channel":"SMS","to":"233241234567","templateKey":"t","variables":{"a":1` + keys.String() + `}}`, 400, "too_many_fields"},
		{"S11 foreign member", sms(`"appId":"c"`), 400, "unknown_field"}, {"S11 status", sms(`"status":"SENT"`), 400, "unknown_field"},

		{"B25 missing", without(sms(""), "channel"), 400, "invalid_channel"}, {"B25 null", sms(`"channel":null`), 400, "invalid_channel"}, {"B25 case", sms(`"channel":"email"`), 400, "invalid_channel"},
		{"B25 push", sms(`"channel":"PUSH"`), 400, "invalid_channel"}, {"B25 number", sms(`"channel":1`), 400, "invalid_channel"}, {"B25 list", sms(`"channel":["SMS"]`), 400, "invalid_channel"},
		{"B26 missing", without(sms(""), "to"), 400, "invalid_to"}, {"B26 empty", sms(`"to":""`), 400, "invalid_to"}, {"B26 spaces", sms(`"to":"  "`), 400, "invalid_to"},
		{"B26 null", sms(`"to":null`), 400, "invalid_to"}, {"B26 number", sms(`"to":233241234567`), 400, "invalid_to"}, {"B26 list", sms(`"to":["233241234567"]`), 400, "invalid_to"},
		{"B27 plain", email(`"to":"plain"`), 400, ""}, {"B27 no domain", email(`"to":"a@"`), 400, ""}, {"B27 no local", email(`"to":"@b.c"`), 400, ""}, {"B27 two at", email(`"to":"a@b@c"`), 400, ""},
		{"B27 space", email(`"to":"a b@c.d"`), 400, ""}, {"B27 dots", email(`"to":"a@b..c"`), 400, ""}, {"B27 dash", email(`"to":"a@-b.c"`), 400, ""}, {"B27 dot first", email(`"to":".a@b.c"`), 400, ""},
		{"B27 dot last", email(`"to":"a.@b.c"`), 400, ""}, {"B28 quoted", email(`"to":"\"x@evil.com> ORCPT=a\"@ok.com"`), 400, ""}, {"B29 comma", email(`"to":"a@x.com,b@y.com"`), 400, "single_recipient"},
		{"B29 semicolon", email(`"to":"a@x.com;b@y.com"`), 400, "single_recipient"}, {"B29 group", email(`"to":"G: a@x.com;"`), 400, "single_recipient"},
		{"B30 header", email(`"to":"a@x.com\r\nBcc: b@y.com"`), 400, ""}, {"B31 name", email(`"to":"Name <a@x.com>"`), 400, ""}, {"B32 literal", email(`"to":"a@[127.0.0.1]"`), 400, ""},
		{"B32 localhost", email(`"to":"a@localhost"`), 400, ""}, {"B32 intranet", email(`"to":"a@intranet"`), 400, ""}, {"B33 local", email(`"to":"` + strings.Repeat("a", 65) + `@x.com"`), 400, ""},
		{"B33 whole", email(`"to":"a@` + strings.Repeat("abcdefgh.", 28) + `com"`), 400, ""}, {"B34 umlaut domain", email(`"to":"user@münchen.example"`), 202, ""},
		{"B35 umlaut local", email(`"to":"jürgen@example.com"`), 400, "smtputf8_unsupported"}, {"B36 cyrillic", email(`"to":"a@еxample.com"`), 202, ""},
		{"B37 plus", sms(`"to":"+233241234567"`), 202, ""}, {"B37 digits", sms(`"to":"233241234567"`), 202, ""}, {"B38 national", sms(`"to":"0241234567"`), 400, "invalid_phone"},
		{"B38 short", sms(`"to":"123"`), 400, "invalid_phone"}, {"B38 long", sms(`"to":"2332412345678901234"`), 400, "invalid_phone"}, {"B38 letters", sms(`"to":"23324abc4567"`), 400, "invalid_phone"},
		{"B38 plus alone", sms(`"to":"+"`), 400, "invalid_phone"}, {"B39 arabic", sms(`"to":"٢٣٣٢٤١٢٣٤٥٦٧"`), 400, ""}, {"B39 full width", sms(`"to":"２３３２４１２３４５６７"`), 400, ""},
		{"B40 spaces", sms(`"to":"233 24 123 4567"`), 400, ""}, {"B40 brackets", sms(`"to":"(233)-241234567"`), 400, ""}, {"B41 tel", sms(`"to":"tel:+233241234567"`), 400, ""},
		{"B41 ext", sms(`"to":"233241234567;ext=5"`), 400, ""}, {"B41 percent", sms(`"to":"233241234567%0a"`), 400, ""}, {"B42 email for sms", sms(`"to":"a@x.com"`), 400, ""}, {"B42 phone for email", email(`"to":"233241234567"`), 400, ""},

		{"B43 no body", without(sms(""), "body"), 400, "body_or_template"}, {"B44 both", sms(`"templateKey":"t"`), 400, "body_and_template"}, {"B45 empty", sms(`"body":""`), 400, "body_required"},
		{"B45 spaces", email(`"body":" \n "`), 400, "body_required"}, {"B46 gsm", sms(`"body":"` + strings.Repeat("a", 1531) + `"`), 400, "too_long"}, {"B46 gsm fits", sms(`"body":"` + strings.Repeat("a", 1530) + `"`), 202, ""},
		{"B46 ucs-2", sms(`"body":"` + strings.Repeat("ж", 671) + `"`), 400, "too_long"}, {"B46 ucs-2 fits", sms(`"body":"` + strings.Repeat("ж", 670) + `"`), 202, ""},
		{"B47 mail", email(`"body":"` + strings.Repeat("a", 513<<10) + `"`), 400, "too_long"}, {"B48 nul sms", sms(`"body":"a\u0000b"`), 400, "control_character"}, {"B48 nul mail", email(`"body":"a\u0000b"`), 400, "control_character"},
		{"B49 escape", sms(`"body":"a\u001bb"`), 400, "control_character"}, {"B49 tab", sms(`"body":"a\tb\r\nc"`), 202, ""}, {"B50 script", email(`"body":"<script>alert(1)</script>` + strings.Repeat("<b>", 10_000) + `"`), 202, ""},
		{"B51 dots", email(`"body":".\n..\n\n.\n\r` + strings.Repeat("x", 2000) + `"`), 202, ""}, {"B52 emoji", sms(`"body":"👩‍👩‍👧 \u200fעברית e` + strings.Repeat("\u0301", 100) + `"`), 202, ""},
		{"B53 no subject", without(email(""), "subject"), 400, "subject_required"}, {"B54 crlf", email(`"subject":"Hi\r\nBcc: x@y.z"`), 400, "control_character"}, {"B54 nul", email(`"subject":"a\u0000"`), 400, "control_character"},
		{"B54 line separator", email(`"subject":"a\u2028b"`), 202, ""}, {"B55 long", email(`"subject":"` + strings.Repeat("s", 999) + `"`), 400, "too_long"}, {"B56 subject of sms", sms(`"subject":"x"`), 400, "field_not_allowed"},
		{"B57 template", `{"channel":"SMS","to":"233241234567","templateKey":"nope"}`, 404, "template_not_found"}, {"B60 path", `{"channel":"SMS","to":"233241234567","templateKey":"../x"}`, 400, "invalid_template_key"},
		{"B60 space", `{"channel":"SMS","to":"233241234567","templateKey":"a b"}`, 400, "invalid_template_key"}, {"B60 empty", `{"channel":"SMS","to":"233241234567","templateKey":""}`, 400, "invalid_template_key"},
		{"B60 long", `{"channel":"SMS","to":"233241234567","templateKey":"` + strings.Repeat("a", 300) + `"}`, 400, "invalid_template_key"}, {"B63 list", sms(`"variables":[]`), 400, "invalid_variable"},
		{"B63 string", sms(`"variables":"x"`), 400, "invalid_variable"}, {"B63 null", sms(`"variables":null`), 400, "invalid_variable"}, {"B64 object", sms(`"variables":{"a":{}}`), 400, "invalid_variable"},
		{"B64 list", sms(`"variables":{"a":[]}`), 400, "invalid_variable"}, {"B64 null", sms(`"variables":{"a":null}`), 400, "invalid_variable"}, {"B68 empty name", sms(`"variables":{"":1}`), 400, "invalid_variable"},
		{"B68 long name", sms(`"variables":{"` + strings.Repeat("a", 300) + `":1}`), 400, "invalid_variable"}, {"B68 proto", `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":{"__proto__":"x"}}`, 202, ""},
		{"B58 of another app", `{"channel":"SMS","to":"233241234567","templateKey":"theirs"}`, 404, "template_not_found"}, {"B59 channel", `{"channel":"EMAIL","to":"a@example.com","templateKey":"proto","variables":{"__proto__":"x"}}`, 400, "template_channel_mismatch"},
		{"B59 the other", `{"channel":"SMS","to":"233241234567","templateKey":"mail"}`, 400, "template_channel_mismatch"}, {"B61 none", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail"}`, 422, "missing_variables"},
		{"B61 one", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"x"}}`, 422, "missing_variables"}, {"B62 extra", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"x","b":1.50,"c":true}}`, 202, ""},
		{"B63 list of a template", `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":[]}`, 400, "invalid_variable"}, {"B64 null of a template", `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":{"__proto__":null}}`, 400, "invalid_variable"},
		{"B65 placeholder", `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":{"__proto__":"{{other}}"}}`, 202, ""}, {"B66 html", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"x","b":"<img src=x onerror=alert(1)>"}}`, 202, ""},
		{"B67 subject", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"x\r\nBcc: b@example.com","b":"y"}}`, 422, "control_character"}, {"B67 inline subject", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","subject":"a\nb","variables":{"a":"x","b":"y"}}`, 400, "control_character"},
		{"B67 inline subject wins", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","subject":"s","text":"t","variables":{"b":"y"}}`, 202, ""}, {"B67 blank subject", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":" ","b":"y"}}`, 422, "subject_required"},
		{"B69 sms", `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":{"__proto__":"` + strings.Repeat("a", 200<<10) + `"}}`, 422, "too_long"}, {"B69 mail", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"x","b":"` + strings.Repeat("&", 200<<10) + `"}}`, 422, "too_long"},
		{"B69 subject", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"` + strings.Repeat("s", 999) + `","b":"y"}}`, 422, "too_long"}, {"NUL of a value", `{"channel":"EMAIL","to":"a@example.com","templateKey":"mail","variables":{"a":"x","b":"\u0000"}}`, 422, "control_character"},
		{"empty body of values", `{"channel":"SMS","to":"233241234567","templateKey":"proto","variables":{"__proto__":""}}`, 422, "body_required"}, {"template and body", `{"channel":"SMS","to":"233241234567","templateKey":"proto","body":"x"}`, 400, "body_and_template"},
		{"variables of an inline body", sms(`"variables":{"a":1}`), 400, "field_not_allowed"},

		{"B70 empty", sms(`"idempotencyKey":""`), 400, "invalid_idempotency_key"}, {"B70 long", sms(`"idempotencyKey":"` + strings.Repeat("k", 256) + `"`), 400, "invalid_idempotency_key"},
		{"B70 umlaut", sms(`"idempotencyKey":"ü"`), 400, "invalid_idempotency_key"}, {"B70 control", sms(`"idempotencyKey":"a\n"`), 400, "invalid_idempotency_key"}, {"B70 number", sms(`"idempotencyKey":42`), 400, "invalid_idempotency_key"},
		{"B76 word", sms(`"scheduledAt":"tomorrow"`), 400, "invalid_scheduled_at"}, {"B76 month", sms(`"scheduledAt":"2026-13-01T00:00:00Z"`), 400, "invalid_scheduled_at"}, {"B76 day", sms(`"scheduledAt":"2026-02-30T00:00:00Z"`), 400, "invalid_scheduled_at"},
		{"B76 number", sms(`"scheduledAt":1782000000`), 400, "invalid_scheduled_at"}, {"B76 empty", sms(`"scheduledAt":""`), 400, "invalid_scheduled_at"}, {"B77 no zone", sms(`"scheduledAt":"2026-07-03T10:00:00"`), 400, "timezone_required"},
		{"B78 offset", sms(`"scheduledAt":"2026-07-03T10:00:00+02:00"`), 202, ""}, {"B78 leap second", sms(`"scheduledAt":"2026-06-30T23:59:60Z"`), 400, "invalid_scheduled_at"}, {"B79 past", sms(`"scheduledAt":"2020-01-01T00:00:00.5Z"`), 202, ""},
		{"B79 before 1970", sms(`"scheduledAt":"1960-01-01T00:00:00Z"`), 202, ""}, {"B80 year 9999", sms(`"scheduledAt":"9999-01-01T00:00:00Z"`), 400, "too_far"}, {"B80 far", sms(`"scheduledAt":"` + far + `"`), 400, "too_far"},
		{"B81 crlf", email(`"from":"a@x.com\r\nBcc: b@y.com"`), 400, ""}, {"B81 two", email(`"from":"a@x.com, b@y.com"`), 400, ""}, {"B81 twelve letters", sms(`"from":"abcdefghijkl"`), 400, "invalid_from"},
		{"B81 emoji", sms(`"from":"Hi👋"`), 400, "invalid_from"}, {"B81 empty", sms(`"from":""`), 400, "invalid_from"}, {"B81 name", email(`"from":"MyApp <no-reply@example.com>"`), 202, ""},
		{"B82 17 KiB", sms(`"metadata":{"a":"` + strings.Repeat("x", 17<<10) + `"}`), 400, "invalid_metadata"}, {"B82 depth 9", sms(`"metadata":` + depth(9)), 400, "invalid_metadata"}, {"B82 depth 8", sms(`"metadata":` + depth(8)), 202, ""},
		{"B82 list", sms(`"metadata":[]`), 400, "invalid_metadata"}, {"B82 string", sms(`"metadata":"x"`), 400, "invalid_metadata"}, {"B83 overflow", sms(`"metadata":{"a":1e400}`), 400, "invalid_metadata"},
		{"B83 negative overflow", sms(`"metadata":{"a":[-1e999]}`), 400, "invalid_metadata"}, {"B83 number in a string", sms(`"metadata":{"a":"1e400 \" 1e999"}`), 202, ""},

		{"lane", sms(`"lane":"URGENT"`), 400, "invalid_field"}, {"ttl zero", sms(`"ttlSeconds":0`), 400, "invalid_field"}, {"ttl fraction", sms(`"ttlSeconds":1.5`), 400, "invalid_field"}, {"ttl text", sms(`"ttlSeconds":"60"`), 400, "invalid_field"},
		{"ttl huge", sms(`"ttlSeconds":99999999999`), 400, "invalid_field"}, {"eleven tags", sms(`"tags":["1","2","3","4","5","6","7","8","9","10","11"]`), 400, "invalid_field"}, {"empty tag", sms(`"tags":[""]`), 400, "invalid_field"},
		{"tag number", sms(`"tags":[1]`), 400, "invalid_field"}, {"cc of sms", sms(`"cc":["a@x.com"]`), 400, "field_not_allowed"}, {"bad cc", email(`"cc":["a@x.com","b"]`), 400, "invalid_field"}, {"bad reply-to", email(`"replyTo":"x"`), 400, "invalid_field"},
		{"header bcc", email(`"headers":{"Bcc":"a@x.com"}`), 400, "invalid_field"}, {"header crlf", email(`"headers":{"X-A":"a\r\nBcc: b"}`), 400, "invalid_field"}, {"header name", email(`"headers":{"X-A: b\r\nBcc":"a"}`), 400, "invalid_field"},
		{"header twice", email(`"headers":{"X-A":"a","x-a":"b"}`), 400, "duplicate_field"}, {"header ok", email(`"headers":{"X-Ref":"1","List-Unsubscribe":"<https://x.com/u>"}`), 202, ""},
		{"attachment without content", email(`"attachments":[{"filename":"a.txt","contentType":"text/plain"}]`), 400, "invalid_attachment"}, {"attachment path", email(`"attachments":[{"filename":"../a","contentType":"text/plain","content":""}]`), 400, "invalid_attachment"},
		{"attachment base64", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"a*b"}]`), 400, "invalid_attachment"}, {"attachment type", email(`"attachments":[{"filename":"a","contentType":"text","content":""}]`), 400, "invalid_attachment"},
		{"attachment multipart", email(`"attachments":[{"filename":"a","contentType":"multipart/mixed","content":""}]`), 400, "invalid_attachment"}, {"attachment unknown", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"","x":1}]`), 400, "unknown_field"},
		{"attachment ok", email(`"attachments":[{"filename":"ä.txt","contentType":"text/plain; charset=utf-8","content":"aGk="}]`), 202, ""},
		{"attachments of 11 MiB", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"` + base64.StdEncoding.EncodeToString(make([]byte, 11<<20)) + `"}]`), 413, "body_too_large"},
		{"large body beside a file", email(`"attachments":[{"filename":"a","contentType":"text/plain","content":"aGk="}],"text":"` + strings.Repeat("a", 1<<20) + `"`), 413, "body_too_large"},
		{"B21 sql", sms(`"body":"'; DROP TABLE apps;--","metadata":{"'; --":"\" OR 1=1"},"tags":["'; --"]`), 202, ""},
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

// TestBadBodies sends every bad input of the list: never 5xx, nothing stored unless it is a trap.
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
	one, two := w.tenant("one", comm.AllScopes), w.tenant("two", comm.AllScopes)
	off := w.tenant("off", comm.AllScopes, func(a *comm.App) { a.Active = false })
	reader := tenant{one.app, w.key(one.app, comm.ScopeRead)}
	other := one.key[:len(one.key)-1] + map[bool]string{true: "B", false: "A"}[one.key[len(one.key)-1] == 'A']
	for _, c := range []struct {
		name   string
		who    tenant
		set    map[string]string
		status int
		code   string
	}{
		{"B14 text", one, map[string]string{"Content-Type": "text/plain"}, 415, "unsupported_media_type"}, {"B14 none", one, map[string]string{"Content-Type": ""}, 415, "unsupported_media_type"},
		{"B14 utf-16", one, map[string]string{"Content-Type": "application/json; charset=utf-16"}, 415, "unsupported_media_type"}, {"utf-8", one, map[string]string{"Content-Type": "application/json; charset=UTF-8"}, 202, ""},
		{"B15 gzip", one, map[string]string{"Content-Encoding": "gzip"}, 415, "unsupported_media_type"}, {"B17 nothing", one, map[string]string{"X-App-ID": "", "X-API-Key": ""}, 401, "unauthenticated"},
		{"no app", one, map[string]string{"X-App-ID": ""}, 401, "unauthenticated"}, {"no key", one, map[string]string{"X-API-Key": ""}, 401, "unauthenticated"}, {"B18 key of another app", tenant{one.app, two.key}, nil, 401, "unauthenticated"},
		{"B19 two different", one, map[string]string{"Authorization": "Bearer " + two.key}, 401, "unauthenticated"}, {"two equal", one, map[string]string{"Authorization": "Bearer " + one.key}, 202, ""},
		{"B20 basic", one, map[string]string{"X-API-Key": "", "Authorization": "Basic " + one.key}, 401, "unauthenticated"}, {"B20 empty bearer", one, map[string]string{"X-API-Key": "", "Authorization": "Bearer "}, 401, "unauthenticated"},
		{"B20 long", one, map[string]string{"X-API-Key": "", "Authorization": "Bearer " + strings.Repeat("a", 10_000)}, 401, "unauthenticated"}, {"B21 space", one, map[string]string{"X-API-Key": one.key + " "}, 401, "unauthenticated"},
		{"B21 case", one, map[string]string{"X-API-Key": strings.ToUpper(one.key)}, 401, "unauthenticated"}, {"S3 checksum", one, map[string]string{"X-API-Key": other}, 401, "unauthenticated"},
		{"B23 path", one, map[string]string{"X-App-ID": "../flowbase"}, 401, "unauthenticated"}, {"B23 sql", one, map[string]string{"X-App-ID": "'; DROP TABLE apps;--"}, 401, "unauthenticated"},
		{"B23 long", one, map[string]string{"X-App-ID": strings.Repeat("a", 5000)}, 401, "unauthenticated"}, {"S1 inactive", off, nil, 401, "unauthenticated"}, {"B24 reader", reader, nil, 403, "insufficient_scope"},
		{"by id", one, map[string]string{"X-App-ID": one.app.ID.String()}, 202, ""},
	} {
		got := w.do(c.who, "POST", "/api/v1/messages", sms(""), c.set)
		if got.status != c.status || got.code() != c.code {
			t.Errorf("%s: %d %s", c.name, got.status, got.raw)
		}
		if c.status == 401 && string(got.raw) != unauthenticatedBody {
			t.Errorf("%s: another 401: %s", c.name, got.raw)
		}
	}
	got := w.do(tenant{}, "POST", "/api/v1/messages?api_key="+one.key, sms(""), map[string]string{"X-App-ID": "one"})
	if got.status != 401 || strings.Contains(w.log.String(), one.key) {
		t.Errorf("B22: %d, or the key is in the log", got.status)
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

func TestBadQueriesAndActions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := w.tenant("one", comm.AllScopes)
	id := w.do(one, "POST", "/api/v1/messages", sms(""), nil).str("id")
	for _, query := range []string{
		"limit=0", "limit=-1", "limit=101", "limit=abc", "limit=1e9", "limit=1&limit=2", "status=FOO", "status=queued", "status=", "channel=sms", "cursor=garbage", "cursor=",
		"nope=1", "createdAfter=yesterday", "createdBefore=2026-07-03", "limit=%zz", "a;b", "status=QUEUED%27--",
	} {
		if got := w.do(one, "GET", "/api/v1/messages?"+query, "", nil); got.status != 400 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	for _, query := range []string{"limit=100", "status=QUEUED&channel=SMS", "createdAfter=2020-01-01T00:00:00Z&createdBefore=2090-01-01T00:00:00%2B01:00"} {
		if got := w.do(one, "GET", "/api/v1/messages?"+query, "", nil); got.status != 200 || len(got.body["data"].([]any)) != 1 {
			t.Errorf("%s: %d %s", query, got.status, got.raw)
		}
	}
	for _, body := range []string{`{}`, `{"action":"cancel"}`, `{"action":"DELETE"}`, `{"action":"CANCEL","status":"SENT"}`, `{"action":1}`, `{"action":null}`, ``} {
		if got := w.do(one, "PATCH", "/api/v1/messages/"+id, body, map[string]string{"Content-Type": "application/json"}); got.status != 400 {
			t.Errorf("%s: %d %s", body, got.status, got.raw)
		}
	}
	for _, c := range []string{`{"sandboxMode":"false"}`, `{"sandboxMode":0}`, `{"onUnknownOutcome":"MAYBE"}`, `{"ratePerMinute":5}`, `{"slug":"x"}`, `{"webhookUrl":"http://example.com"}`, `{"webhookUrl":"https://127.0.0.1/x"}`, `[]`} {
		if got := w.do(one, "PATCH", "/api/v1/app", c, nil); got.status != 400 {
			t.Errorf("%s: %d %s", c, got.status, got.raw)
		}
	}
}
