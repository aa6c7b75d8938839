package hostile

import (
	"fmt"
	"strings"
	"testing"
)

// stored reads the message back and compares its body.
func stored(a *tenant, want string) func(t *testing.T, got answer) {
	return func(t *testing.T, got answer) {
		if body := a.do(t, "GET", messagesURL+"/"+got.str("id"), "").str("body"); body != want {
			t.Errorf("kept as %.100q, want %.100q", body, want)
		}
	}
}

func segments(want float64, encoding string) func(t *testing.T, got answer) {
	return func(t *testing.T, got answer) {
		if got.body["segments"] != want || got.body["encoding"] != encoding {
			t.Errorf("%v segments of %v, want %v of %s", got.body["segments"], got.body["encoding"], want, encoding)
		}
	}
}

// tellsSegments wants the number of segments in the refusal.
func tellsSegments(t *testing.T, got answer) {
	details, _ := got.body["details"].(map[string]any)
	if n, _ := details["segments"].(float64); n < 11 {
		t.Errorf("the refusal does not tell how many segments: %s", got.raw)
	}
}

func holding(m message, holds func(t *testing.T, got answer)) message {
	m.holds = holds
	return m
}

func contentLines() []line {
	rep := strings.Repeat
	var c0 []string
	for c := range rune(0x20) {
		if c != '\t' && c != '\n' && c != '\r' && c != 0 {
			c0 = append(c0, fmt.Sprintf(`"a\u%04xb"`, c))
		}
	}
	return []line{
		{number: 43, place: "body", says: "missing beside no templateKey: 400 body_or_template", tries: messages(times(sms, "body", 400, "body_or_template", "-"), times(email, "body", 400, "body_or_template", "-"),
			[]message{bad(email("body", "-", "text", `"x"`), 400, "body_or_template"), bad(sms("body", "-", "variables", `{"a":1}`), 400, "body_or_template")})},
		{number: 44, place: "body and templateKey", says: "both: 400 body_and_template", tries: messages(times(sms, "templateKey", 400, "body_and_template", `"proto"`, `"unknown"`), times(email, "templateKey", 400, "body_and_template", `"mail"`),
			[]message{bad(sms("templateKey", `"proto"`, "body", `""`), 400, "body_and_template")})},
		{number: 45, place: "body", says: "empty or space only: 400", tries: messages(times(sms, "body", 400, "body_required", quotes("", " ", "\t\r\n", "   \n  ", "\u00a0", "\u3000")...), times(email, "body", 400, "body_required", quotes("", " \n ", "\u2003")...),
			times(sms, "body", 400, "", "null", "1", "true", "[]", "{}", `["x"]`))},
		{number: 46, place: "body of an SMS", says: "over 10 segments: 400 too_long with segments", tries: func(_ *testing.T, a *tenant) []try {
			over := []message{bad(sms("body", quoted(rep("a", 1531))), 400, "too_long"), bad(sms("body", quoted(rep("ж", 671))), 400, "too_long"), bad(sms("body", quoted(rep("€", 766))), 400, "too_long"), bad(sms("body", quoted(rep("👋", 336))), 400, "too_long"), bad(sms("body", quoted(rep("a", 50_000))), 400, "too_long")}
			for i := range over {
				over[i].holds = tellsSegments
			}
			return a.carried(append(over, good(sms("body", quoted(rep("a", 1530))), segments(10, "GSM7")), good(sms("body", quoted(rep("ж", 670))), segments(10, "UCS2")),
				good(sms("body", quoted(rep("a", 160))), segments(1, "GSM7")), good(sms("body", quoted(rep("a", 161))), segments(2, "GSM7"))))
		}},
		{number: 47, place: "body, text of an email", says: "513 KiB: 400 too_long", tries: messages(times(email, "body", 400, "too_long", quoted(rep("a", 513<<10)), quoted(rep("é", 257<<10))), times(email, "text", 400, "too_long", quoted(rep("a", 513<<10))),
			[]message{good(email("body", quoted(rep("a", 512<<10))), nil)})},
		{number: 48, place: "body, text", says: "NUL: 400 control_character", tries: messages(times(sms, "body", 400, "control_character", `"a\u0000b"`, `"\u0000"`, `"a\u0000"`), times(email, "body", 400, "control_character", `"a\u0000b"`, `"<p>\u0000</p>"`), times(email, "text", 400, "control_character", `"a\u0000b"`))},
		{number: 49, place: "body of an SMS", says: "C0 controls but for tab, LF and CR: 400; those: taken", tries: messages(times(sms, "body", 400, "control_character", c0...), []message{good(sms("body", `"a\tb\r\nc\nd"`), nil)})},
		{number: 50, place: "body of an email", says: "scripts, javascript: links, 10,000 tags: taken", elsewhere: "that the console's preview stays inert: TestNothingRuns in test/browser",
			tries: messages([]message{good(email("body", quoted("<script>alert(1)</script><a href='javascript:alert(1)'>x</a>"+rep("<b>", 10_000))), nil), good(email("body", quoted("<img src=x onerror=alert(1)><svg/onload=alert(1)>")), nil),
				good(email("body", quoted("<!--")), nil), good(email("body", quoted("</html></body>"+rep("]]>", 100))), nil)})},
		{number: 51, place: "body of an email", says: "lines with dots, a bare CR, a line of 2,000: taken as they are", elsewhere: "the form on the wire: TestDots, TestNoCommandsAsContent in internal/provider/smtp",
			tries: func(_ *testing.T, a *tenant) []try {
				var list []message
				for _, body := range []string{".", "..", "x\n.\ny", "x\r\n.\r\nMAIL FROM:<a@b.c>\r\n", "a\rb", rep("x", 2000), "\n.\n", "x\r.\ry", "x\n\r.\r\ny"} {
					list = append(list, good(email("body", quoted(body)), stored(a, body)))
				}
				return a.carried(list)
			}},
		{number: 52, place: "body of an SMS", says: "emoji, right-to-left marks, joiners, combining marks: taken within size, counted right", tries: func(_ *testing.T, a *tenant) []try {
			return a.carried([]message{good(sms("body", quoted("👩‍👩‍👧")), segments(1, "UCS2")), good(sms("body", quoted("\u200fעברית\u202e")), segments(1, "UCS2")), good(sms("body", quoted("x"+rep("\u0301", 100))), segments(2, "UCS2")),
				good(sms("body", quoted(rep("👋", 36))), segments(2, "UCS2")), good(sms("body", quoted(rep("👋", 35))), segments(1, "UCS2")), bad(sms("body", quoted("x"+rep("\u0301", 1000))), 400, "too_long")})
		}},
		{number: 53, place: "subject of an email", says: "missing: 400 subject_required", tries: messages(times(email, "subject", 400, "subject_required", "-", `""`, `" "`, `"\u00a0"`, `"\n"`, `"\r\n"`))},
		{number: 54, place: "subject of an email", says: "CR, LF, NUL: 400; U+2028: encoded", tries: messages(times(email, "subject", 400, "control_character", quotes("Hi\r\nBcc: b@y.com", "a\nb", "a\rb", "a\u0000b", "a\u001bb", "a\u007fb")...),
			[]message{good(email("subject", quoted("a\u2028b")), nil), good(email("subject", quoted("=?utf-8?q?a=0ABcc?=")), nil), good(email("subject", quoted("é👋")), nil)})},
		{number: 55, place: "subject of an email", says: "999 bytes: 400 too_long", tries: messages(times(email, "subject", 400, "too_long", quoted(rep("s", 999)), quoted(rep("é", 500)), quoted(rep("s", 50_000))), []message{good(email("subject", quoted(rep("s", 998))), nil)})},
		{number: 56, place: "subject, and what else belongs to email alone", says: "with SMS: 400 field_not_allowed", tries: messages(times(sms, "subject", 400, "field_not_allowed", `"x"`), times(sms, "cc", 400, "field_not_allowed", `["a@example.com"]`), times(sms, "bcc", 400, "field_not_allowed", `["a@example.com"]`),
			times(sms, "replyTo", 400, "field_not_allowed", `"a@example.com"`), times(sms, "text", 400, "field_not_allowed", `"x"`), times(sms, "headers", 400, "field_not_allowed", `{"X-A":"1"}`),
			[]message{{name: "attachments", body: sms("attachments", `[{"filename":"a","contentType":"text/plain","content":""}]`), status: 400, code: "field_not_allowed"}})},
	}
}

// filled is a message of a template with values.
func filled(channel, to, key, variables string) string {
	return `{"channel":"` + channel + `","to":"` + to + `","templateKey":` + quoted(key) + `,"variables":` + variables + `}`
}

func ofSMS(variables string) string  { return filled("SMS", "233241234567", "proto", variables) }
func ofMail(variables string) string { return filled("EMAIL", "a@example.com", "mail", variables) }

// lists wants details.missing to be the names.
func lists(names ...string) func(t *testing.T, got answer) {
	return func(t *testing.T, got answer) {
		details, _ := got.body["details"].(map[string]any)
		if fmt.Sprint(details["missing"]) != fmt.Sprint(names) {
			t.Errorf("missing %v, want %v", details["missing"], names)
		}
	}
}

func templateLines() []line {
	rep := strings.Repeat
	noKey := func(key string) string { return sms("body", "-", "templateKey", key) }
	var names, wrong, objects []message
	for _, key := range []string{"../x", "a b", "", " ", "a/b", "a\\b", "a\u0000b", "é", "a'b", "a;b", "{{a}}", rep("a", 101), rep("a", 300)} {
		names = append(names, bad(noKey(quoted(key)), 400, "invalid_template_key"))
	}
	for _, v := range []string{"[]", `"x"`, "null", "1", "true", `[{"a":1}]`} {
		wrong = append(wrong, bad(ofSMS(v), 400, "invalid_variable"), bad(sms("variables", v), 400, "invalid_variable"))
	}
	for _, v := range []string{"{}", "[]", "null", `{"a":1}`, `["x"]`} {
		objects = append(objects, bad(ofSMS(`{"__proto__":`+v+`}`), 400, "invalid_variable"), bad(ofSMS(`{"__proto__":"x","other":`+v+`}`), 400, "invalid_variable"))
	}
	return []line{
		{number: 57, place: "templateKey", says: "unknown: 404 template_not_found", tries: messages([]message{bad(noKey(`"nope"`), 404, "template_not_found"), bad(noKey(`"Proto"`), 404, "template_not_found"), bad(noKey(`"PROTO"`), 404, "template_not_found"),
			bad(ofSMS(`{}`)[:0]+filled("EMAIL", "a@example.com", "nope", "{}"), 404, "template_not_found")})},
		{number: 58, place: "templateKey", says: "of another app: 404, as if it were not there", tries: messages([]message{bad(noKey(`"theirs"`), 404, "template_not_found"), bad(filled("SMS", "233241234567", "theirs", "{}"), 404, "template_not_found")})},
		{number: 59, place: "templateKey", says: "of the other channel: 400 template_channel_mismatch", tries: messages([]message{bad(filled("EMAIL", "a@example.com", "proto", `{"__proto__":"x"}`), 400, "template_channel_mismatch"), bad(filled("SMS", "233241234567", "mail", `{"a":"x","b":"y"}`), 400, "template_channel_mismatch"),
			bad(filled("SMS", "233241234567", "mail", `{}`), 400, "template_channel_mismatch")})},
		{number: 60, place: "templateKey", says: "a path, a space, 300 characters, nothing: 400", tries: messages(names, []message{bad(noKey("1"), 400, ""), bad(noKey("null"), 400, ""), bad(noKey("[]"), 400, "")})},
		{number: 61, place: "variables", says: "missing ones: 422 missing_variables with all of them", tries: messages([]message{
			holding(bad(ofMail(`{}`), 422, "missing_variables"), lists("a", "b")), holding(bad(ofMail(`{"a":"x"}`), 422, "missing_variables"), lists("b")), holding(bad(ofMail(`{"A":"x","b":"y"}`), 422, "missing_variables"), lists("a")),
			holding(bad(noKey(`"proto"`), 422, "missing_variables"), lists("__proto__")), holding(bad(ofSMS(`{"proto":"x"}`), 422, "missing_variables"), lists("__proto__"))})},
		{number: 62, place: "variables", says: "more than the template has: taken", tries: func(_ *testing.T, a *tenant) []try {
			return a.carried([]message{good(ofMail(`{"a":"x","b":1.50,"c":true,"d":"{{a}}"}`), stored(a, "<p>1.50</p>")), good(ofSMS(`{"__proto__":false,"x":""}`), stored(a, "false"))})
		}},
		{number: 63, place: "variables", says: "no object: 400", tries: messages(wrong)},
		{number: 64, place: "variables", says: "values that are objects, lists or null: 400 invalid_variable", tries: messages(objects)},
		{number: 65, place: "variables", says: "a value that looks like a placeholder: taken literally", tries: func(_ *testing.T, a *tenant) []try {
			return a.carried([]message{good(ofSMS(`{"__proto__":"{{other}}"}`), stored(a, "{{other}}")), good(ofSMS(`{"__proto__":"{{__proto__}}"}`), stored(a, "{{__proto__}}")), good(ofMail(`{"a":"{{b}}","b":"{{a}}"}`), stored(a, "<p>{{a}}</p>")),
				good(ofSMS(`{"__proto__":"${7*7} #{x} <%= x %> {%x%}"}`), stored(a, "${7*7} #{x} <%= x %> {%x%}"))})
		}},
		{number: 66, place: "variables of an email", says: "markup: taken, escaped", tries: func(_ *testing.T, a *tenant) []try {
			return a.carried([]message{good(ofMail(`{"a":"x","b":"<img src=x onerror=alert(1)>"}`), stored(a, "<p>&lt;img src=x onerror=alert(1)&gt;</p>")), good(ofMail(`{"a":"x","b":"</p><script>"}`), stored(a, "<p>&lt;/p&gt;&lt;script&gt;</p>"))})
		}},
		{number: 67, place: "variables", says: "a line break that would come into the subject: 422 control_character", tries: messages([]message{
			bad(ofMail(`{"a":"x\r\nBcc: b@y.com","b":"y"}`), 422, "control_character"), bad(ofMail(`{"a":"x\n","b":"y"}`), 422, "control_character"), bad(ofMail(`{"a":"\r","b":"y"}`), 422, "subject_required"), bad(ofMail(`{"a":"a\u0000","b":"y"}`), 422, "control_character"),
			bad(ofMail(`{"a":"x","b":"\u0000"}`), 422, "control_character"), bad(ofSMS(`{"__proto__":"\u001b"}`), 422, "control_character"), bad(ofMail(`{"a":" ","b":"y"}`), 422, "subject_required"), bad(ofSMS(`{"__proto__":""}`), 422, "body_required")})},
		{number: 68, place: "variables", says: "__proto__ is a name like others; an empty or long one: 400", tries: func(_ *testing.T, a *tenant) []try {
			return a.carried([]message{good(ofSMS(`{"__proto__":"x","constructor":"y","toString":"z"}`), stored(a, "x")), bad(ofSMS(`{"__proto__":"x","":1}`), 400, "invalid_variable"), bad(ofSMS(`{"__proto__":"x","`+rep("n", 300)+`":1}`), 400, "invalid_variable")})
		}},
		{number: 69, place: "variables", says: "values that make the result too long: 422 too_long", tries: messages([]message{bad(ofSMS(`{"__proto__":"`+rep("a", 200<<10)+`"}`), 422, "too_long"), bad(ofSMS(`{"__proto__":"`+rep("a", 1531)+`"}`), 422, "too_long"),
			bad(ofMail(`{"a":"x","b":"`+rep("&", 200<<10)+`"}`), 422, "too_long"), bad(ofMail(`{"a":"`+rep("s", 999)+`","b":"y"}`), 422, "too_long")})},
	}
}
