package docsite

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/commserver/commserver/internal/openapi"
)

// The pages of schemas: those that an app's operations reach, and those that only the administration's do.
const (
	schemasFile      = "api/schemas.md"
	adminSchemasFile = "api/admin-schemas.md"
)

// link leads from a page of the reference to a schema.
func (m *maker) link(name string) string {
	return fmt.Sprintf("[`%s`](%s#%s)", name, strings.TrimPrefix(m.schemaFile(name), "api/"), name)
}

func (m *maker) schemaFile(name string) string {
	if m.apps[name] {
		return schemasFile
	}
	return adminSchemasFile
}

// reach notes the named schemas that a part of the contract refers to, and theirs.
func (m *maker) reach(v any) {
	switch v := v.(type) {
	case map[string]any:
		if name := openapi.Named(v); name != "" && !m.apps[name] {
			m.apps[name] = true
			m.reach(m.c.Schemas[name])
		}
		for _, inner := range v {
			m.reach(inner)
		}
	case []any:
		for _, inner := range v {
			m.reach(inner)
		}
	}
}

// schemas is the page of those that stand in the file.
func (m *maker) schemas(file, head string) string {
	var b strings.Builder
	b.WriteString(head)
	for _, name := range slices.Sorted(maps.Keys(m.c.Schemas)) {
		if m.schemaFile(name) != file {
			continue
		}
		schema := openapi.Dig(m.c.Schemas, name)
		fmt.Fprintf(&b, "## %s {#%s}\n\n", name, name)
		if about := described(schema); about != "" {
			b.WriteString(about + "\n\n")
		}
		if openapi.Dig(schema, "properties") == nil {
			fmt.Fprintf(&b, "%s.\n\n", m.value(schema, false))
			continue
		}
		m.fields(&b, schema)
	}
	return b.String()
}

// fields is the table of an object's members; those of an object within it are named by their path.
func (m *maker) fields(b *strings.Builder, schema map[string]any) {
	b.WriteString("| field | value | about |\n|---|---|---|\n")
	m.rows(b, schema, "", 0)
	b.WriteString("\n")
}

const deepest = 2

func (m *maker) rows(b *strings.Builder, schema map[string]any, under string, depth int) {
	required, _ := schema["required"].([]any)
	properties := openapi.Dig(schema, "properties")
	names := slices.Clone(m.order[strings.Join(slices.Sorted(maps.Keys(properties)), " ")])
	slices.SortStableFunc(names, func(a, b string) int { // what must be there comes first
		return cmp.Compare(place(required, a), place(required, b))
	})
	for _, name := range names {
		field := openapi.Dig(properties, name)
		fmt.Fprintf(b, "| `%s%s` | %s | %s |\n", under, name, m.value(field, slices.Contains(required, any(name))), cell(described(field)))
		inner, mark := field, "."
		if items := openapi.Dig(field, "items"); items != nil {
			inner, mark = items, "[]."
		}
		if openapi.Named(inner) == "" && openapi.Dig(inner, "properties") != nil && depth < deepest {
			m.rows(b, inner, under+name+mark, depth+1)
		}
	}
}

func place(required []any, name string) int {
	if i := slices.Index(required, any(name)); i >= 0 {
		return i
	}
	return len(required)
}

// value says what a field may hold.
func (m *maker) value(schema map[string]any, required bool) string {
	var parts []string
	if required {
		parts = append(parts, "**required**")
	}
	if name := openapi.Named(schema); name != "" {
		return strings.Join(append(parts, m.link(name)), ", ")
	}
	if any, ok := schema["anyOf"].([]any); ok {
		var ways []string
		for _, one := range any {
			ways = append(ways, m.value(openapi.Dig(one), false))
		}
		return strings.Join(append(parts, strings.Join(ways, " or ")), ", ")
	}
	if items := openapi.Dig(schema, "items"); items != nil {
		parts = append(parts, "list of "+m.value(items, false))
	} else if kinds := kind(schema); kinds != "" {
		parts = append(parts, kinds)
	}
	if words, ok := schema["enum"].([]any); ok {
		var shown []string
		for _, w := range words {
			shown = append(shown, fmt.Sprintf("`%v`", w))
		}
		parts = append(parts, strings.Join(shown, " "))
	}
	return cell(strings.Join(append(parts, limits(schema)...), ", "))
}

// kind is the type of a value, or the format where that says more.
func kind(schema map[string]any) string {
	format, _ := schema["format"].(string)
	formats := map[string]string{"date-time": "time", "uri": "URL", "byte": "base64", "email": "email address"}
	types, listed := schema["type"].([]any)
	if !listed && schema["type"] != nil {
		types = []any{schema["type"]}
	}
	var out []string
	for _, t := range types {
		word := fmt.Sprint(t)
		if word == "string" && formats[format] != "" {
			word = formats[format]
		}
		out = append(out, word)
	}
	return strings.Join(out, " or ")
}

func limits(schema map[string]any) (out []string) {
	for _, l := range []struct{ least, most, unit string }{{"minLength", "maxLength", " characters"}, {"minimum", "maximum", ""}, {"minItems", "maxItems", " items"}, {"minProperties", "maxProperties", " members"}} {
		least, hasLeast := schema[l.least].(float64)
		most, hasMost := schema[l.most].(float64)
		switch {
		case hasLeast && hasMost && least == most:
			out = append(out, digits(most)+l.unit)
		case hasLeast && hasMost:
			out = append(out, digits(least)+" to "+digits(most)+l.unit)
		case hasMost:
			out = append(out, "at most "+digits(most)+l.unit)
		case hasLeast:
			out = append(out, "at least "+digits(least)+l.unit)
		}
	}
	if v, ok := schema["default"]; ok {
		raw, _ := json.Marshal(v)
		out = append(out, "default `"+string(raw)+"`")
	}
	return out
}

func digits(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func described(doc map[string]any) string {
	s, _ := doc["description"].(string)
	return s
}

// cell is a text within a table.
func cell(s string) string {
	return inTable.Replace(s)
}

var inTable = strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;")
