package hostile

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/commserver/commserver/internal/openapi"
)

// kind is a sort of text that is not just any text: of a length it makes one that is taken
// as far as its length goes. Lengths below least are not asked for: none is right there.
type kind struct {
	least int
	make  func(n int) string
	wrong []string // of any length
	most  int      // where a pattern says it, and not maxLength
}

// domain is a host name of n characters.
func domain(n int) string {
	const label = 60
	var b strings.Builder
	for n-b.Len() > label+5 {
		b.WriteString(strings.Repeat("d", label) + ".")
	}
	rest := n - b.Len()
	return b.String() + strings.Repeat("e", rest-4) + ".com"
}

// mailAddress is an address of n characters.
func mailAddress(n int) string {
	const local = 64
	if n < 20 {
		return strings.Repeat("a", n-6) + "@e.com"
	}
	l := min(local, n/2)
	return strings.Repeat("a", l) + "@" + domain(n-l-1)
}

// padded is the text with spaces before it, which a mailbox may have.
func padded(text string) func(n int) string {
	return func(n int) string { return strings.Repeat(" ", max(0, n-len(text))) + text }
}

func ofLength(before, with string) func(n int) string {
	return func(n int) string { return before + strings.Repeat(with, max(0, n-len(before))) }
}

// kinds are by the last part of a place's name.
func kinds() map[string]kind {
	address := kind{least: 7, make: mailAddress, wrong: []string{"a b@example.com", "a@b@example.com"}}
	mailbox := kind{least: 13, make: padded("a@example.com"), wrong: []string{"a b@example.com", "a@example.com\r\nBcc: b@example.com"}}
	url := kind{least: 21, make: ofLength("https://example.com/", "a"), wrong: []string{"ftp://example.com/", "https://10.0.0.1/", "https://u:p@example.com/"}}
	return map[string]kind{
		"to": address, "address": address, "cc[]": address, "bcc[]": address, "allowedSenders[]": address,
		"from": mailbox, "replyTo": mailbox, "returnPath": mailbox, "webhookUrl": url, "url": url, "baseUrl": url,
		"host":        {least: 5, make: domain, wrong: []string{"127.0.0.1", "a b", "mail.example.com:25"}},
		"senderId":    {least: 4, make: ofLength("+", "1"), wrong: []string{"abcdefghijkl", "a\nb"}},
		"content":     {least: 4, make: func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n/4*3-2)) }, wrong: []string{"a*b=", "YQ"}},
		"contentType": {least: 3, make: ofLength("a/", "b"), wrong: []string{"text", "multipart/mixed", "a/b\r\nX: y"}},
		"filename":    {least: 1, make: ofLength("", "f"), wrong: []string{"a/b", "..", "a\u0000"}},
	}
}

// patterns are the forms that the contract knows, each with a text of a length and some
// that do not match. A form that is not here fails the test.
func patterns() map[string]kind {
	sid := strings.Repeat("0a", 16)
	signing := func(n int) string { return "whsec_" + strings.Repeat("A", (n-6)/4*4) }
	return map[string]kind{
		`^[a-z0-9][a-z0-9._@+-]{1,63}$`:          {least: 2, wrong: []string{"n", strings.Repeat("n", 65), "Ama", ".ama", "a b", "é1"}, most: 64},
		`^c[0-9a-z]{24}$`:                        {least: 25, wrong: []string{"nothing", "C0123456789abcdefghijklmn", strings.Repeat("c", 24), strings.Repeat("c", 26)}},
		`^[A-Za-z0-9._-]{1,100}$`:                {least: 1, make: ofLength("", "k"), wrong: []string{"", strings.Repeat("k", 101), "a b", "a/b", "é"}, most: 100},
		`^[ -~]+$`:                               {least: 1, make: ofLength("", "~"), wrong: []string{"é", "a\tb"}},
		`^[!-~]*$`:                               {least: 1, make: ofLength("", "~"), wrong: []string{"a b", "é"}},
		`^[A-Za-z0-9_-]+$`:                       {least: 1, wrong: []string{"é", "a b", "AAAA"}},
		`^[a-z0-9]+(-[a-z0-9]+)*$`:               {least: 2, wrong: []string{"A-B", "a--b", "-ab", "ab-", "a_b"}},
		prefixForm:                               {least: 1, make: ofLength("", "1"), wrong: []string{"", "0", "1a", strings.Repeat("1", 16)}, most: 15},
		`^[!-9;-~]{1,76}$`:                       {least: 3, make: ofLength("X-", "A"), wrong: []string{"X-" + strings.Repeat("A", 75), "X-A:", "X- A"}, most: 76},
		`^AC[0-9a-fA-F]{32}$`:                    {least: 34, make: func(int) string { return "AC" + sid }, wrong: []string{"AC" + sid[1:], "MG" + sid, "AC" + sid + "0"}},
		`^(MG[0-9a-fA-F]{32})?$`:                 {least: 34, make: func(int) string { return "MG" + sid }, wrong: []string{"MG" + sid[1:], "AC" + sid}},
		`^(whsec_[A-Za-z0-9+/]+={0,2}|[*]{8})?$`: {least: 10, make: signing, wrong: []string{"AAAA", "whsec_", "whsec_*AAA"}},
	}
}

// probe is a value for a place: one that must be taken, or one that must be refused.
type probe struct {
	what  string
	value any
	taken bool
}

// probes are the values at the limits of a place and beyond them.
func (x *limitsOf) probes(p *place) (out []probe, err error) {
	at := func(what string, v any) { out = append(out, probe{what, v, true}) }
	beyond := func(what string, v any) { out = append(out, probe{what, v, false}) }
	s := p.schema
	if values, given := s["enum"].([]any); given {
		for _, v := range values {
			at("each word", v)
		}
		beyond("no word", "NOPE")
		if first, ok := values[0].(string); ok && strings.ToLower(first) != first {
			beyond("another case", strings.ToLower(first))
		}
	}
	for _, end := range []struct {
		keyword string
		step    float64
	}{{"minimum", -1}, {"maximum", 1}} {
		if n, given := s[end.keyword].(float64); given {
			at(end.keyword, n)
			beyond(end.keyword, n+end.step)
		}
	}
	if most := map[any]string{"int32": "2147483647", "int64": "9223372036854775807"}[s["format"]]; most != "" {
		at("the largest", json.Number(most))
		beyond("larger", json.Number(most[:len(most)-1]+"8"))
	}
	if s["format"] == "date-time" {
		soon := time.Now().Add(time.Hour)
		at("a time", soon.UTC().Format(time.RFC3339))
		at("with an offset", soon.In(time.FixedZone("", 2*60*60)).Format(time.RFC3339Nano))
		for _, text := range []string{"tomorrow", "2026-02-30T10:00:00Z", soon.UTC().Format("2006-01-02T15:04:05"), "2026-07-03"} {
			beyond("no time", text)
		}
	}
	if unlimited()[p.in+" "+p.name] != "" && s["type"] == "string" {
		at("a long text", strings.Repeat("x", 4000))
	}
	texts, err := x.texts(p)
	if err != nil {
		return nil, err
	}
	numbers, err := x.numbers(p)
	out = append(append(out, texts...), numbers...)
	if p.name == "new" || p.name == "password" && strings.HasPrefix(x.o.Path, "/api/admin/users") {
		beyond("what is tried first", "Password12345!")
	}
	for _, v := range wrongTypes(p) {
		beyond("another type", v)
	}
	if only := x.only(p); only != nil {
		out = slices.DeleteFunc(out, func(v probe) bool { return v.taken })
		for _, v := range only {
			at("what is right there", v)
		}
	}
	return out, err
}

// only are the values that a place takes where not all that its schema allows are right.
func (x *limitsOf) only(p *place) []any {
	of := openapi.Named(x.o.Body())
	if values := usersOnly(of, p); values != nil {
		return values
	}
	switch {
	case of == "TemplateChange" && p.name == "key":
		return []any{"plain"} // it cannot be changed
	case of == "TemplateChange" && p.name == "channel":
		return []any{"EMAIL"}
	case of == "ProviderConfigChange" && p.name == "providerType":
		return []any{"SMTP"}
	case strings.HasSuffix(p.name, "config.SMTP.port"):
		return []any{25.0, 465.0, 587.0, 2525.0} // others are for hosts in networks that are allowed
	}
	return nil
}

// texts are the probes of lengths and patterns.
func (x *limitsOf) texts(p *place) (out []probe, err error) {
	s := p.schema
	k, known := kinds()[p.last()]
	if text, given := s["pattern"].(string); given {
		form, ok := patterns()[text]
		if !ok {
			return nil, fmt.Errorf("nothing here makes a text of the form %s", text)
		}
		for _, wrong := range form.wrong {
			out = append(out, probe{"not of its form", wrong, false})
		}
		k, known = form, true
	}
	if !known {
		k = kind{make: ofLength("", "x")}
	}
	if own := x.named(p); own != nil {
		k.make = own
	}
	for _, wrong := range k.wrong {
		if s["pattern"] == nil {
			out = append(out, probe{"not of its kind", wrong, false})
		}
	}
	least, most := 1.0, 0.0
	if n, given := s["minLength"].(float64); given {
		if least = n; n > 0 {
			out = append(out, probe{"shorter", strings.Repeat("x", int(n)-1), false})
		}
	}
	if n, given := s["maxLength"].(float64); given {
		most = n
		out = append(out, probe{"longer", long(k, int(n)+1), false})
	}
	if most == 0 {
		most = float64(k.most)
	}
	if s["pattern"] == nil && most == 0 {
		return out, nil
	}
	lengths := []int{max(k.least, int(least))}
	if int(most) > lengths[0] {
		lengths = append(lengths, int(most))
	}
	for _, n := range lengths {
		if k.make != nil {
			out = append(out, probe{fmt.Sprint("a length of ", n), k.make(n), true})
		}
	}
	return out, nil
}

// long is a text beyond the most that its kind may have.
func long(k kind, n int) string {
	if k.make == nil {
		return strings.Repeat("x", n)
	}
	text := k.make(n)
	for more := n; len(text) < n; more++ {
		text = k.make(more)
		if more > n+8 { // of a fixed length
			return strings.Repeat("x", n)
		}
	}
	return text
}

// wrongTypes are values of types that the place does not have.
func wrongTypes(p *place) (out []any) {
	if p.in != "body" {
		if p.schema["type"] == "integer" {
			return []any{"abc", "1.5", "", "1e9"}
		}
		if p.schema["type"] == "boolean" {
			return []any{"yes", "1", "TRUE", ""}
		}
		return nil
	}
	list, many := p.schema["type"].([]any)
	if !many {
		list = []any{p.schema["type"]}
	}
	for name, v := range map[string]any{"string": "x", "number": 1.5, "boolean": true, "array": []any{}, "object": map[string]any{}} {
		if slices.Contains(list, any(name)) || name == "number" && slices.Contains(list, any("integer")) {
			continue
		}
		out = append(out, v)
	}
	if slices.Contains(list, any("integer")) {
		out = append(out, 1.5)
	}
	return out
}

// numbers are the probes of how many items or members there may be; one is a good item.
func (x *limitsOf) numbers(p *place) (out []probe, err error) {
	if most, given := p.schema["maxItems"].(float64); given {
		item := place{in: "body", name: p.name + "[]", schema: x.c.Resolve(openapi.Dig(p.schema, "items"))}
		list := func(n int) []any {
			all := []any{}
			for i := range n {
				all = append(all, goodItem(&item, i))
			}
			return all
		}
		out = append(out, probe{"most items", list(int(most)), true}, probe{"more items", list(int(most) + 1), false})
		if least, given := p.schema["minItems"].(float64); given {
			out = append(out, probe{"least items", list(int(least)), true}, probe{"fewer items", list(int(least) - 1), false})
		}
	}
	if most, given := p.schema["maxProperties"].(float64); given {
		members := func(n int) map[string]any {
			all := map[string]any{}
			for i := range n {
				all[memberName(p.schema, i)] = goodMember(p.schema)
			}
			return all
		}
		out = append(out, probe{"most members", members(int(most)), true}, probe{"more members", members(int(most) + 1), false})
	}
	if names := openapi.Dig(p.schema, "propertyNames"); names != nil {
		texts, err := x.texts(&place{in: "body", name: "name of a member", schema: names})
		if err != nil {
			return nil, err
		}
		for _, v := range texts {
			out = append(out, probe{"a name: " + v.what, map[string]any{v.value.(string): goodMember(p.schema)}, v.taken})
		}
	}
	return out, nil
}

// prefixForm is of the beginnings of numbers.
const prefixForm = `^[1-9][0-9]{0,14}$`

// memberName is a right name for the member number i of an object.
func memberName(object map[string]any, i int) string {
	if openapi.Dig(object, "propertyNames")["pattern"] == prefixForm {
		return fmt.Sprint(100 + i)
	}
	return "X-" + strconv.Itoa(i)
}

// goodMember is a right value for one.
func goodMember(object map[string]any) any {
	if openapi.Dig(object, "additionalProperties")["type"] == "integer" {
		return 1.0
	}
	return "x"
}

// goodItem is the item number i of a list that is right.
func goodItem(item *place, i int) any {
	switch {
	case item.last() == "attachments[]":
		return file()
	case item.last() == "messages[]":
		return parsed(sms())
	case item.schema["enum"] != nil:
		words := item.schema["enum"].([]any)
		return words[i%len(words)]
	case item.schema["pattern"] == prefixForm:
		return fmt.Sprint(100 + i)
	case kinds()[item.last()].make != nil:
		return fmt.Sprintf("a%d@example.com", i)
	}
	return fmt.Sprint("word ", i)
}

func file() map[string]any {
	return map[string]any{"filename": "a.txt", "contentType": "text/plain", "content": "YQ=="}
}

// parsed reads an object.
func parsed(text string) map[string]any {
	out := map[string]any{}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		panic(err)
	}
	return out
}

// put writes a value into a body, at a place.
func put(into any, steps []string, v any) any {
	if len(steps) == 0 {
		return v
	}
	name, list := strings.CutSuffix(steps[0], "[]")
	object, _ := into.(map[string]any)
	object = maps.Clone(object)
	if object == nil {
		object = map[string]any{}
	}
	switch {
	case list:
		var first any
		if have, _ := object[name].([]any); len(have) > 0 {
			first = have[0]
		}
		object[name] = []any{put(first, steps[1:], v)}
	default:
		object[name] = put(object[name], steps[1:], v)
	}
	return object
}
