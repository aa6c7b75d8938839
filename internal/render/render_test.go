package render

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/commserver/commserver/internal/comm"
)

func mail(body string) *comm.TemplateVersion {
	return &comm.TemplateVersion{Subject: "s", Body: body}
}

func compiled(t testing.TB, ch comm.Channel, v *comm.TemplateVersion) *Template {
	t.Helper()
	c, err := Compile(ch, v)
	if err != nil {
		t.Fatalf("%+v: %v", v, err)
	}
	return c
}

func refusal(t testing.TB, err error) *comm.Error {
	t.Helper()
	e, ok := errors.AsType[*comm.Error](err)
	if err != nil && !ok {
		t.Fatalf("not an error for clients: %v", err)
	}
	return e
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	values := map[string]string{"a": "1", "first_name-2": "Ama", "__proto__": "p", "x": "{{a}}"}
	for source, want := range map[string]string{
		"{{a}}": "1", "{{ a }}": "1", "{{\t a\n}}": "1", "Hi {{first_name-2}}!": "Hi Ama!", "{{a}}{{a}}": "11", "{{__proto__}}": "p",
		"{{x}}": "{{a}}", "a }} b": "a }} b", "@media x{.a{b:c}}": "@media x{.a{b:c}}", "{ {a} }": "{ {a} }", "{{a}}}": "1}", "{{{a}}}": "!1:1", "é\n {{b.c}}": "!2:2",
		"{{": "!1:1", "x {{a": "!1:3", "{{a.b}}": "!1:1", "{{#if}}": "!1:1", "{{> x}}": "!1:1", "{{}}": "!1:1", "{{ }}": "!1:1", "{{a b}}": "!1:1", "{{a|upper}}": "!1:1",
		"{{ü}}": "!1:1", "{{a}} {{ {{a}}": "!1:7", "{{" + strings.Repeat("a", 101) + "}}": "!1:1", "{{!-- c --}}": "!1:1", "{%x%} ${a} <%= a %>": "{%x%} ${a} <%= a %>",
	} {
		c, err := Compile(comm.SMS, &comm.TemplateVersion{Body: source})
		if e := refusal(t, err); e != nil {
			if got := fmt.Sprintf("!%v:%v", e.Details["line"], e.Details["column"]); got != want || e.Code != "invalid_template" || e.Fields["body"] == "" {
				t.Errorf("%q: %v at %s, want %q", source, e, got, want)
			}
			continue
		}
		got, err := c.Render(maps.All(values), Given{})
		if err != nil || got.Body != want {
			t.Errorf("%q: %q %v, want %q", source, got.Body, err, want)
		}
	}
}

func TestBoundsOfASource(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("{{a}}", MaxPlaceholders)
	for _, c := range []struct {
		name string
		ch   comm.Channel
		v    comm.TemplateVersion
		code string
	}{
		{"200 placeholders", comm.SMS, comm.TemplateVersion{Body: many}, ""},
		{"201 placeholders", comm.SMS, comm.TemplateVersion{Body: many + "{{b}}"}, "invalid_template"},
		{"256 KiB", comm.Email, comm.TemplateVersion{Subject: "s", Body: strings.Repeat("a", MaxSource)}, ""},
		{"more", comm.Email, comm.TemplateVersion{Subject: "s", Body: strings.Repeat("a", MaxSource+1)}, "too_long"},
		{"text", comm.Email, comm.TemplateVersion{Subject: "s", Body: "b", Text: strings.Repeat("a", MaxSource+1)}, "too_long"},
		{"subject of 998", comm.Email, comm.TemplateVersion{Subject: strings.Repeat("s", 998), Body: "b"}, ""},
		{"subject of 999", comm.Email, comm.TemplateVersion{Subject: strings.Repeat("s", 999), Body: "b"}, "too_long"},
		{"no subject", comm.Email, comm.TemplateVersion{Body: "b"}, "subject_required"},
		{"blank subject", comm.Email, comm.TemplateVersion{Subject: " ", Body: "b"}, "subject_required"},
		{"two lines of subject", comm.Email, comm.TemplateVersion{Subject: "a\nBcc: x@y.z", Body: "b"}, "control_character"},
		{"bad subject", comm.Email, comm.TemplateVersion{Subject: "{{a.b}}", Body: "b"}, "invalid_template"},
		{"bad text", comm.Email, comm.TemplateVersion{Subject: "a", Body: "b", Text: "{{"}, "invalid_template"},
		{"subject of an SMS", comm.SMS, comm.TemplateVersion{Subject: "s", Body: "b"}, "field_not_allowed"},
		{"text of an SMS", comm.SMS, comm.TemplateVersion{Text: "s", Body: "b"}, "field_not_allowed"},
		{"no body", comm.SMS, comm.TemplateVersion{}, "body_required"},
		{"blank body", comm.Email, comm.TemplateVersion{Subject: "s", Body: " \n"}, "body_required"},
		{"NUL", comm.Email, comm.TemplateVersion{Subject: "s", Body: "a\x00"}, "control_character"},
		{"NUL in text", comm.Email, comm.TemplateVersion{Subject: "s", Body: "a", Text: "\x00"}, "control_character"},
		{"escape in an SMS", comm.SMS, comm.TemplateVersion{Body: "a\x1b"}, "control_character"},
		{"lines of an SMS", comm.SMS, comm.TemplateVersion{Body: "a\r\n\tb"}, ""},
		{"10 segments", comm.SMS, comm.TemplateVersion{Body: strings.Repeat("a", 1530) + "{{a}}"}, ""},
		{"11 segments", comm.SMS, comm.TemplateVersion{Body: strings.Repeat("a", 1531) + "{{a}}"}, "too_long"},
	} {
		_, err := Compile(c.ch, &c.v)
		if e := refusal(t, err); (e == nil) != (c.code == "") || e != nil && (e.Code != c.code || len(e.Fields) != 1 || e.Kind != comm.Invalid) {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
}

func TestEveryMissingValueIsNamed(t *testing.T) {
	t.Parallel()
	c := compiled(t, comm.Email, &comm.TemplateVersion{Subject: "{{s}} {{both}}", Body: "{{z}} {{b}} {{b}} {{both}}", Text: "{{t}}"})
	if got := c.Names(); !slices.Equal(got, []string{"b", "both", "s", "t", "z"}) {
		t.Errorf("%v", got)
	}
	if got, err := Names(&comm.TemplateVersion{Subject: "{{s}} {{both}}", Body: "{{z}} {{b}} {{b}} {{both}}", Text: "{{t}}"}); err != nil || !slices.Equal(got, c.Names()) {
		t.Errorf("%v %v", got, err)
	}
	for _, x := range []struct {
		have  []string
		given Given
		want  []string
	}{
		{nil, Given{}, []string{"b", "both", "s", "t", "z"}}, {[]string{"z", "extra", "S"}, Given{}, []string{"b", "both", "s", "t"}},
		{[]string{"b", "z"}, Given{Subject: true, Text: true}, []string{"both"}}, {[]string{"b", "z", "both"}, Given{Subject: true, Text: true}, nil}, {[]string{"b", "both", "s", "t", "z"}, Given{}, nil},
	} {
		values := map[string]string{}
		for _, name := range x.have {
			values[name] = "" // empty is a value
		}
		_, err := c.Render(maps.All(values), x.given)
		if e := refusal(t, err); e == nil && x.want != nil || e != nil && (e.Code != "missing_variables" || e.Kind != comm.Unprocessable || !slices.Equal(e.Details["missing"].([]string), x.want)) {
			t.Errorf("%+v: %+v", x, e)
		}
	}
}

func TestOnlyHTMLIsEscaped(t *testing.T) {
	t.Parallel()
	const value = `<b>"Tom" & 'Jerry'</b>`
	c := compiled(t, comm.Email, &comm.TemplateVersion{Subject: "{{v}}", Body: "{{v}}", Text: "{{v}}"})
	got, err := c.Render(maps.All(map[string]string{"v": value}), Given{})
	if err != nil || got.Subject != value || got.Text != value || got.Body != "&lt;b&gt;&#34;Tom&#34; &amp; &#39;Jerry&#39;&lt;/b&gt;" {
		t.Errorf("%+v %v", got, err)
	}
	got, err = compiled(t, comm.SMS, &comm.TemplateVersion{Body: "{{v}}"}).Render(maps.All(map[string]string{"v": value}), Given{})
	if err != nil || got.Body != value {
		t.Errorf("%+v %v", got, err)
	}
}

// Places in which no way of writing a value is harmless are refused when the template is stored.
func TestPlacesOfValues(t *testing.T) {
	t.Parallel()
	for body, fine := range map[string]bool{
		`{{v}}`: true, `<p title="{{v}}">`: true, `<p title='{{v}}'>`: true, `a < {{v}}`: true, `<a href="{{v}}">x</a>{{v}}`: true, `<title>{{v}}</title><p>{{v}}`: true, `<textarea>{{v}}`: true,
		`<!-- {{v}} -->`: true, `<!--[if mso]><v:rect href="{{v}}">{{v}}<![endif]-->{{v}}`: true, `<![if !mso]>{{v}}<![endif]>`: true, `<p style="color:{{v}}">`: true, `<style>a{color:{{v}}}</style>{{v}}`: true,
		`<script>var a = 1 < 2;</script>{{v}}`: true, `<style>p::after{content:"<"}</style>{{v}}`: true, `<br/>{{v}}`: true, `</p>{{v}}`: true, `<?xml x?>{{v}}`: true, `<!doctype html>{{v}}`: true, `<!-->{{v}}`: true, `<!-- a --!>{{v}}`: true,
		`<a b = "{{v}}">`: true, `<a b="x"c="{{v}}">`: true, `<a href="javascript:void(0)">{{v}}</a>`: true, `<TITLE>a</Title ><p>{{v}}`: true, `<a href="tel:{{v}}">`: true, `<script></scripty>x</script>{{v}}`: true,
		`<{{v}}>`: false, `<p {{v}}>`: false, `<p a{{v}}>`: false, `<p a={{v}}>`: false, `<p a=x{{v}}>`: false, `<p a= {{v}}>`: false, `</{{v}}>`: false, `<p a {{v}}>`: false, `<p/{{v}}>`: false,
		`<script>{{v}}</script>`: false, `<SCRIPT type="x">var a="{{v}}"`: false, `<p onclick="{{v}}">`: false, `<p ONMOUSEOVER='f("{{v}}")'>`: false, `<iframe srcdoc="{{v}}">`: false, `<meta http-equiv="refresh" content="0;url={{v}}">`: false,
		`<!doctype {{v}}>`: false, `<!--{{v}}-->`: false, `<!-- a -{{v}}`: false, `<!{{v}}`: false, `<title></title{{v}}>`: false, `<title></{{v}}</title>`: false, `<style></st{{v}}</style>`: false, `<p style="&{{v}}">`: false, `<p style="&#5{{v}}">`: false,
		`<a href="javascript:f('{{v}}')">`: false, `<a href=" java&#115;cript&colon;{{v}}">`: false, `<a href="data:text/html,{{v}}">`: false, `<img src="data:image/png;base64,{{v}}">`: false, `<a xlink:href="vbscript:{{v}}">`: false,
		`<script></script{{v}}`: false, `<script><!-- </script {{v}}>`: false,
	} {
		c, err := Compile(comm.Email, mail(body))
		if e := refusal(t, err); (e == nil) != fine || e != nil && (e.Code != "invalid_template" || e.Fields["body"] == "") {
			t.Errorf("%s: %v", body, err)
		}
		if err != nil {
			continue
		}
		if got, err := c.Render(maps.All(map[string]string{"v": "red"}), Given{}); err != nil || got.Body != strings.ReplaceAll(body, "{{v}}", "red") {
			t.Errorf("%s: %+v %v", body, got, err)
		}
	}
}

// What counts is the address that a reader of the whole attribute finds, however it is put together.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ body, a, b, want string }{
		{`<a href="{{a}}{{b}}">`, "java", "script:x", `<a href="#">`}, {`<a href="{{a}}:{{b}}">`, "javascript", "x", `<a href="#">`}, {`<a href="{{a}}:{{b}}">`, "https", "//x.example", `<a href="https://x.example">`},
		{`<a href="&{{a}}">`, "#106;avascript:x", "", `<a href="#">`}, {`<a href="&#106{{a}}">`, ";avascript:x", "", `<a href="#">`}, {`<a href="java&Tab;{{a}}">`, "script:x", "", `<a href="#">`},
		{`<a href="https://x.example/{{a}}">`, "javascript:x", "", `<a href="https://x.example/javascript:x">`}, {`<a href="/{{a}}:{{b}}">`, "x", "y", `<a href="/x:y">`}, {`<a href="?{{a}}">`, "x:y&z", "", `<a href="?x:y&amp;z">`},
		{`<a href="mailto:{{a}}">`, "a@x.example", "", `<a href="mailto:a@x.example">`}, {`<a href="tel:{{a}}">`, "+233", "", `<a href="tel:+233">`}, {`<a HREF = '{{a}}'>{{b}}`, "vbscript:x", "y", `<a HREF = '#'>y`},
		{`<td background="{{a}}" title="{{a}}">`, "data:x", "", `<td background="#" title="data:x">`}, {`<v:fill src="{{a}}">`, "file:x", "", `<v:fill src="#">`}, {`<a xlink:href="{{a}}">`, "javascript:x", "", `<a xlink:href="#">`}, {`<b data-url="{{a}}">`, "javascript:x", "", `<b data-url="#">`},
		{`<img srcset="https://x.example/1 1x, {{a}} 2x">`, "https://x.example/2", "", `<img srcset="https://x.example/1 1x, https://x.example/2 2x">`}, {`<img srcset="https://x.example/1 1x, {{a}} 2x">`, "data:x", "", `<img srcset="#">`},
		{`<a href="{{a}}`, "javascript:x", "", `<a href="#`}, {`<a href="{{a}}" href="{{b}}">`, "https://x.example", "x:y", `<a href="https://x.example" href="#">`}, {`<p title="{{a}}" style="color:{{b}}">`, "javascript:x", "url(x)", `<p title="javascript:x" style="color:">`},
	} {
		got, err := compiled(t, comm.Email, mail(c.body)).Render(maps.All(map[string]string{"a": c.a, "b": c.b}), Given{})
		if err != nil || got.Body != c.want {
			t.Errorf("%s with %q and %q: %s %v, want %s", c.body, c.a, c.b, got.Body, err, c.want)
		}
	}
}

func TestBoundOfTheResult(t *testing.T) {
	t.Parallel()
	big := strings.Repeat("x", 200<<10)
	for body, values := range map[string]map[string]string{
		"{{v}}{{v}}": {"v": big}, "{{v}}{{v}}{{v}}": {"v": big}, "{{v}}": {"v": strings.Repeat("&", 200<<10)},
		`<a href="{{v}}">`: {"v": strings.Repeat("&", 200<<10)}, `<a href="{{v}}{{v}}{{v}}">`: {"v": big}, strings.Repeat("{{v}}", MaxPlaceholders): {"v": big},
	} {
		fits := body == "{{v}}{{v}}"
		for _, ch := range []comm.Channel{comm.Email, comm.SMS} {
			v := mail(body)
			if ch == comm.SMS {
				v.Subject = ""
				fits = fits || body == "{{v}}" || body == `<a href="{{v}}">`
			}
			c := compiled(t, ch, v)
			got, err := c.Render(maps.All(values), Given{})
			if bound := c.Bound(maps.All(values)); bound < len(got.Subject)+len(got.Body)+len(got.Text) || bound > 3*MaxRendered {
				t.Errorf("%.20s: %d bytes, bound %d", body, len(got.Body), bound)
			}
			if e := refusal(t, err); (e == nil) != fits || e != nil && (e.Code != "too_long" || e.Kind != comm.Unprocessable || e.Fields["body"] == "") {
				t.Errorf("%.20s, channel %d: %v", body, ch, err)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{"a": true, "request-approved": true, "A.b_c-9": true, "": false, "a b": false, "../x": false, "é": false, strings.Repeat("a", 100): true, strings.Repeat("a", 101): false} {
		if Key(key) != want {
			t.Errorf("%q", key)
		}
	}
}

var update = flag.Bool("update", false, "write the snapshot")

// payloads are values with which somebody may try to leave their place.
func payloads() []string {
	return []string{
		"Ama", "https://example.com/a?b=1&c=2#d", "http://example.com", "HTTPS://EXAMPLE.COM", "mailto:ama@example.com?subject=Hi", "/path", "path/x:y", "?q=a:b", "#top", "//example.com/x", "example.com", "",
		"javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)", "java\nscript:alert(1)", "\x01javascript:alert(1)", "javascript\u00a0:alert(1)", "javascript&colon;alert(1)", "javascript&#58;alert(1)", "&#106;avascript:alert(1)",
		"javascript%3Aalert(1)", "vbscript:msgbox(1)", "data:text/html,<script>alert(1)</script>", "data:image/png;base64,AAAA", "file:///etc/passwd", "ftp://example.com", "tel:+233241234567", "cid:logo", "about:blank", "blob:x", "x-custom:y", "localhost:3008/x", "jav\\ascript:x", ":x",
		"<img src=x onerror=alert(1)>", "<script>alert(1)</script>", "\"><svg onload=alert(1)>", "' onmouseover='alert(1)", "\" onmouseover=\"alert(1)", "`onerror=alert(1)", "--><script>alert(1)</script>", "]]><script>", "<![endif]--><script>alert(1)</script>", "</style><script>alert(1)</script>", "</title><script>alert(1)</script>", "</textarea><b>",
		"{{v}}", "{{other}}", "{{#if}}", "${v}", "red", "#ff0000", "12px", "expression(alert(1))", "url(javascript:alert(1))", "red;background:url(https://example.com)", "red}body{display:none", "\\65xpression", "a/*b*/c", "50%, 1.5em",
		"&lt;", "&", "é 👋 עברית", "a\r\nBcc: x@example.com", "https://example.com/\"><b>", "http:javascript:alert(1)", "https://example.com, javascript:alert(1) 2x",
	}
}

// TestSnapshotOfPayloads keeps what becomes of every payload in every sort of place, for people to read.
func TestSnapshotOfPayloads(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	n := 0
	for _, body := range []string{`<p>{{v}}</p>`, `<p title="{{v}}">`, `<a href="{{v}}">`, `<a href='java{{v}}'>`, `<a href="https://example.com/?q={{v}}">`, `<img srcset="a.png 1x, {{v}} 2x">`, `<p style='color:{{v}}'>`, `<style>p{color:{{v}}}</style>`, `<!-- {{v}} -->`} {
		c := compiled(t, comm.Email, mail(body))
		fmt.Fprintf(&b, "## %s\n", body)
		for _, value := range payloads() {
			got, err := c.Render(maps.All(map[string]string{"v": value}), Given{})
			if err != nil {
				t.Fatalf("%s, %q: %v", body, value, err)
			}
			n++
			fmt.Fprintf(&b, "%q\n\t%q\n", value, got.Body)
		}
	}
	const path = "testdata/payloads.txt"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("%s differs from what is rendered now; read the difference, then run with -update", path)
	}
	if n < 200 {
		t.Errorf("only %d snapshots", n)
	}
}

func BenchmarkRender(b *testing.B) {
	v := &comm.TemplateVersion{Subject: "Request {{reference}} approved", Body: strings.Repeat(`<tr><td style="color:#333">Row</td><td><a href="https://example.com/x">link</a></td></tr>`, 50) +
		`<p>Hi {{firstName}}, request <a href="{{url}}">{{reference}}</a> was approved.</p>`}
	values := map[string]string{"firstName": "Ama", "reference": "REQ-0042", "url": "https://example.com/r/42?a=1&b=2"}
	b.Run("compile", func(b *testing.B) {
		b.SetBytes(int64(len(v.Body)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Compile(comm.Email, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("mail", func(b *testing.B) {
		c := compiled(b, comm.Email, v)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Render(maps.All(values), Given{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sms", func(b *testing.B) {
		c := compiled(b, comm.SMS, &comm.TemplateVersion{Body: "Hi {{firstName}}, request {{reference}} was approved."})
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Render(maps.All(values), Given{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
