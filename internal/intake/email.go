package intake

import (
	"encoding/base64"
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/address"
	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/render"
)

// Limits of an email.
const (
	maxCopies      = 50 // cc and bcc together
	maxHeaders     = 20
	maxHeaderValue = 998
	maxFiles       = 20
	maxFileBytes   = 10 << 20 // all files of a message, decoded
	maxFilename    = 255
	maxMediaType   = 255
)

// safeHeaders may be set by an app beside those that begin with X-: nothing
// that routes, authenticates or describes the message itself.
var safeHeaders = map[string]bool{
	"list-unsubscribe": true, "list-unsubscribe-post": true, "list-id": true, "list-help": true, "list-archive": true,
	"list-owner": true, "list-post": true, "list-subscribe": true, "in-reply-to": true, "references": true, "auto-submitted": true,
	"precedence": true, "importance": true, "priority": true, "organization": true, "keywords": true, "comments": true, "feedback-id": true,
}

// onlyEmail refuses members that an SMS cannot have.
func onlyEmail(q *Request) error {
	for _, m := range []struct {
		name  string
		given bool
	}{
		{"subject", q.Subject.Given}, {"text", q.Text.Given}, {"cc", q.CC.Given}, {"bcc", q.BCC.Given}, {"replyTo", q.ReplyTo.Given},
		{"headers", q.Headers.Given}, {"attachments", q.Attachments.Given},
	} {
		if m.given {
			return refuse("field_not_allowed", m.name, "goes with channel EMAIL only")
		}
	}
	return nil
}

// email checks the members that only an email has, except the body.
func (p *prepared) email(q *Request) error {
	if q.Subject.Given && strings.TrimSpace(q.Subject.Value) == "" || !q.Subject.Given && !q.TemplateKey.Given {
		return refuse("subject_required", "subject", "is missing or empty")
	}
	p.content.Subject, p.content.Text = q.Subject.Value, q.Text.Value
	if err := p.copies(q); err != nil {
		return err
	}
	if q.ReplyTo.Given {
		box, err := address.ParseMailbox(q.ReplyTo.Value)
		if err != nil {
			return addressError(err, "invalid_field", "replyTo")
		}
		p.content.ReplyTo = box.String()
	}
	if err := p.headers(q); err != nil {
		return err
	}
	return p.attachments(q)
}

// mail checks the final subject and bodies, inline or rendered.
func (p *prepared) mail() error {
	if strings.TrimSpace(p.content.Subject) == "" {
		return refuse("subject_required", "subject", "is missing or empty")
	}
	return p.parts()
}

// parts checks as much of an email's subject and bodies as there is.
func (p *prepared) parts() error {
	switch {
	case len(p.content.Subject) > render.MaxSubject:
		return refuse("too_long", "subject", "is longer than 998 bytes")
	case comm.ControlAt(p.content.Subject, "\t") >= 0:
		return refuse("control_character", "subject", "must be one line without control characters")
	case len(p.content.Body) > render.MaxRendered:
		return refuse("too_long", "body", "is larger than 512 KiB")
	case len(p.content.Text) > render.MaxRendered:
		return refuse("too_long", "text", "is larger than 512 KiB")
	case strings.IndexByte(p.content.Body, 0) >= 0:
		return refuse("control_character", "body", "holds a NUL character")
	case strings.IndexByte(p.content.Text, 0) >= 0:
		return refuse("control_character", "text", "holds a NUL character")
	}
	return nil
}

func (p *prepared) copies(q *Request) (err error) {
	if len(q.CC.Value)+len(q.BCC.Value) > maxCopies {
		field := "cc"
		if len(q.BCC.Value) > len(q.CC.Value) {
			field = "bcc"
		}
		return refuse("invalid_field", field, "cc and bcc take at most 50 addresses together")
	}
	if p.content.CC, err = addresses("cc", q.CC.Value); err != nil {
		return err
	}
	p.content.BCC, err = addresses("bcc", q.BCC.Value)
	return err
}

func addresses(field string, list []string) ([]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]string, len(list))
	for i, text := range list {
		email, err := address.ParseEmail(text)
		if err != nil {
			return nil, addressError(err, "invalid_field", at(field, i))
		}
		out[i] = email.Address
	}
	return out, nil
}

func (p *prepared) headers(q *Request) error {
	if len(q.Headers.Value) > maxHeaders {
		return refuse("invalid_field", "headers", "at most 20 headers")
	}
	seen := make(map[string]bool, len(q.Headers.Value))
	for name, value := range q.Headers.Value {
		lower := strings.ToLower(name)
		field := "headers." + name
		switch {
		case !headerName(name):
			return refuse("invalid_field", field, "is not a header name")
		case !safeHeaders[lower] && (!strings.HasPrefix(lower, "x-") || len(lower) == len("x-")):
			return refuse("invalid_field", field, "cannot be set: only X-… headers and "+strings.Join(slices.Sorted(maps.Keys(safeHeaders)), ", "))
		case seen[lower]:
			return refuse("duplicate_field", field, "occurs twice in different case")
		case value == "" || len(value) > maxHeaderValue || !printable(value):
			return refuse("invalid_field", field, "must be 1 to 998 printable ASCII characters on one line")
		}
		seen[lower] = true
	}
	p.content.Headers = q.Headers.Value
	return nil
}

func headerName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	return s != "" && len(s) <= 76
}

func (p *prepared) attachments(q *Request) error {
	if len(q.Attachments.Value) > maxFiles {
		return refuse("invalid_attachment", "attachments", "at most 20 files")
	}
	total := 0
	for i := range q.Attachments.Value {
		file, err := decodeFile(&q.Attachments.Value[i], at("attachments", i))
		if err != nil {
			return err
		}
		if total += len(file.Content); total > maxFileBytes {
			return comm.E("body_too_large", "The attachments are larger than 10 MiB together.").Field("attachments", "larger than 10 MiB together")
		}
		p.sub.Files = append(p.sub.Files, file)
	}
	p.content.Files = len(p.sub.Files)
	return nil
}

func decodeFile(a *AttachmentOfRequest, path string) (comm.Attachment, error) {
	name := a.Filename.Value
	if name == "" || len(name) > maxFilename || comm.ControlAt(name, "") >= 0 || strings.ContainsAny(name, `/\`) || name == "." || name == ".." {
		return comm.Attachment{}, refuse("invalid_attachment", path+".filename", "must be a file name of 1 to 255 bytes without slashes and control characters")
	}
	kind, _, err := mime.ParseMediaType(a.ContentType.Value)
	if err != nil || !strings.Contains(kind, "/") || !printable(a.ContentType.Value) || len(a.ContentType.Value) > maxMediaType {
		return comm.Attachment{}, refuse("invalid_attachment", path+".contentType", "must be a media type such as application/pdf, of at most 255 characters")
	}
	if strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		return comm.Attachment{}, refuse("invalid_attachment", path+".contentType", "must not be multipart or message: such parts cannot be base64 (RFC 2046)")
	}
	if !a.Content.Given {
		return comm.Attachment{}, refuse("invalid_attachment", path+".content", "is missing")
	}
	content, err := base64.StdEncoding.Strict().DecodeString(a.Content.Value)
	if err != nil || strings.ContainsAny(a.Content.Value, "\r\n") {
		return comm.Attachment{}, refuse("invalid_attachment", path+".content", "must be base64 with padding, without line breaks")
	}
	return comm.Attachment{Filename: name, ContentType: a.ContentType.Value, Content: content}, nil
}
