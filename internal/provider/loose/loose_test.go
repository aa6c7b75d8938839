package loose

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
	"github.com/commserver/commserver/internal/provider/web"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "x", "{", `{"a":1} {"b":2}`, "null", "<html>", "Warning: x\n{}", "\x00"} {
		if v := Parse([]byte(body)); v.Here() {
			t.Errorf("%q was read as JSON", body)
		}
	}
	if v := Parse([]byte("\xef\xbb\xbf {\"status\": 0}\r\n")); v.Get("status").Text() != "0" {
		t.Error("a byte order mark hides the answer")
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	v := Parse([]byte(`{"MessageID":"a","message id":"b","messageid":"c","Status":null,"invalid numbers":["0233"],"id":12345678901234567890}`))
	tests := []struct {
		names []string
		want  string
	}{
		{[]string{"messageid"}, "c"},                       // as it is written before any other spelling
		{[]string{"message_id"}, "a"},                      // else the first in alphabetical order: the same each time
		{[]string{"status", "id"}, "12345678901234567890"}, // null is absent; no digit of a large number is lost
		{[]string{"nothing"}, ""},
	}
	for _, test := range tests {
		for range 20 { // maps have no order
			if got := v.Get(test.names...).Text(); got != test.want {
				t.Fatalf("%v: %q, want %q", test.names, got, test.want)
			}
		}
	}
	if n := len(v.Get("invalid_numbers").List()); n != 1 {
		t.Errorf("%d invalid numbers", n)
	}
	if Parse([]byte(`["x"]`)).Get("x").Here() || (Value{}).Get("x").Here() {
		t.Error("what is no object has members")
	}
}

func TestIntAndText(t *testing.T) {
	t.Parallel()
	tests := []struct {
		json string
		n    int
		ok   bool
		text string
	}{
		{`0`, 0, true, "0"}, {`"0"`, 0, true, "0"}, {`" 12 "`, 12, true, "12"}, {`1701`, 1701, true, "1701"}, {`1.0`, 1, true, "1.0"}, {`1.5`, 0, false, "1.5"},
		{`""`, 0, false, ""}, {`null`, 0, false, ""}, {`true`, 0, false, "true"}, {`"x"`, 0, false, "x"}, {`[0]`, 0, false, ""}, {`{}`, 0, false, ""}, {`1e300`, 0, false, "1e300"},
		{`"` + strings.Repeat("9", MaxText+1) + `"`, 0, false, ""},
	}
	for _, test := range tests {
		v := Parse([]byte(test.json))
		if n, ok := v.Int(); n != test.n || ok != test.ok {
			t.Errorf("Int of %.20s: %d, %v", test.json, n, ok)
		}
		if got := v.Text(); got != test.text {
			t.Errorf("Text of %.20s: %q", test.json, got)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	v := Parse([]byte(`{"sender":["too long","bad"],"a":{"b":"c"},"n":4}`))
	if got := v.Words(); got != "a: b: c n: 4 sender: too long bad" {
		t.Errorf("%q", got)
	}
	if got := Parse([]byte(`"Just Text"`)).Words(); got != "Just Text" {
		t.Errorf("%q", got)
	}
}

// TestVocabulary names every word of the providers' pages, in the spellings that were seen.
func TestVocabulary(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		words    []string
		suppress string
		fate     provider.Fate
	}{
		"delivered":   {[]string{"DELIVERED", "Delivered", "delivered", "DELIVRD", "delivrd"}, "", provider.Delivered},
		"on its way":  {[]string{"SUBMITTED", "QUEUED", "ACCEPTD", "SENT", "Sent", "Pending", "ENROUTE", "submitted", "SANDBOXED", "Accepted"}, "", provider.OnItsWay},
		"undelivered": {[]string{"NOT_DELIVERED", "not delivered", "UNDELIV", "EXPIRED", "REJECTD", "FAILED", "PROHIBITED", "Undeliverable", "Undelivered", "Failed", "Expired", "Rejected", "Unrouteable", "NACK", "NACK/0x0000000b/Invalid Destination Address", "DELETED", "Invalid Source Address"}, "", provider.Undelivered},
		"opted out":   {[]string{"Blacklisted", "BLACKLISTED"}, comm.SuppressUnsubscribed, provider.Undelivered},
		"no number":   {[]string{"Invalid Destination Address", "invalid_destination"}, comm.SuppressHardBounce, provider.Undelivered},
		"unknown":     {[]string{"UNKNOWN", "", "1", "42", "Error", "ERROR", "Delivered to nobody", "UNDELIVEREDX", "sent?"}, "", provider.Noted},
	}
	for name, test := range tests {
		for _, word := range test.words {
			r := Spelling{}.Say(word)
			if r.Fate != test.fate || r.Suppress != test.suppress || r.Correctable != (test.fate == provider.Undelivered) || r.Text == "" {
				t.Errorf("%s: %q becomes %+v", name, word, r)
			}
		}
	}
}

// TestOwnWords: a provider's own words count before the Vocabulary, and for it alone.
func TestOwnWords(t *testing.T) {
	t.Parallel()
	own := Spelling{Own: []Word{{Words: []string{"error"}, Fate: provider.Undelivered, Text: "no"}, {Words: []string{"sent"}, Fate: provider.Delivered, Text: "yes"}}}
	for word, want := range map[string]provider.Fate{"Error": provider.Undelivered, "SENT": provider.Delivered, "Pending": provider.OnItsWay, "x": provider.Noted} {
		if r := own.Say(word); r.Fate != want {
			t.Errorf("%q becomes %+v", word, r)
		}
	}
	if r := (Spelling{}).Say("sent"); r.Fate != provider.OnItsWay {
		t.Errorf("a word of one provider changes another's: %+v", r)
	}
}

// TestVocabularyIsOne wants every word once and in the form in which words are compared.
func TestVocabularyIsOne(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range Vocabulary() {
		for _, w := range row.Words {
			if seen[w] || w != Fold(w) {
				t.Errorf("%q stands twice, or is not folded", w)
			}
			seen[w] = true
		}
		if row.Suppress != "" && (row.Fate != provider.Undelivered || !reasons()[row.Suppress]) {
			t.Errorf("%v suppresses with %q", row.Words, row.Suppress)
		}
	}
}

func reasons() map[string]bool {
	out := map[string]bool{}
	for _, w := range comm.SuppressionReasons() {
		out[w.Code] = true
	}
	return out
}

func TestCode(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"DELIVRD": "DELIVRD", " Not Delivered! ": "Not Delivered", "NACK/0x0000000b": "NACK/0x0000000b", "0244000000": "unreadable", "024 400 0000": "unreadable", "0244 001 234": "unreadable", "233244000000": "unreadable", "err 233 244 000": "unreadable",
		"a\nb<script>": "abscript", "ɛ": "", strings.Repeat("x", 100): strings.Repeat("x", maxCode),
	} {
		if got := Code(word); got != want {
			t.Errorf("%q becomes %q, want %q", word, got, want)
		}
	}
}

// callback makes one as it comes in.
func callback(t testing.TB, method, query, contentType, body string) *provider.Callback {
	t.Helper()
	u, err := url.Parse("https://gw.example/api/callbacks/arkesel/c0mzz8h2k1234567890abcdef/token?" + query)
	if err != nil {
		t.Fatal(err)
	}
	return &provider.Callback{Method: method, URL: u, Header: http.Header{"Content-Type": {contentType}}, Body: []byte(body), At: time.Unix(1783425600, 0)}
}

const messageID = "c0mzz8h2k1234567890abcdef"

func TestRead(t *testing.T) {
	t.Parallel()
	s := Spelling{Ref: []string{"sms_id", "id"}, Status: []string{"status", "description"}, At: []string{"at"}}
	named := "cs_m=" + messageID + "&cs_a=2"
	boundary := "--x\r\nContent-Disposition: form-data; name=\"sms_id\"\r\n\r\nabc\r\n--x\r\nContent-Disposition: form-data; name=\"status\"\r\n\r\nDELIVRD\r\n--x--\r\n"
	tests := []struct {
		name                    string
		query, kind, body, want string // want: "ref/attempt/fate" of each report
	}{
		{"query", "sms_id=abc&status=DELIVERED", "", "", "abc/0/delivered"},
		{"query with our own", named + "&sms_id=abc&status=UNDELIV", "", "", "abc/2/undelivered"},
		{"our own alone and a status", named + "&status=DELIVRD", "", "", "/2/delivered"},
		{"our own alone", named, "", "", ""},
		{"a greeting", "", "", "", ""},
		{"JSON", "", "application/json", `{"sms_id":"abc","status":"DELIVERED"}`, "abc/0/delivered"},
		{"JSON that is called a form", "", "application/x-www-form-urlencoded", `{"SmsId":77,"Status":"Delivered"}`, "77/0/delivered"},
		{"JSON beside our own", named, "application/json", `{"sms_id":"abc","status":"sent"}`, "abc/2/on its way"},
		{"a list", named, "application/json", `[{"id":"a","status":"DELIVRD"},{"id":"b","status":"EXPIRED"},7]`, "a/0/delivered b/0/undelivered"},
		{"wrapped", "", "application/json", `{"event":"dlr","data":{"id":"a","status":"Pending"}}`, "a/0/on its way"},
		{"wrapped list", "", "application/json", `{"status":"success","reports":[{"id":"a","status":"Failed"},{"id":"b"}]}`, "a/0/undelivered b/0/noted"},
		{"form", "", "application/x-www-form-urlencoded", "sms_id=abc&status=REJECTD", "abc/0/undelivered"},
		{"form without a type", "", "", "sms_id=a+b&status=DELIVRD&status=EXPIRED", "a b/0/undelivered"},
		{"multipart", "", "multipart/form-data; boundary=x", boundary, "abc/0/delivered"},
		{"query counts first", "sms_id=abc&status=DELIVERED", "application/json", `{"sms_id":"x","status":"FAILED"}`, "abc/0/delivered"},
		{"half and half", "sms_id=abc", "application/json", `{"status":"FAILED"}`, "abc/0/undelivered"},
		{"unknown word", "sms_id=abc&status=what", "", "", "abc/0/noted"},
		{"no status", "sms_id=abc", "", "", ""},
		{"no id", "status=DELIVERED", "", "", ""},
		{"a number beside a word", "", "application/json", `{"id":"a","status":0,"description":"Delivered"}`, "a/0/delivered"},
		{"a word beside a number", "", "application/json", `{"id":"a","status":"Delivered","description":"x"}`, "a/0/delivered"},
		{"numbers alone", "", "application/json", `{"id":"a","status":0,"description":4}`, "a/0/noted"},
		{"an id that is none", "", "application/json", `{"id":"ɛ","status":"sent"}`, ""},
		{"prose", "", "text/plain", "hello", "error"},
		{"prose beside a query", "sms_id=abc&status=DELIVERED", "text/plain", "hello", "abc/0/delivered"},
		{"XML", "", "text/xml", `<dlr id="a"/>`, "error"},
	}
	fates := map[provider.Fate]string{provider.Noted: "noted", provider.OnItsWay: "on its way", provider.Delivered: "delivered", provider.Undelivered: "undelivered"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			reports, err := s.Read(callback(t, "POST", test.query, test.kind, test.body))
			got := []string{}
			for _, r := range reports {
				if r.Message.IsZero() != (r.Attempt == 0) {
					t.Errorf("message and attempt do not go together: %+v", r)
				}
				got = append(got, r.Ref+"/"+string(rune('0'+r.Attempt))+"/"+fates[r.Fate])
			}
			if err != nil {
				got = append(got, "error")
			}
			if text := strings.Join(got, " "); text != test.want {
				t.Errorf("%s, want %s", text, test.want)
			}
		})
	}
}

// TestReadIsBounded: a callback with more reports than any provider sends.
func TestReadIsBounded(t *testing.T) {
	t.Parallel()
	s := Spelling{Ref: []string{"id"}, Status: []string{"status"}}
	body := "[" + strings.Repeat(`{"id":"a","status":"sent"},`, maxReports+5) + "{}]"
	reports, err := s.Read(callback(t, "POST", "", "application/json", body))
	if err != nil || len(reports) != maxReports {
		t.Errorf("%d reports, %v", len(reports), err)
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 7, 7, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{"2026-07-07T12:00:00Z", "2026-07-07T14:00:00+02:00", "2026-07-07 12:00:00", "2026-07-07 12:00", "1783425600", "1783425600000"} {
		if got := Time(text); !got.Equal(want) {
			t.Errorf("%s is read as %v", text, got)
		}
	}
	for _, text := range []string{"", "now", "0", "-5", "99999999999999999999", "0001-01-01T00:00:00Z", "9999-01-01 00:00:00", "07/07/2026"} {
		if got := Time(text); !got.IsZero() {
			t.Errorf("%s is read as %v", text, got)
		}
	}
}

func TestRef(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{" 7FE4A62A-96EB ": "7FE4A62A-96EB", "a\nb": "", "ɛ": "", strings.Repeat("x", maxRef+1): "", "api.0001.20261": "api.0001.20261"} {
		if got := Ref(text); got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}

func TestHex(t *testing.T) {
	t.Parallel()
	const dashed = "c33b6a5d-b734-4929-986f-6de59b1646d1"
	for _, ref := range []string{dashed, "C33B6A5DB7344929986F6DE59B1646D1", "c33b6a5db7344929986f6de59b1646d1", "C33B6A5D-B734-4929-986F-6DE59B1646D1"} {
		if Hex(ref) != dashed || UpperHex(ref) != strings.ToUpper(dashed) {
			t.Errorf("%s becomes %s and %s", ref, Hex(ref), UpperHex(ref))
		}
	}
	for ref, want := range map[string][2]string{
		"": {"", ""}, "9a173D19": {"9a173d19", "9A173D19"}, "4711": {"4711", "4711"}, "API.8c2D": {"API.8c2D", "API.8c2D"}, "-": {"-", "-"}, "a-B": {"a-b", "A-B"}, "xY": {"xY", "xY"},
	} {
		if Hex(ref) != want[0] || UpperHex(ref) != want[1] {
			t.Errorf("%s becomes %s and %s", ref, Hex(ref), UpperHex(ref))
		}
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	ends := []string{"/send", "/sms", "/v2", "/api"}
	for raw, want := range map[string]string{
		"https://sms.example": "https://sms.example", "https://sms.example/": "https://sms.example", "https://sms.example/api/v2/sms/send": "https://sms.example",
		"https://sms.example/API/v2/": "https://sms.example", "https://sms.example/v2": "https://sms.example", "https://proxy.example/arkesel": "https://proxy.example/arkesel",
		"https://proxy.example/arkesel/api/v2": "https://proxy.example/arkesel", "": "",
	} {
		if got := Base(raw, ends...); got != want {
			t.Errorf("%s becomes %s, want %s", raw, got, want)
		}
	}
	given := provider.Settings{"baseUrl": "https://x.example/api/", "apiKey": "k"}
	if got := Based(given, ends...); got["baseUrl"] != "https://x.example" || got["apiKey"] != "k" || given["baseUrl"] != "https://x.example/api/" {
		t.Errorf("Based: %q, given %q", got["baseUrl"], given["baseUrl"])
	}
}

func TestBalance(t *testing.T) {
	t.Parallel()
	tests := []struct {
		json string
		ok   []bool
		says string
	}{
		{`[4000,70]`, []bool{true, true}, "the balance is 4000"},
		{`["GHS 1,234.50","0"]`, []bool{true, true}, "the balance is 1234.5"},
		{`[0,"0.00"]`, []bool{true, false}, "used up"},
		{`[-3]`, []bool{true, false}, "used up"},
		{`["unlimited",{},null,"NaN","Inf"]`, []bool{true}, "accepted"},
	}
	for _, test := range tests {
		checks := Balance("accepted", Parse([]byte(test.json)).List()...)
		var ok []bool
		for _, c := range checks {
			ok = append(ok, c.OK)
		}
		if !reflect.DeepEqual(ok, test.ok) || !strings.Contains(checks[len(checks)-1].Detail, test.says) {
			t.Errorf("%s: %+v", test.json, checks)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{"401 ": "refuses the credentials", "404 <html>": "check baseUrl", `200 {"status":"error","message":"no"}`: "refuses the account: no", "200 <html>": "check baseUrl", "500 {}": "cannot be read", "302 ": "check baseUrl"} {
		status, text, _ := strings.Cut(body, " ")
		a := &web.Answer{Status: map[string]int{"200": 200, "302": 302, "401": 401, "404": 404, "500": 500}[status], Body: []byte(text)}
		checks := Refused(a, Parse(a.Body))
		if len(checks) != 1 || checks[0].OK || !strings.Contains(checks[0].Detail, want) {
			t.Errorf("%s: %+v", body, checks)
		}
	}
}

// FuzzRead: whatever comes in, reading ends, gives the same answer again, and no report breaks its contract.
func FuzzRead(f *testing.F) {
	f.Add("sms_id=abc&status=DELIVERED", "", "")
	f.Add("cs_m="+messageID+"&cs_a=2", "application/json", `[{"id":1,"status":"DELIVRD","at":"2026-07-07 12:00"}]`)
	f.Add("", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n1\r\n--x--\r\n")
	f.Add("%zz=;", "application/x-www-form-urlencoded", "id=1&status=NACK%2F0x0b")
	s := Spelling{Ref: []string{"sms_id", "id"}, Status: []string{"status"}, At: []string{"at"}}
	f.Fuzz(func(t *testing.T, query, kind, body string) {
		c := &provider.Callback{Method: "POST", URL: &url.URL{Scheme: "https", Host: "gw.example", RawQuery: query}, Header: http.Header{"Content-Type": {kind}}, Body: []byte(body)}
		reports, err := s.Read(c)
		again, _ := s.Read(c)
		if !reflect.DeepEqual(reports, again) {
			t.Fatalf("read twice: %+v and %+v", reports, again)
		}
		if err != nil && len(reports) > 0 {
			t.Fatal("reports and an error")
		}
		for _, r := range reports {
			Sound(t, r)
		}
	})
}

// Sound checks what every report promises.
func Sound(t *testing.T, r provider.Report) {
	t.Helper()
	switch {
	case r.Ref == "" && r.Message.IsZero():
		t.Fatalf("a report of no message: %+v", r)
	case r.Fate < provider.Noted || r.Fate > provider.Undelivered:
		t.Fatalf("no fate of an SMS: %+v", r)
	case r.Suppress != "" && !reasons()[r.Suppress]:
		t.Fatalf("no reason: %+v", r)
	case len(r.Ref) > maxRef || len(r.Code) > maxCode || r.Text == "" || len(r.Text) > 256:
		t.Fatalf("too long: %+v", r)
	case strings.ContainsFunc(r.Ref+r.Code, func(c rune) bool { return c < ' ' || c > '~' }):
		t.Fatalf("not printable: %+v", r)
	}
}
