// Package veil makes what a provider says fit to be shown: providers repeat in their
// answers what they were sent.
//
// It promises one line of valid text without addresses, without the credentials and
// other texts it was told of, in any case of letters, and on demand without telephone
// numbers. It hides what it knows; it does not understand what it reads.
package veil

import (
	"cmp"
	"slices"
	"strings"
)

// MaxText bounds a sentence that is shown to people, in bytes.
const MaxText = 256

// minHidden: shorter texts are hidden nowhere, it would garble everything.
const minHidden = 3

// minNumber is how many digits in a row are a telephone number.
const minNumber = 7

// Veil knows what must not be shown of somebody's words. The zero value hides addresses alone.
type Veil struct {
	Secrets []string // hidden wherever they stand
	Words   []string // hidden where they stand as words of their own
	Numbers bool     // hide whatever may be a telephone number
}

// Redact makes words fit to be shown: one line of valid text, without addresses
// and without what the veil knows.
func (v Veil) Redact(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r == '\uFFFD' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, " "))
	// The longest first: what is hidden of a part leaves nothing that the whole would be found by, and its rest stays.
	longestFirst := func(a, b string) int { return cmp.Compare(len(b), len(a)) }
	for _, s := range slices.SortedStableFunc(slices.Values(v.Secrets), longestFirst) {
		text = hide(text, s, false)
	}
	fields := strings.Fields(text)
	for i, f := range fields {
		if strings.Contains(f, "@") {
			fields[i] = "[address]"
		}
	}
	text = strings.Join(fields, " ")
	for _, w := range v.Words {
		text = hide(text, w, true)
	}
	if v.Numbers {
		text = hideNumbers(text)
	}
	return strings.ToValidUTF8(text, " ") // a secret need not be text, and may be a part of a letter
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

// hideNumbers replaces runs of digits that are long enough to be a telephone number.
// A hyphen or a space between digits does not end a run.
func hideNumbers(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); {
		end, digits := number(text[i:])
		switch {
		case digits >= minNumber:
			out.WriteString("[number]")
			i += end
		case digits > 0:
			out.WriteString(text[i : i+end])
			i += end
		default:
			out.WriteByte(text[i])
			i++
		}
	}
	return out.String()
}

// number answers how far a run of digits reaches and how many there are. A plus before it belongs to it.
func number(text string) (end, digits int) {
	i := 0
	if text[0] == '+' {
		i = 1
	}
	for ; i < len(text); i++ {
		switch c := text[i]; {
		case digit(c):
			digits++
			end = i + 1
		case digits > 0 && (c == '-' || c == ' ') && i+1 < len(text) && digit(text[i+1]):
		default:
			return end, digits
		}
	}
	return end, digits
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func wordByte(c byte) bool {
	return digit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// Cut shortens text to at most n bytes, at a rune's edge.
func Cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "")
}
