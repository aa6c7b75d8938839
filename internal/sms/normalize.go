package sms

import (
	"strings"
	"unicode/utf8"
)

// Normalize returns text as it should be stored and sent: line ends become one
// LF (CR LF would cost two characters), and a letter of the 7-bit alphabet that
// is spelled as base letter and combining mark (e + U+0301), or as the Ångström
// or Ohm sign, becomes that letter; otherwise the spelling alone would force
// UCS2 and cut the message to 70 characters. Nothing else is changed, so the
// result is canonically equivalent to text apart from the line ends.
//
// A text that needs no change is returned as it is, without allocation.
func Normalize(text string) string {
	if !needsWork(text) {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		i += n
		switch {
		case r == utf8.RuneError && n == 1:
			// Keep the byte: judging the encoding is the caller's business.
			out.WriteByte(text[i-1])
			continue
		case r == '\r':
			if i < len(text) && text[i] == '\n' {
				i++
			}
			r = '\n'
		case r == '\u212B':
			r = 'Å'
		case r == '\u2126':
			r = 'Ω'
		default:
			mark, size := utf8.DecodeRuneInString(text[i:])
			if whole := compose(r, mark); whole != 0 {
				r = whole
				i += size
			}
		}
		out.WriteRune(r)
	}
	return out.String()
}

func needsWork(text string) bool {
	for _, r := range text {
		switch r {
		case '\r', '\u0300', '\u0301', '\u0303', '\u0308', '\u030A', '\u0327', '\u2126', '\u212B':
			return true
		}
	}
	return false
}

// compose joins a base letter and a combining mark if the result is in the
// 7-bit alphabet; 0 if it is not.
func compose(base, mark rune) rune {
	var from, to string
	switch mark {
	case '\u0300':
		from, to = "aeiou", "àèìòù"
	case '\u0301':
		from, to = "eE", "éÉ"
	case '\u0303':
		from, to = "nN", "ñÑ"
	case '\u0308':
		from, to = "aouAOU", "äöüÄÖÜ"
	case '\u030A':
		from, to = "aA", "åÅ"
	case '\u0327':
		from, to = "C", "Ç"
	default:
		return 0
	}
	at := strings.IndexRune(from, base)
	if at < 0 {
		return 0
	}
	// from is ASCII and every letter of to takes two bytes.
	whole, _ := utf8.DecodeRuneInString(to[2*at:])
	return whole
}
