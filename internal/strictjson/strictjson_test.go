package strictjson

import (
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/comm"
)

type body struct {
	To    Opt[string]            `json:"to"`
	N     Opt[int64]             `json:"n"`
	None  Nullable[int64]        `json:"none"`
	Flag  Opt[bool]              `json:"flag"`
	List  []struct{ C string }   `json:"list"`
	Names map[string]Opt[string] `json:"names"`
	Raw   jsontext.Value         `json:"raw"`
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, code, field string }{
		{"empty", "", "invalid_json", ""},
		{"blank", " \n", "invalid_json", ""},
		{"null", "null", "invalid_body", ""},
		{"array", "[]", "invalid_body", ""},
		{"string", `"x"`, "invalid_body", ""},
		{"number", "42", "invalid_body", ""},
		{"cut off", `{"to":"S"`, "invalid_json", ""},
		{"second object", `{"to":"a"}{}`, "trailing_data", ""},
		{"garbage after", `{"to":"a"} x`, "trailing_data", ""},
		{"twice", `{"to":"a","to":"b"}`, "duplicate_field", "to"},
		{"twice inside", `{"raw":{"a":1,"a":2}}`, "duplicate_field", "raw.a"},
		{"wrong case", `{"To":"a"}`, "unknown_field", "To"},
		{"unknown inside", `{"list":[{"C":"x"},{"D":"x"}]}`, "unknown_field", "list[1].D"},
		{"raw bytes", "{\"to\":\"\xff\xfe\"}", "invalid_utf8", "to"},
		{"lone surrogate", `{"to":"\ud800"}`, "invalid_utf8", "to"},
		{"bom", "\xef\xbb\xbf{}", "invalid_json", ""},
		{"utf-16", "\xff\xfe{\x00}\x00", "invalid_json", ""},
		{"nan", `{"n":NaN}`, "invalid_json", "n"},
		{"single quotes", `{'n':1}`, "invalid_json", ""},
		{"comment", `{"n":1/*x*/}`, "invalid_json", ""},
		{"deep", `{"raw":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `, "x":1}`, "too_deep", ""},
		{"bottomless", strings.Repeat("[", 200_000), "too_deep", ""},
		{"number for string", `{"to":1}`, "invalid_to", "to"},
		{"string for number", `{"n":"1"}`, "invalid_field", "n"},
		{"fraction", `{"n":1.5}`, "invalid_field", "n"},
		{"overflow", `{"n":99999999999999999999}`, "invalid_field", "n"},
		{"string for bool", `{"flag":"true"}`, "invalid_field", "flag"},
		{"object for list", `{"list":{}}`, "invalid_field", "list"},
		{"null for a string", `{"to":null}`, "invalid_to", "to"},
		{"null for a number", `{"flag":true,"n":null}`, "invalid_field", "n"},
		{"null inside", `{"names":{"a":null}}`, "invalid_field", "names.a"},
		{"string for number or null", `{"none":"1"}`, "invalid_field", "none"},
		{"wrong inside", `{"list":[{"C":1}]}`, "invalid_field", "list[0].C"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var b body
			err := Decode([]byte(c.in), &b, map[string]string{"to": "invalid_to"})
			var e *comm.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			if e.Code != c.code {
				t.Errorf("code %s, want %s (%v)", e.Code, c.code, e)
			}
			if _, ok := e.Fields[c.field]; c.field != "" && !ok {
				t.Errorf("fields %v, want %s", e.Fields, c.field)
			}
		})
	}
}

func TestDecodeReads(t *testing.T) {
	t.Parallel()
	var b body
	if err := Decode([]byte(` {"to":"a\u00e9","none":null,"flag":false,"raw":{"x":9007199254740993}} `), &b, nil); err != nil {
		t.Fatal(err)
	}
	if b.To != (Opt[string]{"aé", true}) || b.N.Given || b.None.Given || !b.None.Null || !b.Flag.Given || b.Flag.Value || string(b.Raw) != `{"x":9007199254740993}` {
		t.Errorf("%+v", b)
	}
}

func TestPathIsBounded(t *testing.T) {
	t.Parallel()
	if p := Path(jsontext.Pointer("/" + strings.Repeat("é", 5000))); len(p) > 200 {
		t.Errorf("%d bytes", len(p))
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"to":"a","n":1,"raw":[{}]}`, `{"to":"\ud800"}`, "\xff", `{"list":[{"C":"x"}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b body
		err := Decode(data, &b, nil)
		var e *comm.Error
		if err != nil && (!errors.As(err, &e) || e.Kind != comm.Invalid) {
			t.Fatalf("%v", err)
		}
	})
}
