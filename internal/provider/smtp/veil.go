package smtp

import "strings"

// veil knows what must not be shown of a server's words.
type veil struct {
	secrets []string // hidden wherever they stand
	words   []string // hidden where they stand as words of their own
}

// minHidden: shorter texts are hidden nowhere, it would garble everything.
const minHidden = 3

// redact makes a server's words fit to be shown: one line of valid text,
// without addresses, credentials and the veil's words.
func (v veil) redact(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	for _, s := range v.secrets {
		text = hide(text, s, false)
	}
	fields := strings.Fields(text)
	for i, f := range fields {
		if strings.Contains(f, "@") {
			fields[i] = "[address]"
		}
	}
	text = strings.Join(fields, " ")
	for _, w := range v.words {
		text = hide(text, w, true)
	}
	return text
}

// hide replaces old, in any case, with a placeholder.
func hide(text, old string, whole bool) string {
	if len(old) < minHidden {
		return text
	}
	var out strings.Builder
	from := 0
	for i := 0; i+len(old) <= len(text); {
		end := i + len(old)
		if !strings.EqualFold(text[i:end], old) || whole && (i > 0 && wordByte(text[i-1]) || end < len(text) && wordByte(text[end])) {
			i++
			continue
		}
		out.WriteString(text[from:i])
		out.WriteString("[hidden]")
		from, i = end, end
	}
	out.WriteString(text[from:])
	return out.String()
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
