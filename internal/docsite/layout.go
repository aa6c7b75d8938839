package docsite

import (
	"bytes"
	_ "embed" // the pieces of a page
	"html/template"
	"net/http"
	"strings"

	"github.com/commserver/commserver/internal/webui"
)

//go:embed assets/page.html
var frame string

//go:embed assets/docs.css
var sheet string

//go:embed assets/docs.js
var script string

var layout = template.Must(template.New("page").Parse(frame))

// styles is the shared tokens with the documentation's own rules.
func styles() string { return webui.Tokens() + sheet }

// view is what the frame of a page shows.
type view struct {
	Title, Section string
	Style, Script  string
	Icon           string
	Base           string
	Markdown       string // address of the page's source; "" for one that has none
	Query          string
	Head, Body     template.HTML
	Toc            []heading
	Nav            []navPart
	Before, After  *link
}

type navPart struct {
	Title string
	Open  bool
	Links []link
}

type link struct {
	Title, Address string
	Here           bool
}

// layout draws a page within its frame.
func (s *Site) layout(p *page) []byte {
	doc := p.doc()
	v := s.view(p)
	v.Title, v.Section, v.Markdown = p.title, p.section, Prefix+"/"+p.file
	title, body, _ := strings.Cut(string(doc.html), "</h1>\n")
	v.Head, v.Body = template.HTML(title+"</h1>"), template.HTML(body) // both are made from our own pages
	for _, h := range doc.headings {
		if h.Level == 2 {
			v.Toc = append(v.Toc, h)
		}
	}
	if p.before != nil {
		v.Before = &link{Title: p.before.title, Address: p.before.address}
	}
	if p.after != nil {
		v.After = &link{Title: p.after.title, Address: p.after.address}
	}
	return draw(v)
}

func draw(v *view) []byte {
	var b bytes.Buffer
	if err := layout.Execute(&b, v); err != nil { // the frame is ours; a test draws every page
		return []byte("<!doctype html><title>CommServer</title><p>The page cannot be drawn.")
	}
	return b.Bytes()
}

// view is the frame of a page; at is nil for one that is in no section.
func (s *Site) view(at *page) *view {
	v := &view{Style: s.style, Script: s.script, Icon: s.icon, Base: s.cfg.PublicURL}
	for _, part := range contents() {
		nav := navPart{Title: part.title, Open: at == nil || at.section == part.title || at.file == home}
		for _, p := range s.inOrder(part.title) {
			nav.Links = append(nav.Links, link{Title: short(p.title), Address: p.address, Here: p == at})
		}
		v.Nav = append(v.Nav, nav)
	}
	return v
}

// short leaves what the section says already.
func short(title string) string {
	title = strings.ReplaceAll(title, "`", "")
	return strings.Replace(title, "Administration: ", "Admin: ", 1)
}

// sorry writes a page that says what is wrong with a request.
func (s *Site) sorry(w http.ResponseWriter, r *http.Request, status int, title, why string) {
	v := s.view(nil)
	v.Title = title
	v.Body = template.HTML("<h1>" + template.HTMLEscapeString(title) + "</h1><p>" + template.HTMLEscapeString(why) + `</p><p><a href="` + Prefix + `">Contents</a></p>`)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Accept-Encoding")
	s.write(w, r, status, once(draw(v)))
}
