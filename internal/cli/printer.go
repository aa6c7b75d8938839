package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// printer writes results: tables for people, JSON or ids for programs.
type printer struct {
	w      io.Writer
	json   bool // what the API answered: one document, lists as one item per line
	quiet  bool // ids alone
	colour bool
	width  int // columns of the terminal; 0: nothing is cut
	zone   *time.Location
	now    func() time.Time
}

// kind is how a column shows its value.
type kind uint8

const (
	plain   kind = iota // as it is
	when                // a time
	status              // a state, in colour
	yes                 // a truth
	changes             // what was changed, field by field, from what to what
	codes               // of a list of warnings
	carried             // which provider took how many messages
	failed              // how many calls failed of how many
)

// column is one column of a table, or one line of a single resource. A field may
// lie deeper: "app.slug".
type column struct {
	title, field string
	kind         kind
}

// terminal finds out what the streams are.
func (s Streams) terminal() Terminal {
	if s.Terminal != nil {
		return *s.Terminal
	}
	t := Terminal{In: isTerminal(s.In), Out: isTerminal(s.Out), Err: isTerminal(s.Err)}
	if f, ok := s.Out.(*os.File); ok && t.Out {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			t.Width = width
		}
	}
	return t
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (s Streams) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// one prints a single resource.
func (p *printer) one(raw json.RawMessage, id string, columns []column) error {
	if p.json {
		return p.line(raw)
	}
	doc, err := read(raw)
	if err != nil {
		return err
	}
	if p.quiet {
		_, err := fmt.Fprintln(p.w, clean(textOf(doc.at(id))))
		return err
	}
	wide := 0
	for _, c := range columns {
		if p.text(doc.at(c.field), c.kind) != "" {
			wide = max(wide, utf8.RuneCountInString(c.title))
		}
	}
	var b strings.Builder
	for _, c := range columns {
		if text := p.text(doc.at(c.field), c.kind); text != "" {
			fmt.Fprintf(&b, "%s  %s\n", p.paint(pad(c.title, wide), bold), p.state(text, text, c.kind))
		}
	}
	_, err = io.WriteString(p.w, b.String())
	return err
}

// line prints one JSON document on a line of its own.
func (p *printer) line(raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	b.WriteByte('\n')
	_, err := p.w.Write(b.Bytes())
	return err
}

// tableRows is how many rows are measured together: a longer list is printed as it
// arrives, in tables of this size below each other.
const tableRows = 200

// rows prints a list as it arrives.
type rows struct {
	p       *printer
	id      string
	columns []column
	kept    [][]string
	headed  bool
}

func (p *printer) rows(id string, columns []column) *rows {
	return &rows{p: p, id: id, columns: columns}
}

func (r *rows) add(raw json.RawMessage) error {
	if r.p.json {
		return r.p.line(raw)
	}
	doc, err := read(raw)
	if err != nil {
		return err
	}
	if r.p.quiet {
		_, err := fmt.Fprintln(r.p.w, clean(textOf(doc.at(r.id))))
		return err
	}
	cells := make([]string, len(r.columns))
	for i, c := range r.columns {
		cells[i] = r.p.text(doc.at(c.field), c.kind)
	}
	if r.kept = append(r.kept, cells); len(r.kept) == tableRows {
		return r.end()
	}
	return nil
}

// finish ends a list that may have failed. One that failed before its first row prints
// nothing: a heading alone is an empty list.
func (r *rows) finish(err error) error {
	if err != nil && len(r.kept) == 0 {
		return err
	}
	return errors.Join(err, r.end())
}

// end prints what is left. An empty list prints nothing at all to programs, and its heading to people.
func (r *rows) end() error {
	if r.p.json || r.p.quiet || len(r.kept) == 0 && r.headed {
		return nil
	}
	widths := make([]int, len(r.columns))
	for i, c := range r.columns {
		widths[i] = utf8.RuneCountInString(c.title)
		for _, cells := range r.kept {
			widths[i] = max(widths[i], utf8.RuneCountInString(cells[i]))
		}
	}
	shrink(widths, r.p.width)
	var b strings.Builder
	if !r.headed {
		titles := make([]string, len(r.columns))
		for i, c := range r.columns {
			titles[i] = c.title
		}
		b.WriteString(r.row(widths, titles, func(int, string) string { return bold }))
	}
	for _, cells := range r.kept {
		b.WriteString(r.row(widths, cells, func(i int, text string) string {
			if r.columns[i].kind == status {
				return colourOf(text)
			}
			return ""
		}))
	}
	r.kept, r.headed = nil, true
	_, err := io.WriteString(r.p.w, b.String())
	return err
}

// row is one line, without spaces at its end.
func (r *rows) row(widths []int, cells []string, style func(i int, text string) string) string {
	var b strings.Builder
	gap := 0
	for i, text := range cells {
		short := cutTo(text, widths[i])
		if short != "" {
			b.WriteString(strings.Repeat(" ", gap) + r.p.paint(short, style(i, text)))
			gap = 0
		}
		gap += widths[i] - utf8.RuneCountInString(short) + 2
	}
	return b.String() + "\n"
}

// narrowest is the least width that a column is cut to.
const narrowest = 8

// shrink takes from the widest columns until the table fits. The first column, the id, stays whole.
func shrink(widths []int, width int) {
	total := func() int {
		sum := 2 * (len(widths) - 1)
		for _, w := range widths {
			sum += w
		}
		return sum
	}
	for over := total() - width; width > 0 && over > 0; over-- {
		widest := 0
		for i := 1; i < len(widths); i++ {
			if widest == 0 || widths[i] > widths[widest] {
				widest = i
			}
		}
		if widest == 0 || widths[widest] <= narrowest {
			return
		}
		widths[widest]--
	}
}

func cutTo(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(0, width-1)]) + "…"
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// Styles of a terminal (ECMA-48).
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func colourOf(state string) string {
	switch state {
	case "SENT", "DELIVERED", "accepted", "WORKS":
		return green
	case "FAILED", "SUPPRESSED", "failed", "rejected", "DOWN", "UNUSABLE":
		return red
	case "QUEUED", "unknown", "throttled", "FAILING", "TRYING":
		return yellow
	case "SENDING", "running":
		return cyan
	}
	return ""
}

func (p *printer) paint(text, style string) string {
	if !p.colour || style == "" || text == "" {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// state paints the text of a state.
func (p *printer) state(text, state string, k kind) string {
	if k != status {
		return text
	}
	return p.paint(text, colourOf(state))
}

// text is a value as people read it; "" for null.
func (p *printer) text(v any, k kind) string {
	switch k {
	case when:
		if at, err := time.Parse(time.RFC3339Nano, textOf(v)); err == nil {
			return p.time(at)
		}
	case yes:
		if truth, ok := v.(bool); ok {
			return map[bool]string{true: "yes", false: "no"}[truth]
		}
	case changes:
		return clean(changesOf(v))
	case codes:
		all, _ := v.([]any)
		words := make([]string, 0, len(all))
		for _, w := range all {
			if w, ok := w.(map[string]any); ok {
				words = append(words, document(w).str("code"))
			}
		}
		return clean(strings.Join(words, ", "))
	case carried:
		all, _ := v.([]any)
		words := make([]string, 0, len(all))
		for _, c := range all {
			if c, ok := c.(map[string]any); ok {
				words = append(words, document(c).str("name")+" "+textOf(c["messages"]))
			}
		}
		return clean(strings.Join(words, ", "))
	case failed:
		if calls, ok := v.(map[string]any); ok {
			return clean(textOf(calls["failed"]) + " of " + textOf(calls["calls"]) + " calls")
		}
	case plain, status:
	}
	return clean(textOf(v))
}

// time shows a time to the second in the zone that was asked for.
func (p *printer) time(at time.Time) string {
	if p.zone == time.UTC {
		return at.UTC().Format("2006-01-02 15:04:05Z")
	}
	return at.In(p.zone).Format("2006-01-02 15:04:05")
}
