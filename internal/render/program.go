package render

import (
	"slices"
	"strings"
)

// kind is what becomes of a piece.
type kind uint8

const (
	literal kind = iota // as it is written
	plain               // a value as it is: subjects, SMS, the plain text part
	escaped             // a value as text of HTML, or in a quoted attribute
	style               // a value in CSS: what is no harmless word or number is left out
	address             // parts that make up a URL together
	listed              // likewise several URLs, such as those of srcset
)

// piece is one step of rendering.
type piece struct {
	kind  kind
	text  string  // of literal
	slot  int     // of a value: its place in Template.names
	parts []piece // of address and listed: literal and escaped
}

// program renders one part of a template.
type program struct {
	pieces []piece
	slots  []int // of the values it needs
}

// compiler makes programs that share their slots.
type compiler struct{ slots map[string]int }

func (c *compiler) slot(name string) int {
	i, ok := c.slots[name]
	if !ok {
		i = len(c.slots)
		c.slots[name] = i
	}
	return i
}

func (c *compiler) compile(source string, html bool) (program, *mistake) {
	segments, wrong := parse(source)
	if wrong != nil {
		return program{}, wrong
	}
	if html {
		return c.html(segments)
	}
	var p program
	for _, s := range segments {
		if s.name == "" {
			p.pieces = append(p.pieces, piece{kind: literal, text: s.text})
			continue
		}
		p.pieces = append(p.pieces, piece{kind: plain, slot: c.slot(s.name)})
	}
	return p, nil
}

// sort gives the names their order and renumbers the slots of the template's programs.
func (c *compiler) sort(t *Template) []string {
	names := make([]string, 0, len(c.slots))
	for name := range c.slots {
		names = append(names, name)
	}
	slices.Sort(names)
	moved := make([]int, len(names))
	for i, name := range names {
		moved[c.slots[name]] = i
	}
	for _, p := range []*program{&t.subject, &t.body, &t.text} {
		p.renumber(p.pieces, moved)
		slices.Sort(p.slots)
		p.slots = slices.Compact(p.slots)
	}
	return names
}

func (p *program) renumber(pieces []piece, moved []int) {
	for i := range pieces {
		x := &pieces[i]
		p.renumber(x.parts, moved)
		if x.kind != literal && x.parts == nil {
			x.slot = moved[x.slot]
			p.slots = append(p.slots, x.slot)
		}
	}
}

// lacking notes in missing which values the program needs and has not, and says whether there are any.
func (p *program) lacking(has, missing []bool) (lacks bool) {
	for _, i := range p.slots {
		if !has[i] {
			missing[i], lacks = true, true
		}
	}
	return lacks
}

// literals is what is rendered whatever the values are. It is for programs without HTML.
func (p *program) literals() string {
	var b strings.Builder
	for i := range p.pieces {
		b.WriteString(p.pieces[i].text)
	}
	return b.String()
}

// mostPerByte is what one byte of a value takes at most: a quote, escaped.
const mostPerByte = len("&#34;")

func (p *program) bound(pieces []piece, lengths []int) (n int) {
	for i := range pieces {
		switch x := &pieces[i]; {
		case x.kind == literal:
			n += len(x.text)
		case x.parts != nil:
			n += p.bound(x.parts, lengths)
		default:
			n += mostPerByte * lengths[x.slot]
		}
	}
	return n
}

// render answers false when the result is larger than MaxRendered.
func (p *program) render(fill []string) (string, bool) {
	if len(p.pieces) == 1 && p.pieces[0].kind == literal {
		return p.pieces[0].text, true
	}
	size := 0
	for i := range p.pieces {
		if x := &p.pieces[i]; x.kind == literal {
			size += len(x.text)
		} else if x.parts == nil {
			size += len(fill[x.slot])
		}
		if size > MaxRendered {
			return "", false
		}
	}
	out := make([]byte, 0, size+size/8)
	for i := range p.pieces {
		if out = p.pieces[i].append(out, fill); len(out) > MaxRendered {
			return "", false
		}
	}
	return string(out), true
}

func (x *piece) append(b []byte, fill []string) []byte {
	switch x.kind {
	case literal:
		return append(b, x.text...)
	case plain:
		return append(b, fill[x.slot]...)
	case style:
		return appendStyle(b, fill[x.slot])
	case address, listed:
		return x.appendAddress(b, fill)
	}
	return appendEscaped(b, fill[x.slot])
}

// appendAddress writes the parts of a URL if a reader would find one of the allowed
// schemes or none in what they make up together, and # otherwise.
func (x *piece) appendAddress(b []byte, fill []string) []byte {
	from := len(b)
	for i := range x.parts {
		if b = x.parts[i].append(b, fill); len(b) > MaxRendered {
			return b
		}
	}
	if safe(string(b[from:]), x.kind == listed) {
		return b
	}
	return append(b[:from], '#')
}
