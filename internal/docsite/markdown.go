package docsite

import (
	"bytes"
	"html"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	rendered "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// repository is where a link leads that names a file which is neither a page nor handed out here; at is a commit or a branch.
func repository(at string) string {
	return "https://github.com/commserver/commserver/blob/" + at + "/"
}

// revision is the commit that the program was built from: a page speaks of its own version. Where the toolchain
// recorded none, as in tests, it is the branch that everything comes to.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && s.Value != "" {
				return s.Value
			}
		}
	}
	return "main"
}

// document is a page as it was read: its body, and what is found in it.
type document struct {
	html     []byte
	headings []heading
	links    []string
	parts    []part
}

// heading is one that the list of contents shows.
type heading struct {
	Level int
	Text  string
	ID    string
}

// part is what stands below one heading, as text to be searched.
type part struct {
	heading
	text string
}

// converter turns Markdown into HTML. It is made once, and safe for concurrent use.
func converter() goldmark.Markdown {
	return goldmark.New(
		goldmark.WithExtensions(extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignNone)), extension.Strikethrough, extension.Linkify, extension.TaskList),
		goldmark.WithParserOptions(parser.WithAutoHeadingID(), parser.WithHeadingAttribute()),
		// The pages are our own, and a few hold a <br>.
		goldmark.WithRendererOptions(rendered.WithUnsafe(), renderer.WithNodeRenderers(util.Prioritized(&figures{}, 100))),
	)
}

var remark = regexp.MustCompile(`(?s)<!--.*?-->\n?`)

// render reads a page's Markdown.
func (s *Site) render(file, source string) (*document, error) {
	raw := []byte(remark.ReplaceAllString(source, ""))
	seen := &ids{seen: map[string]int{}}
	tree := s.md.Parser().Parse(text.NewReader(raw), parser.WithContext(parser.NewContext(parser.WithIDs(seen))))
	doc := &document{}
	rows := rowIDs(file, seen)
	if err := ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Link:
			to := s.resolve(file, string(n.Destination), forPeople)
			n.Destination = []byte(to)
			doc.links = append(doc.links, to)
		case *ast.Image:
			n.Destination = []byte(s.resolve(file, string(n.Destination), forPeople))
		case *ast.Heading:
			id, _ := n.AttributeString("id")
			h := heading{n.Level, plain(n, raw), attribute(id)}
			doc.headings = append(doc.headings, h)
			doc.parts = append(doc.parts, part{heading: h})
			return ast.WalkSkipChildren, nil
		case *extast.TableRow:
			rows(n, raw)
		case *ast.Text:
			doc.add(string(n.Value(raw)) + " ")
		case *ast.FencedCodeBlock:
			doc.add(lines(n, raw) + " ")
		}
		return ast.WalkContinue, nil
	}); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := s.md.Renderer().Render(&b, raw, tree); err != nil {
		return nil, err
	}
	doc.html = b.Bytes()
	return doc, nil
}

// rowIDs gives the rows of the tables of words (codes, states, options) the word as an id, so that
// a link can lead to one. Where a word stands twice the first row has it.
func rowIDs(file string, seen *ids) func(row *extast.TableRow, raw []byte) {
	if file != "errors.md" && file != "states.md" && file != "config.md" {
		return func(*extast.TableRow, []byte) {}
	}
	return func(row *extast.TableRow, raw []byte) {
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			code, ok := cell.FirstChild().(*ast.CodeSpan)
			if !ok {
				continue
			}
			if id := plain(code, raw); seen.seen[id] == 0 {
				seen.Put([]byte(id))
				row.SetAttributeString("id", []byte(id))
			}
			return
		}
	}
}

func (d *document) add(text string) {
	if n := len(d.parts); n > 0 {
		d.parts[n-1].text += text
	}
}

func attribute(v any) string {
	switch v := v.(type) {
	case []byte:
		return string(v)
	case string:
		return v
	}
	return ""
}

// plain is the text of a node without its marks.
func plain(n ast.Node, raw []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Value(raw))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}

func lines(n ast.Node, raw []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		b.Write(line.Value(raw))
	}
	return b.String()
}

// ids makes the ids of headings as the repository's own viewer does, so that one link serves both.
type ids struct{ seen map[string]int }

// Generate makes an id of a heading's Markdown.
func (x *ids) Generate(value []byte, _ ast.NodeKind) []byte {
	var b strings.Builder
	for _, r := range strings.ToLower(linkText.ReplaceAllString(string(value), "$1")) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			b.WriteRune(r)
		case r == ' ':
			b.WriteByte('-')
		}
	}
	id := b.String()
	n := x.seen[id]
	x.seen[id]++
	if n > 0 {
		id += "-" + strconv.Itoa(n)
	}
	return []byte(id)
}

// Put notes an id that a heading brings along.
func (x *ids) Put(value []byte) { x.seen[string(value)]++ }

var linkText = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)

// figures writes what the usual renderer would not: headings that can be linked to, code with its
// language, tables that scroll by themselves.
type figures struct{}

// RegisterFuncs names the nodes that are written here.
func (f *figures) RegisterFuncs(r renderer.NodeRendererFuncRegisterer) {
	r.Register(ast.KindHeading, f.heading)
	r.Register(ast.KindFencedCodeBlock, f.code)
	r.Register(ast.KindCodeBlock, f.code)
	r.Register(extast.KindTable, f.table)
	r.Register(extast.KindTableCell, f.cell)
	r.Register(extast.KindTaskCheckBox, f.box)
}

func (f *figures) heading(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	n := node.(*ast.Heading)
	tag := "h" + strconv.Itoa(n.Level)
	id, _ := n.AttributeString("id")
	at := html.EscapeString(attribute(id))
	if entering {
		_, _ = w.WriteString("<" + tag + ` id="` + at + `">`)
		return ast.WalkContinue, nil
	}
	if n.Level > 1 {
		_, _ = w.WriteString(` <a class="anchor" href="#` + at + `" aria-label="Link to ` + html.EscapeString(plain(n, source)) + `">#</a>`)
	}
	_, _ = w.WriteString("</" + tag + ">\n")
	return ast.WalkContinue, nil
}

func (f *figures) table(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = w.WriteString("<div class=\"table\" tabindex=\"0\" role=\"group\" aria-label=\"Table\"><table>\n")
		return ast.WalkContinue, nil
	}
	_, _ = w.WriteString("</table></div>\n")
	return ast.WalkContinue, nil
}

// cell is one of a table. A header without text names no column, and is none to who listens to the page.
func (f *figures) cell(w util.BufWriter, _ []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	tag := "td"
	if node.Parent().Kind() == extast.KindTableHeader && node.HasChildren() {
		tag = "th"
	}
	if entering {
		_, _ = w.WriteString("<" + tag + ">")
	} else {
		_, _ = w.WriteString("</" + tag + ">\n")
	}
	return ast.WalkContinue, nil
}

// box is one to tick on paper: a page keeps nothing.
func (f *figures) box(w util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = w.WriteString(`<span class="box" aria-hidden="true"></span>`)
	}
	return ast.WalkContinue, nil
}

func (f *figures) code(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	language := ""
	if fenced, ok := node.(*ast.FencedCodeBlock); ok {
		language = string(fenced.Language(source))
	}
	body := lines(node, source)
	if language == "mermaid" {
		_, _ = w.WriteString(diagram(body))
		return ast.WalkSkipChildren, nil
	}
	name := languages()[language]
	if name == "" {
		name = "Text"
	}
	_, _ = w.WriteString(`<figure class="code"><figcaption>` + name + `</figcaption><pre tabindex="0" aria-label="` + name + `"><code>` + colour(language, body) + "</code></pre></figure>\n")
	return ast.WalkSkipChildren, nil
}

// languages is what readers call each sort of sample. A test knows how to try each.
func languages() map[string]string {
	return map[string]string{"sh": "Shell", "json": "JSON", "http": "HTTP", "ts": "TypeScript", "js": "JavaScript", "go": "Go", "py": "Python", "php": "PHP",
		"env": "Environment", "ini": "systemd", "sql": "SQL", "text": "Output", "": "Text"}
}
