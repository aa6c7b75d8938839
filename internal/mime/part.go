package mime

import (
	"encoding/base64"
	"strings"
)

const hexDigits = "0123456789ABCDEF"

// textPart writes the header and body of a text part in the shortest 7-bit
// encoding. Within a multipart a line end follows that belongs to the boundary,
// so that the text keeps its own.
func (b *builder) textPart(kind, text string, within bool) {
	b.add("Content-Type: ", kind, "; charset=utf-8", crlf, "Content-Transfer-Encoding: ")
	switch chooseEncoding(text) {
	case sevenBit:
		b.add("7bit", crlf, crlf)
		b.out = appendCanonical(b.out, text)
	case quotedPrintable:
		b.add("quoted-printable", crlf, crlf)
		b.out = appendQuotedPrintable(b.out, text)
	default:
		b.add("base64", crlf, crlf)
		b.out = appendBase64(b.out, appendCanonical(nil, text))
		return // ends with a line end that means nothing
	}
	if n := len(b.out); within || b.out[n-1] != '\n' {
		b.add(crlf)
	}
}

type encoding uint8

const (
	sevenBit encoding = iota
	quotedPrintable
	inBase64
)

// chooseEncoding picks 7bit for text that no relay can be tempted to change
// (printable ASCII, short lines, no space at a line's end, no line that begins
// with "From " or looks like a boundary), else the shorter of the other two.
func chooseEncoding(text string) encoding {
	plain, odd, line := true, 0, 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\n' || c == '\r' {
			if i > 0 && (text[i-1] == ' ' || text[i-1] == '\t') {
				plain = false
			}
			line = 0
			continue
		}
		if line == 0 && (c == 'F' && strings.HasPrefix(text[i:], "From ") || c == '-' && strings.HasPrefix(text[i:], "--=_")) {
			plain = false
		}
		if line++; line > niceLine {
			plain = false
		}
		if c >= 0x7F || c < ' ' && c != '\t' {
			odd++
		}
	}
	if n := len(text); n > 0 && (text[n-1] == ' ' || text[n-1] == '\t') {
		plain = false
	}
	switch {
	case plain && odd == 0:
		return sevenBit
	case odd <= len(text)/6: // an odd octet takes 3 in quoted-printable, every octet 4/3 in base64
		return quotedPrintable
	default:
		return inBase64
	}
}

// appendCanonical writes text with every line end, also a bare CR or LF, as CRLF.
func appendCanonical(dst []byte, text string) []byte {
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\n' && c != '\r' {
			continue
		}
		dst = append(append(dst, text[start:i]...), crlf...)
		if c == '\r' && i+1 < len(text) && text[i+1] == '\n' {
			i++
		}
		start = i + 1
	}
	return append(dst, text[start:]...)
}

// appendQuotedPrintable encodes text (RFC 2045 section 6.7). Beyond what must
// be encoded it encodes a dot and "From " at a line's start, which careless
// relays damage.
func appendQuotedPrintable(dst []byte, text string) []byte {
	const limit = 75 // leaves room for the soft break's "="
	col := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\n' || c == '\r' {
			if c == '\r' && i+1 < len(text) && text[i+1] == '\n' {
				i++
			}
			dst = append(dst, crlf...)
			col = 0
			continue
		}
		width := 1
		if quoted(text, i, col) {
			width = 3
		}
		if col+width > limit {
			dst = append(dst, "=\r\n"...)
			col = 0
			if quoted(text, i, col) {
				width = 3
			}
		}
		if width == 3 {
			dst = append(dst, '=', hexDigits[c>>4], hexDigits[c&15])
		} else {
			dst = append(dst, c)
		}
		col += width
	}
	return dst
}

// quoted says whether the octet at i, to be written at column col, must be written as =XX.
func quoted(text string, i, col int) bool {
	c := text[i]
	switch {
	case c == ' ' || c == '\t':
		return i+1 == len(text) || text[i+1] == '\n' || text[i+1] == '\r'
	case c < ' ' || c == '=' || c >= 0x7F:
		return true
	case col > 0:
		return false
	case c == '.':
		return true
	case c == 'F':
		return strings.HasPrefix(text[i:], "From ")
	}
	return false
}

// base64Len is the length of n octets as base64.
func base64Len(n int) int { return base64.StdEncoding.EncodedLen(n) }
