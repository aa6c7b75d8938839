package docsite

import (
	"fmt"
	"html"
	"regexp"
	"strings"
)

// spot is where a state stands in the diagram, and what it is to a reader.
type spot struct {
	x, y int
	sort string
}

func spots() map[string]spot {
	return map[string]spot{
		"QUEUED": {150, 150, "way"}, "SENDING": {370, 150, "way"}, "SENT": {590, 60, "good"}, "DELIVERED": {750, 60, "good"},
		"FAILED": {670, 250, "bad"}, "SUPPRESSED": {370, 320, "rest"}, "CANCELLED": {150, 320, "rest"},
	}
}

var edge = regexp.MustCompile(`(?m)^\s*(\S+) --> (\w+): (.*)$`)

// diagram draws a state diagram as the generated page writes it. What each arrow means stands in the
// table below it; a state that has no place yet is only listed there.
func diagram(source string) string {
	const width, height = 130, 40
	at := spots()
	var b strings.Builder
	b.WriteString(`<div class="diagram" tabindex="0" role="group" aria-label="Diagram of states"><svg viewBox="20 25 800 330" role="img" aria-label="The states and the ways between them; the table below lists each."><defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto-start-reverse"><path d="M0 0 10 5 0 10z"/></marker></defs>`)
	for _, m := range edge.FindAllStringSubmatch(source, -1) {
		to, known := at[m[2]]
		from, begins := at[m[1]]
		switch {
		case !known:
			continue
		case m[1] == "[*]":
			fmt.Fprintf(&b, `<path d="M%d %d H%d" marker-end="url(#tip)"/>`, to.x-width/2-45, to.y, to.x-width/2)
		case begins:
			b.WriteString(arrow(from, to, width, height, html.EscapeString(m[3])))
		}
	}
	for _, name := range []string{"QUEUED", "SENDING", "SENT", "DELIVERED", "FAILED", "SUPPRESSED", "CANCELLED"} {
		s := at[name]
		fmt.Fprintf(&b, `<g class="%s"><rect x="%d" y="%d" width="%d" height="%d" rx="6"/><text x="%d" y="%d">%s</text></g>`, s.sort, s.x-width/2, s.y-height/2, width, height, s.x, s.y+5, name)
	}
	b.WriteString("</svg></div>\n")
	return b.String()
}

// arrow is a curve between the sides of two boxes that face each other; the way back bends to the other side.
func arrow(from, to spot, width, height int, means string) string {
	dx, dy := to.x-from.x, to.y-from.y
	x1, y1, x2, y2 := from.x, from.y, to.x, to.y
	const bend = 14
	switch {
	case abs(dx) > width:
		side := sign(dx)
		x1, x2 = from.x+side*width/2, to.x-side*width/2
		y1, y2 = y1-side*bend/2, y2-side*bend/2
	default:
		side := sign(dy)
		y1, y2 = from.y+side*height/2, to.y-side*height/2
		x1, x2 = x1+side*bend, x2+side*bend
	}
	mx, my := (x1+x2)/2, (y1+y2)/2
	switch {
	case abs(dx) <= width:
		mx += sign(dy) * bend
	case dy == 0:
		my -= sign(dx) * bend
	case dx > 0:
		my += sign(dy) * 2 * bend
	default:
		my -= sign(dy) * 4 * bend
	}
	return fmt.Sprintf(`<path d="M%d %d Q%d %d %d %d" marker-end="url(#tip)"><title>%s</title></path>`, x1, y1, mx, my, x2, y2, means)
}

func abs(n int) int { return max(n, -n) }

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}
