package render

import (
	"html"
	"strings"
)

// html makes the program of an email's body: it follows the HTML around the
// placeholders, so that each value is written for the place where it stands. Places
// in which no writing makes a value harmless are mistakes.
func (c *compiler) html(segments []segment) (program, *mistake) {
	w := weaver{}
	for _, s := range segments {
		if s.name == "" {
			w.weave(s.text)
			continue
		}
		kind, why := w.scan.place()
		if why != "" {
			return program{}, &mistake{s.at, "a value cannot stand " + why}
		}
		w.value(piece{kind: kind, slot: c.slot(s.name)}, s.at)
	}
	w.close()
	return program{pieces: w.pieces}, w.wrong
}

// weaver puts literals and values together; the parts of a URL with values become one piece.
type weaver struct {
	scan   scanner
	text   strings.Builder // literal that is not a piece yet
	pieces []piece
	from   int     // where in text the value of the open URL attribute begins
	url    []piece // that value's parts, from its first placeholder on
	at     int     // of that placeholder
	wrong  *mistake
}

func (w *weaver) weave(text string) {
	for i := 0; i < len(text); i++ {
		if w.scan.state == inText { // most of a mail: nothing happens before the next tag
			next := strings.IndexByte(text[i:], '<')
			if next < 0 {
				w.text.WriteString(text[i:])
				return
			}
			w.text.WriteString(text[i : i+next])
			i += next
		}
		was := w.scan.url
		w.scan.step(text[i])
		if was && !w.scan.url && len(w.url) > 0 {
			w.close()
		}
		w.text.WriteByte(text[i])
		if !was && w.scan.url {
			w.from = w.text.Len()
		}
	}
}

// flush makes the literal so far a piece.
func (w *weaver) flush(into *[]piece) {
	if w.text.Len() > 0 {
		*into = append(*into, piece{kind: literal, text: w.text.String()})
		w.text.Reset()
	}
}

func (w *weaver) value(p piece, at int) {
	if !w.scan.url {
		w.flush(&w.pieces)
		w.pieces = append(w.pieces, p)
		return
	}
	if len(w.url) == 0 {
		text := w.text.String()
		w.text.Reset()
		w.text.WriteString(text[:w.from])
		w.flush(&w.pieces)
		w.text.WriteString(text[w.from:])
		w.at = at
	}
	w.flush(&w.url)
	w.url = append(w.url, piece{kind: escaped, slot: p.slot})
}

// close ends what is open: at the quote behind a URL, and at the end of the source.
func (w *weaver) close() {
	if len(w.url) == 0 { // no URL, or one without values
		w.flush(&w.pieces)
		return
	}
	w.flush(&w.url)
	parts, kind := w.url, address
	w.url = nil
	if w.scan.several {
		kind = listed
	}
	before := ""
	if parts[0].kind == literal {
		before = html.UnescapeString(parts[0].text)
	}
	switch {
	case runs(before) && w.wrong == nil:
		w.wrong = &mistake{w.at, "a value cannot stand in a URL that is itself a program or a document"}
	case decided(before) && kind == address: // the values cannot change what it is
		w.pieces = append(w.pieces, parts...)
	default:
		w.pieces = append(w.pieces, piece{kind: kind, parts: parts})
	}
}

// urls are the attributes whose value is a URL, several those that hold more than one.
var (
	urls = set("action archive background by cite classid codebase data dynsrc formaction from href icon longdesc lowsrc manifest ping poster profile src to usemap values")
	// Attributes of other vocabularies name theirs likewise.
	urlWords = []string{"src", "uri", "url"}
	several  = set("archive imagesrcset ping srcset values")
	// raw are the elements that only their own end tag ends.
	raw = set("iframe noembed noframes plaintext script style textarea title xmp")
)

func set(words string) map[string]bool {
	out := map[string]bool{}
	for w := range strings.FieldsSeq(words) {
		out[w] = true
	}
	return out
}

func isURL(attribute string) bool {
	if urls[attribute] {
		return true
	}
	for _, w := range urlWords {
		if strings.Contains(attribute, w) {
			return true
		}
	}
	return false
}
