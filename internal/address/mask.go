package address

import "strings"

// Mask hides most of an address for logs: "a***@example.com",
// "23324***4567". At least three characters are always hidden, and a text that
// is neither an email address nor a number becomes "***", so that the result
// is one safe word whatever went in.
func Mask(s string) string {
	const hidden = "***"
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7F || strings.IndexByte(`"<>\`, s[i]) >= 0 {
			return hidden
		}
	}
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		if at < 2 {
			// The first character would be the whole name.
			return hidden + s[at:]
		}
		return s[:1] + hidden + s[at:]
	}
	digits := strings.TrimPrefix(s, "+")
	if !isNumber(digits) || len(digits) < minDigits {
		return hidden
	}
	head, tail := 5, 4
	if len(digits) < head+tail+3 {
		head, tail = len(digits)-6, 2
	}
	return digits[:head] + hidden + digits[len(digits)-tail:]
}
