// Package docs is the documentation as it lies in this folder, for the program
// that serves it at /docs. It holds no code besides.
package docs

import "embed"

//go:embed *.md decisions/*.md guide/*.md incidents/*.md operate/*.md providers/*.md
var files embed.FS

// Files is every page, by its path in this folder.
func Files() embed.FS { return files }
