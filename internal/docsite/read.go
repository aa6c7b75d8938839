package docsite

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/commserver/commserver/docs"
)

// local is the address that the pages name in their samples; readers see this server's own.
const local = "http://localhost:3008"

// literal says that a page speaks of the address above itself, as a default.
func literal(file string) bool {
	return file == "config.md" || file == "cli.md" || file == "simulate.md"
}

// byWhom says to who changes the pages where one comes from; who reads them here cannot.
var byWhom = regexp.MustCompile("(?m)^Generated from .*?(?:is stale|do not edit)\\.[ \n]*")

// read takes in every page, of docs/ and of the contract.
func (s *Site) read() error {
	made, err := reference()
	if err != nil {
		return err
	}
	all := append([]section{{"", []string{home}}}, contents()...)
	for _, part := range all {
		for _, file := range part.files {
			source, ok := made[file]
			if !ok {
				raw, err := fs.ReadFile(docs.Files(), file)
				if err != nil {
					return fmt.Errorf("read a page of the documentation: %w", err)
				}
				source = string(raw)
			}
			source = byWhom.ReplaceAllString(source, "")
			if !literal(file) {
				source = strings.ReplaceAll(source, local, s.cfg.PublicURL)
			}
			_, title, _ := strings.Cut("\n"+source, "\n# ")
			title, _, _ = strings.Cut(title, "\n")
			p := &page{file: file, address: address(file), section: part.title, title: title, source: source}
			if n := len(s.pages); n > 0 {
				p.before = s.pages[n-1]
				p.before.after = p
			}
			s.pages = append(s.pages, p)
			s.byFile[file] = p
		}
	}
	s.md = converter()
	for _, p := range s.pages {
		p.doc = sync.OnceValue(func() *document {
			doc, err := s.render(p.file, p.source)
			if err != nil { // no page of ours does; a test renders them all
				return &document{html: []byte("<h1>" + p.title + "</h1>")}
			}
			return doc
		})
		p.text = sync.OnceValue(func() *answer { return keep("text/markdown; charset=utf-8", []byte(s.markdown(p.file, p.source))) })
		p.html = sync.OnceValue(func() *answer { return keep("text/html; charset=utf-8", s.layout(p)) })
	}
	return nil
}

// apiFiles are the pages of the reference, in reading order.
func apiFiles() (out []string) {
	for _, g := range groups() {
		out = append(out, g.file)
	}
	return append(out, schemasFile, adminSchemasFile)
}

// inOrder is the pages of a section.
func (s *Site) inOrder(title string) []*page {
	return slices.DeleteFunc(slices.Clone(s.pages), func(p *page) bool { return p.section != title })
}
