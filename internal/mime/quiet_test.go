package mime

import (
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// calling are ways in which a mail has a reader's browser open a connection, or look up a name, that the frame's policy does not stop. What
// stands in for the element, *, is in places that parsers read differently.
var (
	calls = []string{
		`<link rel=preconnect href=//elsewhere.test>`, `<LINK REL="dns-prefetch" HREF="//elsewhere.test">`, `<link/rel=prefetch/href=//elsewhere.test>`, "<link\nrel='stylesheet preconnect' href=//elsewhere.test>",
		"<link\t\frel=preload as=image href=//elsewhere.test />", `<lInK rel=modulepreload href=//elsewhere.test`, `<link rel="&#112;reconnect" href=//elsewhere.test>`, `<link title=">" rel=preconnect href=//elsewhere.test>`,
		`<meta http-equiv=refresh content="0;url=//elsewhere.test">`, `<META HTTP-EQUIV="Link" CONTENT="<//elsewhere.test>; rel=preconnect">`, `<meta http-equiv=x-dns-prefetch-control content=on>`,
		`<iframe srcdoc="&lt;link rel=preconnect href=//elsewhere.test&gt;"></iframe>`, `<iframe srcdoc='<link rel=preconnect href=//elsewhere.test>'>`,
	}
	around = []string{
		"*", "<p>Hi</p>*<p>there</p>", "<html><head>*</head><body>x", "<template>*</template>", "<div><template shadowrootmode=open>*</template></div>", "<noscript>*</noscript>", "<svg>*</svg>", "<svg><foreignObject>*</foreignObject></svg>",
		"<svg><style><p>*</style></svg>", "<svg><title>*</title></svg>", "<math><mtext>*</mtext></math>", "<svg><desc><template>*", "<svg><plaintext><p>*", "<math><annotation-xml encoding=text/html>*", "<table>*<td>*", "<select>*", "<textarea></textarea>*",
		"<noscript><style></noscript>*", "<svg><xmp><p>*", "<svg><iframe><p>*", "<iframe></iframe>*", "<!-->*-->", "<!--!>*-->", "<!-- --!>*", "<![CDATA[>*]]>", "<svg><![CDATA[>]]>*</svg>", "<?x >*?>", "</x >*", "</ >*", "<li<x>*", "<lin*k rel=preconnect href=//elsewhere.test>",
		"<li*nk rel=preconnect href=//elsewhere.test>", "<*link rel=preconnect href=//elsewhere.test>", "<<*", "\x00*", "<p title='</noscript>*'>", `<noscript><p title="</noscript>*">`, "<title>*", "<style>*", "<script>*</script>*", "<object>*</object>", "<a title=\"*",
	}
	acting = map[string]bool{"link": true, "meta": true, "iframe": true}
)

// TestQuiet: whatever a mail's HTML is, no element of it makes the browser call anybody, whoever reads the HTML and however.
func TestQuiet(t *testing.T) {
	t.Parallel()
	tag := regexp.MustCompile(`(?i)<(link|meta|iframe)[\s/>]`)
	for _, place := range around {
		for _, call := range calls {
			body := strings.ReplaceAll(place, "*", call)
			got := Quiet(body)
			if at := tag.FindString(got); at != "" {
				t.Errorf("%q keeps %q: %q", body, at, got)
			}
			for _, scripting := range []bool{true, false} {
				doc, err := html.ParseWithOptions(strings.NewReader(got), html.ParseOptionEnableScripting(scripting))
				if err != nil {
					t.Fatal(err)
				}
				for n := range doc.Descendants() {
					if n.Type == html.ElementNode && acting[n.Data] {
						t.Errorf("%q has a <%s>: %q", body, n.Data, got)
					}
				}
			}
		}
	}
}

// TestQuietKeeps: what calls nobody is as it was, to the byte.
func TestQuietKeeps(t *testing.T) {
	t.Parallel()
	for _, same := range []string{"", "Hi", `<p style="a:b" TITLE=x>Hi &amp; so <b>on</b></P>`, "<style>a > b { c: d }</style>", "<!--[if mso]><table><![endif]-->", "<linkage>", "<svg><metadata>x</metadata></svg>", "1 < 2 <", "<textarea><b></textarea>", "<a href=https://link.example>meta</a>"} {
		if got := Quiet(same); got != same {
			t.Errorf("%q became %q", same, got)
		}
	}
	for from, to := range map[string]string{
		`a<link rel=preconnect href=x>b`: "ab", `<head><meta charset=utf-8><title>T</title></head>c`: "<head><title>T</title></head>c", `a<iframe src=x>no frames</iframe>b`: "ab",
		`<!--[if mso]><link rel=x><![endif]-->`: "<!--[if mso]>&lt;link rel=x><![endif]-->", `<b title="<meta >">x</b>`: `<b title="&lt;meta >">x</b>`, `a<iframe>b`: "a", "a<p <link rel=x>b": "a<p &lt;link rel=x>b",
	} {
		if got := Quiet(from); got != to {
			t.Errorf("%q became %q, want %q", from, got, to)
		}
	}
}
