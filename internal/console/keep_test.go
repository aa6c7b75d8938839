package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// TestWhatIsKept: the forms whose texts outlast a session that ends meanwhile are those of long texts, and none has a secret. Where
// what was sent was not taken, the page says so, and who is signed in stands on each, so that nobody else is offered it.
func TestWhatIsKept(t *testing.T) {
	t.Parallel()
	c := open(t, &fakeAPI{answers: full()})
	var keep []string
	for _, one := range c.table {
		if one.method != http.MethodGet || one.handsOut() {
			continue
		}
		for _, query := range []string{queries[one.path], "?type=SMTP"} {
			body := ask(c, "GET", filled(one.path)+query, nil).Body.String()
			doc, err := html.Parse(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			for n := range doc.Descendants() {
				if n.Data == "form" && has(n, "data-keep") {
					keep = append(keep, one.path)
					for field := range n.Descendants() {
						if field.Data == "input" && slices.Contains(field.Attr, html.Attribute{Key: "type", Val: "password"}) {
							t.Errorf("%s keeps a secret", one.path)
						}
					}
				}
			}
			if strings.Contains(body, " data-kept") != (one.path == Root+"/sign-in" || strings.Contains(body, `class="sorry`)) {
				t.Errorf("%s%s says of what was sent that it was not taken, or does not", one.path, query)
			}
			if strings.Contains(body, "<body") && strings.Contains(body, `<body data-who="u1">`) != (one.path != Root+"/sign-in") {
				t.Errorf("%s%s does not say who is signed in", one.path, query)
			}
		}
	}
	want := []string{templatesPath + "/{app}/new", templatesPath + "/{app}/{id}", templatesPath + "/{app}/{id}/send"}
	if slices.Sort(keep); !slices.Equal(slices.Compact(keep), want) {
		t.Errorf("kept are %q", keep)
	}
	c.inside = newInside(&fakeAPI{answers: full(), role: "VIEWER"})
	if body := ask(c, "GET", filled(templatesPath+"/{app}/{id}"), nil).Body.String(); strings.Contains(body, "data-keep>") {
		t.Error("of who may not write it is kept, too")
	}
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}
