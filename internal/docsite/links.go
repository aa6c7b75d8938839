package docsite

import (
	"bytes"
	"path"
	"strings"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
)

// reader is by whom a link is followed.
type reader int

const (
	forPeople   reader = iota // to pages
	forPrograms               // to the Markdown of pages
)

// leads is where a page is for its reader.
func (r reader) leads(p *page) string {
	if r == forPrograms {
		return Prefix + "/" + p.file
	}
	return p.address
}

// resolve turns a link between files of docs/ into one between pages, or to a file that is handed out. What is neither lies in the repository.
// A program may read all pages as one file, so that a link within a page names the page to it.
func (s *Site) resolve(file, to string, by reader) string {
	if to == "" || to[0] == '/' || to[0] == '#' && by == forPeople || strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
		return to
	}
	target, fragment, _ := strings.Cut(to, "#")
	if fragment != "" {
		fragment = "#" + fragment
	}
	at := path.Join("docs", path.Dir(file), target) // as it lies in the repository
	if target == "" {
		at = path.Join("docs", file)
	}
	inside, below := strings.CutPrefix(at, "docs/")
	if at == "docs" || below && s.byFile[inside+"/README.md"] != nil {
		return by.leads(s.byFile[home]) + fragment
	}
	if p := s.byFile[inside]; below && p != nil {
		return by.leads(p) + fragment
	}
	if served := fileAddress(at); s.assets[served] != nil {
		return served
	}
	return repository(s.commit) + at + fragment
}

// markdown is a page's source as programs get it: with links that lead on from wherever it is read.
func (s *Site) markdown(file, source string) string {
	raw, done := []byte(source), 0
	var b strings.Builder
	_ = ast.Walk(s.md.Parser().Parse(text.NewReader(raw)), func(n ast.Node, entering bool) (ast.WalkStatus, error) { // no step fails
		to := destination(n)
		if entering || to == "" {
			return ast.WalkContinue, nil
		}
		mark := "](" + to
		if i := bytes.Index(raw[max(done, end(n)):], []byte(mark)); i >= 0 {
			i += max(done, end(n)) + len("](")
			b.Write(raw[done:i])
			b.WriteString(s.resolve(file, to, forPrograms))
			done = i + len(to)
		}
		return ast.WalkContinue, nil
	})
	b.Write(raw[done:])
	return b.String()
}

// destination is where a link or a picture leads; "" of any other node.
func destination(n ast.Node) string {
	switch n := n.(type) {
	case *ast.Link:
		return string(n.Destination)
	case *ast.Image:
		return string(n.Destination)
	}
	return ""
}

// end is where the text of a link ends in its source.
func end(n ast.Node) int {
	if t, ok := n.(*ast.Text); ok {
		return t.Segment.Stop
	}
	if last := n.LastChild(); last != nil {
		return end(last)
	}
	return n.Pos()
}
