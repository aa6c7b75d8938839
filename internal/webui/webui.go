// Package webui is what all pages for people share: the design tokens, as a style
// sheet of custom properties, and the mark. It draws nothing itself.
package webui

import _ "embed" // the style sheet and the mark

//go:embed tokens.css
var tokens string

//go:embed mark.svg
var mark string

// Tokens is the style sheet of the design tokens: colours for light and dark, type, space.
// It begins every style sheet that is served.
func Tokens() string { return tokens }

// Mark is the product's mark, an SVG.
func Mark() string { return mark }
