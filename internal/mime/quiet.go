package mime

import (
	"regexp"
	"strings"

	"golang.org/x/net/html"
)

// stirring are the elements of which a browser acts on what a content security policy does not stop. A <link> has it connect to a host or look up its
// name (preconnect, dns-prefetch), where nothing is fetched. A <meta> does for headers what they say. The document of an <iframe> with
// srcdoc may hold both. None of them shows anything of a mail in a frame where nothing is fetched.
var stirring = map[string]bool{"link": true, "meta": true, "iframe": true}

// stirs is how such an element begins: a browser makes one of nothing else, whatever it took the text before it for.
var stirs = regexp.MustCompile(`(?i)<((?:link|meta|iframe)[\t\n\f\r />])`)

// Quiet takes the stirring elements out of a mail's HTML and leaves all else as it is, to the byte. It reads tokens, not a tree: a tree that
// is written and read again may be another one. Where it takes for a comment, a style or an attribute what browsers read as an element, the
// beginning of that is made text. The policy of the page, and not this, keeps the rest from running and from being fetched.
func Quiet(markup string) string {
	var out strings.Builder
	inside := false // of an <iframe>, whose content is one text
	for z := html.NewTokenizer(strings.NewReader(markup)); ; {
		kind := z.Next()
		if kind == html.ErrorToken { // the end, perhaps within a tag, which browsers leave out too: a strings.Reader fails in no other way
			break
		}
		raw := string(z.Raw()) // TagName writes it in lower case
		switch kind {
		case html.TextToken:
			if inside {
				continue
			}
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			name, _ := z.TagName()
			inside = kind != html.EndTagToken && string(name) == "iframe"
			if stirring[string(name)] {
				continue
			}
		}
		out.WriteString(raw)
	}
	return stirs.ReplaceAllString(out.String(), "&lt;$1")
}
