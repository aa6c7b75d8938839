package hostile

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// node is a JSON value that keeps the order of its members.
type node struct {
	text    string // of a string
	literal string // of a number, true, false or null
	list    []node
	members []member
	kind    byte // '"', '{', '[' or 'l'
}

type member struct {
	name  string
	value node
}

// parse reads one JSON value; the table's own texts are well formed.
func parse(text string) node {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	return read(d)
}

func read(d *json.Decoder) node {
	token, err := d.Token()
	if err != nil {
		panic(err)
	}
	switch v := token.(type) {
	case json.Delim:
		out := node{kind: byte(v)}
		for d.More() {
			if v == '[' {
				out.list = append(out.list, read(d))
				continue
			}
			name, err := d.Token()
			if err != nil {
				panic(err)
			}
			out.members = append(out.members, member{name.(string), read(d)})
		}
		if _, err := d.Token(); err != nil {
			panic(err)
		}
		return out
	case string:
		return node{kind: '"', text: v}
	case nil:
		return node{kind: 'l', literal: "null"}
	default:
		return node{kind: 'l', literal: fmt.Sprint(v)}
	}
}

// style is a way to write JSON.
type style struct {
	gap     string // between tokens
	quote   func(string) string
	reverse bool // the order of members
}

func plain() style { return style{quote: quoted} }

// spaced writes all the space that JSON allows.
func spaced() style { return style{quote: quoted, gap: " \r\n\t "} }

// escaped writes every character as an escape, names of members too.
func escaped() style {
	return style{quote: func(s string) string {
		var b strings.Builder
		for _, unit := range utf16.Encode([]rune(s)) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
		return `"` + b.String() + `"`
	}}
}

func reversed() style { return style{quote: quoted, reverse: true} }

// write writes a value in a style.
func (s style) write(n node) string {
	var parts []string
	open, end := "[", "]"
	switch n.kind {
	case '"':
		return s.quote(n.text)
	case 'l':
		return n.literal
	case '[':
		for _, one := range n.list {
			parts = append(parts, s.write(one))
		}
	case '{':
		open, end = "{", "}"
		for _, m := range n.members {
			parts = append(parts, s.quote(m.name)+s.gap+":"+s.gap+s.write(m.value))
		}
		if s.reverse {
			slices.Reverse(parts)
		}
	}
	return s.gap + open + s.gap + strings.Join(parts, s.gap+","+s.gap) + s.gap + end + s.gap
}

func TestStylesMeanTheSame(t *testing.T) {
	t.Parallel()
	const text = `{"a":[1.50,true,null,{"é":"x\u2028\n"}],"b":"👋"}`
	var want any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]style{"plain": plain(), "spaced": spaced(), "escaped": escaped(), "reversed": reversed()} {
		var got any
		if err := json.Unmarshal([]byte(s.write(parse(text))), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
}

// The doors of messages.
const (
	messagesURL = "/api/v1/messages"
	batchURL    = "/api/v1/messages/batch"
	previewURL  = "/api/v1/messages/preview"
)

// large bodies are sent in few ways: what they show does not depend on how they are written.
const large = 64 << 10

// message is a message's body with its answer.
type message struct {
	name, body string
	status     int
	code       string
	holds      func(t *testing.T, got answer)
	// alone keeps it out of a batch and the preview: what it shows is about one request.
	alone bool
}

// carried sends each message in every way that a message can be written and handed in:
// four styles, without a length, alone in a batch, and for a preview.
func (a *tenant) carried(list []message) (out []try) {
	for _, m := range list {
		out = append(out, a.ways(m)...)
	}
	return out
}

func (a *tenant) ways(m message) (out []try) {
	add := func(way, path, body string, status int, item bool) *try {
		out = append(out, try{name: m.name + way, request: request{method: "POST", path: path, body: []byte(body), header: a.headers(jsonType())}, status: status, code: m.code, item: item})
		return &out[len(out)-1]
	}
	stores := 0
	if m.status == 202 {
		stores = 1
	}
	one := func(way, body string) *try {
		x := add(way, messagesURL, body, m.status, false)
		x.stores, x.holds = stores, m.holds
		return x
	}
	one("", m.body)
	one(", without a length", m.body).chunked = true
	if len(m.body) < large {
		tree := parse(m.body)
		one(", spaced", spaced().write(tree))
		one(", escaped", escaped().write(tree))
		one(", reversed", reversed().write(tree))
	}
	if m.alone {
		return out
	}
	preview := m.status
	if stores > 0 {
		preview = 200
	}
	add(", preview", previewURL, m.body, preview, false)
	batch := add(", in a batch", batchURL, `{"messages":[`+m.body+`]}`, 202, true)
	batch.stores, batch.refused = stores, stores == 0
	return out
}

func jsonType() map[string]string { return map[string]string{"Content-Type": "application/json"} }

// sms is a valid SMS with members replaced, added or, with the value -, taken out.
func sms(members ...string) string {
	return overlay([]string{"channel", `"SMS"`, "to", `"233241234567"`, "body", `"x"`}, members)
}

// email is a valid email, likewise.
func email(members ...string) string {
	return overlay([]string{"channel", `"EMAIL"`, "to", `"a@example.com"`, "subject", `"s"`, "body", `"<p>x</p>"`}, members)
}

// overlay writes pairs of names and JSON values, of which later ones win.
func overlay(base, members []string) string {
	var names []string
	values := map[string]string{}
	for _, list := range [][]string{base, members} {
		for i := 0; i+1 < len(list); i += 2 {
			if _, there := values[list[i]]; !there {
				names = append(names, list[i])
			}
			values[list[i]] = list[i+1]
		}
	}
	var parts []string
	for _, name := range names {
		if values[name] != "-" {
			parts = append(parts, quoted(name)+":"+values[name])
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// bad is a message that is refused.
func bad(body string, status int, code string) message {
	return message{name: code, body: body, status: status, code: code}
}

// good is a message that looks bad and is taken.
func good(body string, holds func(t *testing.T, got answer)) message {
	return message{name: "taken", body: body, status: 202, holds: holds}
}

// times gives every value its message: make is sms or email.
func times(make func(...string) string, name string, status int, code string, values ...string) (out []message) {
	for _, v := range values {
		out = append(out, bad(make(name, v), status, code))
	}
	return out
}

// quotes writes texts as JSON.
func quotes(texts ...string) (out []string) {
	for _, text := range texts {
		out = append(out, quoted(text))
	}
	return out
}
