package loose

import (
	"bytes"
	"errors"
	"maps"
	"mime/multipart"
	"net/url"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/provider"
)

// Spelling is the names under which a provider's reports say things, the likeliest first.
type Spelling struct {
	Ref    []string // the message's id, as the provider's answer to the send gave it
	Status []string
	At     []string // when it happened; may be empty
	Own    []Word   // what this provider's words mean beside, or before, the Vocabulary
	// Form makes the spellings of one id equal; what the answer to a send gave goes through
	// it too. nil: an id has one spelling.
	Form func(ref string) string
}

// ID is Ref in the provider's form.
func (s Spelling) ID(text string) string {
	ref := Ref(text)
	if s.Form != nil {
		ref = s.Form(ref)
	}
	return ref
}

// maxReports bounds what one callback may say: more is no provider's report.
const maxReports = 1000

// errUnreadable says that a callback has a body that is neither JSON nor a form.
var errUnreadable = errors.New("the report is neither query, form nor JSON")

// Read takes a callback apart: GET or POST, query, form or JSON, one report or a list
// of them. What the query says counts before what the body says. Parts that name no
// message or no status are left out.
func (s Spelling) Read(c *provider.Callback) ([]provider.Report, error) {
	records, readable := Records(c)
	message, attempt := provider.NamedIn(c.URL)
	if len(records) != 1 { // our own URL is for one message: a list is about others
		message, attempt = comm.ID{}, 0
	}
	var out []provider.Report
	for _, r := range records {
		ref, word := s.ID(r.Get(s.Ref...).Text()), s.word(r)
		if word == "" || ref == "" && message.IsZero() || len(out) == maxReports {
			continue
		}
		report := s.Say(word)
		report.Ref, report.Message, report.Attempt = ref, message, attempt
		report.At = Time(r.Get(s.At...).Text())
		out = append(out, report)
	}
	if len(out) == 0 && !readable {
		return nil, errUnreadable
	}
	return out, nil
}

// word finds the status: where several names of it are there, the first that says
// something, since beside words there may be numbers under another name.
func (s Spelling) word(r Record) string {
	first := ""
	for _, name := range s.Status {
		word := r.Get(name).Text()
		if word != "" && s.Meaning(word).Fate != provider.Noted {
			return word
		}
		if first == "" {
			first = word
		}
	}
	return first
}

// Record is one object of a callback, completed by what stands around it.
type Record struct{ parts []Value }

// Get answers the first part's member with one of the names (Value.Get).
func (r Record) Get(names ...string) Value {
	for _, p := range r.parts {
		if v := p.Get(names...); v.Here() && !v.IsObject() && !v.IsList() {
			return v
		}
	}
	return Value{}
}

// Records answers the objects of a callback. readable is false if it has a body that is
// neither JSON nor a form; the query is read all the same.
func Records(c *provider.Callback) (records []Record, readable bool) {
	query := Query(c.URL)
	body, readable := Body(c)
	for _, e := range body.List() {
		if !e.IsObject() {
			continue
		}
		inner := wrapped(e)
		if len(inner) == 0 {
			inner = []Value{{}}
		}
		for _, i := range inner {
			records = append(records, Record{[]Value{query, i, e}})
		}
	}
	if len(records) == 0 && len(query.v.(map[string]any)) > 0 {
		records = []Record{{[]Value{query}}}
	}
	return records, readable
}

// wrapped answers the objects that lie one step within another.
func wrapped(v Value) (out []Value) {
	for _, name := range []string{"data", "reports", "report", "results", "messages", "message", "dlr", "payload"} {
		for _, e := range v.Get(name).List() {
			if e.IsObject() {
				out = append(out, e)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// Query answers the parameters of a callback's address without those that are ours, each
// with its last value.
func Query(u *url.URL) Value { return parameters(u, provider.IsNamed) }

// Parameters answers all parameters of a callback's address, each with its last value.
func Parameters(u *url.URL) Value { return parameters(u, func(string) bool { return false }) }

func parameters(u *url.URL, without func(name string) bool) Value {
	out := map[string]any{}
	for name, values := range u.Query() {
		if !without(name) {
			out[name] = values[len(values)-1]
		}
	}
	return Value{out}
}

// Body answers a callback's body as a Value: JSON, or a form's fields by their last
// values. The body decides and not its type: some providers send JSON and call it a form, and proxies and frameworks call things
// what they like.
func Body(c *provider.Callback) (v Value, readable bool) {
	body := bytes.TrimSpace(c.Body)
	if len(body) == 0 {
		return Value{}, true
	}
	if v := Parse(body); v.Here() {
		return v, true
	}
	if rest, upload := bytes.CutPrefix(body, []byte("--")); upload {
		boundary, _, _ := bytes.Cut(rest, []byte("\n"))
		return multipartForm(body, string(bytes.TrimSpace(boundary)))
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || !bytes.ContainsRune(body, '=') || bytes.ContainsAny(body, "<>{}\n") {
		return Value{}, false
	}
	out := map[string]any{}
	for name, values := range form {
		out[name] = values[len(values)-1]
	}
	return Value{out}, true
}

func multipartForm(body []byte, boundary string) (Value, bool) {
	form, err := multipart.NewReader(bytes.NewReader(body), boundary).ReadForm(int64(len(body)) + 1)
	if err != nil {
		return Value{}, false
	}
	defer func() { _ = form.RemoveAll() }()
	out := map[string]any{}
	for name, values := range maps.All(form.Value) {
		out[name] = values[len(values)-1]
	}
	return Value{out}, true
}

// maxRef bounds a provider's id, in bytes; what is longer is none.
const maxRef = 128

// Ref makes a provider's id fit to be stored and compared: printable ASCII without spaces
// around it; "" for anything else.
func Ref(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > maxRef {
		return ""
	}
	for i := 0; i < len(text); i++ {
		if text[i] < ' ' || text[i] > '~' {
			return ""
		}
	}
	return text
}

// Hex writes an id of hexadecimal digits in lower case, with a UUID's dashes if there are
// 32 of them: some reports leave these away or write in the other case. Other ids stay as
// they are.
func Hex(ref string) string {
	lower := strings.ToLower(ref)
	digits := strings.ReplaceAll(lower, "-", "")
	switch {
	case !isHex(lower):
		return ref
	case len(digits) == 32:
		return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:]
	}
	return lower
}

// UpperHex is Hex in upper case.
func UpperHex(ref string) string {
	if hex := Hex(ref); isHex(hex) {
		return strings.ToUpper(hex)
	}
	return ref
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef-") == "" }

// Time reads a provider's time; zero if it cannot. Times without a zone are UTC, which is
// also the time of Ghana.
func Time(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02 15:04", time.RFC1123, time.RFC1123Z} {
		if at, err := time.Parse(layout, text); err == nil {
			return sane(at)
		}
	}
	n, ok := Value{text}.Int()
	switch {
	case !ok:
		return time.Time{}
	case n > 1e11: // milliseconds: as seconds this would be the year 5138
		return sane(time.UnixMilli(int64(n)))
	}
	return sane(time.Unix(int64(n), 0))
}

// sane takes a time only if a message of this program can have been reported at it.
func sane(at time.Time) time.Time {
	if at.Year() < 2020 || at.Year() > 2100 {
		return time.Time{}
	}
	return at.UTC()
}
