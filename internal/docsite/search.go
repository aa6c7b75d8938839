package docsite

import (
	"cmp"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// searcher finds parts of pages by the words in them. What it looks through is made on the first search.
type searcher struct {
	pages []*page
	once  sync.Once
	parts []found
}

// found is a part of a page as it is searched.
type found struct {
	page            *page
	heading, anchor string
	text            string
	lowHead, low    string
	first           bool // what stands below the title
}

func (x *searcher) fill() {
	for _, p := range x.pages {
		for i, one := range p.doc().parts {
			x.parts = append(x.parts, found{p, one.Text, one.ID, strings.Join(strings.Fields(one.text), " "), strings.ToLower(p.title + " " + one.Text), strings.ToLower(strings.Join(strings.Fields(one.text), " ")), i == 0})
		}
	}
}

// What a search may ask and answer.
const (
	longestQuery = 100
	mostWords    = 8
	mostResults  = 30
)

// look answers the parts that hold every word, the best first.
func (x *searcher) look(query string) []found {
	x.once.Do(x.fill)
	words := strings.Fields(strings.ToLower(query))
	words = words[:min(len(words), mostWords)]
	if len(words) == 0 {
		return nil
	}
	type scored struct {
		found
		score int
	}
	var hits []scored
	for _, p := range x.parts {
		score := 0
		for _, word := range words {
			inHead, inText := strings.Count(p.lowHead, word), strings.Count(p.low, word)
			if inHead+inText == 0 {
				score = 0
				break
			}
			score += 20*min(inHead, 2) + min(inText, 5)
		}
		if score == 0 {
			continue
		}
		if p.first {
			score += 5
		}
		switch p.page.section { // what is for who uses it, before what is for who builds it
		case "Begin", "Send", "Follow":
			score += 10
		case "How it is built":
			score -= 10
		}
		hits = append(hits, scored{p, score})
	}
	slices.SortStableFunc(hits, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var out []found
	for _, h := range hits[:min(len(hits), mostResults)] {
		out = append(out, h.found)
	}
	return out
}

// find is /docs/search?q=.
func (s *Site) find(w http.ResponseWriter, r *http.Request) {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	if utf8.RuneCountInString(query) > longestQuery {
		query = string([]rune(query)[:longestQuery])
	}
	v := s.view(nil)
	v.Title, v.Query = "Search", query
	var b strings.Builder
	b.WriteString("<h1>Search</h1>")
	switch hits := s.search.look(query); {
	case query == "":
		b.WriteString("<p>Write a word or two into the field above: a field of a request, an error code, a setting.</p>")
	case len(hits) == 0:
		fmt.Fprintf(&b, "<p>Nothing holds all of <strong>%s</strong>. Try fewer words, or the beginning of one.</p>", html.EscapeString(query))
	default:
		fmt.Fprintf(&b, "<p>%s for <strong>%s</strong>.</p><ul class=\"results\">", count(len(hits)), html.EscapeString(query))
		for _, hit := range hits {
			where := hit.page.title
			if hit.page.section != "" {
				where = hit.page.section + " › " + where
			}
			fmt.Fprintf(&b, `<li><a href="%s#%s">%s</a> <span class="where">%s</span><p>%s</p></li>`, hit.page.address, html.EscapeString(hit.anchor), html.EscapeString(hit.heading), html.EscapeString(where), excerpt(hit, query))
		}
		b.WriteString("</ul>")
	}
	v.Body = template.HTML(b.String()) // escaped above
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept-Encoding")
	s.write(w, r, http.StatusOK, once(draw(v)))
}

func count(n int) string {
	switch {
	case n == 1:
		return "One place"
	case n == mostResults:
		return fmt.Sprintf("The best %d places", n)
	}
	return fmt.Sprintf("%d places", n)
}

// excerpt is the text around the first word that is found, with all words marked.
func excerpt(p found, query string) string {
	const before, length = 60, 220
	words := strings.Fields(strings.ToLower(query))
	at := -1
	if len(p.low) == len(p.text) { // lower case may be longer, in rare scripts
		for _, word := range words {
			if i := strings.Index(p.low, word); i >= 0 && (at < 0 || i < at) {
				at = i
			}
		}
	}
	from := max(0, at-before)
	if i := strings.IndexByte(p.text[from:], ' '); from > 0 && i >= 0 {
		from += i + 1
	}
	for from > 0 && !utf8.RuneStart(p.text[from]) {
		from--
	}
	to := min(len(p.text), from+length)
	for to < len(p.text) && !utf8.RuneStart(p.text[to]) {
		to--
	}
	piece := p.text[from:to]
	var b strings.Builder
	if from > 0 {
		b.WriteString("… ")
	}
	for len(piece) > 0 {
		at, size := len(piece), 0
		low := strings.ToLower(piece)
		if len(low) == len(piece) {
			for _, word := range words {
				if i := strings.Index(low, word); i >= 0 && (i < at || i == at && len(word) > size) {
					at, size = i, len(word)
				}
			}
		}
		b.WriteString(html.EscapeString(piece[:at]))
		if size > 0 {
			b.WriteString("<mark>" + html.EscapeString(piece[at:at+size]) + "</mark>")
		}
		piece = piece[at+size:]
	}
	if to < len(p.text) {
		b.WriteString(" …")
	}
	return b.String()
}
