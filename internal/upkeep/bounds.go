package upkeep

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

func letter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

func alphanumeric(c byte) bool { return letter(c) || digit(c) }

// inWord says whether a text ends with a letter or digit that what follows may be a part of. Beside an address letters of other scripts
// are a text without spaces, as are marks that belong to none: nobody has an address of two scripts.
func inWord(text string) bool {
	if n := len(text) - 3; n >= 0 && text[n] == '%' {
		if c, ok := escaped(text[n+1:]); ok {
			return alphanumeric(c)
		}
	}
	for text != "" {
		r, size := utf8.DecodeLastRuneInString(text)
		if !unicode.Is(unicode.Mn, r) {
			return r < utf8.RuneSelf && alphanumeric(byte(r)) || unicode.Is(unicode.Latin, r)
		}
		text = text[:len(text)-size] // it is part of the letter before it
	}
	return false
}

// escaped is the character that two hexadecimal digits stand for in an URL.
func escaped(text string) (c byte, ok bool) {
	for i := range len(text) {
		at := strings.IndexByte("0123456789abcdef", text[i]|0x20)
		if at < 0 {
			return 0, false
		}
		c = c<<4 | byte(at)
	}
	return c, true
}

// longerName says whether the text before an email address makes another one of it: a letter or digit does, also with dots, hyphens and
// underscores between, but for two dots in a row, which are in no address.
func longerName(before string) bool {
	name := strings.TrimRight(before, "._-")
	return inWord(name) && !strings.Contains(before[len(name):], "..")
}

// longerDomain says whether the text behind an email address makes its domain another one: one that goes on and ends as domains do, with
// letters alone or with what stands for letters of another script.
func longerDomain(address, after string) bool {
	label := address[strings.LastIndexAny(address, ".@")+1:]
	for at := 0; ; label = "" {
		end := at
		for end < len(after) && (alphanumeric(after[end]) || after[end] == '-') {
			end++
		}
		whole := label + after[at:end]
		if top := topLevel(whole); len(top) > len(label) {
			return true
		}
		if end == len(after) || after[end] != '.' || whole == "" || whole[0] == '-' || whole[len(whole)-1] == '-' {
			return false
		}
		at = end + 1
	}
}

// topLevel is what of a label, from its begin, may be the last one of a domain.
func topLevel(label string) string {
	if len(label) > 4 && strings.EqualFold(label[:4], "xn--") {
		return strings.TrimRight(label, "-")
	}
	top, _, _ := strings.Cut(label, "-")
	for i := range len(top) {
		if !letter(top[i]) {
			return ""
		}
	}
	if len(top) < 2 {
		return ""
	}
	return top
}

// longerNumber says whether what is beside a number makes another one of it, or something else: a letter or digit, or a fraction.
func longerNumber(before, after string) bool {
	if inWord(before) || after != "" && alphanumeric(after[0]) {
		return true
	}
	n := len(before)
	return n > 1 && before[n-1] == '.' && digit(before[n-2]) || len(after) > 1 && after[0] == '.' && digit(after[1])
}
