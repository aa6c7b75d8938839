// Package render turns templates into the content of messages. A template has
// placeholders {{name}} and nothing else: no expressions, no loops, no files, no
// functions, so that rendering can show nothing but the values that it is given.
//
// It promises that a value is put in once (a value that holds {{x}} stays as it
// is), that a value in the HTML of an email stays text wherever it stands, that
// every missing value is named, and that time and memory are bounded by the sizes
// below. What is wrong with a template is found by Compile, with its place.
//
// It does not read templates, does not measure SMS and does not send.
package render

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/commserver/commserver/internal/comm"
	"github.com/commserver/commserver/internal/sms"
)

// Bounds, in bytes unless they say otherwise.
const (
	MaxKey          = 100       // of a template's key
	MaxName         = 100       // of a placeholder's name
	MaxSource       = 256 << 10 // of body and of text, as written
	MaxSubject      = 998       // of a subject, as written and as rendered: RFC 5322 section 2.1.1, before folding
	MaxPlaceholders = 200       // in each of subject, body and text
	MaxRendered     = 512 << 10 // of body and of text, as rendered
)

// Key says whether s may be a template's key: 1 to MaxKey letters, digits, dots,
// dashes and underscores.
func Key(s string) bool {
	for i := range len(s) {
		if c := s[i]; !word(c) && c != '.' {
			return false
		}
	}
	return s != "" && len(s) <= MaxKey
}

// KeyRule is Key in words, for errors.
const KeyRule = "must be 1 to 100 letters, digits, dots, dashes or underscores"

// Template is a compiled version of a template. It is safe for concurrent use.
type Template struct {
	names               []string // sorted; a piece's slot is the place here
	subject, body, text program
}

// Compile checks the content of a template and prepares it for Render. The error
// is a *comm.Error that names the part and, for a placeholder, line and column.
func Compile(ch comm.Channel, v *comm.TemplateVersion) (*Template, error) {
	if err := checkSources(ch, v); err != nil {
		return nil, err
	}
	c := compiler{slots: map[string]int{}}
	t := &Template{}
	for _, part := range []struct {
		name, source string
		html         bool
		into         *program
	}{{"subject", v.Subject, false, &t.subject}, {"body", v.Body, ch == comm.Email, &t.body}, {"text", v.Text, false, &t.text}} {
		p, wrong := c.compile(part.source, part.html)
		if wrong != nil {
			line, column := place(part.source, wrong.at)
			return nil, comm.E("invalid_template", "The template's %s is wrong at line %d, column %d: %s.", part.name, line, column, wrong.why).
				Field(part.name, fmt.Sprintf("line %d, column %d: %s", line, column, wrong.why)).With("line", line).With("column", column)
		}
		*part.into = p
	}
	t.names = c.sort(t)
	if ch == comm.SMS {
		return t, t.fits()
	}
	return t, nil
}

// checkSources checks which parts there are, and their sizes and characters.
func checkSources(ch comm.Channel, v *comm.TemplateVersion) error {
	refuse := func(code, field, why string) error { return comm.E(code).Field(field, why) }
	switch {
	case ch == comm.SMS && v.Subject != "":
		return refuse("field_not_allowed", "subject", "goes with channel EMAIL only")
	case ch == comm.SMS && v.Text != "":
		return refuse("field_not_allowed", "text", "goes with channel EMAIL only; the body of an SMS is its text")
	case ch == comm.Email && strings.TrimSpace(v.Subject) == "":
		return refuse("subject_required", "subject", "is missing or empty")
	case len(v.Subject) > MaxSubject:
		return refuse("too_long", "subject", "is longer than 998 bytes")
	case comm.ControlAt(v.Subject, "\t") >= 0:
		return refuse("control_character", "subject", "must be one line without control characters")
	case strings.TrimSpace(v.Body) == "":
		return refuse("body_required", "body", "is missing or empty")
	case len(v.Body) > MaxSource:
		return refuse("too_long", "body", "is larger than 256 KiB")
	case len(v.Text) > MaxSource:
		return refuse("too_long", "text", "is larger than 256 KiB")
	case ch == comm.SMS && comm.ControlAt(v.Body, "\t\r\n") >= 0:
		return refuse("control_character", "body", "holds a control character other than tab and line break")
	case strings.IndexByte(v.Body, 0) >= 0:
		return refuse("control_character", "body", "holds a NUL character")
	case strings.IndexByte(v.Text, 0) >= 0:
		return refuse("control_character", "text", "holds a NUL character")
	}
	return nil
}

// fits refuses the template of an SMS that is too long whatever its values are.
func (t *Template) fits() error {
	bare := sms.Normalize(t.body.literals())
	if size := sms.Measure(bare); size.Segments > sms.MaxSegments {
		return comm.E("too_long", "The text takes %d segments without its values; at most %d are sent.", size.Segments, sms.MaxSegments).
			Field("body", "takes too many segments").With("segments", size.Segments).With("encoding", size.Encoding.String())
	}
	return nil
}

// Names are the placeholders of all parts, sorted, each once. They are shared: read only.
func (t *Template) Names() []string { return t.names }

// Names are the placeholders of content that Compile has accepted before, as
// Template.Names has them, for a fraction of the work.
func Names(v *comm.TemplateVersion) ([]string, error) {
	names := []string{}
	for _, source := range []string{v.Subject, v.Body, v.Text} {
		segments, wrong := parse(source)
		if wrong != nil {
			return nil, fmt.Errorf("at byte %d: %s", wrong.at, wrong.why)
		}
		for _, s := range segments {
			if s.name != "" {
				names = append(names, s.name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Rendered is a template with its values filled in.
type Rendered struct{ Subject, Body, Text string }

// Given says which parts somebody else gives: they are not rendered, and what only
// they would need is not missing.
type Given struct{ Subject, Text bool }

// Render fills the values in. Names that the template does not have are ignored;
// of a name that comes twice the last value counts. The error is a *comm.Error:
// missing_variables with every name in details.missing, or too_long.
func (t *Template) Render(values iter.Seq2[string, string], given Given) (out Rendered, err error) {
	fill := make([]string, len(t.names))
	has := make([]bool, len(t.names))
	for name, value := range values {
		if i, ok := slices.BinarySearch(t.names, name); ok {
			fill[i], has[i] = value, true
		}
	}
	parts := []struct {
		name string
		p    *program
		skip bool
		into *string
	}{{"subject", &t.subject, given.Subject, &out.Subject}, {"body", &t.body, false, &out.Body}, {"text", &t.text, given.Text, &out.Text}}
	missing := make([]bool, len(t.names))
	lacks := false
	for _, part := range parts {
		if !part.skip {
			lacks = part.p.lacking(has, missing) || lacks
		}
	}
	if lacks {
		return Rendered{}, t.missing(missing)
	}
	for _, part := range parts {
		if part.skip {
			continue
		}
		text, ok := part.p.render(fill)
		if !ok {
			return Rendered{}, comm.Rendered("too_long").Field(part.name, "is larger than 512 KiB with its values")
		}
		*part.into = text
	}
	return out, nil
}

// Bound is how much memory Render may need with these values, in bytes: more than what
// it answers, and at most MaxRendered for each part.
func (t *Template) Bound(values iter.Seq2[string, string]) int {
	lengths := make([]int, len(t.names))
	for name, value := range values {
		if i, ok := slices.BinarySearch(t.names, name); ok {
			lengths[i] = len(value)
		}
	}
	n := 0
	for _, p := range []*program{&t.subject, &t.body, &t.text} {
		n += min(p.bound(p.pieces, lengths), MaxRendered)
	}
	return n
}

// Unused are the names among the values that the template has no placeholder for, sorted, each once.
func (t *Template) Unused(values iter.Seq2[string, string]) (names []string) {
	for name := range values {
		if _, ok := slices.BinarySearch(t.names, name); !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// missing is the error that names every value that is needed and absent.
func (t *Template) missing(absent []bool) error {
	var names []string
	for i, is := range absent {
		if is {
			names = append(names, t.names[i])
		}
	}
	return comm.E("missing_variables").With("missing", names)
}

// Without is no values at all, in the form that Render takes.
func Without(func(name, value string) bool) {}
