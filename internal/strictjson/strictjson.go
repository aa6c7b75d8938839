// Package strictjson reads request bodies: one JSON object in UTF-8, every
// member known, spelled exactly and given once.
//
// It promises that whatever is wrong with a body ends as a *comm.Error whose
// code says what sort of mistake it is and whose fields name the place, and that
// nothing is guessed: no last-wins, no case folding, no coercion between types.
// Work and memory are linear in the body; the body's size is limited by the
// caller. It knows the syntax only: what a value means is for its reader.
package strictjson

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/comm"
)

// MaxDepth is how deep a body may be nested before it is called too deep.
const MaxDepth = 32

// Decode reads one object into v, a pointer to a struct with json tags. Codes
// gives wrong-type mistakes of a top-level member a code of their own instead
// of invalid_field; it may be nil. The error is a *comm.Error.
func Decode(data []byte, v any, codes map[string]string) error {
	err := json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	if err == nil && isObject(data) {
		return nil
	}
	return explain(data, err, codes)
}

// isObject says whether the first thing in data opens an object; null decodes into anything.
func isObject(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}

// explain runs only for bodies that were refused, so it may look at them again.
func explain(data []byte, err error, codes map[string]string) error {
	if e := syntax(data); e != nil {
		return e
	}
	if !isObject(data) {
		return comm.E("invalid_body")
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return comm.E("invalid_json").Because(err)
	}
	path := Path(semantic.JSONPointer)
	if own, ok := errors.AsType[*comm.Error](semantic.Err); ok {
		if own.Fields == nil {
			own.Field(path, own.Text)
		}
		return own
	}
	if errors.Is(err, json.ErrUnknownName) {
		return comm.E("unknown_field", "The field %s is not known here; check its spelling and case.", path).Field(path, "is not known here")
	}
	code := "invalid_field"
	if c, ok := codes[top(semantic.JSONPointer)]; ok {
		code = c
	}
	if errors.Is(semantic.Err, errNull) {
		return comm.E(code).Field(path, errNull.Error())
	}
	return comm.E(code).Field(path, wanted(semantic))
}

// syntax answers what is wrong with data as JSON, nil when nothing is.
func syntax(data []byte) error {
	if jsontext.Value(data).IsValid() && !deep(data) { // in half the time that its tokens take one by one
		return nil
	}
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for depth := 0; ; {
		_, err := d.ReadToken()
		depth = max(depth, d.StackDepth())
		if depth > MaxDepth {
			return comm.E("too_deep", "The JSON is nested deeper than %d levels.", MaxDepth)
		}
		if err != nil {
			return syntaxError(data, err)
		}
		if d.StackDepth() == 0 {
			break
		}
	}
	if rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return comm.E("trailing_data")
	}
	return nil
}

// deep says whether valid JSON is nested too deep.
func deep(data []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			if depth++; depth > MaxDepth {
				return true
			}
		case c == '}', c == ']':
			depth--
		}
	}
	return false
}

func syntaxError(data []byte, err error) error {
	s, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok {
		return comm.E("invalid_json") // nothing there at all
	}
	path := Path(s.JSONPointer)
	switch {
	case errors.Is(s.Err, jsontext.ErrDuplicateName):
		return comm.E("duplicate_field", "The field %s occurs twice; send each field once.", path).Field(path, "occurs twice")
	case relaxed(data):
		return comm.E("invalid_utf8", "The text of %s is not valid UTF-8.", path).Field(path, "is not valid UTF-8")
	}
	e := comm.E("invalid_json").With("offset", s.ByteOffset)
	if path != "" {
		e.Field(path, "the JSON is broken here")
	}
	return e
}

// relaxed says whether data is JSON when its encoding is not looked at.
func relaxed(data []byte) bool {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	return d.SkipValue() == nil
}

func wanted(e *json.SemanticError) string {
	if e.GoType == nil {
		return "has a wrong type"
	}
	switch e.GoType.Kind().String() {
	case "string":
		return "must be a string"
	case "bool":
		return "must be true or false"
	case "int", "int64":
		return "must be a whole number"
	case "slice":
		return "must be an array"
	case "map", "struct":
		return "must be an object"
	}
	return "has a wrong type"
}

// top is the first name of a pointer.
func top(p jsontext.Pointer) string {
	for name := range p.Tokens() {
		return name
	}
	return ""
}

// Path writes a pointer as people write paths: attachments[0].content.
func Path(p jsontext.Pointer) string {
	var b strings.Builder
	for name := range p.Tokens() {
		if _, err := strconv.Atoi(name); err == nil && b.Len() > 0 {
			b.WriteString("[" + name + "]")
		} else {
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(name)
		}
	}
	return comm.ClipPath(b.String())
}

// Opt is a member that may be absent, but not null: a caller that meant
// something by null must not have it overlooked. Given says whether it was there.
type Opt[T any] struct {
	Value T
	Given bool
}

// errNull says that a member which must have a value was null.
var errNull = errors.New("must not be null")

// UnmarshalJSONFrom reads the member; it implements json.UnmarshalerFrom.
func (o *Opt[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		return errNull
	}
	if err := json.UnmarshalDecode(d, &o.Value); err != nil {
		return err
	}
	o.Given = true
	return nil
}

// Nullable is a member that may be absent, or null to say "none".
type Nullable[T any] struct {
	Opt[T]
	Null bool
}

// UnmarshalJSONFrom reads the member; it implements json.UnmarshalerFrom.
func (n *Nullable[T]) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == 'n' {
		n.Null = true
		return d.SkipValue()
	}
	return n.Opt.UnmarshalJSONFrom(d)
}
