// Package mime writes an email as bytes: header and parts of RFC 5322 and
// RFC 2045 to 2049, from plain values.
//
// It promises that equal input gives equal bytes on every attempt and machine
// (boundaries follow from the Message-ID, headers have a fixed order), that the
// result is 7-bit with CRLF line ends and no line over 998 octets whatever the
// content, that an HTML mail always has a text part before it, and that no
// value can add a header or a part. Files are not copied: they are encoded
// while the mail is written out.
//
// It does not parse or judge addresses (address), talk to servers (provider/smtp)
// or sign. The boundary rule and the nesting alternative-in-mixed are why it
// stands on the standard library: the mail library at hand (go-mail 0.8.1)
// makes random boundaries as soon as there are two multiparts.
package mime

import (
	"encoding/base64"
	"fmt"
	"io"
	stdmime "mime"
	"strings"
	"time"
)

// Address is one mailbox of a header: a checked ASCII address, and a name in UTF-8 that may be empty.
type Address struct {
	Name string
	Addr string
}

// File is an attachment.
type File struct {
	Name        string
	ContentType string
	Content     []byte
}

// Message is what a mail is made of. At least one of HTML and Text is written;
// with HTML and no Text, the text part is made from the HTML.
type Message struct {
	ID      string // Message-ID without its angle brackets
	Date    time.Time
	From    Address
	To      []Address
	CC      []Address
	ReplyTo []Address
	Subject string
	HTML    string
	Text    string
	Headers map[string]string // further headers; those that the composer writes itself are refused
	Files   []File
}

// Error says which value cannot be put into a mail. It never repeats the value.
type Error struct {
	Field  string
	Reason string
}

func (e *Error) Error() string { return e.Field + ": " + e.Reason }

// Mail is a composed message, ready to be written any number of times.
type Mail struct {
	text  []byte // everything but the files' contents
	files []insert
	size  int64
}

// insert is a file's content and where in text it goes.
type insert struct {
	at      int
	content []byte
}

const (
	crlf = "\r\n"
	// maxLine is the longest line without its end, RFC 5322 section 2.1.1.
	maxLine = 998
	// niceLine is the length that lines should keep, same section.
	niceLine = 78
	// maxFileName keeps an encoded file name (three octets for one) inside maxLine.
	maxFileName = 255
	// fileLine is how many octets make one base64 line of 76.
	fileLine = 57
)

// Compose writes the mail's text behind buf[:0] and notes where the files go.
// The caller may reuse the memory (Mail.Buffer) once the mail has been sent.
// The error is an *Error.
func Compose(buf []byte, m *Message) (Mail, error) {
	b := &builder{out: buf[:0], seed: boundarySeed(m.ID)}
	if err := b.header(m); err != nil {
		return Mail{}, err
	}
	if len(m.Files) == 0 {
		b.body(m)
	} else if err := b.mixed(m); err != nil {
		return Mail{}, err
	}
	size := int64(len(b.out))
	for _, f := range b.files {
		size += encodedSize(len(f.content))
	}
	return Mail{text: b.out, files: b.files, size: size}, nil
}

// Size is the number of octets that WriteTo writes.
func (m *Mail) Size() int64 { return m.size }

// Buffer gives back the memory that Compose filled. The mail is unusable afterwards.
func (m *Mail) Buffer() []byte {
	b := m.text
	*m = Mail{}
	return b
}

// WriteTo writes the whole mail. It implements io.WriterTo.
func (m *Mail) WriteTo(w io.Writer) (int64, error) {
	var written int64
	from := 0
	for _, f := range m.files {
		n, err := w.Write(m.text[from:f.at])
		written += int64(n)
		if err != nil {
			return written, err
		}
		from = f.at
		more, err := writeBase64(w, f.content)
		written += more
		if err != nil {
			return written, err
		}
	}
	n, err := w.Write(m.text[from:])
	return written + int64(n), err
}

type builder struct {
	out   []byte
	files []insert
	seed  string
}

func (b *builder) add(parts ...string) {
	for _, p := range parts {
		b.out = append(b.out, p...)
	}
}

// boundarySeed makes a Message-ID fit for a boundary (RFC 2046 section 5.1.1).
// "=_" occurs neither in quoted-printable nor in base64, and text that holds
// "--=_" is never sent as 7bit: a boundary cannot occur in a part.
func boundarySeed(id string) string {
	local, _, _ := strings.Cut(id, "@")
	clean := []byte("=_")
	for i := 0; i < len(local) && len(clean) < 56; i++ {
		c := local[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			clean = append(clean, c)
		}
	}
	return string(clean)
}

// body writes the text, or the text and the HTML as alternatives.
func (b *builder) body(m *Message) {
	if m.HTML == "" {
		b.textPart("text/plain", m.Text, len(m.Files) > 0)
		return
	}
	text := m.Text
	if text == "" {
		text = TextOf(m.HTML)
	}
	boundary := b.seed + ".alt"
	b.add("Content-Type: multipart/alternative; boundary=\"", boundary, "\"", crlf, crlf)
	b.add("--", boundary, crlf)
	b.textPart("text/plain", text, true)
	b.add("--", boundary, crlf)
	b.textPart("text/html", m.HTML, true)
	b.add("--", boundary, "--", crlf)
}

// mixed writes the body and then the files.
func (b *builder) mixed(m *Message) error {
	boundary := b.seed + ".mix"
	b.add("Content-Type: multipart/mixed; boundary=\"", boundary, "\"", crlf, crlf, "--", boundary, crlf)
	b.body(m)
	for i := range m.Files {
		f := &m.Files[i]
		if reason := badFileName(f.Name); reason != "" {
			return &Error{Field: fmt.Sprintf("attachments[%d].filename", i), Reason: reason}
		}
		b.add("--", boundary, crlf)
		b.add("Content-Type: ", foldParams(fileType(f.ContentType)), crlf)
		b.add("Content-Transfer-Encoding: base64", crlf)
		b.add("Content-Disposition: ", foldParams(disposition(f.Name)), crlf, crlf)
		b.files = append(b.files, insert{at: len(b.out), content: f.Content})
	}
	b.add("--", boundary, "--", crlf)
	return nil
}

func badFileName(name string) string {
	switch {
	case name == "":
		return "the file has no name"
	case len(name) > maxFileName:
		return "the file name is too long"
	case strings.ContainsAny(name, "\r\n\x00"):
		return "the file name holds a line break or NUL"
	}
	return ""
}

func disposition(name string) string {
	return stdmime.FormatMediaType("attachment", map[string]string{"filename": name})
}

// fileType answers the content type in its canonical form. What cannot be read,
// and what may not be base64 (RFC 2045 section 6.4: multipart, message), goes as plain octets.
func fileType(given string) string {
	const octets = "application/octet-stream"
	kind, params, err := stdmime.ParseMediaType(given)
	if err != nil || !strings.Contains(kind, "/") || strings.HasPrefix(kind, "multipart/") || strings.HasPrefix(kind, "message/") {
		return octets
	}
	out := stdmime.FormatMediaType(kind, params)
	if out == "" || len(out) > 512 || strings.ContainsAny(out, "\r\n\x00") {
		return octets
	}
	return out
}

// foldParams puts the parameters of a structured header on a line of their own when the line would be long.
func foldParams(v string) string {
	if len(v) <= 48 {
		return v
	}
	return strings.Replace(v, "; ", ";\r\n ", 1)
}

func encodedSize(n int) int64 {
	lines := int64(n+fileLine-1) / fileLine
	return int64(base64.StdEncoding.EncodedLen(n)) + 2*lines
}

// writeBase64 writes content in lines of 76, some hundred lines at a time.
func writeBase64(w io.Writer, content []byte) (int64, error) {
	const block = 256 * fileLine
	var written int64
	var buf []byte
	for len(content) > 0 {
		n := min(len(content), block)
		buf = appendBase64(buf[:0], content[:n])
		content = content[n:]
		k, err := w.Write(buf)
		written += int64(k)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func appendBase64(dst, content []byte) []byte {
	for len(content) > 0 {
		n := min(len(content), fileLine)
		dst = base64.StdEncoding.AppendEncode(dst, content[:n])
		dst = append(dst, crlf...)
		content = content[n:]
	}
	return dst
}
