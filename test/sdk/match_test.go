package sdk

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// names are what steps have noted down, for later ones.
type names map[string]any

var placeholder = regexp.MustCompile(`\$\{([a-zA-Z0-9_.]+)\}`)

// fill puts noted values into what a vector says. A text that is one placeholder becomes the value itself.
func (n names) fill(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if m := placeholder.FindStringSubmatch(v); m != nil && m[0] == v {
			return n.get(m[1])
		}
		var wrong error
		out := placeholder.ReplaceAllStringFunc(v, func(p string) string {
			value, err := n.get(p[2 : len(p)-1])
			if err != nil {
				wrong = err
			}
			return fmt.Sprint(value)
		})
		return out, wrong
	case []any:
		out := make([]any, len(v))
		for i := range v {
			var err error
			if out[i], err = n.fill(v[i]); err != nil {
				return nil, err
			}
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			var err error
			if out[name], err = n.fill(v[name]); err != nil {
				return nil, err
			}
		}
		return out, nil
	}
	return v, nil
}

func (n names) get(path string) (any, error) {
	value, found := dig(map[string]any(n), strings.Split(path, "."))
	if !found {
		return nil, fmt.Errorf("nothing is noted as %s", path)
	}
	return value, nil
}

// dig follows a path of members and places.
func dig(v any, path []string) (any, bool) {
	for _, part := range path {
		switch in := v.(type) {
		case map[string]any:
			var found bool
			if v, found = in[part]; !found {
				return nil, false
			}
		case []any:
			i := 0
			if _, err := fmt.Sscan(part, &i); err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// match says where a value is not what a vector wants, "" if it is. Of an object the members that are named count. null
// stands for whatever a language has for nothing: null, no member, an empty text, zero, false, an empty list.
func (n names) match(want, got any, path string) string {
	switch want := want.(type) {
	case nil:
		if got == nil || reflect.ValueOf(got).IsZero() || nothing(got) {
			return ""
		}
		return fmt.Sprintf("%s is %s, not null", path, short(got))
	case map[string]any:
		for name := range want {
			if strings.HasPrefix(name, "$") {
				return n.matchSpecial(name, want[name], got, path)
			}
		}
		members, ok := got.(map[string]any)
		if !ok {
			return fmt.Sprintf("%s is %s, not an object", path, short(got))
		}
		for name, inner := range want {
			if wrong := n.match(inner, members[name], path+"."+name); wrong != "" {
				return wrong
			}
		}
		return ""
	case []any:
		items, _ := got.([]any)
		if len(items) != len(want) {
			return fmt.Sprintf("%s has %d items, not %d: %s", path, len(items), len(want), short(got))
		}
		for i := range want {
			if wrong := n.match(want[i], items[i], fmt.Sprintf("%s[%d]", path, i)); wrong != "" {
				return wrong
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return fmt.Sprintf("%s is %s, not %s", path, short(got), short(want))
	}
	return ""
}

func nothing(v any) bool {
	items, list := v.([]any)
	return list && len(items) == 0 || v == "0001-01-01T00:00:00Z"
}

func (n names) matchSpecial(name string, want, got any, path string) string {
	switch name {
	case "$any": // of some value
		if got == nil || nothing(got) {
			return path + " is not there"
		}
		return ""
	case "$match": // a regular expression
		text, ok := got.(string)
		if !ok || !regexp.MustCompile(want.(string)).MatchString(text) {
			return fmt.Sprintf("%s is %s, not like %s", path, short(got), want)
		}
		return ""
	case "$lacks": // a text that is not within
		if text, ok := got.(string); !ok || strings.Contains(text, want.(string)) {
			return fmt.Sprintf("%s is %s, with %s", path, short(got), want)
		}
		return ""
	case "$oneOf":
		if slices.ContainsFunc(want.([]any), func(one any) bool { return n.match(one, got, path) == "" }) {
			return ""
		}
		return fmt.Sprintf("%s is %s, none of %s", path, short(got), short(want))
	case "$length":
		if items, _ := got.([]any); len(items) != int(want.(float64)) {
			return fmt.Sprintf("%s has %d items, not %v", path, len(items), want)
		}
		return ""
	case "$least": // a number
		if number, ok := got.(float64); !ok || number < want.(float64) {
			return fmt.Sprintf("%s is %s, less than %v", path, short(got), want)
		}
		return ""
	case "$has": // a list with such an item
		items, _ := got.([]any)
		if slices.ContainsFunc(items, func(item any) bool { return n.match(want, item, path) == "" }) {
			return ""
		}
		return fmt.Sprintf("%s has no %s: %s", path, short(want), short(got))
	case "$same": // the same wherever this name stands within a vector
		key := "same " + want.(string)
		if before, there := n[key]; there {
			return n.match(before, got, path)
		}
		if got == nil || got == "" {
			return path + " is not there"
		}
		n[key] = got
		return ""
	}
	return "a vector uses " + name + ", which is not known"
}

func short(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if len(out) > 600 {
		return string(out[:600]) + "…"
	}
	return string(out)
}

// TestMatchingFindsDifferences: expectations that everything fits would make vectors that cannot fail.
func TestMatchingFindsDifferences(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		fits      bool
	}{
		{`{"a":1}`, `{"a":1,"b":2}`, true}, {`{"a":1}`, `{"a":2}`, false}, {`{"a":1}`, `{}`, false}, {`{"a":null}`, `{"a":""}`, true}, {`{"a":null}`, `{}`, true},
		{`{"a":null}`, `{"a":"x"}`, false}, {`[1]`, `[1,2]`, false}, {`[]`, `[]`, true}, {`{"a":{"$any":1}}`, `{}`, false}, {`{"a":{"$any":1}}`, `{"a":0}`, true},
		{`{"$match":"^a$"}`, `"a"`, true}, {`{"$match":"^a$"}`, `"b"`, false}, {`{"$lacks":"a"}`, `"ba"`, false}, {`{"$lacks":"a"}`, `"b"`, true},
		{`{"$oneOf":[1,2]}`, `2`, true}, {`{"$oneOf":[1,2]}`, `3`, false}, {`{"$length":1}`, `[]`, false}, {`{"$least":2}`, `2`, true}, {`{"$least":2}`, `1`, false},
		{`{"$has":{"a":1}}`, `[{"a":2},{"a":1}]`, true}, {`{"$has":{"a":1}}`, `[{"a":2}]`, false}, {`{"a":{"$same":"x"},"b":{"$same":"x"}}`, `{"a":1,"b":2}`, false},
		{`{"a":{"$same":"x"},"b":{"$same":"x"}}`, `{"a":1,"b":1}`, true}, {`{"$wrong":1}`, `1`, false}, {`true`, `1`, false}, {`{"a":1}`, `[]`, false},
	} {
		var want, got any
		if json.Unmarshal([]byte(c.want), &want) != nil || json.Unmarshal([]byte(c.got), &got) != nil {
			t.Fatal(c)
		}
		if wrong := (names{}).match(want, got, "it"); (wrong == "") != c.fits {
			t.Errorf("%s and %s: %q", c.want, c.got, wrong)
		}
	}
}
