// Package licence says under which licences the modules stand that are built into the program.
//
// It promises one line for every module of others that any supported system's binary holds, and for Go's own library; a
// test holds the table to the modules and to the texts of their licences. The texts themselves are in a release's archive.
package licence

import (
	_ "embed" // the table
	"strings"
)

//go:embed modules.tsv
var table string

// Module is a module of others and its licence.
type Module struct {
	Path string
	SPDX string // an expression as https://spdx.org/licenses names them
}

// Product is the licence of the program itself.
const Product = "Apache-2.0"

// Modules lists the modules by path.
func Modules() []Module {
	var out []Module
	for line := range strings.Lines(table) {
		path, spdx, _ := strings.Cut(strings.TrimSpace(line), "\t")
		out = append(out, Module{path, spdx})
	}
	return out
}
