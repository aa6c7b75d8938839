package intake

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/strictjson"
)

// Request is one message as an application asks for it. Text members tell
// "absent" from "empty": an empty one is usually a mistake of the caller.
type Request struct {
	Channel        Text                                  `json:"channel"`
	To             Text                                  `json:"to"`
	Body           Text                                  `json:"body"`
	Subject        Text                                  `json:"subject"`
	TemplateKey    Text                                  `json:"templateKey"`
	Variables      Variables                             `json:"variables"`
	IdempotencyKey Text                                  `json:"idempotencyKey"`
	ScheduledAt    Text                                  `json:"scheduledAt"`
	From           Text                                  `json:"from"`
	Metadata       Metadata                              `json:"metadata"`
	Lane           Text                                  `json:"lane"`
	TTLSeconds     strictjson.Opt[int64]                 `json:"ttlSeconds"`
	Tags           strictjson.Opt[[]string]              `json:"tags"`
	CC             strictjson.Opt[[]string]              `json:"cc"`
	BCC            strictjson.Opt[[]string]              `json:"bcc"`
	ReplyTo        Text                                  `json:"replyTo"`
	Text           Text                                  `json:"text"`
	Headers        strictjson.Opt[map[string]string]     `json:"headers"`
	Attachments    strictjson.Opt[[]AttachmentOfRequest] `json:"attachments"`
}

// Text is a string member that may be absent.
type Text = strictjson.Opt[string]

// AttachmentOfRequest is a file of an email; Content is base64.
type AttachmentOfRequest struct {
	Filename    Text `json:"filename"`
	ContentType Text `json:"contentType"`
	Content     Text `json:"content"`
}

// Variable is a value for a template's placeholder: a string, number or
// boolean. Value is what a template shows; Literal quotes strings, so that "1"
// and 1 are different requests.
type Variable struct {
	Name, Value, Literal string
}

// Variables are the values for a template, in the order of the request.
type Variables struct {
	List  []Variable
	Given bool
}

// Limits of variables and metadata.
const (
	maxVariables     = 1000
	maxVariableName  = 100
	maxMetadataBytes = 16 << 10
	maxMetadataDepth = 8
)

// UnmarshalJSONFrom reads the object token by token, so that the number of
// members is bounded before they are kept.
func (v *Variables) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		return comm.E("invalid_variable", "variables must be an object of strings, numbers and booleans.").Field("variables", "must be an object")
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	v.Given = true
	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		one := Variable{Name: name.String()}
		if len(v.List) == maxVariables {
			return comm.E("too_many_fields", "variables may hold at most %d values.", maxVariables).Field("variables", "too many values")
		}
		if one.Name == "" || len(one.Name) > maxVariableName {
			return comm.E("invalid_variable", "The name of a variable has 1 to %d characters.", maxVariableName).Field("variables", "a name is empty or too long")
		}
		if one.Literal, one.Value, err = readScalar(d); err != nil {
			return err
		}
		v.List = append(v.List, one)
	}
	_, err := d.ReadToken()
	return err
}

func readScalar(d *jsontext.Decoder) (literal, value string, err error) {
	switch d.PeekKind() {
	case '{', '[', 'n':
		path := strictjson.Path(d.StackPointer())
		return "", "", comm.E("invalid_variable").Field(path, "must be a string, a number or a boolean")
	}
	token, err := d.ReadToken()
	if err != nil {
		return "", "", err
	}
	value = token.String()
	if token.Kind() == '"' {
		return strconv.Quote(value), value, nil
	}
	return value, value, nil
}

// Metadata is the caller's correlation data: numbers as they are written, and texts
// without escapes that JSON does not need, so that what stands in them can be searched for.
type Metadata struct {
	Raw   string
	Given bool
}

// UnmarshalJSONFrom keeps the object and checks its bounds.
func (m *Metadata) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	if why := checkMetadata(value); why != "" {
		return comm.E("invalid_metadata").Field("metadata", why)
	}
	if bytes.IndexByte(value, '\\') >= 0 {
		value = value.Clone()
		if err := value.Format(); err != nil {
			return err
		}
	}
	m.Raw, m.Given = string(value), true
	return nil
}

func checkMetadata(value jsontext.Value) string {
	if value.Kind() != '{' {
		return "must be an object"
	}
	if len(value) > maxMetadataBytes {
		return "is larger than 16 KiB"
	}
	depth, inString := 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case inString:
			if c == '\\' {
				i++
			} else if c == '"' {
				inString = false
			}
		case c == '"':
			inString = true
		case c == '{', c == '[':
			if depth++; depth > maxMetadataDepth {
				return "is nested deeper than 8 levels"
			}
		case c == '}', c == ']':
			depth--
		case c == '-', c >= '0' && c <= '9':
			end := i + 1
			for end < len(value) && isNumberByte(value[end]) {
				end++
			}
			if _, err := strconv.ParseFloat(string(value[i:end]), 64); err != nil {
				return "holds a number out of range"
			}
			i = end - 1
		}
	}
	return ""
}

func isNumberByte(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// Decode reads one message request. The error is a *comm.Error.
func Decode(body []byte) (*Request, error) {
	r := new(Request)
	if err := strictjson.Decode(body, r, fieldCodes); err != nil {
		return nil, err
	}
	return r, nil
}

// fieldCodes are the codes of members with a wrong JSON type.
var fieldCodes = map[string]string{
	"channel": "invalid_channel", "to": "invalid_to", "variables": "invalid_variable",
	"idempotencyKey": "invalid_idempotency_key", "scheduledAt": "invalid_scheduled_at",
	"from": "invalid_from", "templateKey": "invalid_template_key", "attachments": "invalid_attachment",
}

// FileText is how many bytes of the request are attachment content: they have a limit of their own.
func (r *Request) FileText() int {
	n := 0
	for i := range r.Attachments.Value {
		n += len(r.Attachments.Value[i].Content.Value)
	}
	return n
}
