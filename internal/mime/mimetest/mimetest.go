// Package mimetest reads mails back for tests, with the standard library's
// parsers and none of the composer's code, so that a mistake in writing cannot
// hide behind the same mistake in reading. It also states, in Strict, what the
// composer promises about every octet. It is not for reading mail from strangers.
package mimetest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	stdmime "mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// Mail is a mail taken apart, everything decoded.
type Mail struct {
	Header mail.Header
	Kinds  []string // content types of all entities, outermost first
	Text   string
	HTML   string
	Files  []File
}

// File is a decoded attachment.
type File struct {
	Name        string
	ContentType string
	Content     []byte
}

// Decoded answers a header with its encoded words decoded.
func (m *Mail) Decoded(name string) string {
	out, err := new(stdmime.WordDecoder).DecodeHeader(m.Header.Get(name))
	if err != nil {
		return "undecodable: " + err.Error()
	}
	return out
}

// Read parses a mail.
func Read(raw []byte) (*Mail, error) {
	msg, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("read the header: %w", err)
	}
	m := &Mail{Header: msg.Header}
	get := func(name string) string { return msg.Header.Get(name) }
	return m, m.entity(get, msg.Body)
}

func (m *Mail) entity(get func(string) string, body io.Reader) error {
	kind, params, err := stdmime.ParseMediaType(get("Content-Type"))
	if err != nil {
		return fmt.Errorf("content type %q: %w", get("Content-Type"), err)
	}
	m.Kinds = append(m.Kinds, kind)
	if strings.HasPrefix(kind, "multipart/") {
		return m.parts(multipart.NewReader(body, params["boundary"]))
	}
	content, err := decode(get("Content-Transfer-Encoding"), body)
	if err != nil {
		return fmt.Errorf("decode a %s: %w", kind, err)
	}
	if at := get("Content-Disposition"); at != "" {
		_, dp, err := stdmime.ParseMediaType(at)
		if err != nil {
			return fmt.Errorf("disposition %q: %w", at, err)
		}
		m.Files = append(m.Files, File{Name: dp["filename"], ContentType: get("Content-Type"), Content: content})
		return nil
	}
	if kind == "text/html" {
		m.HTML += string(content)
	} else {
		m.Text += string(content)
	}
	return nil
}

func (m *Mail) parts(r *multipart.Reader) error {
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("next part: %w", err)
		}
		if err := m.entity(p.Header.Get, p); err != nil {
			return err
		}
	}
}

func decode(encoding string, body io.Reader) ([]byte, error) {
	switch encoding {
	case "base64":
		return io.ReadAll(base64.NewDecoder(base64.StdEncoding, body))
	case "quoted-printable":
		return io.ReadAll(quotedprintable.NewReader(body))
	case "", "7bit":
		return io.ReadAll(body)
	}
	return nil, fmt.Errorf("unexpected transfer encoding %q", encoding)
}

// Canonical is how a text must come out: every line end, also a bare CR or LF, as CRLF.
func Canonical(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	text = strings.ReplaceAll(text, "\r", "\n")
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// Strict checks every octet of a mail as it leaves: 7-bit, no NUL, no bare CR
// or LF, no line over 998, a line end at the end.
func Strict(raw []byte) error {
	line := 0
	for i, c := range raw {
		switch {
		case c == '\n' && (i == 0 || raw[i-1] != '\r'):
			return fmt.Errorf("bare LF at %d", i)
		case c == '\r' && (i+1 == len(raw) || raw[i+1] != '\n'):
			return fmt.Errorf("bare CR at %d", i)
		case c == 0 || c > 0x7E || c < ' ' && c != '\t' && c != '\r' && c != '\n':
			return fmt.Errorf("octet %#x at %d", c, i)
		case c == '\n':
			line = 0
		case c != '\r':
			if line++; line > 998 {
				return fmt.Errorf("line over 998 octets at %d", i)
			}
		}
	}
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		return fmt.Errorf("no line end at the end")
	}
	return nil
}
