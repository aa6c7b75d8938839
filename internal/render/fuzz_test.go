package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/commserver/commserver/internal/comm"
)

// shape is the elements and attributes of a document, as another reader of HTML finds them.
func shape(document string) (out []string) {
	for z := html.NewTokenizer(strings.NewReader(document)); ; {
		kind := z.Next()
		if kind == html.ErrorToken {
			return out
		}
		if kind == html.TextToken {
			continue
		}
		token := z.Token()
		line := kind.String()
		if kind != html.CommentToken {
			line += " " + token.Data
		}
		var names []string
		for _, a := range token.Attr {
			names = append(names, a.Key)
		}
		slices.Sort(names)
		out = append(out, fmt.Sprint(line, names))
	}
}

// FuzzValuesStayInTheirPlace holds that no value changes which elements and
// attributes a template has, and that compiling and rendering never panic.
func FuzzValuesStayInTheirPlace(f *testing.F) {
	for _, body := range []string{
		`<p title="{{a}}">{{b}}</p>`, `<a href='{{a}}{{b}}'>x</a>`, `<!-- {{a}} --><!--[if mso]><v:rect href="{{a}}"><![endif]-->`, `<style>a{color:{{a}}}</style><title>{{b}}</title>`,
		`<img srcset="{{a}} 1x, {{b}} 2x" alt="x"y>`, `<script>1</script>{{a}}`, `{{`, `<a b="{{a}}" c='{{b}}'`, `<textarea></texta>{{a}}</textarea>`,
	} {
		f.Add(body, `"><script>alert(1)</script>`, `' onclick='x`)
		f.Add(body, "javascript:alert(1)", "</style></title><b c=d>")
	}
	f.Fuzz(func(t *testing.T, body, a, b string) {
		c, err := Compile(comm.Email, mail(body))
		if err != nil {
			if refusal(t, err).Kind != comm.Invalid {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		values := func(a, b string) map[string]string {
			out := map[string]string{}
			for i, name := range c.Names() {
				out[name] = []string{a, b}[i%2]
			}
			return out
		}
		got, err := c.Render(maps.All(values(a, b)), Given{})
		if err != nil {
			return // too long
		}
		benign, err := c.Render(maps.All(values("x", "x")), Given{})
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsRune(a+b, 0) {
			return // a message with it is refused
		}
		if have, want := shape(got.Body), shape(benign.Body); !slices.Equal(have, want) {
			t.Fatalf("%q with %q and %q: %q\n%q, without %q", body, a, b, got.Body, have, want)
		}
	})
}
