package render

import (
	"strings"
)

// state is where in HTML a scanner stands.
type state uint8

const (
	inText    state = iota
	inOpen          // behind <
	inName          // of a tag
	inTag           // between attributes
	inAttr          // in the name of an attribute
	pastAttr        // behind it
	pastEqual       // behind the = of an attribute
	inDouble        // in "…"
	inSingle        // in '…'
	inBare          // in a value without quotes
	inBang          // behind <!
	inMarkup        // in <!…> and <?…>
	inComment       // in <!--…-->
	inRaw           // in an element that only its end tag ends
)

// scanner follows HTML byte by byte, as browsers read it. What it does not know
// about HTML (foreign content, scripts in comments of scripts) can make it name
// another place for a value than a browser would; the value is escaped in each.
type scanner struct {
	state   state
	closing bool   // the tag is an end tag
	tag     []byte // lower case
	attr    []byte // lower case, without prefix
	begun   string // inBang: what is behind <!; inRaw: a possible end tag so far
	element string // inRaw
	dashes  int    // inComment: how many were the last characters
	amp     bool   // the value ends in what may be the begin of a character reference
	url     bool   // in the value of a URL attribute, with quotes
	several bool   // which holds several
}

func space(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func letter(c byte) bool { c = lower(c); return c >= 'a' && c <= 'z' }

func (s *scanner) step(c byte) {
	switch s.state {
	case inText:
		if c == '<' {
			s.state = inOpen
		}
	case inOpen:
		s.opened(c)
	case inName:
		switch {
		case space(c), c == '/':
			s.state = inTag
		case c == '>':
			s.tagEnds()
		default:
			s.tag = append(s.tag, lower(c))
		}
	case inTag, inAttr, pastAttr, pastEqual:
		s.attribute(c)
	case inDouble, inSingle, inBare:
		s.value(c)
	case inBang:
		s.bang(c)
	case inMarkup:
		if c == '>' {
			s.state = inText
		}
	case inComment:
		s.comment(c)
	case inRaw:
		s.rawText(c)
	}
}

func (s *scanner) opened(c byte) {
	s.closing, s.tag = false, s.tag[:0]
	switch {
	case letter(c):
		s.state, s.tag = inName, append(s.tag, lower(c))
	case c == '/':
		s.state, s.closing = inName, true
	case c == '!':
		s.state, s.begun = inBang, ""
	case c == '?':
		s.state = inMarkup
	case c == '<':
	default:
		s.state = inText
	}
}

func (s *scanner) tagEnds() {
	s.state = inText
	if name := string(s.tag); !s.closing && raw[name] {
		s.state, s.element, s.begun = inRaw, name, ""
	}
}

// attribute follows a tag outside of its values.
func (s *scanner) attribute(c byte) {
	switch {
	case c == '>':
		s.tagEnds()
	case s.state == pastEqual && (c == '"' || c == '\''):
		s.state = inDouble
		if c == '\'' {
			s.state = inSingle
		}
		name := string(s.attr)
		s.url, s.several, s.amp = isURL(name), several[name], false
	case space(c):
		if s.state == inAttr {
			s.state = pastAttr
		}
	case s.state == pastEqual:
		s.state = inBare
	case c == '/':
		s.state = inTag
	case c == '=' && s.state != inTag:
		s.state = pastEqual
	case s.state == inAttr:
		if s.attr = append(s.attr, lower(c)); c == ':' { // xlink:href
			s.attr = s.attr[:0]
		}
	default:
		s.state, s.attr = inAttr, append(s.attr[:0], lower(c))
	}
}

func (s *scanner) value(c byte) {
	switch {
	case s.state == inDouble && c == '"', s.state == inSingle && c == '\'', s.state == inBare && space(c):
		s.state, s.url = inTag, false
	case s.state == inBare && c == '>':
		s.tagEnds()
	case c == '&':
		s.amp = true
	case !letter(c) && c != '#' && (c < '0' || c > '9'):
		s.amp = false
	}
}

// bang decides what <! begins. The HTML in a conditional comment, <!--[if mso]>, is
// followed like other HTML: there is a mail program that shows it.
func (s *scanner) bang(c byte) {
	const conditional = "--[if"
	switch s.begun += string(lower(c)); {
	case s.begun == conditional:
		s.state = inMarkup
	case strings.HasPrefix(conditional, s.begun):
	case strings.HasPrefix(s.begun, "--"):
		s.state, s.dashes = inComment, 2
		for _, c := range []byte(s.begun[2:]) {
			s.comment(c)
		}
	case c == '>':
		s.state = inText
	default:
		s.state = inMarkup
	}
}

func (s *scanner) comment(c byte) {
	switch {
	case c == '-':
		s.dashes++
	case c == '>' && s.dashes >= 2:
		s.state = inText
	case c == '!' && s.dashes >= 2: // --!> ends a comment too
	default:
		s.dashes = 0
	}
}

func (s *scanner) rawText(c byte) {
	end := "</" + s.element
	switch {
	case s.begun == end && (space(c) || c == '/'):
		s.state, s.closing = inTag, true
	case s.begun == end && c == '>':
		s.state = inText
	case len(s.begun) < len(end) && end[len(s.begun)] == lower(c):
		s.begun = end[:len(s.begun)+1]
	case c == '<':
		s.begun = "<"
	default:
		s.begun = ""
	}
}

// place says how a value is written where the scanner stands, or why it cannot stand there.
func (s *scanner) place() (k kind, why string) {
	switch s.state {
	case inText:
		return escaped, ""
	case inComment:
		if s.dashes > 0 {
			return 0, "directly behind a dash of a comment: put a space between"
		}
		return escaped, ""
	case inRaw:
		return s.inElement()
	case inDouble, inSingle:
		return s.inAttribute()
	case inBare, pastEqual:
		return 0, "in an attribute without quotes: put the attribute's value in quotes"
	}
	return 0, "inside a tag: it can be text, or the quoted value of an attribute"
}

func (s *scanner) inElement() (kind, string) {
	switch {
	case s.element == "script":
		return 0, "in a script"
	case s.begun != "":
		return 0, "directly behind what may begin an end tag: put a space between"
	case s.element == "style":
		return style, ""
	}
	return escaped, ""
}

func (s *scanner) inAttribute() (kind, string) {
	name := string(s.attr)
	switch {
	case strings.HasPrefix(name, "on"):
		return 0, "in " + excerpt(name) + ", which is a script"
	case name == "srcdoc":
		return 0, "in srcdoc, which is a document of its own"
	case string(s.tag) == "meta":
		return 0, "in a meta element, which can lead elsewhere"
	case name == "style" && s.amp:
		return 0, "directly behind & in a style"
	case name == "style":
		return style, ""
	}
	return escaped, ""
}
