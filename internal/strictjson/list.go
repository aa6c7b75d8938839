package strictjson

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/comm"
)

// List reads a body whose one member is an array: {"<name>": […]}, of 1 to most
// items. It answers the text of each item, a part of data, without judging what is in
// it beyond where it ends: what is wrong inside one item is no matter of its
// neighbours. The error is a *comm.Error.
func List(data []byte, name string, most int) ([]jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if kind := d.PeekKind(); kind != '{' {
		if kind == 0 {
			return nil, syntaxOr(data, comm.E("invalid_json"))
		}
		return nil, syntaxOr(data, comm.E("invalid_body"))
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, syntaxOr(data, comm.E("invalid_json"))
	}
	var items []jsontext.Value
	given := false
	for d.PeekKind() != '}' {
		member, err := d.ReadToken()
		switch {
		case err != nil:
			return nil, syntaxOr(data, comm.E("invalid_json"))
		case member.String() != name:
			path := comm.ClipPath(member.String())
			return nil, syntaxOr(data, comm.E("unknown_field", "The field %s is not known here; check its spelling and case.", path).Field(path, "is not known here"))
		case given:
			return nil, comm.E("duplicate_field", "The field %s occurs twice; send each field once.", name).Field(name, "occurs twice")
		}
		if given = true; d.PeekKind() != '[' {
			return nil, syntaxOr(data, comm.E("invalid_field").Field(name, "must be an array"))
		}
		if items, err = elements(d, data, name, most); err != nil {
			return nil, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, syntaxOr(data, comm.E("invalid_json"))
	}
	if rest := bytes.TrimLeft(data[d.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return nil, comm.E("trailing_data")
	}
	if len(items) == 0 {
		return nil, comm.E("invalid_field").Field(name, "must be an array of at least one item")
	}
	return items, nil
}

// elements reads an array to its end.
func elements(d *jsontext.Decoder, data []byte, name string, most int) (items []jsontext.Value, err error) {
	if _, err := d.ReadToken(); err != nil {
		return nil, syntaxOr(data, comm.E("invalid_json"))
	}
	for d.PeekKind() != ']' {
		value, err := d.ReadValue()
		if err != nil {
			return nil, syntaxOr(data, comm.E("invalid_json"))
		}
		if len(items) == most {
			return nil, comm.E("too_many_items", "%s takes at most %d items; send the rest in another request.", name, most).Field(name, "has too many items")
		}
		end := int(d.InputOffset())
		items = append(items, data[end-len(value):end:end])
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, syntaxOr(data, comm.E("invalid_json"))
	}
	return items, nil
}

// syntaxOr is what is wrong with data as JSON, or otherwise.
func syntaxOr(data []byte, otherwise error) error {
	if err := syntax(data); err != nil {
		return err
	}
	return otherwise
}
