package docsite

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// mostStops is how often somebody without a mouse presses Tab on a page at most.
const mostStops = 600

// TestEveryPageCanBeWalked: nobody is led past more than they walk, and every header of a table has a name for who listens to the page.
func TestEveryPageCanBeWalked(t *testing.T) {
	t.Parallel()
	s := site(t)
	for _, p := range s.pages {
		_, body := get(t, s, p.address)
		tree, err := html.Parse(strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		stops := 0
		for n := range tree.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			takesFocus := func(a html.Attribute) bool {
				return a.Key == "href" && n.Data == "a" || a.Key == "tabindex" && a.Val == "0"
			}
			if slices.Contains([]string{"button", "input", "select", "textarea", "summary"}, n.Data) || slices.ContainsFunc(n.Attr, takesFocus) {
				stops++
			}
			if n.Data == "th" && strings.TrimSpace(textOf(n)) == "" {
				t.Errorf("%s has a table with a header that says nothing", p.address)
			}
		}
		if stops > mostStops {
			t.Errorf("%s has %d stops", p.address, stops)
		}
	}
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for inner := range n.Descendants() {
		if inner.Type == html.TextNode {
			b.WriteString(inner.Data)
		}
	}
	return b.String()
}
