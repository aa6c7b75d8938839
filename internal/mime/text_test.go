package mime_test

import (
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/mime"
)

func TestTextOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, html, want string }{
		{"no markup keeps lines", "Hello Ama,\n\nyour code &amp; more\n", "Hello Ama,\n\nyour code & more"},
		{"paragraphs", "<p>One  two\n three</p><p>Four</p>", "One two three\n\nFour"},
		{"break", "a<br>b<br/>\nc", "a\nb\nc"},
		{"list", "<ul><li>one</li><li>two</li></ul>after", "- one\n- two\n\nafter"},
		{"link", `see <a href="https://x.example/y">the page</a>.`, "see the page (https://x.example/y)."},
		{"link that says its target", `<a href="https://x.example">https://x.example</a>`, "https://x.example"},
		{"mail link", `<a href="mailto:a@x.example">write</a>`, "write (a@x.example)"},
		{"script link", `<a href="javascript:alert(1)">click</a>`, "click"},
		{"anchor", `<a href="#top">up</a>`, "up"},
		{"script and style", "<style>p{}</style><script>var a='<p>x</p>'</script><p>seen</p>", "seen"},
		{"title", "<html><head><title>T</title></head><body>b</body></html>", "b"},
		{"head left open", "<head><meta charset=utf-8><p>text", "text"},
		{"image", `<img src="x.png" alt="Our logo">`, "Our logo"},
		{"table", "<table><tr><td>Sum</td><td>5</td></tr><tr><td>Tax</td><td>1</td></tr></table>", "Sum 5\nTax 1"},
		{"preformatted", "<pre>a\n  b</pre>c", "a\n  b\n\nc"},
		{"inline tags join", "<b>bo</b><i>ld</i> and<span> so</span>", "bold and so"},
		{"entities", "<p>&lt;b&gt; &eacute; &nbsp;x</p>", "<b> é \u00a0x"},
		{"comment", "a<!-- <p>no</p> -->b", "ab"},
		{"less-than in text", "<p>1 < 2</p>", "1 < 2"},
		{"many breaks", "a<br><br><br><br>b", "a\n\nb"},
		{"nothing to say", "<img src=x>", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := mime.TextOf(c.html); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTextOfDeepNesting(t *testing.T) {
	t.Parallel()
	got := mime.TextOf(strings.Repeat("<div><b>", 10000) + "deep" + strings.Repeat("</b></div>", 10000))
	if got != "deep" {
		t.Errorf("got %q", got[:min(len(got), 40)])
	}
}

func BenchmarkCompose(b *testing.B) {
	m := sample()
	m.HTML = "<p>Dear Ama,</p><p>" + strings.Repeat("your request was approved. ", 12) + "</p>"
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		out, err := mime.Compose(buf, &m)
		if err != nil {
			b.Fatal(err)
		}
		buf = out.Buffer()
	}
}
