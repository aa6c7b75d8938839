package console

import (
	"bytes"
	"encoding/base64"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
)

// attached is an attachment of a mail.
type attached struct {
	name, kind string
	content    []byte
}

// attachmentsOf reads the attachments of a mail that our own server wrote: the parts of its outermost level that have a
// file's name. What cannot be read is left out.
func attachmentsOf(source []byte) (out []attached) {
	m, err := mail.ReadMessage(bytes.NewReader(source))
	if err != nil {
		return nil
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil
	}
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err != nil { // io.EOF, as a rule
			return out
		}
		if part.FileName() == "" {
			continue
		}
		var body io.Reader = part
		if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
			body = base64.NewDecoder(base64.StdEncoding, part)
		}
		content, err := io.ReadAll(body)
		if err != nil {
			return out
		}
		one := attached{name: part.FileName(), content: content}
		if one.kind, _, err = mime.ParseMediaType(part.Header.Get("Content-Type")); err != nil {
			one.kind = "application/octet-stream"
		}
		out = append(out, one)
	}
}

// sorted are the keys of a map in order.
func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
