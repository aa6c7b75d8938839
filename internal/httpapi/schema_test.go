package httpapi

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/api"
)

// contract is openapi.json with a validator for the part of JSON Schema that it
// uses. A keyword that the validator does not know fails the test, so that
// nothing in the contract is silently not checked.
type contract struct {
	doc     map[string]any
	schemas map[string]any
}

func readContract(t *testing.T) *contract {
	t.Helper()
	c := &contract{}
	if err := json.Unmarshal(api.OpenAPI(), &c.doc); err != nil {
		t.Fatal(err)
	}
	c.schemas = dig(c.doc, "components", "schemas")
	return c
}

// dig follows names into nested objects; nil when one is not there.
func dig(v any, names ...string) map[string]any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	m, _ := v.(map[string]any)
	return m
}

func (c *contract) resolve(schema map[string]any) map[string]any {
	if name, ok := schema["$ref"].(string); ok {
		return dig(c.schemas, strings.TrimPrefix(name, "#/components/schemas/"))
	}
	return schema
}

// check lists what is wrong with a value.
func (c *contract) check(schema map[string]any, v any, at string) (wrong []string) {
	schema = c.resolve(schema)
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
			if s, ok := v.(string); ok && !regexp.MustCompile(want.(string)).MatchString(s) {
				wrong = append(wrong, at+": does not match "+want.(string))
			}
		case "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum":
			wrong = append(wrong, bound(keyword, want.(float64), v, at)...)
		case "items":
			list, _ := v.([]any)
			for i, item := range list {
				wrong = append(wrong, c.check(want.(map[string]any), item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		case "anyOf":
			wrong = append(wrong, c.any(want.([]any), v, at)...)
		case "additionalProperties":
			wrong = append(wrong, c.additional(schema, want, v, at)...)
		default:
			wrong = append(wrong, at+": the validator does not know the keyword "+keyword)
		}
	}
	return append(wrong, c.members(schema, v, at)...)
}

func (c *contract) members(schema map[string]any, v any, at string) (wrong []string) {
	object, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	for name, member := range dig(schema, "properties") {
		if value, there := object[name]; there {
			wrong = append(wrong, c.check(member.(map[string]any), value, at+"."+name)...)
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
func (c *contract) any(schemas []any, v any, at string) (wrong []string) {
	for _, schema := range schemas {
		one := c.check(schema.(map[string]any), v, at)
		if len(one) == 0 {
			return nil
		}
		wrong = append(wrong, one...)
	}
	return append(wrong, at+": fits none of them")
}

func (c *contract) additional(schema map[string]any, want, v any, at string) (wrong []string) {
	object, _ := v.(map[string]any)
	known := dig(schema, "properties")
	for name, value := range object {
		if _, ok := known[name]; ok || want == true {
			continue
		}
		if want == false {
			wrong = append(wrong, at+": "+name+" is not in the contract")
			continue
		}
		wrong = append(wrong, c.check(want.(map[string]any), value, at+"."+name)...)
	}
	return wrong
}

func bound(keyword string, want float64, v any, at string) []string {
	var size float64
	switch v := v.(type) {
	case string:
		size = float64(len(v))
	case []any:
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
