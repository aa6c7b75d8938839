package openapi

import "testing"

// TestCheckFindsWhatDoesNotFit: each keyword refuses something, and lets something pass.
func TestCheckFindsWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	c, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	object := func(members map[string]any) map[string]any { return members }
	text := map[string]any{"type": "string"}
	for name, x := range map[string]struct {
		schema    map[string]any
		good, bad any
	}{
		"type":                 {text, "a", 1.0},
		"one of two types":     {object(map[string]any{"type": []any{"string", "null"}}), nil, false},
		"integer":              {object(map[string]any{"type": "integer"}), 2.0, 2.5},
		"enum":                 {object(map[string]any{"enum": []any{"A"}}), "A", "a"},
		"pattern":              {Dig(c.Schemas, "Id"), "c0123456789abcdefghijklmn", "c1"},
		"minLength":            {object(map[string]any{"minLength": 2.0}), "ää", "a"},
		"maxLength":            {object(map[string]any{"maxLength": 2.0}), "ää", "aaa"},
		"maxItems":             {object(map[string]any{"maxItems": 1.0}), []any{1.0}, []any{1.0, 2.0}},
		"maxProperties":        {object(map[string]any{"maxProperties": 0.0}), map[string]any{}, map[string]any{"a": 1.0}},
		"propertyNames":        {object(map[string]any{"propertyNames": map[string]any{"maxLength": 1.0}}), map[string]any{"a": 1.0}, map[string]any{"ab": 1.0}},
		"minimum":              {object(map[string]any{"minimum": 1.0}), 1.0, 0.0},
		"items":                {object(map[string]any{"items": text}), []any{"a"}, []any{1.0}},
		"anyOf":                {object(map[string]any{"anyOf": []any{text}}), "a", 1.0},
		"required":             {object(map[string]any{"required": []any{"a"}}), map[string]any{"a": 1.0}, map[string]any{}},
		"properties":           {object(map[string]any{"properties": map[string]any{"a": text}}), map[string]any{"a": "b"}, map[string]any{"a": 1.0}},
		"closed":               {object(map[string]any{"additionalProperties": false}), map[string]any{}, map[string]any{"a": 1.0}},
		"additionalProperties": {object(map[string]any{"additionalProperties": text}), map[string]any{"a": "b"}, map[string]any{"a": 1.0}},
	} {
		if wrong := c.Check(x.schema, x.good, "v"); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
		if wrong := c.Check(x.schema, x.bad, "v"); len(wrong) == 0 {
			t.Errorf("%s: %v fits", name, x.bad)
		}
	}
	if wrong := c.Check(map[string]any{"multipleOf": 2.0}, 2.0, "v"); len(wrong) != 1 {
		t.Errorf("a keyword that nothing knows: %v", wrong)
	}
	if wrong := c.Check(map[string]any{"$ref": "#/components/schemas/None"}, 2.0, "v"); len(wrong) != 1 {
		t.Errorf("a schema that is not there: %v", wrong)
	}
}

// TestAnswer: an answer has a documented status and the body of its schema.
func TestAnswer(t *testing.T) {
	t.Parallel()
	c, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	refused := `{"error":"No such path here.","details":{"code":"not_found"}}`
	for name, x := range map[string]struct {
		method, path, raw string
		status            int
		good              bool
	}{
		"an error":                {"GET", "/api/v1/messages/x", refused, 404, true},
		"an error's further name": {"GET", "/api/v1/messages/x", `{"error":"a","details":{"code":"b"},"more":1}`, 404, false},
		"no operation":            {"GET", "/nothing", refused, 404, true},
		"no operation, taken":     {"GET", "/nothing", `{}`, 200, false},
		"an undocumented status":  {"GET", "/api/v1/messages/x", refused, 418, false},
		"what is no JSON":         {"GET", "/api/v1/messages/x", "not found", 404, false},
		"a file":                  {"GET", "/api/v1/suppressions/export", "a,b", 200, true},
		"nothing":                 {"DELETE", "/api/v1/templates/x", "", 204, true},
		"more than nothing":       {"DELETE", "/api/v1/templates/x", "{}", 204, false},
		"a body that lacks all":   {"GET", "/api/v1/app", "{}", 200, false},
	} {
		kind := "application/json; charset=utf-8"
		if name == "a file" {
			kind = "text/csv; charset=utf-8"
		}
		if wrong := c.Answer(x.method, x.path, x.status, kind, []byte(x.raw)); (len(wrong) == 0) != x.good {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	for path, want := range map[string]string{"/api/v1/messages/batch": "/api/v1/messages/batch", "/api/v1/messages/x": "/api/v1/messages/{id}"} {
		if o, found := c.Find(map[bool]string{true: "POST", false: "GET"}[path == want], path); !found || o.Path != want {
			t.Errorf("%s: %s", path, o.Path)
		}
	}
}
