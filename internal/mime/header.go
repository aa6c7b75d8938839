package mime

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// header writes the message's header up to its MIME part.
func (b *builder) header(m *Message) error {
	if m.ID == "" || badText(m.ID) != "" || strings.ContainsAny(m.ID, " <>") || !printable(m.ID) {
		return &Error{Field: "id", Reason: "it is no Message-ID"}
	}
	b.add("Date: ", m.Date.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700"), crlf)
	b.add("Message-ID: <", m.ID, ">", crlf)
	for _, h := range []struct {
		name, field string
		list        []Address
	}{
		{"From", "from", []Address{m.From}}, {"To", "to", m.To}, {"Cc", "cc", m.CC}, {"Reply-To", "replyTo", m.ReplyTo},
	} {
		if err := b.addresses(h.name, h.field, h.list); err != nil {
			return err
		}
	}
	if reason := badText(m.Subject); reason != "" {
		return &Error{Field: "subject", Reason: reason}
	}
	b.unstructured("Subject", m.Subject)
	if err := b.further(m.Headers); err != nil {
		return err
	}
	b.add("MIME-Version: 1.0", crlf)
	return nil
}

// badText answers why a value may not stand in a header: the rule that keeps
// one value from becoming two headers.
func badText(s string) string {
	if strings.ContainsAny(s, "\r\n\x00") {
		return "it holds a line break or NUL"
	}
	return ""
}

// reserved are the headers that the composer, the transport or a signer writes.
const reserved = " from to cc bcc sender reply-to return-path received date message-id subject mime-version dkim-signature authentication-results "

func reservedHeader(name string) bool {
	n := strings.ToLower(name)
	return strings.Contains(reserved, " "+n+" ") || strings.HasPrefix(n, "content-") ||
		strings.HasPrefix(n, "resent-") || strings.HasPrefix(n, "arc-")
}

func badHeaderName(name string) string {
	if name == "" || len(name) > 76 {
		return "a header name has 1 to 76 characters"
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "a header name holds letters, digits and dashes"
		}
	}
	if reservedHeader(name) {
		return "this header is written by the server"
	}
	return ""
}

func (b *builder) further(headers map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		reason := badHeaderName(name)
		if reason == "" {
			reason = badText(headers[name])
		}
		if reason != "" {
			return &Error{Field: "headers", Reason: reason}
		}
		// One line if at all possible: a folded List-Unsubscribe breaks some signers.
		if v := headers[name]; plainValue(v) && len(name)+2+len(v) <= maxLine {
			b.add(name, ": ", v, crlf)
			continue
		}
		b.unstructured(name, headers[name])
	}
	return nil
}

// printable says that s is printable ASCII.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// plainValue says that a reader gets v back when it is written as it is.
func plainValue(v string) bool {
	return printable(v) && !strings.Contains(v, "=?") && strings.TrimSpace(v) == v
}

// unstructured writes a header of free text, folded, encoded where needed (RFC 2047).
func (b *builder) unstructured(name, value string) {
	b.add(name, ":")
	if value == "" {
		b.add(" ", crlf)
		return
	}
	if plainValue(value) && foldable(value, niceLine-len(name)-2) {
		b.folded(len(name)+1, value)
	} else {
		b.add(" ")
		b.encodedWords(len(name)+2, value)
	}
	b.add(crlf)
}

// foldable says that a reader gets value back when its lines are broken before
// spaces. Readers make one space of a run of them where a line was broken.
func foldable(value string, room int) bool {
	if len(value) <= room {
		return true
	}
	for word := range strings.SplitSeq(value, " ") {
		if word == "" || len(word) > maxLine-80 {
			return false
		}
	}
	return true
}

// folded writes " value", breaking lines before a space where they grow long.
func (b *builder) folded(col int, value string) {
	first := true
	for word := range strings.SplitSeq(value, " ") {
		if !first && col+1+len(word) > niceLine {
			b.add(crlf)
			col = 0
		}
		b.add(" ", word)
		col += 1 + len(word)
		first = false
	}
}

const (
	wordFront = "=?UTF-8?"
	wordRoom  = 75 - len(wordFront) - 4 // RFC 2047 section 2: 75 octets with "Q?" and "?="
)

// encodedWords writes value as encoded words from column col on and answers
// the column after them.
func (b *builder) encodedWords(col int, value string) int {
	value = strings.ToValidUTF8(value, "\uFFFD")
	special := 0
	for i := 0; i < len(value); i++ {
		if !wordSafe(value[i]) && value[i] != ' ' {
			special++
		}
	}
	asQ := len(value)+2*special <= base64Len(len(value))
	for first := true; value != ""; first = false {
		if !first || col > 40 {
			b.add(crlf, " ")
			col = 1
		}
		room := min(wordRoom, niceLine-2-col-len(wordFront)-4)
		n := wordPrefix(value, room, asQ)
		b.add(wordFront)
		start := len(b.out)
		if asQ {
			b.add("Q?")
			b.out = appendQ(b.out, value[:n])
		} else {
			b.add("B?")
			b.out = base64.StdEncoding.AppendEncode(b.out, []byte(value[:n]))
		}
		b.add("?=")
		col += len(wordFront) + len(b.out) - start
		value = value[n:]
	}
	return col
}

// wordPrefix answers how many octets of value, in whole runes, fit into room encoded octets.
func wordPrefix(value string, room int, asQ bool) int {
	n, used := 0, 0
	for n < len(value) {
		_, size := utf8.DecodeRuneInString(value[n:])
		if asQ {
			for _, c := range []byte(value[n : n+size]) {
				if wordSafe(c) || c == ' ' {
					used++
				} else {
					used += 3
				}
			}
		} else {
			used = base64Len(n + size)
		}
		if used > room && n > 0 {
			break
		}
		n += size
	}
	return n
}

// wordSafe says which octets stand for themselves in an encoded word anywhere,
// also within a name (RFC 2047 section 5 rule 3).
func wordSafe(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '!' || c == '*' || c == '+' || c == '-' || c == '/'
}

func appendQ(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ':
			dst = append(dst, '_')
		case wordSafe(c):
			dst = append(dst, c)
		default:
			dst = append(dst, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return dst
}

// addresses writes a header of mailboxes, if there are any.
func (b *builder) addresses(name, field string, list []Address) error {
	if len(list) == 0 {
		return nil
	}
	b.add(name, ": ")
	col := len(name) + 2
	for i, a := range list {
		if reason := badAddress(a); reason != "" {
			return &Error{Field: field, Reason: reason}
		}
		if i > 0 {
			b.add(",")
			if col += 2; col+len(a.Name)+len(a.Addr)+4 > niceLine {
				b.add(crlf)
				col = 1
			}
			b.add(" ")
		}
		col = b.mailbox(col, a)
	}
	b.add(crlf)
	return nil
}

func badAddress(a Address) string {
	if reason := badText(a.Name); reason != "" {
		return reason
	}
	if len(a.Addr) > 254 || strings.IndexByte(a.Addr, '@') < 1 || !printable(a.Addr) || strings.ContainsAny(a.Addr, " <>,;\"\\()") {
		return "it is no plain ASCII address"
	}
	if len(a.Name) > 4*niceLine {
		return "the name is too long"
	}
	return ""
}

func (b *builder) mailbox(col int, a Address) int {
	if a.Name == "" {
		b.add(a.Addr)
		return col + len(a.Addr)
	}
	switch {
	case !plainValue(a.Name):
		col = b.encodedWords(col, a.Name)
	case atoms(a.Name):
		b.add(a.Name)
		col += len(a.Name)
	default:
		b.add(`"`, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(a.Name), `"`)
		col += len(a.Name) + 2
	}
	if col+len(a.Addr)+3 > niceLine {
		b.add(crlf)
		col = 0
	}
	b.add(" <", a.Addr, ">")
	return col + len(a.Addr) + 3
}

// atoms says that a name needs no quoting: words of letters and digits (RFC 5322 section 3.2.3).
func atoms(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; !wordSafe(c) && c != ' ' && strings.IndexByte("#$%&'=?^_`{|}~", c) < 0 {
			return false
		}
	}
	return !strings.Contains(name, "  ")
}
