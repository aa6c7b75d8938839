package mime

import (
	"strings"
	"unicode"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TextOf makes the text part from HTML: words and links kept, markup, scripts
// and styles dropped, blocks on lines of their own. It reads tokens, not a
// tree, so its cost is linear and any depth of nesting is harmless. A body
// without any markup keeps its line breaks.
func TextOf(body string) string {
	if strings.IndexByte(body, '<') < 0 {
		return strings.TrimSpace(html.UnescapeString(body))
	}
	w := &textWriter{}
	z := html.NewTokenizer(strings.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken: // the end: a strings.Reader fails in no other way
			return strings.TrimSpace(w.out.String())
		case html.TextToken:
			if w.skip == 0 {
				w.text(string(z.Text()))
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			w.open(atom.Lookup(name), func(key string) string { return attribute(z, more, key) })
		case html.EndTagToken:
			name, _ := z.TagName()
			w.close(atom.Lookup(name))
		}
	}
}

func attribute(z *html.Tokenizer, more bool, want string) string {
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if string(key) == want {
			return string(value)
		}
	}
	return ""
}

// textWriter lays out text: it holds back spaces and line ends until the next word comes.
type textWriter struct {
	out   strings.Builder
	lines int  // line ends due before the next word
	space bool // a space is due before the next word
	skip  atom.Atom
	pre   int
	link  string // target of the open link
	shown int    // where the open link's text began
}

func (w *textWriter) flush() {
	if w.out.Len() == 0 {
		w.lines, w.space = 0, false
		return
	}
	if w.lines > 0 {
		w.out.WriteString(strings.Repeat("\n", min(w.lines, 2)))
	} else if w.space {
		w.out.WriteByte(' ')
	}
	w.lines, w.space = 0, false
}

func (w *textWriter) text(s string) {
	if w.pre > 0 {
		w.flush()
		w.out.WriteString(s)
		return
	}
	for s != "" {
		end := strings.IndexFunc(s, collapses)
		if end == 0 {
			w.space = true
			s = strings.TrimLeftFunc(s, collapses)
			continue
		}
		if end < 0 {
			end = len(s)
		}
		w.flush()
		w.out.WriteString(s[:end])
		s = s[end:]
	}
}

// collapses says which runes HTML folds into one space; a no-break space is not one of them.
func collapses(r rune) bool { return r != '\u00A0' && r < 0x80 && unicode.IsSpace(r) }

func (w *textWriter) atLeast(n int) { w.lines = max(w.lines, n) }

func (w *textWriter) open(tag atom.Atom, attr func(string) string) {
	if w.skip != 0 {
		return
	}
	switch tag {
	case atom.Script, atom.Style, atom.Title, atom.Template:
		w.skip = tag
	case atom.Br:
		w.lines++
	case atom.Hr:
		w.atLeast(1)
		w.text("----")
		w.atLeast(1)
	case atom.Li:
		w.atLeast(1)
		w.text("-")
		w.space = true
	case atom.Td, atom.Th:
		w.space = true
	case atom.Img:
		w.text(attr("alt"))
	case atom.A:
		w.link, w.shown = attr("href"), w.out.Len()
	case atom.Pre:
		w.atLeast(2)
		w.pre++
	default:
		w.atLeast(blockLines(tag))
	}
}

func (w *textWriter) close(tag atom.Atom) {
	if w.skip != 0 {
		if w.skip == tag {
			w.skip = 0
		}
		return
	}
	switch tag {
	case atom.A:
		w.endLink()
	case atom.Pre:
		w.pre = max(w.pre-1, 0)
		w.atLeast(2)
	case atom.Li:
		w.atLeast(1)
	default:
		w.atLeast(blockLines(tag))
	}
}

// endLink adds a link's target in brackets unless its text says it already.
func (w *textWriter) endLink() {
	link := strings.TrimPrefix(w.link, "mailto:")
	w.link = ""
	web := strings.HasPrefix(link, "https://") || strings.HasPrefix(link, "http://")
	if !web && !strings.Contains(link, "@") || strings.Contains(w.out.String()[w.shown:], link) {
		return
	}
	w.space = w.lines == 0
	w.text("(" + link + ")")
}

// blockLines answers how many line ends stand around a block element.
func blockLines(tag atom.Atom) int {
	switch tag {
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Blockquote, atom.Table:
		return 2
	case atom.Div, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Main, atom.Nav, atom.Address, atom.Dl, atom.Dt, atom.Dd, atom.Form, atom.Center:
		return 1
	}
	return 0
}
