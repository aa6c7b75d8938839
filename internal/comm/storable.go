package comm

import (
	"strings"
	"unicode/utf8"
)

// Storable makes a text that somebody else wrote storable in both databases: valid UTF-8, no NUL, at most so many bytes.
func Storable(s string, most int) string {
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", " ")
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "?")
	}
	if len(s) <= most {
		return s
	}
	s = s[:max(most, 0)]
	for len(s) > 0 && !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
