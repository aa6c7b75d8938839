package docsite

import (
	"html"
	"regexp"
	"strings"
)

// words are a language's keywords; nil for one that has none.
func words(language string) string {
	switch language {
	case "go":
		return "break case const continue default defer else for func if import package range return select struct switch type var nil true false"
	case "ts", "js":
		return "import from export const let function async await return if else for of in new class throw try catch true false null undefined"
	case "py":
		return "def import from return if else elif for in not and or is None True False with as try except raise class lambda"
	case "php":
		return "function return if else foreach as new throw true false null use declare int string bool array"
	case "json":
		return "true false null"
	}
	return ""
}

// tokens finds comments, texts and words, in that order: what is in a text is no comment.
var (
	hashTokens  = regexp.MustCompile(`(?s)"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|(?:^|[\s;])#[^\n]*|[A-Za-z_][A-Za-z0-9_]*|.`)
	shellTokens = regexp.MustCompile(`(?s)"(?:\\.|[^"\\])*"|'[^']*'|(?:^|[\s;])#[^\n]*|[A-Za-z_][A-Za-z0-9_]*|.`)
	slashTokens = regexp.MustCompile("(?s)\"(?:\\\\.|[^\"\\\\])*\"|'(?:\\\\.|[^'\\\\])*'|`[^`]*`|//[^\n]*|[A-Za-z_$][A-Za-z0-9_]*|.")
)

// colour marks comments, texts and keywords. It reads no language in full: what it takes for
// something else is only drawn in another colour.
func colour(language, body string) string {
	tokens := slashTokens
	switch language {
	case "sh", "env", "ini":
		tokens = shellTokens
	case "py":
		tokens = hashTokens
	case "text", "", "http":
		return html.EscapeString(body)
	}
	known := map[string]bool{}
	for word := range strings.FieldsSeq(words(language)) {
		known[word] = true
	}
	var b strings.Builder
	for _, token := range tokens.FindAllString(body, -1) {
		lead := token[:len(token)-len(strings.TrimLeft(token, " \t\n;"))]
		rest := token[len(lead):]
		class := ""
		switch {
		case rest == "":
		case strings.HasPrefix(rest, "//") || rest[0] == '#' && len(rest) > 1:
			class = "c"
		case len(rest) > 1 && strings.ContainsRune("\"'`", rune(rest[0])):
			class = "s"
		case known[rest]:
			class = "k"
		}
		if class == "" {
			b.WriteString(html.EscapeString(token))
			continue
		}
		b.WriteString(lead + `<span class="` + class + `">` + html.EscapeString(rest) + "</span>")
	}
	return b.String()
}
