package arch

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// file is one parsed source file.
type file struct {
	path      string // inside the module
	syntax    *ast.File
	lines     int
	test      bool
	generated bool
}

// pkg is one folder of source files. Files behind build tags are part of it.
type pkg struct {
	path  string // inside the module; "" is the root
	files []file
	fset  *token.FileSet
}

// position tells people where something is.
func (p pkg) position(n ast.Node) string {
	at := p.fset.Position(n.Pos())
	return at.Filename + ":" + strconv.Itoa(at.Line)
}

// product are the files that are shipped or run, tests apart.
func (p pkg) product() []file {
	return slices.DeleteFunc(slices.Clone(p.files), func(f file) bool { return f.test })
}

// is reports whether the package is one of the list, or lies below one of it.
func (p pkg) is(list []string) bool { return within(p.path, list) }

func within(path string, list []string) bool {
	return slices.ContainsFunc(list, func(one string) bool {
		return path == one || strings.HasPrefix(path+"/", strings.TrimSuffix(one, "/")+"/")
	})
}

// tree is the whole repository, read once for all tests.
func tree(t *testing.T) []pkg {
	t.Helper()
	all, err := readTree()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var readTree = sync.OnceValues(func() ([]pkg, error) { return readModule("../..", "") })

// readModule reads the packages of the module in a folder; before stands before their paths.
func readModule(root, before string) ([]pkg, error) {
	sources := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		inside, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			own := inside != "." && exists(filepath.Join(path, "go.mod")) // a module of its own, such as tools
			if own || name == "testdata" || name == "node_modules" || name == "vendor" || inside != "." && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) == ".go" {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sources[before+filepath.ToSlash(inside)] = string(text)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the source tree: %w", err)
	}
	return parse(sources)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// parse makes packages from sources by their path inside the module.
func parse(sources map[string]string) ([]pkg, error) {
	byPath := make(map[string]*pkg)
	for name, text := range sources {
		folder := strings.TrimSuffix(name[:strings.LastIndexByte(name, '/')+1], "/")
		p := byPath[folder]
		if p == nil {
			p = &pkg{path: folder, fset: token.NewFileSet()}
			byPath[folder] = p
		}
		syntax, err := parser.ParseFile(p.fset, name, text, parser.ParseComments)
		if err != nil {
			return nil, fmt.Errorf("parse: %w", err)
		}
		p.files = append(p.files, file{path: name, syntax: syntax, lines: strings.Count(text, "\n"),
			test: strings.HasSuffix(name, "_test.go"), generated: ast.IsGenerated(syntax)})
	}
	all := make([]pkg, 0, len(byPath))
	for _, p := range byPath {
		slices.SortFunc(p.files, func(a, b file) int { return cmp.Compare(a.path, b.path) })
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b pkg) int { return cmp.Compare(a.path, b.path) })
	return all, nil
}
