package render

import (
	"strings"
	"unicode/utf8"
)

// segment is a piece of a source as it is written, or a placeholder.
type segment struct {
	text string // "" for a placeholder
	name string // "" for what is written
	at   int    // where it begins in the source
}

// mistake is what is wrong with a source, and where.
type mistake struct {
	at  int
	why string
}

// parse splits a source at its placeholders. A }} that closes nothing is text: CSS
// is full of it. A {{ always opens a placeholder, or a misspelt one would be sent.
func parse(source string) ([]segment, *mistake) {
	var out []segment
	placeholders := 0
	for at := 0; ; {
		i := strings.Index(source[at:], "{{")
		if i < 0 {
			if at < len(source) {
				out = append(out, segment{text: source[at:], at: at})
			}
			return out, nil
		}
		open := at + i
		if i > 0 {
			out = append(out, segment{text: source[at:open], at: at})
		}
		end := strings.Index(source[open+2:], "}}")
		if end < 0 {
			return nil, &mistake{open, "{{ opens a placeholder, and no }} closes it"}
		}
		at = open + 2 + end + 2
		name := strings.Trim(source[open+2:at-2], " \t\r\n")
		switch {
		case !placeholder(name):
			return nil, &mistake{open, "only {{name}} can stand here, with letters, digits, dashes and underscores, and not " + excerpt(source[open:at])}
		case len(name) > MaxName:
			return nil, &mistake{open, "the name of a placeholder has at most 100 characters"}
		}
		if placeholders++; placeholders > MaxPlaceholders {
			return nil, &mistake{open, "there are more than 200 placeholders"}
		}
		out = append(out, segment{name: name, at: open})
	}
}

// word says whether c may be a part of a placeholder's name.
func word(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

func placeholder(name string) bool {
	for i := range len(name) {
		if !word(name[i]) {
			return false
		}
	}
	return name != ""
}

// maxExcerpt bounds what a mistake repeats of the source.
const maxExcerpt = 40

func excerpt(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) <= maxExcerpt {
		return s
	}
	return strings.ToValidUTF8(s[:maxExcerpt], "") + "…"
}

// place is the line and the column, in characters, both from 1.
func place(source string, at int) (line, column int) {
	before := source[:at]
	begin := strings.LastIndexByte(before, '\n') + 1
	return strings.Count(before, "\n") + 1, utf8.RuneCountInString(before[begin:]) + 1
}
