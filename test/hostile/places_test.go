package hostile

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/openapi"
)

// place is where a value of a request stands, by the contract.
type place struct {
	in string // query, path, header or body
	// name is of a parameter, or the way through a body: tags[], headers.*, config.SMTP.host
	name   string
	schema map[string]any
	member string // what a member is called where a way has a *
}

// last is the name that says what the value is.
func (p *place) last() string { return p.name[strings.LastIndexByte(p.name, '.')+1:] }

// places are all of an operation's, in their order.
func places(c *openapi.Contract, o openapi.Operation) (out []place) {
	for _, p := range o.Parameters() {
		out = append(out, place{in: p["in"].(string), name: p["name"].(string), schema: c.Resolve(openapi.Dig(p, "schema"))})
	}
	if body := o.Body(); body != nil {
		w := walker{c: c, of: openapi.Named(body)}
		w.members(c.Resolve(body), "")
		out = append(out, w.found...)
	}
	return out
}

// walker goes through a body's schema.
type walker struct {
	c     *openapi.Contract
	of    string // the body's schema
	found []place
	named string // what a member of the object that is open is called
}

func (w *walker) members(schema map[string]any, at string) {
	properties := openapi.Dig(schema, "properties")
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		w.value(w.c.Resolve(openapi.Dig(properties, name)), at+name)
	}
}

func (w *walker) value(schema map[string]any, at string) {
	if schema["anyOf"] == nil {
		w.found = append(w.found, place{in: "body", name: at, schema: schema, member: w.named})
	}
	if items := openapi.Dig(schema, "items"); items != nil {
		w.value(w.c.Resolve(items), at+"[]")
	}
	if values := openapi.Dig(schema, "additionalProperties"); values != nil {
		w.named = memberName(schema, 0)
		w.value(w.c.Resolve(values), at+".*")
	}
	if w.of == "ProviderConfigChange" && at == "config" { // whose fields are those of its type
		w.members(openapi.Dig(w.c.Schemas, "SmtpConfig"), "config.SMTP.")
	}
	w.members(schema, at+".")
	alternatives, _ := schema["anyOf"].([]any)
	for _, one := range alternatives {
		kind := strings.ToUpper(strings.TrimSuffix(openapi.Named(openapi.Dig(one)), "Config"))
		w.members(w.c.Resolve(openapi.Dig(one)), at+"."+kind+".")
	}
}

// unlimited are values without a limit of their own, with the reason. Everything else that
// a request may hold must say in the contract how long, large or many it may be.
func unlimited() map[string]string {
	inBody := "the sum of what is filled in has the limits of subject, body and text, which TestBadInputs goes through as B69"
	return map[string]string{
		"query search": "a longer beginning than any name is found nowhere", "query actor": "likewise", "query target": "likewise",
		"body metadata": "by size and depth: they stand in its description, and B82 goes through them", "body variables.*": inBody,
		"body config.*": "as the field of that name of its type", "body config": "its fields are known by name",
	}
}

// isLimited says whether a schema bounds its values from both sides, as far as its type goes.
func isLimited(schema map[string]any) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return schema[name] != nil })
	}
	kinds, several := schema["type"].([]any)
	if !several {
		kinds = []any{schema["type"]}
	}
	return !slices.ContainsFunc(kinds, func(kind any) bool { // an unlimited one
		switch kind {
		case "integer":
			return !has("enum") && (!has("minimum") || !has("maximum", "format"))
		case "string":
			text, _ := schema["pattern"].(string)
			return !has("enum", "maxLength", "format") && !strings.HasSuffix(text, "}$") && !strings.HasSuffix(text, "})?$")
		case "array":
			return !has("maxItems")
		case "object":
			return !has("maxProperties", "properties")
		}
		return kind != "boolean" && kind != "null"
	})
}

// TestEverythingThatARequestMayHoldHasItsLimit fails for a field or a parameter without one.
func TestEverythingThatARequestMayHoldHasItsLimit(t *testing.T) {
	t.Parallel()
	c := readContract(t)
	reasons, unused, seen := unlimited(), unlimited(), 0
	for _, o := range c.Operations() {
		twice := map[string]bool{}
		for _, p := range places(c, o) {
			seen++
			name := p.in + " " + p.name
			if twice[name] {
				t.Errorf("%s: %s stands twice in the contract", o.Name(), name)
			}
			twice[name] = true
			key := strings.Replace(name, "messages[].", "", 1)
			if reasons[key] != "" {
				delete(unused, key)
				if isLimited(p.schema) {
					t.Errorf("%s: %s has a limit, and a reason to have none", o.Name(), name)
				}
				continue
			}
			if !isLimited(p.schema) {
				t.Errorf("%s: %s has no limit in the contract: %v", o.Name(), name, p.schema)
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is not in the contract", name)
	}
	if seen < 300 {
		t.Errorf("only %d places were found", seen)
	}
	if isLimited(map[string]any{"type": "string"}) || isLimited(map[string]any{"type": "integer", "minimum": 1.0}) || isLimited(map[string]any{"type": "array"}) || isLimited(map[string]any{}) {
		t.Error("what has no limit passes")
	}
}
