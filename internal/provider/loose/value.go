// Package loose reads what SMS providers say, in all the forms in which they say it:
// JSON with names in any case and spelling, numbers written as text and text as numbers,
// objects where a list was promised, the same report as query, form or JSON, and two
// dozen words for five states.
//
// It promises that reading is pure and total: whatever comes in gives the same answer
// each time, and what is not there is absent and never zero, so that a missing status is
// no status 0. It holds one table of words for the states of short messages, and one way
// to find an answer's row in an adapter's table.
//
// It knows no provider: which names hold an id, and what a code means, is each adapter's
// own. Calls are made by package web, and by what an adapter gives Ask; it keeps nothing.
package loose

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Value is a part of what was said; the zero Value is absent. It is never changed, and
// safe for concurrent use.
type Value struct{ v any }

// MaxText bounds what Text answers, in bytes: ids, codes and words are short.
const MaxText = 512

// Parse reads JSON. What is not JSON, or more than one JSON value, is absent.
func Parse(body []byte) Value {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) // some PHP files begin with a byte order mark
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // ids may be numbers of more digits than a float64 holds
	var v any
	if d.Decode(&v) != nil {
		return Value{}
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // Token answers io.EOF itself
		return Value{}
	}
	return Value{v}
}

// Here says that the value is there; null is not.
func (v Value) Here() bool { return v.v != nil }

// IsObject says that the value has members.
func (v Value) IsObject() bool { _, ok := v.v.(map[string]any); return ok }

// IsList says that the value is a list.
func (v Value) IsList() bool { _, ok := v.v.([]any); return ok }

// Get answers the member with the first of the names that is there and not null.
// Names are compared without case, spaces, - and _: "messageId", "MessageID" and
// "message_id" are one.
func (v Value) Get(names ...string) Value {
	object, ok := v.v.(map[string]any)
	if !ok {
		return Value{}
	}
	for _, name := range names {
		if found, ok := object[name]; ok && found != nil {
			return Value{found}
		}
		want, best := Fold(name), ""
		for key, found := range object {
			// Of several spellings the first in alphabetical order counts: maps have no order.
			if found != nil && Fold(key) == want && (best == "" || key < best) {
				best = key
			}
		}
		if best != "" {
			return Value{object[best]}
		}
	}
	return Value{}
}

// Text answers text without white space around it, and numbers and booleans as they are
// written; "" for everything else, and for what is longer than MaxText.
func (v Value) Text() string {
	text := ""
	switch x := v.v.(type) {
	case string:
		text = strings.TrimSpace(x)
	case json.Number:
		text = x.String()
	case bool:
		text = strconv.FormatBool(x)
	}
	if len(text) > MaxText || !utf8.ValidString(text) {
		return ""
	}
	return text
}

// Int answers a whole number, also where it is written as text or as 1.0. ok is false if
// there is none.
func (v Value) Int() (n int, ok bool) {
	text := v.Text()
	if _, isBool := v.v.(bool); isBool || text == "" {
		return 0, false
	}
	if n, err := strconv.Atoi(text); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<31 {
		return 0, false
	}
	return int(f), true
}

// List answers the elements of a list, and anything else that is there as a list of one.
func (v Value) List() []Value {
	list, ok := v.v.([]any)
	switch {
	case v.v == nil:
		return nil
	case !ok:
		return []Value{v}
	}
	out := make([]Value, 0, len(list))
	for _, x := range list {
		out = append(out, Value{x})
	}
	return out
}

// Words answers every text within, and the names of the members that hold it, in a fixed
// order: where a provider explains itself in prose, tables look for words in it.
func (v Value) Words() string {
	var words []string
	v.words(&words)
	return strings.Join(words, " ")
}

func (v Value) words(out *[]string) {
	switch x := v.v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(x) {
			*out = append(*out, key+":")
			Value{x[key]}.words(out)
		}
	case []any:
		for _, e := range x {
			Value{e}.words(out)
		}
	default:
		if text := v.Text(); text != "" {
			*out = append(*out, text)
		}
	}
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Fold makes spellings of a name or word equal: lower case, without spaces, - and _.
func Fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-' || r == '_':
			return -1
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
