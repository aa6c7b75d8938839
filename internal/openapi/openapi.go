// Package openapi reads the contract, api/openapi.json, for the reference of the documentation and for tests that hold the
// server against it: its operations with their parameters, and whether a value or an answer fits.
//
// It knows the part of JSON Schema that the contract uses. A keyword that it does not
// know is reported as a fault, so that nothing in the contract is silently not checked.
// Nothing that is served decides by it: what a request may hold is decided by those who read it.
package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/commserver/commserver/api"
)

// Contract is openapi.json. It is safe for concurrent use.
type Contract struct {
	Doc     map[string]any
	Schemas map[string]any

	patterns map[string]*regexp.Regexp
	paths    []path
}

// path is a path of the contract, with what it matches.
type path struct {
	name  string
	match *regexp.Regexp
}

// Read reads the contract.
func Read() (*Contract, error) {
	c := &Contract{patterns: map[string]*regexp.Regexp{}}
	if err := json.Unmarshal(api.OpenAPI(), &c.Doc); err != nil {
		return nil, fmt.Errorf("read the contract: %w", err)
	}
	c.Schemas = Dig(c.Doc, "components", "schemas")
	if err := c.compile(c.Doc); err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(Dig(c.Doc, "paths")))
	slices.SortStableFunc(names, func(a, b string) int { return strings.Count(a, "{") - strings.Count(b, "{") }) // what is named before what may be anything
	for _, name := range names {
		text := "^" + regexp.MustCompile(`\\\{[a-zA-Z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(name), `[^/]*`) + "$"
		c.paths = append(c.paths, path{name, regexp.MustCompile(text)})
	}
	return c, nil
}

// compile collects every pattern, wherever it stands.
func (c *Contract) compile(v any) (err error) {
	switch v := v.(type) {
	case map[string]any:
		if text, ok := v["pattern"].(string); ok {
			if c.patterns[text], err = regexp.Compile(text); err != nil {
				return fmt.Errorf("a pattern of the contract: %w", err)
			}
		}
		for _, inner := range v {
			if err := c.compile(inner); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := c.compile(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// Dig follows names into nested objects; nil when one is not there.
func Dig(v any, names ...string) map[string]any {
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	m, _ := v.(map[string]any)
	return m
}

// Resolve follows a reference to a named schema.
func (c *Contract) Resolve(schema map[string]any) map[string]any {
	if name := Named(schema); name != "" {
		return Dig(c.Schemas, name)
	}
	return schema
}

// Named is the name of the schema that a reference points to, "" of one that stands in its place.
func Named(schema map[string]any) string {
	ref, _ := schema["$ref"].(string)
	return strings.TrimPrefix(ref, "#/components/schemas/")
}

// Operation is a method of a path.
type Operation struct {
	Method, Path string
	Doc          map[string]any
}

// Name is the method and the path.
func (o Operation) Name() string { return o.Method + " " + o.Path }

// Operations lists them all, sorted by path and method.
func (c *Contract) Operations() (out []Operation) {
	paths := Dig(c.Doc, "paths")
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		for _, method := range slices.Sorted(maps.Keys(Dig(paths, path))) {
			out = append(out, Operation{strings.ToUpper(method), path, Dig(paths, path, method)})
		}
	}
	return out
}

// Statuses are the documented ones, sorted.
func (o Operation) Statuses() []string { return slices.Sorted(maps.Keys(Dig(o.Doc, "responses"))) }

// Parameters are those of query, path and headers.
func (o Operation) Parameters() (out []map[string]any) {
	list, _ := o.Doc["parameters"].([]any)
	for _, one := range list {
		out = append(out, Dig(one))
	}
	return out
}

// Body is the schema of a JSON body, nil when it takes none.
func (o Operation) Body() map[string]any {
	return Dig(o.Doc, "requestBody", "content", "application/json", "schema")
}

// Find answers the operation that a request is of.
func (c *Contract) Find(method, path string) (Operation, bool) {
	if method == "HEAD" {
		method = "GET"
	}
	for _, p := range c.paths {
		if !p.match.MatchString(path) {
			continue
		}
		if doc := Dig(c.Doc, "paths", p.name, strings.ToLower(method)); doc != nil {
			return Operation{method, p.name, doc}, true
		}
	}
	return Operation{}, false
}
