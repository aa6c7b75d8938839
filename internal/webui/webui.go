// Package webui is what all pages for people share: the design tokens, as a style
// sheet of custom properties, the mark, and how their bytes are sent. It draws nothing itself.
package webui

import (
	_ "embed" // the style sheet and the mark
	"strings"
)

//go:embed tokens.css
var tokens string

//go:embed mark.svg
var mark string

// Tokens is the style sheet of the design tokens: colours for light and dark, type, space.
// It begins every style sheet that is served.
func Tokens() string { return tokens }

// Mark is the product's mark, an SVG.
func Mark() string { return mark }

// TakesGzip reads Accept-Encoding (RFC 9110, section 12.5.3): gzip is named, and not with the weight 0.
func TakesGzip(accept string) bool {
	for one := range strings.SplitSeq(accept, ",") {
		name, weight, weighted := strings.Cut(strings.TrimSpace(one), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			weight = strings.ReplaceAll(strings.TrimSpace(weight), " ", "")
			return !weighted || strings.TrimRight(weight, ".0") != "q="
		}
	}
	return false
}
