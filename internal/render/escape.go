package render

import (
	"html"
	"strings"
)

// appendEscaped writes a value so that it is text in HTML and in attributes with
// quotes, and ends neither a comment nor an element.
func appendEscaped(b []byte, value string) []byte {
	from := 0
	for i := range len(value) {
		var as string
		switch value[i] {
		case '&':
			as = "&amp;"
		case '<':
			as = "&lt;"
		case '>':
			as = "&gt;"
		case '"':
			as = "&#34;"
		case '\'':
			as = "&#39;"
		default:
			continue
		}
		b = append(append(b, value[from:i]...), as...)
		from = i + 1
	}
	return append(b, value[from:]...)
}

// appendStyle writes a value that can only be a word, a number, a colour or a list
// of them; any other is left out, since CSS can load, hide and overlay.
func appendStyle(b []byte, value string) []byte {
	for i := range len(value) {
		if c := value[i]; !word(c) && strings.IndexByte(" #%.,+", c) < 0 {
			return b
		}
	}
	return append(b, value...)
}

// safe says whether the value of a URL attribute, as it is written, has one of the
// schemes http, https and mailto, or none. In a list every URL must be so.
func safe(written string, list bool) bool {
	text := html.UnescapeString(written)
	if !list {
		return allowed(text)
	}
	for one := range strings.FieldsFuncSeq(text, func(r rune) bool { return r <= ' ' || r == ',' }) {
		if !allowed(one) {
			return false
		}
	}
	return true
}

func allowed(url string) bool {
	switch name, has := scheme(url); {
	case !has:
		return true
	case name == "http", name == "https", name == "mailto":
		return true
	}
	return false
}

// scheme is what a browser would take for the scheme of a URL: it ignores case, and
// spaces and control characters, of which this ignores more than any browser.
func scheme(url string) (name string, has bool) {
	i := strings.IndexAny(url, `:/?#\`)
	if i < 0 || url[i] != ':' {
		return "", false
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return -1
		}
		return r
	}, url[:i])), true
}

// decided says whether what follows a part of a URL can no longer change its scheme.
func decided(url string) bool { return strings.ContainsAny(url, `:/?#\`) }

// runs says whether a URL of this scheme is a program or a document in itself, in
// which no escaping makes a value harmless.
func runs(url string) bool {
	name, _ := scheme(url)
	return name == "javascript" || name == "vbscript" || name == "data" || name == "livescript" || name == "mocha"
}
