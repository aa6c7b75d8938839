package hostile

import (
	"slices"
	"strings"
	"testing"
)

// messages is a line whose inputs are whole messages.
func messages(list ...[]message) func(*testing.T, *tenant) []try {
	return func(_ *testing.T, a *tenant) []try { return a.carried(slices.Concat(list...)) }
}

// recipients sends addresses that are refused to every place that takes one of the channel.
// The code is that of to; other places have their own.
func recipients(channel, code string, texts ...string) func(*testing.T, *tenant) []try {
	return func(_ *testing.T, a *tenant) []try {
		make := sms
		if channel == "EMAIL" {
			make = email
		}
		out := a.carried(times(make, "to", 400, code, quotes(texts...)...))
		for _, text := range texts {
			out = append(out,
				a.post("/api/v1/suppressions", `{"channel":"`+channel+`","address":`+quoted(text)+`}`, 400, ""),
				a.post("/api/v1/suppressions", spaced().write(parse(`{"reason":"manual","channel":"`+channel+`","address":`+quoted(text)+`}`)), 400, ""))
			if channel == "EMAIL" {
				for _, body := range []string{email("cc", "["+quoted(text)+"]"), email("bcc", `["b@example.com",`+quoted(text)+"]")} {
					out = append(out, a.post(messagesURL, body, 400, ""), a.post(previewURL, body, 400, ""))
				}
			}
		}
		return out
	}
}

// post is a try with a JSON body as the app.
func (a *tenant) post(path, body string, status int, code string) try {
	return try{name: "post", request: request{method: "POST", path: path, body: []byte(body), header: a.headers(jsonType())}, status: status, code: code}
}

// call is a try without a body, or with one when body is not empty.
func (a *tenant) call(method, path, body string, status int, code string) try {
	x := try{name: "call", request: request{method: method, path: path, header: a.headers(nil)}, status: status, code: code}
	if body != "" {
		x.body, x.header = []byte(body), a.headers(jsonType())
	}
	return x
}

// both runs the tries of several parts of a line.
func both(parts ...func(*testing.T, *tenant) []try) func(*testing.T, *tenant) []try {
	return func(t *testing.T, a *tenant) (out []try) {
		for _, part := range parts {
			out = append(out, part(t, a)...)
		}
		return out
	}
}

// sentTo looks the stored message up and compares its recipient.
func sentTo(a *tenant, want string) func(t *testing.T, got answer) {
	return func(t *testing.T, got answer) {
		if to := a.do(t, "GET", messagesURL+"/"+got.str("id"), "").str("toAddress"); to != want {
			t.Errorf("kept as %q, want %q", to, want)
		}
	}
}

func recipientLines() []line {
	word := []string{"", "sms", "email", "Email", "SMS ", " SMS", "SMS\u0000", "PUSH", "WHATSAPP", "ＳＭＳ", "SMS,EMAIL", "1", "null"}
	types := []string{"null", "1", "1.5", "true", "[]", "{}", `["SMS"]`, `{"a":"SMS"}`}
	return []line{
		{number: 25, place: "channel", says: "missing, null, another case, another word or type: 400 invalid_channel", tries: both(
			messages(times(sms, "channel", 400, "invalid_channel", "-"), times(sms, "channel", 400, "invalid_channel", types...), times(sms, "channel", 400, "invalid_channel", quotes(word...)...)),
			func(_ *testing.T, a *tenant) (out []try) {
				for _, value := range append(quotes(word...), types...) {
					out = append(out, a.post("/api/v1/suppressions", `{"address":"233241234567","channel":`+value+`}`, 400, "invalid_channel"),
						a.post("/api/v1/templates", `{"key":"k","body":"x","channel":`+value+`}`, 400, "invalid_channel"))
				}
				return out
			})},
		{number: 26, place: "to", says: "missing, empty, space, or no text: 400 invalid_to", tries: messages(
			times(sms, "to", 400, "invalid_to", "-", "null", `""`, `"  "`, `"\t\n"`, "233241234567", "1e11", "true", "[]", "{}", `["233241234567"]`, `{"number":"233241234567"}`),
			times(email, "to", 400, "invalid_to", "-", "null", `""`, `" "`, "1", "false", "[]", "{}", `["a@example.com"]`, `["a@example.com","b@example.com"]`))},
		{number: 27, place: "to of an email, and every other address of one", says: "no address: 400", tries: recipients("EMAIL", "invalid_to",
			"plain", "a@", "@b.c", "a@b@c", "a b@c.d", "a@b..c", "a@-b.c", "a@b-.c", ".a@b.c", "a.@b.c", "a..b@c.de", "@", "a@b.c ", " a@b.c", "a@b .c", "a@.b.c", "a@b.c.", "a(x)@b.com", "a\\b@c.com", "a@b_c.com", "a@b.c/d", "mailto:a@b.com")},
		{number: 28, place: "to of an email, and every other address of one", says: "quoted local parts: 400", tries: recipients("EMAIL", "invalid_to",
			`"x@evil.com> ORCPT=a"@ok.com`, `"a b"@c.com`, `"a"@b.com`, `"\"@evil.com"@ok.com`, `""@b.com`, `"a"."b"@c.com`, `a."b".c@d.com`)},
		{number: 29, place: "to of an email", says: "several addresses: 400 single_recipient", tries: messages(times(email, "to", 400, "single_recipient",
			quotes("a@x.com,b@y.com", "a@x.com;b@y.com", "G: a@x.com;", "a@x.com, b@y.com", "a@x.com; b@y.com;", "G: a@x.com, b@y.com;", "a@x.com,", ",a@x.com", "undisclosed-recipients:;")...))},
		{number: 30, place: "to of an email, and every other address of one", says: "line breaks and what follows them: 400", tries: recipients("EMAIL", "control_character",
			"a@x.com\r\nBcc: b@y.com", "a@x.com\nBcc: b@y.com", "a@x.com\r", "a@x.com\n", "a\r\n@x.com", "a@x.com\u0000", "a@x\u0000.com", "a@x.com\u2028Bcc: b@y.com", "a@x.com\u0085", "a@x.com\u007f", "a@x.com\t", "\u0000")},
		{number: 31, place: "to of an email", says: "a name before the address: 400", tries: recipients("EMAIL", "invalid_to",
			"Name <a@x.com>", "<a@x.com>", `"Name" <a@x.com>`, "a@x.com (Name)", "Name a@x.com", "<a@x.com", "a@x.com>", "<<a@x.com>>", "Name <a@x.com> x", "@route.com:a@x.com", "<@route.com:a@x.com>")},
		{number: 32, place: "to of an email, and every other address of one", says: "literals and names without a dot: 400", tries: recipients("EMAIL", "invalid_to",
			"a@[127.0.0.1]", "a@[IPv6:::1]", "a@127.0.0.1", "a@localhost", "a@intranet", "a@[::1]", "a@2130706433", "a@example.1", "a@0x7f.1")},
		{number: 33, place: "to of an email, and every other address of one", says: "a local part of 65, an address of 255 bytes: 400", tries: recipients("EMAIL", "invalid_to",
			strings.Repeat("a", 65)+"@x.com", "a@"+strings.Repeat("abcdefgh.", 28)+"com", "a@"+strings.Repeat("a", 64)+".com", strings.Repeat("a", 5000)+"@x.com", "a@"+strings.Repeat("ü", 60)+".com")},
		{number: 34, place: "to of an email", says: "a domain in letters: taken, as xn--", tries: taken(email, "to", map[string]string{
			"user@münchen.example": "user@xn--mnchen-3ya.example", "user@MÜNCHEN.example": "user@xn--mnchen-3ya.example", "user@例え.example": "user@xn--r8jz45g.example", "user@xn--mnchen-3ya.example": "user@xn--mnchen-3ya.example"})},
		{number: 35, place: "to of an email, and every other address of one", says: "other letters before the @: 400 smtputf8_unsupported", tries: recipients("EMAIL", "smtputf8_unsupported",
			"jürgen@example.com", "用户@example.com", "a\u200b@example.com", "Ｊ@example.com", "é.b@example.com")},
		{number: 36, place: "to of an email", says: "a look-alike domain: taken, shown as xn--", tries: taken(email, "to", map[string]string{"a@еxample.com": "a@xn--xample-2of.com"}),
			elsewhere: "in the console, which shows it as it is stored: TestNothingRuns in test/browser opens every page"},
		{number: 37, place: "to of an SMS, and address of a suppression", says: "with and without +: taken, one form", tries: taken(sms, "to", map[string]string{"+233241234568": "233241234568", "233241234568": "233241234568"}), scene: onePhone},
		{number: 38, place: "to of an SMS, and address of a suppression", says: "national, short, long, or with letters: 400 invalid_phone", tries: recipients("SMS", "invalid_phone",
			"0241234567", "123", "2332412345678901234", "23324abc4567", "+", "++233241234567", "233241234567+", "00233241234567", "-233241234567", "2332412345.67", "1", "0", "+0241234567")},
		{number: 39, place: "to of an SMS, and address of a suppression", says: "digits of other scripts: 400", tries: recipients("SMS", "invalid_phone",
			"٢٣٣٢٤١٢٣٤٥٦٧", "２３３２４１２３４５６７", "२३३२४१२३४५६७", "23324123456７", "²³³²⁴¹²³⁴⁵⁶⁷", "𝟚𝟛𝟛𝟚𝟜𝟙𝟚𝟛𝟜𝟝𝟞𝟟")},
		{number: 40, place: "to of an SMS, and address of a suppression", says: "spaces, dashes, brackets: 400 with a hint", tries: recipients("SMS", "invalid_phone",
			"233 24 123 4567", "(233)-241234567", "233-24-123-4567", "233.24.123.4567", " 233241234567", "233241234567 ", "+233 241234567", "233/241234567", "233\u00a0241234567", "233\u200b241234567")},
		{number: 41, place: "to of an SMS, and address of a suppression", says: "URIs, extensions, escapes: 400", tries: recipients("SMS", "",
			"tel:+233241234567", "sms:233241234567", "233241234567;ext=5", "233241234567x5", "233241234567,5", "233241234567%0a", "%2B233241234567", "233241234567\r\n", "233241234567\u0000", "233241234567#", "*#06#", "233241234567;233241234568")},
		{number: 42, place: "to, and address of a suppression", says: "an address of the other channel: 400", tries: both(
			recipients("SMS", "invalid_phone", "a@x.com", "ama@example.com"), recipients("EMAIL", "invalid_to", "233241234567", "+233241234567", "0241234567"))},
	}
}

// taken sends values that must be accepted and looks at how the recipient is kept.
func taken(make func(...string) string, name string, values map[string]string) func(*testing.T, *tenant) []try {
	return func(_ *testing.T, a *tenant) []try {
		var list []message
		for value, kept := range values {
			list = append(list, good(make(name, quoted(value)), sentTo(a, kept)))
		}
		return a.carried(list)
	}
}

// onePhone puts a number on the list in one form and finds it in the other.
func onePhone(t *testing.T, a *tenant) int {
	if got := a.do(t, "POST", "/api/v1/suppressions", `{"channel":"SMS","address":"+233241234561"}`); got.status != 201 {
		t.Errorf("%d %s", got.status, got.raw)
	}
	if got := a.do(t, "POST", "/api/v1/suppressions", `{"channel":"SMS","address":"233241234561"}`); got.status != 200 {
		t.Errorf("the same in another form: %d %s", got.status, got.raw)
	}
	for _, to := range []string{"233241234561", "+233241234561"} {
		id := a.do(t, "POST", messagesURL, sms("to", quoted(to))).str("id")
		a.waitFor(t, id, "SUPPRESSED")
	}
	return 2
}
