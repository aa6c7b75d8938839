package openapi

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// beforeRoutes are statuses that any request may get before it has a route: they are
// said of the server, not of each operation.
var beforeRoutes = []int{404, 405, 414, 431}

// Answer lists what is wrong with an answer: a status that is not documented, or a body
// that does not fit its schema.
func (c *Contract) Answer(method, path string, status int, contentType string, raw []byte) (wrong []string) {
	o, known := c.Find(method, path)
	response := Dig(o.Doc, "responses", strconv.Itoa(status))
	kind, _, _ := strings.Cut(contentType, ";")
	schema := Dig(response, "content", "application/json", "schema")
	switch {
	case response == nil && (slices.Contains(beforeRoutes, status) || status == 500):
		schema = Dig(c.Schemas, "Error")
	case !known || response == nil:
		return []string{fmt.Sprintf("status %d is not documented: %.300s", status, raw)}
	case Dig(response, "content", kind) != nil && kind != "application/json":
		return nil // a file
	case schema == nil && len(raw) > 0:
		return []string{fmt.Sprintf("a body that is not documented: %.300s", raw)}
	}
	if schema == nil || method == "HEAD" {
		return nil
	}
	var body any
	if err := json.Unmarshal(raw, &body); err != nil {
		return []string{fmt.Sprintf("%v: %.300s", err, raw)}
	}
	return c.Check(schema, body, "answer")
}

// Check lists what is wrong with a value.
func (c *Contract) Check(schema map[string]any, v any, at string) (wrong []string) {
	schema = c.Resolve(schema)
	if schema == nil {
		return []string{at + ": no such schema"}
	}
	for keyword, want := range schema {
		switch keyword {
		case "description", "default", "format", "contentEncoding", "required", "properties", "x-secret":
		case "type":
			if !isType(want, v) {
				wrong = append(wrong, fmt.Sprintf("%s: %T is not %v", at, v, want))
			}
		case "enum":
			if !slices.Contains(want.([]any), v) {
				wrong = append(wrong, fmt.Sprintf("%s: %v is not one of %v", at, v, want))
			}
		case "pattern":
			if s, ok := v.(string); ok && !c.patterns[want.(string)].MatchString(s) {
				wrong = append(wrong, at+": does not match "+want.(string))
			}
		case "minLength", "maxLength", "minItems", "maxItems", "maxProperties", "minimum", "maximum":
			wrong = append(wrong, bound(keyword, want.(float64), v, at)...)
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				wrong = append(wrong, c.Check(want.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "anyOf":
			wrong = append(wrong, c.any(want.([]any), v, at)...)
		case "propertyNames":
			object, _ := v.(map[string]any)
			for name := range object {
				wrong = append(wrong, c.Check(want.(map[string]any), name, at+": the name "+name)...)
			}
		case "additionalProperties":
			wrong = append(wrong, c.additional(schema, want, v, at)...)
		default:
			wrong = append(wrong, at+": nothing here knows the keyword "+keyword)
		}
	}
	return append(wrong, c.members(schema, v, at)...)
}

func (c *Contract) members(schema map[string]any, v any, at string) (wrong []string) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	for name, member := range Dig(schema, "properties") {
		if value, there := object[name]; there {
			wrong = append(wrong, c.Check(member.(map[string]any), value, at+"."+name)...)
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, there := object[name.(string)]; !there {
			wrong = append(wrong, at+": lacks "+name.(string))
		}
	}
	return wrong
}

// any wants the value to fit one of the schemas.
func (c *Contract) any(schemas []any, v any, at string) (wrong []string) {
	for _, schema := range schemas {
		one := c.Check(schema.(map[string]any), v, at)
		if len(one) == 0 {
			return nil
		}
		wrong = append(wrong, one...)
	}
	return append(wrong, at+": fits none of them")
}

func (c *Contract) additional(schema map[string]any, want, v any, at string) (wrong []string) {
	object, _ := v.(map[string]any)
	known := Dig(schema, "properties")
	for name, value := range object {
		if _, ok := known[name]; ok || want == true {
			continue
		}
		if want == false {
			wrong = append(wrong, at+": "+name+" is not in the contract")
			continue
		}
		wrong = append(wrong, c.Check(want.(map[string]any), value, at+"."+name)...)
	}
	return wrong
}

// bound holds a size against its limit; lengths are in characters, as JSON Schema has them.
func bound(keyword string, want float64, v any, at string) []string {
	var size float64
	switch v := v.(type) {
	case string:
		size = float64(utf8.RuneCountInString(v))
	case []any:
		size = float64(len(v))
	case map[string]any:
		size = float64(len(v))
	case float64:
		size = v
	default:
		return nil
	}
	if strings.HasPrefix(keyword, "min") && size < want || strings.HasPrefix(keyword, "max") && size > want {
		return []string{fmt.Sprintf("%s: %v against %s %v", at, size, keyword, want)}
	}
	return nil
}

func isType(want, v any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(one any) bool { return isType(one, v) })
	}
	switch v := v.(type) {
	case nil:
		return want == "null"
	case bool:
		return want == "boolean"
	case string:
		return want == "string"
	case float64:
		return want == "number" || want == "integer" && v == math.Trunc(v)
	case []any:
		return want == "array"
	case map[string]any:
		return want == "object"
	}
	return false
}
