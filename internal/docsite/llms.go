package docsite

import (
	"fmt"
	"strings"
)

// llms is /llms.txt: what there is, for programs that read Markdown (llmstxt.org).
func (s *Site) llms() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# CommServer\n\n> CommServer sends email and SMS for applications: they post one request to %s/api/v1/messages and get 202 once the message is stored; it owns the queue, retries, failover between providers and the record of what happened.\n\n"+
		"The contract is at %s/api/openapi (OpenAPI 3.1). Each page below is Markdown; all of them in one file: %s/llms-full.txt\n"+
		"The client for TypeScript and JavaScript is one file: %s%scomms-client.ts\n", s.cfg.PublicURL, s.cfg.PublicURL, s.cfg.PublicURL, s.cfg.PublicURL, filesPrefix)
	for _, part := range contents() {
		heading := part.title
		if heading == "How it is built" {
			heading = "Optional"
		}
		fmt.Fprintf(&b, "\n## %s\n\n", heading)
		for _, p := range s.inOrder(part.title) {
			fmt.Fprintf(&b, "- [%s](%s%s/%s)%s\n", short(p.title), s.cfg.PublicURL, Prefix, p.file, about(p.source))
		}
	}
	return b.String()
}

// about is a page's first sentence, after a colon; nothing where it begins with something else.
func about(source string) string {
	_, rest, _ := strings.Cut(source, "\n")
	for block := range strings.SplitSeq(strings.TrimSpace(rest), "\n\n") {
		block = strings.Join(strings.Fields(block), " ")
		if block == "" || strings.HasPrefix(block, "<!--") || strings.HasPrefix(block, "Generated from") || strings.ContainsAny(block[:1], "|#`-*>") {
			continue
		}
		if i := strings.Index(block, ". "); i > 0 {
			block = block[:i+1]
		}
		return ": " + linkText.ReplaceAllString(block, "$1")
	}
	return ""
}

// llmsFull is /llms-full.txt: every page but those of who builds it, one after the other.
func (s *Site) llmsFull() string {
	var b strings.Builder
	for _, p := range s.pages {
		if p.section == "How it is built" {
			continue
		}
		fmt.Fprintf(&b, "<!-- %s%s -->\n\n%s\n\n", s.cfg.PublicURL, p.address, strings.TrimSpace(s.markdown(p.file, p.source)))
	}
	return b.String()
}
