package docsite

import (
	"net/http"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/text"
	"golang.org/x/net/html"
)

// TestEveryLinkLeadsSomewhere follows every link of every page, to its heading: as people read it, as programs read it, and in the file of all pages.
func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	s := site(t)
	w := &walk{t: t, site: s, ids: map[string]map[string]bool{}, status: map[string]int{}}
	links, twins := map[string][]string{}, map[string]string{}
	for _, p := range s.pages {
		res, body := get(t, s, p.address)
		if res.StatusCode != http.StatusOK || !strings.Contains(body, p.title[:min(len(p.title), 10)]) {
			t.Fatalf("%s: %d", p.address, res.StatusCode)
		}
		d := read(t, p.address, body)
		if d.titles != 1 {
			t.Errorf("%s has %d titles", p.address, d.titles)
		}
		links[p.address], w.ids[p.address] = d.links, d.ids
		at := Prefix + "/" + p.file
		if _, twins[at] = get(t, s, at); twins[at] == "" {
			t.Fatalf("%s is empty", at)
		}
		links[at], w.ids[at] = linksOf(t, twins[at]), d.ids
		if n := len(p.doc().links); len(links[at]) < n {
			t.Errorf("%s has %d links, the page %d", at, len(links[at]), n)
		}
	}
	_, full := get(t, s, "/llms-full.txt")
	links["/llms-full.txt"] = linksOf(t, full)
	for at, some := range links {
		for _, link := range some {
			w.follow(at, link)
		}
		for _, link := range some {
			if _, person := w.ids[strings.SplitN(link, "#", 2)[0]]; person && (twins[at] != "" || at == "/llms-full.txt") && !strings.Contains(link, ".md") && link[0] == '/' {
				t.Errorf("%s leads a program to the page for people %s", at, link)
			}
		}
	}
	if n := len(links["/llms-full.txt"]); n < 3000 || w.checked < 3*n {
		t.Errorf("only %d links were looked at, %d in the file of all pages", w.checked, n)
	}
}

// walk follows links.
type walk struct {
	t       *testing.T
	site    *Site
	ids     map[string]map[string]bool // of pages, by address
	status  map[string]int             // of addresses that were asked for
	checked int
}

// follow checks one link of the page at an address.
func (w *walk) follow(at, link string) {
	w.t.Helper()
	w.checked++
	inRepository := repository(w.site.commit)
	if rest, own := strings.CutPrefix(link, base); own && Serves(rest) {
		link = rest
	}
	to, fragment, _ := strings.Cut(link, "#")
	switch {
	case to == "" && link != "":
		to = at
	case strings.HasPrefix(link, inRepository):
		if !regexp.MustCompile(`^[A-Za-z0-9_./-]+(#.*)?$`).MatchString(strings.TrimPrefix(link, inRepository)) {
			w.t.Errorf("%s links to %s", at, link)
		}
		return
	case strings.HasPrefix(link, "http"), strings.HasPrefix(link, "mailto:"):
		return // of others
	case to == "/api/openapi":
		return // of the API
	case !strings.HasPrefix(to, "/"):
		to = path.Join(path.Dir(at), to)
	}
	if _, known := w.status[to]; !known {
		res, _ := get(w.t, w.site, to)
		w.status[to] = res.StatusCode
	}
	if w.status[to] != http.StatusOK {
		w.t.Errorf("%s links to %s: %d", at, link, w.status[to])
	}
	if ids, isPage := w.ids[to]; isPage && fragment != "" && !ids[fragment] || at == to && !isPage && fragment != "" {
		w.t.Errorf("%s links to %s, where no such heading is", at, link)
	}
}

// linksOf is where the links of a Markdown text lead, as a reader of Markdown sees them: none that stands in code.
func linksOf(t *testing.T, markdown string) (out []string) {
	t.Helper()
	tree := converter().Parser().Parse(text.NewReader([]byte(markdown)))
	if err := ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if link, ok := n.(*ast.Link); ok && entering {
			out = append(out, string(link.Destination))
		}
		return ast.WalkContinue, nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestProgramsGetThePagesTheirOwnWay: of what programs read, the links alone differ from the pages' source; code stays as it is.
func TestProgramsGetThePagesTheirOwnWay(t *testing.T) {
	t.Parallel()
	s := site(t)
	const source = "# A [title](states.md)\n\n`[code](errors.md)` and [`a](errors.md)`](errors.md#x \"title\") [up](#a-title) [not `a`](guide/sdk.md) [not `a`](guide/sdk.md)\n\n" +
		"<!-- a remark with [a link](cli.md) -->\n| [a](config.md) | ![picture](images/a.png) |\n|---|---|\n| [é **b**](../SECURITY.md#c) | [x](https://example.com/errors.md) |\n\n```md\n[fenced](errors.md)\n```\n\n" +
		"> - [in a list](../sdk/comms-client.ts)\n\n    [indented](errors.md)\n"
	const want = "# A [title](/docs/states.md)\n\n`[code](errors.md)` and [`a](errors.md)`](/docs/errors.md#x \"title\") [up](/docs/sdk.md#a-title) [not `a`](/docs/guide/sdk.md) [not `a`](/docs/guide/sdk.md)\n\n" +
		"<!-- a remark with [a link](cli.md) -->\n| [a](/docs/config.md) | ![picture](R/docs/images/a.png) |\n|---|---|\n| [é **b**](R/SECURITY.md#c) | [x](https://example.com/errors.md) |\n\n```md\n[fenced](errors.md)\n```\n\n" +
		"> - [in a list](/docs/files/comms-client.ts)\n\n    [indented](errors.md)\n"
	if got := s.markdown("sdk.md", source); got != strings.ReplaceAll(want, "R/", repository(s.commit)) {
		t.Errorf("it reads:\n%s", got)
	}
	targets := regexp.MustCompile(`\]\([^)\s]*`)
	for _, p := range s.pages {
		if targets.ReplaceAllString(s.markdown(p.file, p.source), "") != targets.ReplaceAllString(p.source, "") {
			t.Errorf("%s has another text than its source", p.file)
		}
	}
}

// TestALinkNamesWhereItLeads: whoever reads an address and follows it comes to that one, on a server at any address.
func TestALinkNamesWhereItLeads(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`^(https?://)?([a-z0-9.-]+\.[a-z]{2,}|localhost|[0-9.]{7,})(:[0-9]+)?(/\S*)?$`)
	looked := 0
	for _, p := range site(t).pages {
		_, body := get(t, site(t), p.address)
		tree, err := html.Parse(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for n := range tree.Descendants() {
			if n.Type != html.ElementNode || n.Data != "a" {
				continue
			}
			var shown strings.Builder
			for inner := range n.Descendants() {
				if inner.Type == html.TextNode {
					shown.WriteString(inner.Data)
				}
			}
			for _, a := range n.Attr {
				if a.Key != "href" || !strings.HasPrefix(a.Val, "http") || !named.MatchString(shown.String()) {
					continue
				}
				looked++
				// A Go module's page ends with the module's name.
				if !strings.HasSuffix(strings.TrimSuffix(a.Val, "/"), "/"+regexp.MustCompile(`^https?://|/$`).ReplaceAllString(shown.String(), "")) {
					t.Errorf("%s shows %s for a link to %s", p.address, shown.String(), a.Val)
				}
			}
		}
	}
	if looked == 0 {
		t.Error("no link shows an address")
	}
}
