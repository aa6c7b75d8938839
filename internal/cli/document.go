package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// document is one JSON object of the API.
type document map[string]any

// textOf is a JSON value as text: lists joined by commas, objects as JSON.
func textOf(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		parts := make([]string, len(v))
		for i, one := range v {
			parts[i] = textOf(one)
		}
		return strings.Join(parts, ", ")
	case map[string]any:
		parts := make([]string, 0, len(v))
		for name, value := range v {
			parts = append(parts, name+"="+textOf(value))
		}
		slices.Sort(parts)
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}

// changesOf is the detail of an audit entry: name=new, name=old->new, name=old-> of what was taken
// away, and the mere name where the log does not hold the values.
func changesOf(v any) string {
	fields, ok := v.(map[string]any)
	if !ok {
		return textOf(v)
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		change, ok := fields[name].(map[string]any)
		from, was := change["from"]
		to, is := change["to"]
		switch {
		case !ok:
			parts = append(parts, name+"="+textOf(fields[name]))
		case was:
			parts = append(parts, name+"="+textOf(from)+"->"+textOf(to))
		case is:
			parts = append(parts, name+"="+textOf(to))
		default:
			parts = append(parts, name)
		}
	}
	return strings.Join(parts, " ")
}

// clean takes away what could move the cursor or colour the terminal: subjects and
// answers of providers are other people's text.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, text)
}

func read(raw json.RawMessage) (document, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var doc document
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return doc, nil
}

// at is the value of a field, nil when there is none.
func (d document) at(path string) any {
	var v any = map[string]any(d)
	for name := range strings.SplitSeq(path, ".") {
		inside, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = inside[name]
	}
	return v
}

func (d document) str(path string) string { return textOf(d.at(path)) }
